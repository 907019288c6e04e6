"""How many hostile inputs a run tries, and the law each obeys.

``DIFFPOSE_HOSTILE=10000`` tries as many of each kind; without it a quick share runs.
"""

from __future__ import annotations

import os
import re
import resource
import warnings
from collections.abc import Callable
from pathlib import Path

from diffpose.errors import DiffPoseError

MOST_WORDS = 1000


def seeds(quick: int) -> range:
    return range(int(os.environ.get("DIFFPOSE_HOSTILE", quick)))


def obeys(read: Callable[[Path], object], path: Path) -> str:
    """Empty if a file is read, or refused in one sentence; else what happened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NaN and infinity on their way
            read(path)
    except DiffPoseError as error:
        words = str(error)
        if not words or "\n" in words or len(words) > MOST_WORDS:
            return f"a message of {len(words)} letters: {words[:200]!r}"
        words.encode()
    except RecursionError:
        return "RecursionError"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def most_memory_kb() -> int:
    """Of this process alone: what `getrusage` says may be the parent's, from before ``exec``."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])  # type: ignore[index]
