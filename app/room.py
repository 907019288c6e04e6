"""Room on disk and in memory: how much is taken, and giving it back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def used_room(folders: Iterable[Path]) -> tuple[int, int]:
    """Bytes and number of all files below some folders; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    num_bytes = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):  # gone meanwhile
                    state = os.lstat(os.path.join(parent, name))
                    if (state.st_dev, state.st_ino) not in seen:
                        seen.add((state.st_dev, state.st_ino))
                        num_bytes += state.st_size
    return num_bytes, len(seen)


def give_memory_back() -> None:
    """Hand what was freed back to the system, where its allocator would keep it."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)
