"""The schema of a project file, step by step.

`STEPS` only ever grows. Every step runs in one transaction together with the record that it ran,
so a file is always at exactly one version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

APPLICATION_ID = 0x44504F53  # 'DPOS', in the file's header

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "project, videos, tracks, predictions and events",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            """CREATE TABLE migrations (
                version INTEGER PRIMARY KEY, description TEXT NOT NULL, made_at TEXT NOT NULL
            )""",
            """CREATE TABLE project (
                id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL,
                created_at TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0
            )""",
            """CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)""",
            """CREATE TABLE videos (
                video_id TEXT PRIMARY KEY, path TEXT NOT NULL, width INTEGER NOT NULL,
                height INTEGER NOT NULL, times_s BLOB NOT NULL, details TEXT NOT NULL
            )""",
            """CREATE TABLE tracks (
                track_id INTEGER PRIMARY KEY,
                video_id TEXT NOT NULL REFERENCES videos (video_id)
            )""",
            """CREATE TABLE predictions (
                revision INTEGER NOT NULL,
                track_id INTEGER NOT NULL REFERENCES tracks (track_id),
                skeleton TEXT NOT NULL, provenance TEXT NOT NULL, made_at TEXT NOT NULL,
                PRIMARY KEY (revision, track_id)
            )""",
            """CREATE TABLE prediction_chunks (
                revision INTEGER NOT NULL, track_id INTEGER NOT NULL, start INTEGER NOT NULL,
                frames BLOB NOT NULL, keypoints BLOB NOT NULL, confidence BLOB NOT NULL,
                covariance BLOB NOT NULL, origin BLOB NOT NULL,
                PRIMARY KEY (revision, track_id, start),
                FOREIGN KEY (revision, track_id) REFERENCES predictions (revision, track_id)
            )""",
            """CREATE TABLE events (
                event_id INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL UNIQUE,
                track_id INTEGER NOT NULL REFERENCES tracks (track_id),
                author TEXT NOT NULL, made_at TEXT NOT NULL, kind TEXT NOT NULL,
                action TEXT NOT NULL
            )""",
            """CREATE TRIGGER events_are_not_edited BEFORE UPDATE ON events
               WHEN NEW.action IS NOT OLD.action OR NEW.revision IS NOT OLD.revision
               BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
            """CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
               BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
        ),
    ),
    (
        "exports, boxes of tracks, and which page wrote an event",
        (
            """CREATE TABLE exports (
                export_id INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL,
                made_at TEXT NOT NULL, format TEXT NOT NULL, path TEXT NOT NULL
            )""",
            "ALTER TABLE tracks ADD COLUMN boxes BLOB",
            "ALTER TABLE events ADD COLUMN tab TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX events_of_a_track ON events (track_id, revision)",
        ),
    ),
    # No table changes: older programs must not open what they would not understand.
    ("one event hides or shows a keypoint in several frames", ()),
    (
        "tensors of the model that were adapted to the project",
        (
            """CREATE TABLE adaptations (
                adaptation_id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
                base TEXT NOT NULL, made_at TEXT NOT NULL, report TEXT NOT NULL,
                earlier TEXT NOT NULL, tensors BLOB NOT NULL, in_force INTEGER NOT NULL
            )""",
        ),
    ),
    (
        "predictions that come in parts, and whether the last part was written",
        ("ALTER TABLE predictions ADD COLUMN finished INTEGER NOT NULL DEFAULT 1",),
    ),
)
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of projects that are given no other."""
    return datetime.now(UTC)


@contextmanager
def rolled_back(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that ends with the block; SQLite may have ended it already."""
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def migrate(
    connection: sqlite3.Connection, *, clock: Clock, name: str, target: int = len(STEPS)
) -> None:
    """Bring a file to schema ``target``; a new one gets its ``name``."""
    for number, (description, statements) in enumerate(STEPS[:target], start=1):
        connection.execute("BEGIN IMMEDIATE")
        with rolled_back(connection):
            # Asked inside the transaction: another process may be opening the same file.
            done = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if done < number:
                for statement in statements:
                    connection.execute(statement)
                now = clock().isoformat()
                if number == 1:
                    connection.execute(
                        "INSERT INTO project (id, name, created_at) VALUES (1, ?, ?)", (name, now)
                    )
                connection.execute(
                    "INSERT INTO migrations VALUES (?, ?, ?)", (number, description, now)
                )
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
