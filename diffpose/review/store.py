"""The project file: one SQLite file with videos, predictions by revision, and the log of events.

Every write is one transaction that is on the disk when the call returns: a process killed after
it loses nothing, one killed within it leaves no trace. Nothing is ever overwritten: predictions
and events get the next revision of the project.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from diffpose.errors import CorrectionError, ProjectError, StaleRevisionError
from diffpose.names import parse_video_id
from diffpose.poses import PoseSequence, Provenance, Track, VideoInfo
from diffpose.review.blobs import (
    join_chunks,
    pack_boxes,
    skeleton_from_json,
    skeleton_to_json,
    split_chunks,
    unpack_boxes,
    video_from_row,
    video_to_row,
)
from diffpose.review.database import Database
from diffpose.review.events import (
    Action,
    Event,
    Redo,
    Undo,
    kind_of,
    needs_the_prediction,
    to_dict,
    touched_since,
    undo_stacks,
)
from diffpose.review.limits import MAX_EVENTS, MAX_NAME, MAX_PATH
from diffpose.review.log import event_from_row
from diffpose.review.migrations import Clock, utc_now
from diffpose.review.models import Models
from diffpose.review.rows import from_json, moment, provenance_from_json, text, whole


class Store:
    """One project file, open.

    Safe to share between threads; any number of processes may have the same file open.

    Args:
        path: The file; made if it is not there.
        clock: Now, with its time zone.
        read_only: Never write, not even next to the file.
    """

    def __init__(
        self, path: Path | str, *, clock: Clock = utc_now, read_only: bool = False
    ) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._clock = clock
        self._database = Database(self.path, clock=clock, read_only=read_only)
        self.models = Models(self._database, clock=clock)
        self.transaction = self._database.transaction  # makes one of several writes
        self._actions: dict[int, Action] = {}  # by event id: events never change

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written is in it."""
        self._database.close()

    @property
    def name(self) -> str:
        """The project's name."""
        row = self._database.one("SELECT name FROM project")
        with self._database.readable():
            return text(row[0], "the project's name", empty=False)

    @property
    def created_at(self) -> datetime:
        """When the project was made."""
        row = self._database.one("SELECT created_at FROM project")
        with self._database.readable():
            return moment(row[0], "the project's date")

    @property
    def revision(self) -> int:
        """Increases by one with every event and every set of predictions, by whomever."""
        row = self._database.one("SELECT revision FROM project")
        with self._database.readable():
            return whole(row[0], "the project's revision")

    def rename(self, name: str) -> None:
        """Give the project another name; its file keeps its own."""
        if not 0 < len(name.strip()) <= MAX_NAME:
            raise ProjectError(f"A project needs a name of 1 to {MAX_NAME} letters.")
        with self._database.transaction():
            self._database.execute("UPDATE project SET name = ?", (name.strip(),))

    def setting(self, key: str, default: Any = None) -> Any:
        """A value kept by `set_setting`."""
        rows = self._database.all("SELECT value FROM settings WHERE key = ?", key)
        with self._database.readable():
            return from_json(rows[0][0], "a setting", finite=False) if rows else default

    def set_setting(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO settings VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, json.dumps(value)),
            )

    def add_video(self, info: VideoInfo) -> None:
        """Make a video known, or update where it lies.

        Raises:
            FormatError: Its id is not one that probing a video gives.
        """
        parse_video_id(info.video_id)
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO videos VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (video_id) DO UPDATE SET path = excluded.path",
                video_to_row(info),
            )

    def videos(self) -> list[VideoInfo]:
        """The project's videos, each with its last known path."""
        return self._videos("ORDER BY v.rowid")

    def relink(self, video_id: str, found: VideoInfo) -> None:
        """Say where a video lies now; only the same content is taken.

        Args:
            video_id: The video that was not found.
            found: What probing the other file gave.
        """
        known = {info.video_id: info for info in self.videos()}
        if video_id not in known:
            raise ProjectError(f"The project has no video {video_id}; it has {len(known)} others.")
        if found.video_id != video_id:
            raise ProjectError(
                f"{found.path} is not the video of this project: its content differs from "
                f"{known[video_id].path.name}; choose the original file."
            )
        self.add_video(found)

    def track_ids(self) -> list[int]:
        """Tracks that have predictions, increasing."""
        rows = self._database.all("SELECT DISTINCT track_id FROM predictions ORDER BY track_id")
        return self._whole(rows, "a track", most=2**31 - 1)

    def video_of(self, track_id: int) -> VideoInfo:
        """The video that a track belongs to."""
        found = self._videos("JOIN tracks t USING (video_id) WHERE track_id = ?", track_id)
        if not found:
            raise self._no_track(track_id)
        return found[0]

    def boxes_of(self, track_id: int) -> Track | None:
        """The person's boxes, if they were given."""
        rows = self._database.all("SELECT boxes FROM tracks WHERE track_id = ?", track_id)
        with self._database.readable():
            return unpack_boxes(track_id, rows[0][0]) if rows and rows[0][0] else None

    def add_predictions(
        self,
        sequence: PoseSequence,
        *,
        video_id: str,
        boxes: Track | None = None,
        provenance: Provenance | None = None,
    ) -> int:
        """Add what the model says of one track, under a new revision; older ones stay.

        Args:
            sequence: The poses; its track_id is unique in the project.
            video_id: A video made known by `add_video`.
            boxes: The person's boxes.
            provenance: How the poses were made.

        Returns:
            The new revision.
        """
        made_by = json.dumps(asdict(provenance) if provenance else None)
        now = self._clock().isoformat()
        track_id = sequence.track_id
        with self._database.transaction():
            known = self._database.all("SELECT video_id FROM tracks WHERE track_id = ?", track_id)
            if known and known[0][0] != video_id:
                raise ProjectError(
                    f"Track {track_id} belongs to another video of the project; "
                    f"give the new one another number."
                )
            if not known:
                self._database.execute(
                    "INSERT INTO tracks (track_id, video_id) VALUES (?, ?)", (track_id, video_id)
                )
            if boxes is not None:
                self._database.execute(
                    "UPDATE tracks SET boxes = ? WHERE track_id = ?", (pack_boxes(boxes), track_id)
                )
            revision = self._next_revision()
            self._database.execute(
                "INSERT INTO predictions VALUES (?, ?, ?, ?, ?)",
                (revision, track_id, skeleton_to_json(sequence.skeleton), made_by, now),
            )
            self._database.executemany(
                "INSERT INTO prediction_chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(revision, track_id, *chunk) for chunk in split_chunks(sequence)],
            )
        return revision

    def prediction_revisions(self, track_id: int) -> list[int]:
        """Revisions of a track's predictions, oldest first."""
        rows = self._database.all(
            "SELECT revision FROM predictions WHERE track_id = ? ORDER BY revision", track_id
        )
        return self._whole(rows, "a revision")

    def predictions(self, track_id: int, revision: int | None = None) -> PoseSequence:
        """What the model said of a track: lastly, or in one of `prediction_revisions`."""
        known = self.prediction_revisions(track_id)
        if not known:
            raise self._no_track(track_id)
        chosen = known[-1] if revision is None else revision
        if chosen not in known:
            raise ProjectError(
                f"The project has no predictions of track {track_id} at revision {chosen}; "
                f"it has {reprlib.repr(known)}."
            )
        where = "WHERE track_id = ? AND revision = ?"
        skeleton = self._database.one(
            f"SELECT skeleton FROM predictions {where}", track_id, chosen
        )[0]
        chunks = self._database.all(
            "SELECT frames, keypoints, confidence, covariance, origin "
            f"FROM prediction_chunks {where} ORDER BY start",
            track_id, chosen,
        )  # fmt: skip
        with self._database.readable():
            return join_chunks(skeleton_from_json(skeleton), track_id, chunks)

    def provenance(self, track_id: int) -> Provenance | None:
        """How the last predictions of a track were made."""
        row = self._database.one(
            "SELECT provenance FROM predictions WHERE track_id = ? ORDER BY revision DESC",
            track_id,
        )
        with self._database.readable():
            return provenance_from_json(row[0])

    def append(
        self,
        action: Action,
        seen_revision: int | None = None,
        *,
        author: str = "me",
        tab: str = "",
        made_at: datetime | None = None,
    ) -> Event:
        """Write one action; it is on the disk when this returns.

        Args:
            action: What was done.
            seen_revision: The revision the author looked at; None takes the newest.
            author: Who.
            tab: Which open page; its own earlier events are never in its way.
            made_at: When; None asks the store's clock.

        Raises:
            StaleRevisionError: Somebody changed the same frame of the track after
                ``seen_revision``. Other changes since then are no hindrance.
        """
        with self._database.transaction():
            if seen_revision is not None:
                self._refuse_stale(action, seen_revision, tab)
            return self._append(action, author, tab, made_at)

    def undo(
        self, author: str = "me", *, tab: str = "", made_at: datetime | None = None
    ) -> Event | None:
        """Take back the author's last action; None if there is none."""
        with self._database.transaction():
            undoable, _ = undo_stacks(self.events(), author)
            if not undoable:
                return None
            last = undoable[-1]
            return self._append(Undo(last.action.track_id, last.event_id), author, tab, made_at)

    def redo(
        self, author: str = "me", *, tab: str = "", made_at: datetime | None = None
    ) -> Event | None:
        """Bring back the action that the author undid last; None if there is none."""
        with self._database.transaction():
            _, redoable = undo_stacks(self.events(), author)
            if not redoable:
                return None
            last = redoable[-1]
            return self._append(Redo(last.action.track_id, last.event_id), author, tab, made_at)

    def events(self, *, after: int = 0, track_id: int | None = None) -> list[Event]:
        """The log, oldest first.

        Args:
            after: Only events of later revisions.
            track_id: Only this track's.
        """
        where, values = "revision > ?", [after]
        if track_id is not None:
            where, values = where + " AND track_id = ?", [after, track_id]
        rows = self._database.all(
            "SELECT event_id, revision, author, made_at, action, tab FROM events "
            f"WHERE {where} ORDER BY event_id LIMIT {MAX_EVENTS + 1}",
            *values,
        )
        # What is not yet written may never be: its id would then be another event's.
        known = dict(self._actions) if self._database.writing else self._actions
        if len(rows) > MAX_EVENTS:
            raise ProjectError(
                f"{self.path} has more than the {MAX_EVENTS} actions that a project "
                "may have; divide the work among several projects."
            )
        with self._database.readable():
            log = [event_from_row(row, known.get(row[0])) for row in rows]
        known.update((event.event_id, event.action) for event in log)
        return log

    def record_export(self, path: Path | str, *, file_format: str) -> None:
        """Note that the present revision was exported."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO exports (revision, made_at, format, path) VALUES (?, ?, ?, ?)",
                (self.revision, self._clock().isoformat(), file_format, str(path)),
            )

    def exports(self) -> list[dict[str, Any]]:
        """Exports so far: revision, made_at, format and path of each."""
        names = ("revision", "made_at", "format", "path")
        rows = self._database.all(f"SELECT {', '.join(names)} FROM exports ORDER BY export_id")
        with self._database.readable():
            return [
                {
                    "revision": whole(revision, "a revision"),
                    "made_at": moment(made_at, "an export's date").isoformat(),
                    "format": text(kind, "an export's format"),
                    "path": text(path, "an export's path", longest=MAX_PATH),
                }
                for revision, made_at, kind, path in rows
            ]

    def copy_to(self, path: Path | str) -> None:
        """Write the whole project to another file, consistently even while others write."""
        self._database.copy_to(Path(path))

    def checkpoint(self) -> None:
        """Bring everything into the one file, so that it can be moved."""
        self._database.checkpoint()

    def _refuse_stale(self, action: Action, seen: int, tab: str) -> None:
        current = self.revision
        if seen > current:
            raise CorrectionError(
                f"The project is at revision {current}, not yet at {seen}; reload it."
            )
        changed = False
        if self.events(after=seen, track_id=action.track_id):
            log = self.events(track_id=action.track_id)
            changed = touched_since(action, log, seen_revision=seen, tab=tab)
        if not changed and needs_the_prediction(action):
            changed = any(r > seen for r in self.prediction_revisions(action.track_id))
        if changed:
            raise StaleRevisionError(
                f"Somebody else has changed this pose since revision {seen} (now {current}); "
                f"nothing was written: look at the newer pose and repeat.",
                revision=current,
            )

    def _append(self, action: Action, author: str, tab: str, made_at: datetime | None) -> Event:
        now = made_at or self._clock()
        if action.track_id not in self.track_ids():
            raise self._no_track(action.track_id)
        (count,) = self._database.one("SELECT max(event_id) FROM events")
        if count is not None and count >= MAX_EVENTS:
            raise ProjectError(
                f"The project has {MAX_EVENTS} actions, as many as it may: nothing was written; "
                "divide the work among several projects."
            )
        revision = self._next_revision()
        event_id = self._database.execute(
            "INSERT INTO events (revision, track_id, author, made_at, kind, action, tab) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                revision, action.track_id, author, now.isoformat(), kind_of(action),
                json.dumps(to_dict(action), allow_nan=False), tab,
            ),
        )  # fmt: skip
        return Event(event_id, revision, author, now, action, tab)

    def _whole(self, rows: list[Any], what: str, *, most: int = 2**63 - 1) -> list[int]:
        with self._database.readable():
            return [whole(row[0], what, most=most) for row in rows]

    def _videos(self, chosen: str, *values: Any) -> list[VideoInfo]:
        columns = "v.video_id, v.path, v.width, v.height, v.times_s, v.details"
        rows = self._database.all(f"SELECT {columns} FROM videos v {chosen}", *values)
        with self._database.readable():
            return [video_from_row(row) for row in rows]

    def _no_track(self, track_id: int) -> ProjectError:
        known = reprlib.repr(self.track_ids())
        return ProjectError(f"The project has no track {track_id}; it has {known}.")

    def _next_revision(self) -> int:
        self._database.execute("UPDATE project SET revision = revision + 1")
        return self.revision
