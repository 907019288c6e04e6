"""Taking in a project file that came from elsewhere: its rows are read, the file is never used.

The file is opened to read only, with a deadline and limits on its size and answers, and only if
its schema is that of a project. Every row is parsed, checked against the others and rewritten
into a file with our own schema; ids, revisions and times stay. What a project cannot have ends
the import in one sentence, and nothing is left of it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from diffpose.errors import CancelledError, InputError, ProjectError
from diffpose.poses import VideoInfo
from diffpose.review.blobs import (
    check_in_video,
    join_chunks,
    pack_boxes,
    skeleton_from_json,
    skeleton_to_json,
    unpack_boxes,
    video_from_row,
    video_to_row,
)
from diffpose.review.checks import check_stored
from diffpose.review.database import Database, bounded
from diffpose.review.events import Event, kind_of, to_dict
from diffpose.review.library import publish, unfinished
from diffpose.review.limits import MAX_EVENTS, MAX_FOREIGN, MAX_PATH, MAX_TRACKS, MAX_VIDEOS
from diffpose.review.log import check_order, event_from_row
from diffpose.review.migrations import Clock, utc_now
from diffpose.review.models import model_from_row
from diffpose.review.opening import Budget, explained, explained_os, open_foreign
from diffpose.review.rows import damaged, from_json, moment, provenance_from_json, text, whole
from diffpose.skeleton import Skeleton

_WORK_S, _BYTES_PER_S = 8.0, 10e6  # of the processor's time: others may be at work, too
_MOST_PREDICTIONS = 100_000
_MOST_ROWS = 1_000_000  # of a table that has no limit of its own
_ADDED = {
    "tracks.boxes": 2, "events.tab": 2, "exports": 2, "adaptations": 4, "predictions.finished": 5,
}  # fmt: skip
"""Columns and tables that files of earlier versions of the schema lack, and since when."""


def import_project(
    source: Path | str,
    folder: Path | str,
    *,
    keep_places: bool = True,
    clock: Clock = utc_now,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Add a project file from elsewhere to a folder of projects; the path of the new file.

    Args:
        source: The file; nothing is written to it or next to it.
        folder: Of projects.
        keep_places: Whether the videos keep the folders that the file says they lie in; otherwise
            only their names are kept. A stranger's file must not name places on a server.
        clock: Now, for the record of migrations.
        cancelled: Asked all the time.

    Raises:
        ProjectError: It is damaged, newer, too large, no project file, or took too long.
        CancelledError: ``cancelled`` said so.
    """
    source, folder = Path(source), Path(folder)
    with explained(source), explained_os(source):
        size = source.stat().st_size
    if size > MAX_FOREIGN:
        raise ProjectError(f"{source} has {size} bytes, more than the {MAX_FOREIGN} that are read.")
    watch = _watch(source, _WORK_S + size / _BYTES_PER_S, cancelled)
    with unfinished(folder, "project") as path:
        with explained(source), explained_os(source):
            connection, budget, version = open_foreign(source, watch=watch)
        target = Database(path, clock=clock, read_only=False)
        try:
            rows = _Rows(connection, budget, version, source, watch)
            with target.transaction():
                name = _Transfer(rows, target, keep_places=keep_places).all()
            target.checkpoint()
        except InputError as error:
            raise ProjectError(
                f"{source} is damaged: a part of it cannot be read ({error}); use a copy of it."
            ) from error
        finally:
            connection.close()
            target.close()
        return publish(path, folder, name)


def _watch(source: Path, limit_s: float, cancelled: Callable[[], bool]) -> Callable[[], None]:
    until_s = time.thread_time() + limit_s

    def watch() -> None:
        if cancelled():
            raise CancelledError("Opening the project was stopped; nothing was kept of it.")
        if time.thread_time() > until_s:
            raise ProjectError(
                f"{source} takes more than {limit_s:.0f} seconds to read; it may be damaged: "
                "use a copy of it."
            )

    return watch


class _Rows:
    """The tables of the foreign file."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        budget: Budget,
        version: int,
        source: Path,
        watch: Callable[[], None],
    ) -> None:
        self._connection, self._budget, self._version = connection, budget, version
        self._source, self._watch = source, watch

    def of(
        self, table: str, columns: str, *, by: str, most: int = _MOST_ROWS
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a table in the order of its key ``by``; no more than ``most``."""
        if _ADDED.get(table, 0) > self._version:
            return
        chosen = ", ".join(
            name if _ADDED.get(f"{table}.{name}", 0) <= self._version else "NULL"
            for name in columns.split()
        )
        statement = f"SELECT {chosen} FROM {table} ORDER BY {by} LIMIT {most + 1}"
        with explained(self._source), self._budget.reading() as left:
            found = self._connection.execute(statement)
            for count, row in enumerate(bounded(found, left, self._source)):
                if count == most:
                    raise ProjectError(
                        f"{self._source} has more than {most} {table}; divide it into several."
                    )
                self._watch()
                yield row


class _Transfer:
    """The way of all rows from one file to the other, within one transaction."""

    def __init__(self, rows: _Rows, target: Database, *, keep_places: bool) -> None:
        self._rows, self._target, self._keep_places = rows, target, keep_places
        self._videos: dict[str, VideoInfo] = {}
        self._tracks: dict[int, VideoInfo] = {}
        self._skeletons: dict[tuple[int, int], Skeleton] = {}  # by revision and track
        self._last: dict[int, Skeleton] = {}  # of each track, what its log is folded with

    def all(self) -> str:
        """Write everything; the project's name."""
        name, revision = self._project()
        self._settings()
        self._all_videos()
        self._all_tracks()
        self._predictions(revision)
        self._chunks()
        self._events(revision)
        self._exports()
        self._adaptations()
        return name

    def _project(self) -> tuple[str, int]:
        found = list(self._rows.of("project", "name created_at revision", by="id", most=1))
        if len(found) != 1:
            raise damaged("the project", "one row", found)
        name, created_at, revision = found[0]
        values = (
            text(name, "the project's name", empty=False),
            moment(created_at, "the project's date").isoformat(),
            whole(revision, "the project's revision", most=2**53),
        )
        self._target.execute("UPDATE project SET name = ?, created_at = ?, revision = ?", values)
        return values[0], values[2]

    def _settings(self) -> None:
        for key, value in self._rows.of("settings", "key value", by="key", most=1000):
            kept = json.dumps(from_json(value, "a setting", finite=False))
            self._insert("settings", text(key, "a setting"), kept)

    def _all_videos(self) -> None:
        columns = "video_id path width height times_s details"
        for row in self._rows.of("videos", columns, by="rowid", most=MAX_VIDEOS):
            video = video_from_row(row)
            if not self._keep_places or str(video.path).startswith(("//", "\\\\")):
                video = replace(video, path=Path(video.path.name))
            self._videos[video.video_id] = video
            self._insert("videos", *video_to_row(video))

    def _all_tracks(self) -> None:
        rows = self._rows.of("tracks", "track_id video_id boxes", by="track_id", most=MAX_TRACKS)
        for track_id, video_id, packed in rows:
            track = whole(track_id, "a track", most=2**31 - 1)
            video = self._videos.get(video_id) if isinstance(video_id, str) else None
            if video is None:
                raise damaged("the video of a track", "one of the project's", video_id)
            boxes = None if packed is None else unpack_boxes(track, packed)
            if boxes is not None:
                check_in_video(boxes.frames, video.num_frames)
            self._tracks[track] = video
            packed = None if boxes is None else pack_boxes(boxes)
            self._insert("tracks", track, video.video_id, packed)

    def _predictions(self, last: int) -> None:
        columns = "revision track_id skeleton provenance made_at finished"
        known: dict[str, Skeleton] = {}  # nearly always one
        for row in self._rows.of(
            "predictions", columns, by="revision, track_id", most=_MOST_PREDICTIONS
        ):
            revision = whole(row[0], "a revision", most=last)
            track_id = self._track(row[1])
            skeleton = known.get(row[2]) or skeleton_from_json(row[2])
            known[row[2]] = self._skeletons[revision, track_id] = self._last[track_id] = skeleton
            made = provenance_from_json(row[3])
            self._insert(
                "predictions", revision, track_id, skeleton_to_json(skeleton),
                json.dumps(None if made is None else asdict(made)),
                moment(row[4], "the date of poses").isoformat(),
                1 if row[5] is None else whole(row[5], "the end of a run", most=1),
            )  # fmt: skip

    def _chunks(self) -> None:
        columns = "revision track_id start frames keypoints confidence covariance origin"
        key, count, last = (-1, -1), 0, -1
        for row in self._rows.of("prediction_chunks", columns, by="revision, track_id, start"):
            track_id, start = self._track(row[1]), whole(row[2], "the place of poses")
            if (row[0], track_id) != key:
                key, count, last = (whole(row[0], "a revision"), track_id), 0, -1
            skeleton = self._skeletons.get(key)
            if skeleton is None or start != count:
                raise damaged("the place of poses", f"{count} of known ones", start)
            part = join_chunks(skeleton, track_id, [row[3:]])
            check_in_video(part.frames, self._tracks[track_id].num_frames)
            if not len(part) or part.frames[0] <= last:
                raise damaged("the frames of poses", "increasing ones", part.frames)
            count, last = count + len(part), int(part.frames[-1])
            self._insert("prediction_chunks", *key, start, *row[3:])

    def _events(self, last: int) -> None:
        columns = "event_id revision author made_at action tab track_id kind"
        before: Event | None = None
        for row in self._rows.of("events", columns, by="event_id", most=MAX_EVENTS):
            *fields, tab, track_id, kind = row
            event = event_from_row((*fields, "" if tab is None else tab))
            action = event.action
            check_order(event, before)
            if (track_id, kind) != (action.track_id, kind_of(action)) or event.revision > last:
                raise damaged("an event", "what its action says", (track_id, kind))
            if self._track(track_id) not in self._last:
                raise damaged("a track with events", "poses", track_id)
            check_stored(action, self._last[track_id], self._tracks[track_id].num_frames)
            before = event
            self._target.execute(
                "INSERT INTO events (event_id, revision, track_id, author, made_at, kind, action, "
                "tab) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    event.event_id, event.revision, track_id, event.author,
                    event.made_at.isoformat(), kind, json.dumps(to_dict(action), allow_nan=False),
                    event.tab,
                ),
            )  # fmt: skip

    def _exports(self) -> None:
        columns = "export_id revision made_at format path"
        for export_id, revision, made_at, kind, path in self._rows.of(
            "exports", columns, by="export_id"
        ):
            place = text(path, "an export's path", longest=MAX_PATH)
            self._insert(
                "exports", whole(export_id, "an export"), whole(revision, "a revision"),
                moment(made_at, "an export's date").isoformat(), text(kind, "an export's format"),
                place if self._keep_places else Path(place).name,
            )  # fmt: skip

    def _adaptations(self) -> None:
        columns = "adaptation_id name base tensors report earlier made_at in_force"
        for row in self._rows.of("adaptations", columns, by="adaptation_id", most=1000):
            model = model_from_row(row[1:6])
            for track_id, revision in model.earlier.items():
                if (revision, track_id) not in self._skeletons:
                    raise damaged("earlier poses", "poses of the project", (revision, track_id))
            self._insert(
                "adaptations", whole(row[0], "a model"), model.name, model.base,
                moment(row[6], "a model's date").isoformat(), json.dumps(dict(model.report)),
                json.dumps({str(track): at for track, at in model.earlier.items()}),
                model.tensors, whole(row[7], "an active model", most=1),
            )  # fmt: skip

    def _track(self, value: object) -> int:
        if value not in self._tracks:
            raise damaged("a track", "one of the project's", value)
        return whole(value, "a track")

    def _insert(self, table: str, *values: Any) -> None:
        places = ", ".join("?" * len(values))
        self._target.execute(f"INSERT INTO {table} VALUES ({places})", values)
