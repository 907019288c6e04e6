"""Work folders that a killed server has left behind go when the next one starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows does not delete what is open, and has no such locks
    fcntl = None  # type: ignore[assignment]

PREFIX = "diffpose-app-"
LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Say, as long as this process lives, that a work folder is in use."""
    with (folder / LOCK).open("wb") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def remove_leftovers(base: Path) -> None:
    """Delete the work folders in a folder that are this user's and that no process holds.

    One without a lock is of another version, or just being made: it stays.
    """
    if fcntl is None:
        return
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / LOCK).open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
