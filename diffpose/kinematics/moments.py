"""Moments found in a series: extremes and crossings finer than a frame, in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.kinematics.records import Array, Event
from diffpose.kinematics.sampling import interval

_NEAR_S = 0.08
_ROUNDS = 4


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

    def widened(self, factor: float) -> Moment:
        """With its draws further from its time by a factor."""
        return Moment(
            self.kind, self.side, self.time_s, self.time_s + factor * (self.draws - self.time_s)
        )

    def event(self, times_s: Array, frames: NDArray[np.integer]) -> Event:
        """With its 90 % interval and nearest frame."""
        known = self.draws[np.isfinite(self.draws)]
        low = high = np.nan
        if len(known) >= len(self.draws) / 2:
            ends = interval(2 * self.time_s - known[:, None])
            low, high = float(ends[0][0]), float(ends[1][0])
        frame = int(frames[np.argmin(np.abs(times_s - self.time_s))])
        return Event(self.kind, self.side, self.time_s, low, high, frame)


def summit(times_s: Array, values: Array, draws: Array, peak: int) -> tuple[float, Array]:
    """When (N,) is highest near an index, and each of (D, N): vertex of a fitted parabola.

    The parabola is fitted to all frames within 0.08 s. The place of the single highest frame would
    jump with the noise, and draws about it would say too little about how far it has jumped.

    Returns:
        Seconds; the draws NaN where they are unknown or have no summit here.
    """
    centre = float(times_s[peak])
    for _ in range(_ROUNDS):
        near, fit = _parabola(times_s, centre)
        centre = float(_vertex(fit @ values[near], centre))
        if not np.isfinite(centre):
            return float(times_s[peak]), np.full(len(draws), np.nan)
    near, fit = _parabola(times_s, centre)
    return centre, _vertex(fit @ draws[:, near].T, centre)


def _parabola(times_s: Array, centre: float) -> tuple[NDArray[np.integer], Array]:
    """Frames near a time, and the matrix that makes 1, t, t^2 coefficients of their values."""
    near = np.flatnonzero(np.abs(times_s - centre) <= _NEAR_S)
    if len(near) < 3:
        near = np.sort(np.argsort(np.abs(times_s - centre))[:3])
    since = times_s[near] - centre
    return near, np.linalg.pinv(np.stack([np.ones_like(since), since, since**2], axis=1))


def _vertex(coefficients: Array, centre: float) -> Array:
    _, slope, bend = coefficients
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = -slope / (2 * bend)
    return np.asarray(np.where(bend < 0, centre + np.clip(shift, -_NEAR_S, _NEAR_S), np.nan))


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
