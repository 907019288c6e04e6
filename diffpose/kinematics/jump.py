"""Jumps: flight time from the feet, height from flight time and from the centre of mass.

A foot in flight follows a parabola. The time above a threshold is therefore stretched to the time
above the ground: T = T_threshold / sqrt(1 - threshold / highest). Height is g T^2 / 8, which holds
for a landing in the posture of the take-off; drawn-up legs make it too large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from diffpose.kinematics.angles import SIDES, pick, sources_of
from diffpose.kinematics.filters import Smoothing
from diffpose.kinematics.gait import leg_length
from diffpose.kinematics.gaps import runs
from diffpose.kinematics.moments import Moment, first_below, last_below
from diffpose.kinematics.records import Array, Quantity
from diffpose.kinematics.series import Trajectory, point_series, quantity

GRAVITY = 9.80665
_THRESHOLD = 0.06
_LEAST_CLEARANCE = 0.12
_LEAST_S = 0.1


@dataclass(frozen=True)
class Jumps:
    """Flights found: moments of take-off and landing, and their numbers."""

    moments: tuple[Moment, ...]
    quantities: tuple[Quantity, ...]
    reason: str = ""


def measure_jumps(trajectory: Trajectory) -> Jumps:
    """Every flight of a clip from a camera that stands still, on level ground."""
    leg = leg_length(trajectory)
    parts = [
        f"{side}_{part}"
        for side in SIDES
        for part in ("big_toe", "heel", "ankle")
        if sources_of(f"{side}_{part}", trajectory.skeleton)
    ]
    if not np.isfinite(leg):
        return _none("The legs are nowhere known.")

    def lowest(points: Array) -> Array:
        # Highest y is lowest in the picture; the clearance is counted upwards.
        return -np.max([pick(points, part, trajectory.skeleton)[..., 1] for part in parts], axis=0)

    # A low pass would round off take-off and landing; the draws carry the noise instead.
    sharp = replace(trajectory, smoothing=Smoothing(kind="none"))
    series = point_series(sharp, lowest, name="clearance", label="Clearance of the feet")
    known = series.values[np.isfinite(series.values)]
    if not len(known):
        return _none(series.reason)
    values, draws = series.values / leg, series.draws / leg
    values, draws = values - _floor(values[None])[0], draws - _floor(draws)[:, None]
    flights = []
    for start, stop in runs(np.nan_to_num(values, nan=-1.0) > _THRESHOLD):
        if values[start:stop].max() >= _LEAST_CLEARANCE:
            flights.append(start + int(np.argmax(values[start:stop])))
    moments, found, factor = [], [], trajectory.error.event_factor
    for number, top in enumerate(flights, start=1):
        span = _flight(series.times_s, values, top)
        if not span[1] - span[0] >= _LEAST_S:
            continue
        drawn = np.array([_flight(series.times_s, row, top) for row in draws])
        moments += [
            Moment("take_off", "", span[0], drawn[:, 0]).widened(factor),
            Moment("landing", "", span[1], drawn[:, 1]).widened(factor),
        ]
        time, times = span[1] - span[0], drawn[:, 1] - drawn[:, 0]
        found += [
            quantity(f"jump_{number}.flight_time", f"Jump {number}, flight time", "s", time, times,
                     factor=factor),
            quantity(f"jump_{number}.height", f"Jump {number}, height from flight time", "m",
                     GRAVITY * time**2 / 8, GRAVITY * times**2 / 8, factor=factor),
        ]  # fmt: skip
    if not moments:
        return _none("Both feet never leave the ground for long enough.")
    return Jumps(tuple(moments), tuple(found))


def _none(reason: str) -> Jumps:
    empty = np.full(0, np.nan)
    return Jumps(
        (),
        (
            quantity("jump_1.flight_time", "Jump, flight time", "s", np.nan, empty, reason=reason),
            quantity("jump_1.height", "Jump, height", "m", np.nan, empty, reason=reason),
        ),
        reason,
    )


def _floor(values: Array) -> Array:
    """Where the feet stand (D,) of (D, N): the typical value of the lower half."""
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=1)
    count = int(np.isfinite(values[0]).sum())
    return np.asarray(ordered[:, max(count // 4, 0)])


def _flight(times_s: Array, values: Array, top: int) -> tuple[float, float]:
    """Take-off and landing of the flight that is highest at ``top``; NaN if it is cut off."""
    began = last_below(times_s, values, _THRESHOLD, before=top)
    ended = first_below(times_s, values, _THRESHOLD, after=top)
    above = (times_s >= began) & (times_s <= ended)
    if not np.isfinite(began + ended) or not above.any():
        return float("nan"), float("nan")
    highest = float(values[above].max())
    stretch = 1 / np.sqrt(1 - min(_THRESHOLD / highest, 0.75))
    middle, half = (began + ended) / 2, (ended - began) / 2 * stretch
    return float(middle - half), float(middle + half)
