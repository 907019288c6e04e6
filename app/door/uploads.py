"""How much a visitor may upload within an hour."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_S = 3600.0
"""As long as Gradio keeps an upload that no session took over."""

MOST_FILES = 300
"""Files within the window."""

_MOST_VISITORS = 20_000


@dataclass
class _Past:
    entries: deque[tuple[float, int, int]] = field(default_factory=deque)
    num_bytes: int = 0
    files: int = 0


class Uploads:
    """Counts bytes and files by visitor.

    Args:
        most_bytes: Of one visitor within the window.
        most_files: Likewise.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        most_bytes: int,
        *,
        most_files: int = MOST_FILES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most_bytes, self.most_files, self._clock = most_bytes, most_files, clock
        self._visitors: dict[str, _Past] = {}

    def room(self, visitor: str) -> tuple[int, int]:
        """Bytes and files that the visitor may still upload."""
        past = self._of(visitor)
        return self.most_bytes - past.num_bytes, self.most_files - past.files

    def add(self, visitor: str, *, num_bytes: int, files: int) -> None:
        """Count an upload, also one that failed: it was written for a while."""
        past = self._of(visitor)
        past.entries.append((self._clock(), num_bytes, files))
        past.num_bytes += num_bytes
        past.files += files
        self._visitors[visitor] = past
        if len(self._visitors) > _MOST_VISITORS:
            for name in [n for n in self._visitors if not self._of(n).entries]:
                del self._visitors[name]

    def _of(self, visitor: str) -> _Past:
        past = self._visitors.get(visitor) or _Past()
        oldest = self._clock() - WINDOW_S
        while past.entries and past.entries[0][0] < oldest:
            _, num_bytes, files = past.entries.popleft()
            past.num_bytes -= num_bytes
            past.files -= files
        return past
