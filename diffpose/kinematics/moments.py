"""Moments found in a series: extremes and crossings finer than a frame, in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.kinematics.records import Array, Event
from diffpose.kinematics.sampling import interval


@dataclass(frozen=True)
class Moment:
    """An event with its draws.

    Attributes:
        kind: As in `Event`.
        side: As in `Event`.
        time_s: When.
        draws: (D,) when in each drawn trajectory; NaN where it does not happen there.
    """

    kind: str
    side: str
    time_s: float
    draws: Array

    def event(self, times_s: Array, frames: NDArray[np.integer]) -> Event:
        """With its 90 % interval and nearest frame."""
        known = self.draws[np.isfinite(self.draws)]
        low = high = np.nan
        if len(known) >= len(self.draws) / 2:
            ends = interval(2 * self.time_s - known[:, None])
            low, high = float(ends[0][0]), float(ends[1][0])
        frame = int(frames[np.argmin(np.abs(times_s - self.time_s))])
        return Event(self.kind, self.side, self.time_s, low, high, frame)


def vertex(times_s: Array, values: Array, index: int) -> float:
    """Time of the extreme of the parabola through the frames around ``index``, even or not."""
    if not 0 < index < len(times_s) - 1:
        return float(times_s[index])
    t = times_s[index - 1 : index + 2] - times_s[index]
    y = values[index - 1 : index + 2] - values[index]
    # y = b t + c t^2 through the two neighbours.
    c = (y[2] / t[2] - y[0] / t[0]) / (t[2] - t[0])
    b = y[2] / t[2] - c * t[2]
    if not np.isfinite(b + c) or c == 0:
        return float(times_s[index])
    return float(times_s[index] + np.clip(-b / (2 * c), t[0], t[2]))


def highest_near(times_s: Array, draws: Array, index: int, *, within_s: float) -> Array:
    """When each of (D, N) is highest within a time of ``index``, (D,); NaN where unknown."""
    near = np.flatnonzero(np.abs(times_s - times_s[index]) <= within_s)
    part = draws[:, near]
    result = np.full(len(draws), np.nan)
    for row in np.flatnonzero(np.isfinite(part).all(axis=1)):
        result[row] = vertex(times_s[near], part[row], int(np.argmax(part[row])))
    return result


def last_below(times_s: Array, values: Array, level: float, *, before: int) -> float:
    """When (N,) last rises through ``level`` before an index; NaN if it never does."""
    below = np.flatnonzero(values[: before + 1] <= level)
    if not len(below) or below[-1] >= before:
        return float("nan")
    return _crossing(times_s, values, level, int(below[-1]))


def first_below(times_s: Array, values: Array, level: float, *, after: int) -> float:
    """When (N,) first falls through ``level`` after an index; NaN if it never does."""
    below = np.flatnonzero(values[after:] <= level)
    if not len(below) or below[0] == 0:
        return float("nan")
    return _crossing(times_s, values, level, after + int(below[0]) - 1)


def _crossing(times_s: Array, values: Array, level: float, index: int) -> float:
    y0, y1 = values[index], values[index + 1]
    share = (level - y0) / (y1 - y0)
    return float(times_s[index] + share * (times_s[index + 1] - times_s[index]))


def events_of(
    moments: Sequence[Moment], times_s: Array, frames: NDArray[np.integer]
) -> tuple[Event, ...]:
    """Records in order of time."""
    ordered = sorted(moments, key=lambda moment: moment.time_s)
    return tuple(moment.event(times_s, frames) for moment in ordered)
