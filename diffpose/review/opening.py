"""Opening a project file: only with our own schema, and with limits on what reading it may cost.

A project may come from a stranger. Before anything else is read the schema must be, statement by
statement, that of its version: no views, no triggers but ours, no virtual tables. What is then
read is bounded by the file itself: an answer that holds more bytes, or takes more steps, than an
intact file of that size can ask for is damage (`Budget`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from diffpose.errors import ProjectError
from diffpose.review.limits import LONGEST_VALUE
from diffpose.review.migrations import APPLICATION_ID, STEPS, Clock, migrate, rolled_back

BUSY_MS = 5000
PART = ".part"  # ends the names of files that are being made
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps next to a file
_EVERY = 1000  # steps of SQLite's machine between two looks at the budget
_SCHEMA_STEPS = 200_000  # our schema takes some hundred
_STEPS, _STEPS_PER_BYTE = 10_000_000, 4
_SPARE_BYTES = 2**20
_LONGEST_SQL = 100_000
_WORDS = 200  # letters of SQLite's own words in a sentence

Schema = frozenset[tuple[str, str, str, str]]
Watch = Callable[[], None]
"""Raises when reading must stop: too late, or cancelled."""


class Budget:
    """Ends statements that cost more than an intact file of this size can ask for.

    Args:
        connection: Whose statements.
        size: Bytes of the database now.
        watch: Asked every so often.
    """

    def __init__(
        self, connection: sqlite3.Connection, size: Callable[[], int], *, watch: Watch | None = None
    ) -> None:
        self._size, self._watch = size, watch
        self._steps = _SCHEMA_STEPS
        self._stopped: BaseException | None = None
        connection.set_progress_handler(self._look, _EVERY)

    @contextmanager
    def reading(self) -> Iterator[int]:
        """A block that reads; yields the bytes that its answer may have."""
        size = self._size()
        self._steps = _STEPS + _STEPS_PER_BYTE * size
        try:
            yield size + _SPARE_BYTES
        except sqlite3.OperationalError as error:
            stopped, self._stopped = self._stopped, None
            if stopped is not None:
                raise stopped from error
            raise
        finally:
            self.lift()

    def lift(self) -> None:
        """No limit until the next reading: our own writing takes what it takes."""
        self._steps = 2**63

    def _look(self) -> int:
        self._steps -= _EVERY
        try:
            if self._watch is not None:
                self._watch()
        except BaseException as error:
            self._stopped = error
            return 1
        return int(self._steps < 0)


def open_project(path: Path, *, read_only: bool, clock: Clock) -> sqlite3.Connection:
    """Open a project file at the current schema; a new one is made where there is none.

    Raises:
        ProjectError: The file is missing (read-only), damaged, newer, of another program, of
            another schema, or its folder cannot be written.
    """
    with explained(path), explained_os(path):
        if read_only and not path.is_file():
            raise ProjectError(f"There is no project file {path}; choose another.")
        if not path.parent.is_dir():
            raise ProjectError(f"The folder {path.parent} does not exist; create it first.")
        return _open_read_only(path, clock) if read_only else _open_writable(path, clock)


def open_foreign(path: Path, *, watch: Watch) -> tuple[sqlite3.Connection, Budget, int]:
    """Open a file that came from elsewhere, to read it and nothing else; also its schema version.

    What lies next to the file is not looked at.
    """
    connection = connect(path.absolute().as_uri() + "?mode=ro&immutable=1")
    try:
        size = path.stat().st_size
        budget = Budget(connection, lambda: size, watch=watch)
        connection.execute("PRAGMA query_only = ON")
        version = checked_version(connection, path)
        if not version:
            raise ProjectError(f"{path} is empty; use a copy of it.")
    except BaseException:
        connection.close()
        raise
    return connection, budget, version


def size_of(path: Path) -> int:
    """Bytes of a database, its log included."""
    total = 0
    for file in (path, path.with_name(path.name + "-wal")):
        with suppress(OSError):
            total += os.stat(file).st_size
    return total


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Write a whole project to a file that is not there yet; all of it or no file."""
    unfinished = unfinished_name(target.parent)
    try:
        copy = sqlite3.connect(unfinished)
        try:
            source.backup(copy)
        finally:
            copy.close()
        unfinished.replace(target)
    finally:
        remove_database(unfinished)


def unfinished_name(folder: Path) -> Path:
    """A name for a file that is being made, hidden and nobody's."""
    return folder / f".{secrets.token_hex(8)}{PART}"


def remove_database(path: Path) -> None:
    """Delete a file and what SQLite keeps next to it, where they are there."""
    for end in ("", *BESIDE):
        with suppress(OSError):
            path.with_name(path.name + end).unlink()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into sentences about the project file."""
    try:
        yield
    except sqlite3.Error as error:
        raise ProjectError(_sentence(path, error)) from error
    except OverflowError as error:
        raise ProjectError(f"A number is too large for {path}; nothing was written.") from error
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} is damaged: a text has broken letters; use a copy.") from error
    except UnicodeEncodeError as error:
        raise ProjectError(f"A text has broken letters; nothing was written to {path}.") from error


@contextmanager
def explained_os(path: Path) -> Iterator[None]:
    """Turn the system's errors into sentences about a project file or a folder of them."""
    try:
        yield
    except OSError as error:
        raise ProjectError(
            f"{path} or its folder cannot be used ({error.strerror or error}); choose a folder "
            "with space that you may write to."
        ) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    words = " ".join(str(error).split())[:_WORDS]
    if code == sqlite3.SQLITE_FULL:
        return f"The disk is full: nothing was written to {path}; free some space and repeat."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another program keeps {path} locked: nothing was written; repeat in a moment."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{path} or its folder cannot be written; open the project read-only or copy it."
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged or no project file ({words}); use a copy of it."
    if code in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG):
        return f"{path} is damaged: it asks for more than a file of its size holds; use a copy."
    return f"{path} cannot be used: {words}; nothing was written."


def _open_writable(path: Path, clock: Clock) -> sqlite3.Connection:
    connection = connect(path.absolute().as_uri() + "?mode=rwc")
    try:
        budget = Budget(connection, lambda: size_of(path))
        version = checked_version(connection, path)
        budget.lift()
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
    connection = connect(path.absolute().as_uri() + "?mode=ro")
    try:
        Budget(connection, lambda: size_of(path))
        version = checked_version(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_INTERRUPT:
            raise
        # A folder where SQLite cannot keep its shared memory next to the file.
        return _in_memory(path, clock)
    except BaseException:
        connection.close()
        raise
    if version == len(STEPS):
        return connection
    connection.close()
    if not version:
        raise ProjectError(f"{path} is empty: making it was interrupted; delete it.")
    return _in_memory(path, clock)


def _in_memory(path: Path, clock: Clock) -> sqlite3.Connection:
    """A copy at the current schema; the file and what a crash left next to it stay unchanged."""
    memory = connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + "-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(log.name))
        source = connect(copy.as_uri())
        try:
            Budget(source, lambda: size_of(copy))
            if not checked_version(source, path):
                raise ProjectError(f"{path} is empty: making it was interrupted; delete it.")
            source.backup(memory)
        finally:
            source.close()
    migrate(memory, clock=clock, name=path.stem)
    return memory


def connect(address: str) -> sqlite3.Connection:
    """A connection that trusts nothing in the file; statements and values have limits."""
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _LONGEST_SQL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if hasattr(connection, "setconfig"):  # of Python 3.12
        connection.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), True)  # noqa: B009
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a file's schema, which is ours; 0 for an empty file."""
    # One look: between two of them another process may have made the project.
    connection.execute("BEGIN")
    with rolled_back(connection):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        known = expected_schema(version) if 0 <= version <= len(STEPS) else Schema()
        schema = _schema_of(connection, most=len(known) + 1)
    if schema and application != APPLICATION_ID:
        raise ProjectError(f"{path} is a database of another program; choose a project file.")
    if version > len(STEPS):
        raise ProjectError(
            f"{path} was written by a newer DiffPose (schema {version}, this one knows "
            f"{len(STEPS)}); update DiffPose to open it."
        )
    if schema != known:
        raise ProjectError(
            f"{path} has other tables, views or triggers than a project of DiffPose; it may come "
            "from an untrusted source: use a copy from a source you know."
        )
    return version


@cache
def expected_schema(version: int) -> Schema:
    """What `sqlite_master` holds in an intact file of a version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for _, statements in STEPS[:version]:
            for statement in statements:
                connection.execute(statement)
        return _schema_of(connection, most=1000)
    finally:
        connection.close()


def _schema_of(connection: sqlite3.Connection, *, most: int) -> Schema:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchmany(most)
    # SQLite has changed how it writes down white space.
    return frozenset(
        (str(kind), str(name), str(table), " ".join(str(sql or "").split()))
        for kind, name, table, sql in rows
    )


def _refuse_damage(connection: sqlite3.Connection, path: Path) -> None:
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        words = " ".join(str(problem).split())[:_WORDS]
        raise ProjectError(
            f"{path} is damaged ({words}); open it read-only to see what is left, or use a copy."
        )
