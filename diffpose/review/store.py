"""The project file: one SQLite file with videos, predictions by revision, and the log of events.

Every write is one transaction that is on the disk when the call returns: a process killed after
it loses nothing, one killed within it leaves no trace. Nothing is ever overwritten: predictions
(`diffpose.review.predictions`) and events get the next revision of the project.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from diffpose.errors import CorrectionError, ProjectError, StaleRevisionError
from diffpose.names import parse_video_id
from diffpose.poses import VideoInfo
from diffpose.review.blobs import video_from_row, video_to_row
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
from diffpose.review.predictions import Predictions
from diffpose.review.rows import from_json, moment, text, whole


class Store(Predictions):
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
        super().__init__(Database(self.path, clock=clock, read_only=read_only), clock=clock)
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

    def video_of(self, track_id: int) -> VideoInfo:
        """The video that a track belongs to."""
        found = self._videos("JOIN tracks t USING (video_id) WHERE track_id = ?", track_id)
        if not found:
            raise self._no_track(track_id)
        return found[0]

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

    def _videos(self, chosen: str, *values: Any) -> list[VideoInfo]:
        columns = "v.video_id, v.path, v.width, v.height, v.times_s, v.details"
        rows = self._database.all(f"SELECT {columns} FROM videos v {chosen}", *values)
        with self._database.readable():
            return [video_from_row(row) for row in rows]
