"""Transactions on a project file that is open, shared by threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffpose.errors import ProjectError
from diffpose.review.migrations import Clock, copy_database, explained, open_project


class Database:
    """An open project file.

    Args:
        path: The file; made if it is not there.
        clock: Now, for the record of migrations.
        read_only: Never write, not even beside the file.
    """

    def __init__(self, path: Path, *, clock: Clock, read_only: bool) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection = open_project(path, read_only=read_only, clock=clock)
        self._file = None if read_only else os.stat(path)

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
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

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
        with self._lock, explained(self._path):
            return self._connection.execute(sql, values).fetchall()

    def copy_to(self, target: Path) -> None:
        """Write the whole file to another, consistently even while others write."""
        if target.exists():
            raise ProjectError(f"{target} exists already; choose another name for the copy.")
        with self._lock, explained(target):
            copy_database(self._connection, target)

    def checkpoint(self) -> None:
        """Bring everything into the one file, so that it can be moved."""
        with self._lock, explained(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _refuse_unwritable(self) -> None:
        if self._file is None:
            raise ProjectError(
                f"{self._path} is open read-only: nothing was written; copy the project to edit it."
            )
        try:
            there = os.path.samestat(self._file, os.stat(self._path))
        except FileNotFoundError:
            there = False
        if not there:
            raise ProjectError(
                f"{self._path} was deleted, moved or replaced: nothing was written; "
                f"open the project again."
            )
