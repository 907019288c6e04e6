"""Files that are either complete or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffpose.errors import InputError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place at the end of the block.

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
    try:
        with (
            atomic_path(path) as temporary,
            temporary.open("x", encoding="utf-8", newline="") as file,
        ):
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"Cannot write {path} ({error.strerror}); choose a folder with space that you may "
            "write to."
        ) from error
