"""The schema of a project file, step by step, and how a file is opened.

`STEPS` only ever grows. Every step runs in one transaction together with the record that it ran,
so a file is always at exactly one version.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from diffpose.errors import ProjectError

APPLICATION_ID = 0x44504F53  # 'DPOS', in the file's header
BUSY_MS = 5000

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
)
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of projects that are given no other."""
    return datetime.now(UTC)


def open_project(path: Path, *, read_only: bool, clock: Clock) -> sqlite3.Connection:
    """Open a project file at the current schema; a new one is made where there is none.

    Raises:
        ProjectError: The file is missing (read-only), damaged, newer, of another program, or its
            folder cannot be written.
    """
    if read_only and not path.is_file():
        raise ProjectError(f"There is no project file {path}; choose another.")
    if not path.parent.is_dir():
        raise ProjectError(f"The folder {path.parent} does not exist; create it first.")
    with explained(path):
        return _open_read_only(path, clock) if read_only else _open_writable(path, clock)


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Write a whole project to a file that is not there yet; all of it or no file."""
    unfinished = target.with_name(target.name + ".part")
    unfinished.unlink(missing_ok=True)
    try:
        copy = sqlite3.connect(unfinished)
        try:
            source.backup(copy)
        finally:
            copy.close()
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into sentences about the project file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise ProjectError(_sentence(path, error)) from error
    except OverflowError as error:
        raise ProjectError(f"A number is too large for {path}; nothing was written.") from error


def _sentence(path: Path, error: sqlite3.DatabaseError) -> str:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"The disk is full: nothing was written to {path}; free some space and repeat."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another program keeps {path} locked: nothing was written; repeat in a moment."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{path} or its folder cannot be written; open the project read-only or copy it."
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged or no project file ({error}); use a copy of it."
    return f"{path} cannot be used: {error}; nothing was written."


def _open_writable(path: Path, clock: Clock) -> sqlite3.Connection:
    connection = _connect(path.absolute().as_uri() + "?mode=rwc")
    try:
        version = _version(connection, path)
        if version:
            _refuse_damage(connection, path)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, clock=clock, name=path.stem)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; for this alone SQLite does not wait for others itself."""
    for _ in range(BUSY_MS // 10):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA journal_mode = WAL")


def _open_read_only(path: Path, clock: Clock) -> sqlite3.Connection:
    connection = _connect(path.absolute().as_uri() + "?mode=ro")
    try:
        version = _version(connection, path)
    except sqlite3.OperationalError:
        # A folder where SQLite cannot keep its shared memory beside the file.
        connection.close()
        return _in_memory(path, clock)
    except BaseException:
        connection.close()
        raise
    if version == len(STEPS):
        return connection
    connection.close()
    return _in_memory(path, clock)


def _in_memory(path: Path, clock: Clock) -> sqlite3.Connection:
    """A copy at the current schema; the file, and what a crash left beside it, stay as they are."""
    memory = _connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + "-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(log.name))
        source = _connect(copy.as_uri())
        try:
            _version(source, path)
            source.backup(memory)
        finally:
            source.close()
    migrate(memory, clock=clock, name=path.stem)
    return memory


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
    )
    connection.execute("PRAGMA foreign_keys = ON")
    # A project may come from a stranger: its schema must not call functions.
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    # One look: between two of them another process may have made the project.
    connection.execute("BEGIN")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    finally:
        connection.execute("ROLLBACK")
    if tables and application != APPLICATION_ID:
        raise ProjectError(f"{path} is a database of another program; choose a project file.")
    if version > len(STEPS):
        raise ProjectError(
            f"{path} was written by a newer DiffPose (schema {version}, this one knows "
            f"{len(STEPS)}); update DiffPose to open it."
        )
    return version


def _refuse_damage(connection: sqlite3.Connection, path: Path) -> None:
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise ProjectError(
            f"{path} is damaged ({problem}); open it read-only to see what is left, or use a copy."
        )


def migrate(
    connection: sqlite3.Connection, *, clock: Clock, name: str, target: int = len(STEPS)
) -> None:
    """Bring a file to schema ``target``; a new one gets its ``name``."""
    for number, (description, statements) in enumerate(STEPS[:target], start=1):
        connection.execute("BEGIN IMMEDIATE")
        try:
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
        except BaseException:
            connection.execute("ROLLBACK")
            raise
