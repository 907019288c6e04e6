"""Steps in a side view: heel strikes and toe-offs after Zeni (2008), and what follows.

A heel strike is where the heel is furthest before the pelvis, a toe-off where the toe is furthest
behind it. Events are kept only if they come in the order of walking (right strike, left off, left
strike, right off; after OpenCap): rather none than wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.signal import find_peaks

from diffpose.kinematics.angles import SIDES, pick, sources_of
from diffpose.kinematics.gaps import known_everywhere, runs
from diffpose.kinematics.moments import Moment, summit
from diffpose.kinematics.records import Array, Quantity
from diffpose.kinematics.scale import Scale
from diffpose.kinematics.series import Series, Trajectory, keypoint_series, point_series, quantity

STRIKE, OFF = "heel_strike", "toe_off"
_ORDER = [("right", STRIKE), ("left", OFF), ("left", STRIKE), ("right", OFF)]
# OpenCap asks for 0.3, 0.25 and 0.2 m; a leg is about 0.9 m.
_PROMINENCES = (0.33, 0.28, 0.22)
_LEAST_STRIDE_S = 0.5
_LEAST_EVENTS = 3


@dataclass(frozen=True)
class Gait:
    """What was found of walking.

    Attributes:
        moments: Heel strikes and toe-offs in order; empty if none could be trusted.
        quantities: Times of steps and strides, cadence, stance, speed.
        reason: Why there are no events; empty if there are.
    """

    moments: tuple[Moment, ...]
    quantities: tuple[Quantity, ...]
    reason: str = ""


def measure_gait(trajectory: Trajectory, scale: Scale | None) -> Gait:
    """Events and numbers of walking seen from the side, or the reason why there are none."""
    reason = _unfit(trajectory)
    if reason:
        return Gait((), _quantities(trajectory, (), scale, reason), reason)
    signals = {
        (side, kind): _signal(trajectory, side, kind) for side in SIDES for kind in (STRIKE, OFF)
    }
    leg = leg_length(trajectory)
    found: tuple[Moment, ...] = ()
    reason = "No steps: no foot swings far enough before and behind the pelvis."
    for prominence in _PROMINENCES:
        moments = _find(signals, prominence * leg, trajectory.error.event_factor)
        if len(moments) < _LEAST_EVENTS:
            continue
        if in_order(moments):
            found, reason = moments, ""
            break
        reason = (
            "The steps found do not come in the order of walking (right heel strike, left toe-off, "
            "left heel strike, right toe-off), so none is given; check the sides of the legs."
        )
    return Gait(found, _quantities(trajectory, found, scale, reason), reason)


def _unfit(trajectory: Trajectory) -> str:
    needed = [f"{side}_{part}" for side in SIDES for part in ("heel", "big_toe", "knee")]
    missing = [name for name in needed if not sources_of(name, trajectory.skeleton)]
    if missing:
        return (
            f"Gait events need heels and toes, which skeleton {trajectory.skeleton.name} does "
            "not have."
        )
    if trajectory.facing not in ("right", "left"):
        return (
            f"Gait events need a side view; the person is seen from the {trajectory.facing}. "
            "Set the facing if that is wrong."
        )
    if not np.isfinite(leg_length(trajectory)):
        return "The legs are nowhere known."
    return ""


def leg_length(trajectory: Trajectory) -> float:
    """Median length in pixels of thigh and shank together."""
    lengths = []
    for side in SIDES:
        hip, knee, ankle = (
            pick(trajectory.points, f"{side}_{part}", trajectory.skeleton)
            for part in ("hip", "knee", "ankle")
        )
        lengths.append(np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1))
    known = np.concatenate(lengths)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else float("nan")


def _signal(trajectory: Trajectory, side: str, kind: str) -> Series:
    """How far the heel is before the pelvis, or the toe behind it: its maxima are events."""
    forward = 1.0 if trajectory.facing == "right" else -1.0
    sign, part = (forward, "heel") if kind == STRIKE else (-forward, "big_toe")

    def read(points: Array) -> Array:
        foot = pick(points, f"{side}_{part}", trajectory.skeleton)
        return np.asarray(sign * (foot - pick(points, "mid_hip", trajectory.skeleton))[..., 0])

    return point_series(trajectory, read, name=f"{side}_{kind}", label=kind)


def _find(
    signals: dict[tuple[str, str], Series], prominence: float, factor: float
) -> tuple[Moment, ...]:
    known = known_everywhere(np.stack([series.values for series in signals.values()]))
    moments = []
    for (side, kind), series in signals.items():
        times = series.times_s
        for start, stop in runs(known):
            step = np.median(np.diff(times[start:stop])) if stop - start > 1 else 1.0
            peaks, _ = find_peaks(
                series.values[start:stop],
                prominence=prominence,
                distance=max(int(_LEAST_STRIDE_S / step), 1),
            )
            for peak in peaks + start:
                found = summit(times, series.values, series.draws, int(peak))
                moments.append(Moment(kind, side, *found).widened(factor))
    return tuple(sorted(moments, key=lambda moment: moment.time_s))


def in_order(moments: tuple[Moment, ...]) -> bool:
    """Whether events follow each other as in walking; any may come first."""
    places = [_ORDER.index((moment.side, moment.kind)) for moment in moments]
    return all((b - a) % 4 == 1 for a, b in pairwise(places))


def _between(
    moments: tuple[Moment, ...], first: tuple[str, str], then: tuple[str, str]
) -> tuple[float, Array]:
    """Mean time from every event of one kind to the next of another, and in every draw."""
    spans, drawn = [], []
    for i, moment in enumerate(moments):
        if (moment.side, moment.kind) != first:
            continue
        later = [m for m in moments[i + 1 :] if (m.side, m.kind) == then]
        if later:
            spans.append(later[0].time_s - moment.time_s)
            drawn.append(later[0].draws - moment.draws)
    if not spans:
        return float("nan"), np.full(0, np.nan)
    return float(np.mean(spans)), np.mean(drawn, axis=0)


def _mean(values: list[tuple[float, Array]]) -> tuple[float, Array]:
    return float(np.mean([v[0] for v in values])), np.mean([v[1] for v in values], axis=0)


def _quantities(
    trajectory: Trajectory, moments: tuple[Moment, ...], scale: Scale | None, reason: str
) -> tuple[Quantity, ...]:
    few = reason or "Too few steps in the clip for it."

    def found(name: str, label: str, unit: str, value: float, draws: Array) -> Quantity:
        missing = "" if np.isfinite(value) else few
        return quantity(name, label, unit, value, draws, reason=missing)

    results, strides, steps = [], [], {}
    for side, other in (SIDES, SIDES[::-1]):
        word = side.capitalize()
        step = steps[side] = _between(moments, (other, STRIKE), (side, STRIKE))
        stride = _between(moments, (side, STRIKE), (side, STRIKE))
        stance = _between(moments, (side, STRIKE), (side, OFF))
        if np.isfinite(stride[0]):
            strides.append(stride)
        results += [
            found(f"{side}_step_time", f"{word} step time", "s", *step),
            found(f"{side}_stride_time", f"{word} stride time", "s", *stride),
            found(f"{side}_stance_time", f"{word} stance time", "s", *stance),
        ]
    (a, a_draws), (b, b_draws) = steps["left"], steps["right"]
    both = np.isfinite(a) and np.isfinite(b)
    symmetry = (200 * (a - b) / (a + b), 200 * (a_draws - b_draws) / (a_draws + b_draws)) if (
        both
    ) else (np.nan, np.full(0, np.nan))  # fmt: skip
    results.append(found("step_time_symmetry", "Step time, symmetry index", "%", *symmetry))
    # A stride is two steps; without a whole stride two steps of either side stand for it.
    if strides:
        stride = _mean(strides)
    else:
        stride = (a + b, a_draws + b_draws) if both else (np.nan, np.full(0, np.nan))
    results.append(found("cadence", "Cadence", "1/min", float(120 / stride[0]), 120 / stride[1]))
    results.append(_speed(trajectory, scale))
    return tuple(results)


def _speed(trajectory: Trajectory, scale: Scale | None) -> Quantity:
    label = "Walking speed in the picture"
    if scale is None:
        return quantity(
            "walking_speed", label, "m/s", np.nan, np.full(0, np.nan),
            reason="The scale is not set: give a known length or the person's height.",
        )  # fmt: skip
    way = keypoint_series(trajectory, "mid_hip", 0)
    known = np.flatnonzero(np.isfinite(way.values))
    if len(known) < 2:
        return quantity(
            "walking_speed", label, "m/s", np.nan, np.full(0, np.nan), reason=way.reason
        )
    first, last = known[0], known[-1]
    per_s = scale.metres_per_px / (way.times_s[last] - way.times_s[first])
    draws = (way.draws[:, last] - way.draws[:, first]) * scale.factors(len(way.draws))
    return quantity(
        "walking_speed", label, "m/s",
        float(abs(way.values[last] - way.values[first]) * per_s), np.abs(draws) * per_s,
        reason="Holds for a camera that stands still.",
    )  # fmt: skip
