"""Limits on login attempts: a few at once, then with growing waits."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_KEPT = 20_000


class Attempts:
    """Counts failures by address and by name.

    After some free failures every further one doubles the wait, up to a bound. One name from one
    address has few free ones; an address, and a name from anywhere, have more, because others
    share them, and no user may lock another out for long.

    Args:
        clock: Seconds, never going back.
    """

    _RULES = ((("name", "address"), 5, 900.0), (("address",), 20, 900.0), (("name",), 50, 60.0))
    """What is counted together, how many failures are free, the longest wait in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    def wait_s(self, address: str, name: str) -> int:
        """How long to wait before the next attempt, whole seconds; 0 for not at all."""
        now = self._clock()
        until = [self._kept.get(key, (0, 0.0))[1] for key, *_ in self._keys(address, name)]
        return max(0, math.ceil(max(until) - now))

    def begin(self, address: str, name: str) -> None:
        """Count an attempt as a failure, until it has succeeded."""
        now = self._clock()
        for key, free, longest_s in self._keys(address, name):
            count, until = self._kept.pop(key, (0, 0.0))
            if now - until > longest_s and until:
                count = 0  # quiet for long enough
            count += 1
            wait = min(longest_s, 2.0 ** min(30, count - free)) if count >= free else 0.0
            self._kept[key] = count, now + wait
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """Forget this name's failures at this address, and that this attempt was counted."""
        own, *others = self._keys(address, name)
        self._kept.pop(own[0], None)
        for key, *_ in others:
            if key in self._kept:
                self._kept[key] = self._kept[key][0] - 1, self._clock()

    def _keys(self, address: str, name: str) -> list[tuple[tuple[str, ...], int, float]]:
        values = {"name": name, "address": address}
        return [
            ((*parts, *(values[part] for part in parts)), free, longest)
            for parts, free, longest in self._RULES
        ]
