"""Transactions on a project file that is open, shared by threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffpose.errors import InputError, ProjectError
from diffpose.review.migrations import Clock, rolled_back
from diffpose.review.opening import (
    Budget,
    copy_database,
    explained,
    explained_os,
    open_project,
    size_of,
)

_ROW_BYTES = 4  # that a row takes at least


class Database:
    """An open project file.

    Args:
        path: The file; made if it is not there.
        clock: Now, for the record of migrations.
        read_only: Never write, not even next to the file.
    """

    def __init__(self, path: Path, *, clock: Clock, read_only: bool) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection = open_project(path, read_only=read_only, clock=clock)
        with explained(path), explained_os(path):
            pages, of_bytes = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "page_size")
            )
            log = path.with_name(path.name + "-wal")
            files = [] if read_only else [path, *([log] if log.exists() else [])]
            self._files = {file: os.stat(file) for file in files}
        self._budget = Budget(self._connection, lambda: max(size_of(path), pages * of_bytes))
        self._budget.lift()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block of which all is written, and on the disk after it, or nothing.

        Within another block it is part of that one, and is written with it.

        Raises:
            ProjectError: The file is read-only, full, locked, damaged, or no longer where it was.
        """
        with self._lock, explained(self._path):
            if self._connection.in_transaction:  # this thread's: others wait for the lock
                yield
                return
            self._refuse_unwritable()
            self._connection.execute("BEGIN IMMEDIATE")
            with rolled_back(self._connection):
                yield
                self._connection.execute("COMMIT")

    @property
    def writing(self) -> bool:
        """Is a transaction under way?"""
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement within a transaction; the id of the row it inserted, if it did."""
        return int(self._connection.execute(sql, values).lastrowid or 0)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for every row."""
        self._connection.executemany(sql, rows)

    def one(self, sql: str, *values: Any) -> Any:
        """The first row of an answer that cannot be empty."""
        rows = self.all(sql, *values)
        if not rows:
            raise ProjectError(f"{self._path} lacks what a project has; use a copy of it.")
        return rows[0]

    def all(self, sql: str, *values: Any) -> list[Any]:
        """The rows of an answer."""
        with self._lock, explained(self._path), self._budget.reading() as left:
            return list(bounded(self._connection.execute(sql, values), left, self._path))

    @contextmanager
    def readable(self) -> Iterator[None]:
        """A block that parses what was read; what cannot be parsed is damage of this file."""
        try:
            yield
        except InputError as error:
            raise ProjectError(
                f"{self._path} is damaged: a part of it cannot be read ({error}); use a copy of it."
            ) from error

    def copy_to(self, target: Path) -> None:
        """Write the whole file to another, consistently even while others write."""
        if target.exists():
            raise ProjectError(f"{target} exists already; choose another name for the copy.")
        with self._lock, explained(target), explained_os(target):
            copy_database(self._connection, target)

    def checkpoint(self) -> None:
        """Bring everything into the one file, so that it can be moved."""
        with self._lock, explained(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _refuse_unwritable(self) -> None:
        if not self._files:
            raise ProjectError(
                f"{self._path} is open read-only: nothing was written; copy the project to edit it."
            )
        for file, state in self._files.items():
            try:
                there = os.path.samestat(state, os.stat(file))
            except FileNotFoundError:
                there = False
            if not there:
                # Without the log next to it, what is written would not outlive this program.
                raise ProjectError(
                    f"{file} was deleted, moved or replaced: nothing was written; "
                    f"open the project again."
                )


def bounded(rows: Iterable[Any], left: int, path: Path) -> Iterator[Any]:
    """The rows of an answer, as long as the file can hold them."""
    for row in rows:
        left -= _ROW_BYTES + sum(len(value) for value in row if isinstance(value, str | bytes))
        if left < 0:
            raise ProjectError(
                f"{path} is damaged: it gives more than a file of its size holds; use a copy."
            )
        yield row
