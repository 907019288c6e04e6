"""Files that are either complete or not there."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffpose.errors import InputError

_STALE_S = 24 * 3600.0


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that takes its place at the end of the block.

    The temporary name keeps the suffix, because video writers choose the container by it. If the
    block raises, the temporary file is removed and ``path`` stays as it was.

    Raises:
        InputError: The folder does not exist or the name belongs to a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected a file name to write to, got the folder {path}.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist; create it or choose another.")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    _clear_stale(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all.

    Raises:
        InputError: The file cannot be written there.
    """
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_bytes(path: Path | str, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all.

    For libraries that can write to memory: HDF5 ends the whole process where a disk is full.

    Raises:
        InputError: The file cannot be written there.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"Cannot write {path} ({error.strerror}); choose a folder with space that you may "
            "write to."
        ) from error


@contextmanager
def staged_folder(folder: Path | str) -> Iterator[Path]:
    """Yield an empty folder whose files move to ``folder`` together at the end of the block.

    For exports of several files: they keep their names while they are written, and none appears
    before all are complete. If the block raises, none appears.

    Raises:
        InputError: ``folder`` does not exist or cannot be written to.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist; create it or choose another.")
    stage = folder / f".export.{secrets.token_hex(4)}"
    try:
        stage.mkdir()
        yield stage
        for file in sorted(stage.iterdir()):
            file.replace(folder / file.name)
    except InputError as error:
        # The user knows nothing of the stage; the file is the one in the folder.
        raise type(error)(str(error).replace(str(stage), str(folder))) from error
    except OSError as error:
        raise InputError(
            f"Cannot write to {folder} ({error.strerror or error}); choose a folder with space "
            "that you may write to."
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _clear_stale(path: Path) -> None:
    """Delete what killed programs left of this file, a day after they last wrote to it."""
    left = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]{{8}}{re.escape(path.suffix)}")
    with suppress(OSError):
        for file in path.parent.iterdir():
            if left.fullmatch(file.name) and file.stat().st_mtime < time.time() - _STALE_S:
                file.unlink(missing_ok=True)
