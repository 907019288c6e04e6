"""Projects and uploaded videos that nobody has used for long are deleted, where that is wanted.

A file was used when it was last opened in the app, read or written, whichever is latest.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from app.desk.shelf import VIDEOS
from diffpose.review.library import SUFFIX, TRASH, files_of


def mark_used(paths: Iterable[Path], *, now_s: float) -> None:
    """Note that files are in use; when they were written stays as it is."""
    for path in paths:
        with suppress(OSError):
            os.utime(path, (now_s, path.stat().st_mtime))


def remove_unused(shelves: Iterable[Path], *, oldest_s: float, in_use: Collection[Path]) -> None:
    """Delete what was last used before ``oldest_s``, seconds since 1970.

    Args:
        shelves: Folders of projects; only what the app itself puts there is looked at.
        oldest_s: See above.
        in_use: Files that are open.
    """
    for shelf in shelves:
        for path in _kept_in(shelf):
            if path not in in_use and _last_used_s(path) < oldest_s:
                for file in files_of(path):
                    file.unlink(missing_ok=True)
        for folder in (shelf / VIDEOS, shelf / TRASH):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()


def remove_old_uploads(folder: Path, *, oldest_s: float) -> None:
    """Delete uploads that came before ``oldest_s``, seconds since 1970, and what broke off."""
    for path in folder.glob("**/*"):
        with suppress(OSError):
            if path.is_file() and path.stat().st_mtime < oldest_s:
                path.unlink()


def _kept_in(shelf: Path) -> Iterator[Path]:
    places = (shelf, f"*{SUFFIX}"), (shelf / TRASH, f"*{SUFFIX}"), (shelf / VIDEOS, "*")
    for folder, pattern in places:
        yield from [path for path in folder.glob(pattern) if path.is_file()]


def _last_used_s(path: Path) -> float:
    times = [0.0]
    for file in files_of(path):
        with suppress(FileNotFoundError):  # SQLite removes its own when a project is closed
            state = file.stat()
            times.append(max(state.st_atime, state.st_mtime))
    return max(times)
