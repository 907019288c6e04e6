"""Project files that no DiffPose wrote: seeded mutations of an honest one.

`hostile_project` makes file number ``seed``: always the same one. ``python -m
tests.hostile.project FOLDER FIRST LAST`` takes in the files FIRST to LAST - 1 one after the other
and writes a line of JSON before and after each, so that a test sees which of them hangs or kills
the process.
"""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from diffpose.errors import DiffPoseError
from diffpose.poses import PoseSequence, Provenance, Track, VideoInfo
from diffpose.review.events import (
    AcceptSuggestion,
    Confirm,
    CopyPrevious,
    Hide,
    Move,
    MoveBody,
    OutOfFrame,
    SetPose,
    Swap,
)
from diffpose.review.foreign import import_project
from diffpose.review.library import ProjectInfo, list_projects
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.skeleton import COCO17
from tests.hostile.running import most_memory_kb

VIDEO_ID = "5e" * 32
_FRAMES, _TRACKS = 12, 2

_TABLES = {
    "project": ("name", "created_at", "revision"),
    "settings": ("key", "value"),
    "videos": ("video_id", "path", "width", "height", "times_s", "details"),
    "tracks": ("track_id", "video_id", "boxes"),
    "predictions": ("revision", "track_id", "skeleton", "provenance", "made_at", "finished"),
    "prediction_chunks": ("revision", "track_id", "start", "frames", "keypoints", "confidence",
                          "covariance", "origin"),
    "events": ("event_id", "revision", "track_id", "author", "made_at", "kind", "action", "tab"),
    "exports": ("export_id", "revision", "made_at", "format", "path"),
    "adaptations": ("name", "base", "made_at", "report", "earlier", "tensors", "in_force"),
    "migrations": ("version", "description", "made_at"),
}  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, "", "x", "x" * 100_000, b"", b"\xff" * 7, 0, -1, 2, 2**31, 2**62, -(2**63), 0.5, 1e308,
    float("inf"), "NaN", "null", "[]", "{}", "[" * 5000, '"\\ud800"', "\0", "../../../x",
    "/etc/passwd", "*", "?*", "..", "C:\\x", "=HYPERLINK(1)", "<img src=x onerror=alert(1)>",
    "9" * 5000,
)  # fmt: skip
_JSON_VALUES: tuple[Any, ...] = (
    None, True, "", "x" * 1000, "\ud800", "../x", "*", [], {}, [[]], [None], 0, -1, 0.5, 2**40,
    10**400, float("nan"), float("inf"), 1e308, "left_x", {"shape": [2**40], "f4": "AAAA"},
    {"shape": [-1, 2], "f4": "AAAAAAAAAAA="}, {"shape": [1], "f4": "?"},
)  # fmt: skip
_SCHEMAS = (
    # What a name of ours may turn out to be: a query that never ends, huge values, other rows.
    "DROP TABLE {t}; CREATE VIEW {t} AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 "
    "FROM r) SELECT n AS id, n AS name, n AS created_at, n AS revision FROM r",
    "DROP TABLE {t}; CREATE VIEW {t} AS SELECT 1 AS id, zeroblob(900000000) AS name, "
    "zeroblob(900000000) AS created_at, 1 AS revision",
    "ALTER TABLE {t} RENAME TO other; CREATE VIEW {t} AS SELECT * FROM other, other AS b",
    "CREATE TRIGGER harm BEFORE INSERT ON {t} BEGIN SELECT RAISE(IGNORE); END",
    "CREATE TRIGGER harm AFTER INSERT ON {t} BEGIN DELETE FROM settings; END",
    "CREATE TRIGGER harm AFTER UPDATE ON {t} BEGIN UPDATE project SET name = 'x'; END",
    "DROP TRIGGER events_are_not_deleted",
    "DROP TRIGGER events_are_not_edited; CREATE TRIGGER events_are_not_edited BEFORE UPDATE ON "
    "events BEGIN SELECT 1; END",
    "CREATE TABLE extra (x)",
    "CREATE TABLE extra (x, y AS (zeroblob(900000000)))",
    "CREATE INDEX extra ON {t} (abs(1))",
    "CREATE VIRTUAL TABLE extra USING fts5(x)",
    "DROP INDEX events_of_a_track",
    "DROP TABLE {t}",
    "ALTER TABLE {t} ADD COLUMN extra TEXT DEFAULT 'x'",
)
_PRAGMAS = (
    "PRAGMA user_version = 0", "PRAGMA user_version = 2", "PRAGMA user_version = 99",
    "PRAGMA user_version = -5", "PRAGMA application_id = 7",
)  # fmt: skip


def honest_project(path: Path) -> None:
    """A project of which every table has rows."""
    rng, frames = np.random.default_rng(0), np.arange(_FRAMES)
    video = VideoInfo(Path("clip.mp4"), VIDEO_ID, 640, 480, frames / 25)
    with Store(path, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as store:
        store.add_video(video)
        for track_id in range(_TRACKS):
            poses = PoseSequence(
                COCO17, track_id, frames, rng.uniform(50, 400, (_FRAMES, 17, 2)),
                rng.uniform(0, 1, (_FRAMES, 17)),
                rng.uniform(1, 9, (_FRAMES, 17, 1, 1)) * np.eye(2),
            )  # fmt: skip
            boxes = Track(
                track_id, frames, np.tile([1, 2, 300, 400], (_FRAMES, 1)), np.ones(_FRAMES)
            )
            made = Provenance("base", "f00d", 4, 8, 0, {"extra": 1})
            store.add_predictions(poses, video_id=VIDEO_ID, boxes=boxes, provenance=made)
        keypoints = poses.keypoints[:2]
        for action in (
            Move(0, 1, 2, (10.5, 20.25)), Hide(0, (1, 2), 3), OutOfFrame(1, (2,), 5), Swap(0, 2, 5),
            Confirm(0, (3,)), MoveBody(1, 4, (3.0, 4.0), poses.keypoints[4] + 3),
            CopyPrevious(1, 6, 5, poses.keypoints[5]), SetPose(0, 7, keypoints[0], "import"),
            AcceptSuggestion(1, (8, 9), keypoints, poses.covariance[:2], poses.confidence[:2]),
        ):  # fmt: skip
            store.append(action)
        store.undo()
        store.set_setting("target_px", 5)
        store.record_export("poses.csv", file_format="csv")
        report = {"before_px": 5.0, "after_px": 4.0, "improved": True}
        store.models.adapt(AdaptedModel("abc", "f00d", b"tensors" * 9, report, {0: 1, 1: 2}))
        store.checkpoint()


def hostile_project(seed: int, path: Path, honest: bytes) -> str:
    """Write file number ``seed``; the name of what was done to it."""
    rng = random.Random(seed)
    path.write_bytes(honest)
    kinds: list[Callable[[random.Random, Path], None]] = [
        _other_schema, _other_schema, _value, _value, _value, _json, _json, _json, _blob, _blob,
        _bits, _bits, _cut, _header, _pragma, _path_like, _page, _many_rows, _nonsense,
    ]  # fmt: skip
    kind = kinds[seed % len(kinds)]
    kind(rng, path)
    if seed % 7 == 0:  # two at once
        with suppress(sqlite3.Error, ValueError, IndexError):
            _value(rng, path)
    for end in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return kind.__name__.strip("_")


def _raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def _without_triggers(path: Path, act: Callable[[sqlite3.Connection], None]) -> None:
    """Change rows although triggers forbid it; the schema is as before."""
    connection = _raw(path)
    try:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = found.fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        with suppress(sqlite3.Error):
            act(connection)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _other_schema(rng: random.Random, path: Path) -> None:
    table = rng.choice(["project", "project", *_TABLES])
    connection = _raw(path)
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA legacy_alter_table = ON")
        for statement in rng.choice(_SCHEMAS).format(t=table).split("; CREATE"):
            whole = statement if statement.startswith(("CREATE", "DROP", "ALTER")) else (
                f"CREATE{statement}"
            )  # fmt: skip
            connection.execute(whole)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _value(rng: random.Random, path: Path) -> None:
    table = rng.choice(list(_TABLES))
    column, value = rng.choice(_TABLES[table]), rng.choice(_VALUES)

    def act(connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT rowid FROM {table}").fetchall()
        (row,) = rng.choice(rows)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))

    _without_triggers(path, act)


def _json(rng: random.Random, path: Path) -> None:
    table, column = rng.choice([
        ("events", "action"), ("events", "action"), ("events", "action"), ("videos", "details"),
        ("predictions", "skeleton"), ("predictions", "provenance"), ("adaptations", "report"),
        ("adaptations", "earlier"), ("settings", "value"),
    ])  # fmt: skip

    def act(connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        row, text = rng.choice(rows)
        changed = json.dumps(_changed(rng, json.loads(text)))
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))

    _without_triggers(path, act)


def _changed(rng: random.Random, value: Any) -> Any:
    """A JSON value with one part exchanged, left out or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        result = dict(value)
        if rng.random() < 0.15:
            del result[key]
        elif rng.random() < 0.1:
            result["another\ud800"] = 1
        else:
            result[key] = _changed(rng, value[key])
        return result
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(rng, value[place]), *value[place + rng.randint(0, 1) :]]
    return rng.choice(_JSON_VALUES)


def _blob(rng: random.Random, path: Path) -> None:
    table, column = rng.choice([
        ("videos", "times_s"), ("tracks", "boxes"), ("adaptations", "tensors"),
        *(("prediction_chunks", name) for name in _TABLES["prediction_chunks"][3:]),
    ])  # fmt: skip

    def act(connection: sqlite3.Connection) -> None:
        row, blob = rng.choice(
            connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        )
        data = bytearray(blob)
        form, place = rng.choice(["<f", "<d", "<i"]), rng.randrange(0, len(data) - 8) & ~7
        numbers: tuple[float, ...] = (
            float("nan"),
            float("inf"),
            -1e30,
            1e300,
            3e38,
            -1.0,
            2**31 - 1,
        )
        if form == "<i":
            numbers = (-1, 2**31 - 1, -(2**31), 0)
        with suppress(OverflowError):
            struct.pack_into(form, data, place, rng.choice(numbers))
        data = rng.choice([data, data[:-1], data[: len(data) // 2], data * 2, data])
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(data), row))

    _without_triggers(path, act)


def _path_like(rng: random.Random, path: Path) -> None:
    evil = rng.choice(
        ["../../../victim", "/tmp/victim", "*", "..", "../*", "%2e%2e/x", "A" * 64, "0" * 63]
    )

    def act(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE videos SET video_id = ?", (evil,))
        connection.execute("UPDATE tracks SET video_id = ?", (evil,))

    _without_triggers(path, act)


def _many_rows(rng: random.Random, path: Path) -> None:
    table = rng.choice(["settings", "events", "videos", "tracks", "exports"])

    def act(connection: sqlite3.Connection) -> None:
        numbers = "WITH RECURSIVE r(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM r LIMIT 20000) "
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        varied = {"key", "event_id", "revision", "video_id", "track_id", "export_id"}
        chosen = ", ".join("n" if name in varied else name for name in columns)
        connection.execute(f"{numbers} INSERT INTO {table} SELECT {chosen} FROM r, "
                           f"(SELECT * FROM {table} LIMIT 1)")  # fmt: skip

    _without_triggers(path, act)


def _bits(rng: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 20, 200])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(rng: random.Random, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.choice([0, 1, 15, 16, 99, 100, 4096, rng.randrange(len(data))])])


def _header(rng: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(16, 100)] = rng.randrange(256)
    path.write_bytes(data)


def _page(rng: random.Random, path: Path) -> None:
    """Copy one page over another, so that trees meet, and make pages point at themselves."""
    data, size = bytearray(path.read_bytes()), 4096
    source, target = rng.randrange(len(data) // size), rng.randrange(1, len(data) // size)
    data[target * size : (target + 1) * size] = data[source * size : (source + 1) * size]
    if rng.random() < 0.5:
        struct.pack_into(">I", data, target * size + 8, target + 1)
        data[target * size] = rng.choice([2, 5])
    path.write_bytes(data)


def _pragma(rng: random.Random, path: Path) -> None:
    connection = _raw(path)
    connection.execute(rng.choice(_PRAGMAS))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _nonsense(rng: random.Random, path: Path) -> None:
    path.write_bytes(rng.choice([b"", b"SQLite format 3\0", b"\0" * 5000, rng.randbytes(9000)]))


def use(upload: Path, folder: Path) -> None:
    """Do with a file what a page does: take it in, list it, open it, review and compare it.

    Raises:
        DiffPoseError: It cannot be used.
    """
    made = import_project(upload, folder, keep_places=False)
    for info in list_projects(folder):
        assert info.path != made or not info.problem, info.problem
    read(made)


def read(path: Path) -> None:
    """Everything that a project holds, as its readers ask for it."""
    with Store(path) as store:
        review = ReviewSession(store)
        assert store.name
        assert store.created_at
        store.exports(), store.models.in_force()
        if (model := store.models.adapted()) is not None:
            assert model.words
        for info in store.videos():
            assert info.fps > 0
        for track_id in review.track_ids:
            poses = review.reviewed(track_id).poses
            assert review.video(track_id).times_s[poses.frames].size == len(poses)
            store.boxes_of(track_id), store.provenance(track_id)
            for revision in store.prediction_revisions(track_id):
                store.predictions(track_id, revision)
        review.queue(target_px=5)
        assert review.can_undo in (False, True)
        if review.track_ids:
            review.apply(Hide(review.track_ids[0], (int(review.reviewed(
                review.track_ids[0]).poses.frames[0]),), 0))  # fmt: skip
            review.undo()


def _attempt(act: Callable[[], None]) -> tuple[str, str]:
    try:
        act()
    except DiffPoseError as error:
        return "refused", str(error)
    except BaseException:
        return "raw", traceback.format_exc()
    return "opened", ""


def _main(folder: Path, first: int, last: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    honest_project(folder / "honest.diffpose")
    honest = (folder / "honest.diffpose").read_bytes()
    for seed in range(first, last):
        place = folder / str(seed)
        (place / "in" / "projects").mkdir(parents=True)
        upload = place / "in" / "upload.diffpose"
        kind = hostile_project(seed, upload, honest)
        print(json.dumps({"seed": seed, "kind": kind}), flush=True)
        started = time.process_time()
        result, words = _attempt(lambda: use(upload, place / "in" / "projects"))  # noqa: B023
        # The same file among the visitor's own, as somebody may have put it there.
        own, own_words = _attempt(lambda: read(upload))  # noqa: B023
        listed: list[ProjectInfo] = []
        third, list_words = _attempt(lambda: listed.extend(list_projects(upload.parent)))  # noqa: B023
        print(json.dumps({
            "seed": seed, "kind": kind, "results": [result, own, third],
            "words": [words, own_words, list_words],
            "cpu_s": time.process_time() - started, "listed": len(listed),
            "peak_kb": most_memory_kb(),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
