"""Two sessions compared: aligned, subtracted, and how probable it is that a change is real.

The error of a difference has two parts: the model's, from the intervals of both sessions, and
repeatability - nobody moves twice alike. Both are taken as normal and independent. The
probability is ``2 Phi(|difference| / sd) - 1``: how sure one can be that the true difference is
not zero; 0.95 is the usual two-sided test at 5 %, and the smallest difference that reaches it is
the minimal detectable change (MDC95 = 1.96 sd).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from diffpose.kinematics.records import Array, Curve, Event, MeasureError, Measurements, Quantity

_HALF_90 = float(norm.ppf(0.95))
_LEAST_OVERLAP_S = 0.3
_PHASES = 101
_MOST_STEPS = 40_000  # 22 minutes of 30 frames a second

NO_REPEATABILITY = (
    "Repeatability is not known, so only the model's error is in the probabilities: part of a "
    "change may be that nobody moves twice alike. Record at least three cycles, or state it."
)

SOME_REPEATABILITY = (
    "Repeatability, from the session's own cycles, is in the changes of the angles' curves, "
    "extremes and ranges; in those of the other numbers there is only the model's error."
)


@dataclass(frozen=True)
class CurveDifference:
    """Second session less first, on the first one's times.

    Attributes:
        name: Of both curves.
        label: For people.
        unit: Of both curves.
        times_s: (N,) of the first session.
        first: (N,).
        second: (N,) moved to the first one's times; NaN where the two do not overlap.
        difference: (N,) second - first.
        low: (N,) lower end of its 90 % interval, repeatability included.
        high: (N,).
        probability: (N,) that the difference is real, 0..1.
    """

    name: str
    label: str
    unit: str
    times_s: Array
    first: Array
    second: Array
    difference: Array
    low: Array
    high: Array
    probability: Array


@dataclass(frozen=True)
class QuantityDifference:
    """Second session less first.

    Attributes:
        name: Of both numbers.
        label: For people.
        unit: Of both numbers.
        first: Value in the first session.
        second: Value in the second.
        difference: second - first; NaN if either is missing.
        low: Lower end of its 90 % interval, repeatability included.
        high: Upper end.
        probability: That it is real, 0..1; NaN if the error is not known.
        reason: Why there is no difference or no probability; empty if all is well.
    """

    name: str
    label: str
    unit: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    probability: float
    reason: str = ""

    @property
    def text(self) -> str:
        """``change 6.0 deg (90 %: 2.1 to 9.9), 98 % probability that it is real``."""
        if not np.isfinite(self.difference):
            return f"not compared: {self.reason}"
        start = f"change {self.difference:+.1f} {self.unit}".rstrip()
        if not np.isfinite(self.probability):
            return f"{start} (error not known)"
        sure = min(self.probability, 0.99)
        word = "more than 99 %" if self.probability > 0.99 else f"{sure:.0%}".replace("%", " %")
        return (
            f"{start} (90 %: {self.low:.1f} to {self.high:.1f}), {word} probability that it is real"
        )


@dataclass(frozen=True)
class Comparison:
    """Two sessions side by side.

    Attributes:
        offset_s: Add it to the second session's times to get the first one's.
        curves: Of every curve both have.
        quantities: Of every number both have.
        notes: Caveats in whole sentences.
    """

    offset_s: float
    curves: tuple[CurveDifference, ...]
    quantities: tuple[QuantityDifference, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN is None."""
        return {
            "offset_s": self.offset_s,
            "curves": [_plain(vars(curve)) for curve in self.curves],
            "quantities": [_plain(vars(quantity)) for quantity in self.quantities],
            "notes": list(self.notes),
        }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return [one(item) for item in value.tolist()]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return {key: one(value) for key, value in values.items()}


def offset_by_event(
    first: Measurements, second: Measurements, *, kind: str, side: str = "", number: int = 0
) -> float:
    """Offset that puts an event of the second session on that of the first.

    Args:
        first: Measurements whose times are kept.
        second: Measurements that are moved.
        kind: Of the event.
        side: Of the event; empty takes any.
        number: Which of them, from 0.

    Raises:
        MeasureError: One of the sessions has no such event.
    """
    times = []
    for word, measured in (("first", first), ("second", second)):
        found = [e for e in measured.events if e.kind == kind and side in ("", e.side)]
        if not 0 <= number < len(found):
            raise MeasureError(
                f"Expected at least {number + 1} events {kind!r} to align by, the {word} session "
                f"has {len(found)}; choose another event or align by hand."
            )
        times.append(found[number].time_s)
    return times[0] - times[1]


def offset_by_correlation(first: Measurements, second: Measurements, *, name: str) -> float:
    """Offset at which a curve of the second session looks most like that of the first.

    The largest correlation over all shifts at which at least half of the shorter curve overlaps.

    Raises:
        MeasureError: A session lacks the curve, or it is too short or constant.
    """
    a, b = _evenly(first.curve(name)), _evenly(second.curve(name))
    step = min(a[2], b[2])
    if max(a[0][-1] - a[0][0], b[0][-1] - b[0][0]) > _MOST_STEPS * step:
        raise MeasureError(f"The curve {name!r} is too long to align by; align by an event.")
    x, y = (np.interp(np.arange(c[0][0], c[0][-1], step), c[0], c[1]) for c in (a, b))
    least = max(min(len(x), len(y)) // 2, 3)
    best, best_lag = -np.inf, 0
    for lag in range(least - len(y), len(x) - least + 1):
        u = x[max(lag, 0) : lag + len(y)]
        v = y[max(-lag, 0) : max(-lag, 0) + len(u)]
        u, v = u[: len(v)] - u[: len(v)].mean(), v - v.mean()
        size = np.sqrt((u**2).sum() * (v**2).sum())
        if len(v) >= least and size > 1e-9 and (u * v).sum() / size > best:
            best, best_lag = float((u * v).sum() / size), lag
    if not np.isfinite(best):
        raise MeasureError(f"The curve {name!r} does not move enough to align by; align by hand.")
    return float(a[0][0] + best_lag * step - b[0][0])


def _evenly(curve: Curve) -> tuple[Array, Array, float]:
    known = np.isfinite(curve.values)
    if known.sum() < 6:
        raise MeasureError(f"The curve {curve.name!r} is too short to align by; align by hand.")
    times = curve.times_s[known]
    return times, curve.values[known], float(np.median(np.diff(times)))


def cycle_sd(curve: Curve, events: Sequence[Event]) -> float:
    """Repeatability of a curve: standard deviation between cycles at equal phase, rms over phases.

    Args:
        curve: What repeats itself.
        events: The moments at which cycles begin, at least four.

    Returns:
        NaN with fewer than three whole cycles. The model's error is in it as far as it differs
        between cycles.
    """
    cycles = _cycles(curve, events)
    if len(cycles) < 3:
        return float("nan")
    return float(np.sqrt(np.var(cycles, axis=0, ddof=1).mean()))


def _cycles(curve: Curve, events: Sequence[Event]) -> list[Array]:
    """The whole cycles between events, each at equal phases; those with gaps are left out."""
    times = sorted(event.time_s for event in events)
    cycles = []
    for start, stop in pairwise(times):
        phases = np.linspace(start, stop, _PHASES)
        inside = curve.times_s[0] <= start and stop <= curve.times_s[-1]
        values = np.interp(phases, curve.times_s, curve.values)
        if inside and np.isfinite(values).all():
            cycles.append(values)
    return cycles


def repeatability(measured: Measurements) -> dict[str, float]:
    """How much a session's own cycles differ, by curve's and by number's name.

    Of a curve `cycle_sd`; of its smallest and largest value and range the standard deviation of
    those of the single cycles. Empty with fewer than three whole strides or repetitions.
    """
    for kind, side in (("heel_strike", "left"), ("heel_strike", "right"), ("repetition_start", "")):
        events = [e for e in measured.events if e.kind == kind and side in ("", e.side)]
        if len(events) >= 4:
            found: dict[str, float] = {}
            for curve in (c for c in measured.curves if len(c.times_s)):
                cycles = _cycles(curve, events)
                if len(cycles) >= 3:
                    found |= _spreads(curve.name, np.array(cycles))
            return found
    return {}


def _spreads(name: str, cycles: Array) -> dict[str, float]:
    numbers = {
        "minimum": cycles.min(axis=1),
        "maximum": cycles.max(axis=1),
        "range_of_motion": np.ptp(cycles, axis=1),
    }
    found = {f"{name}.{part}": float(values.std(ddof=1)) for part, values in numbers.items()}
    return {name: float(np.sqrt(np.var(cycles, axis=0, ddof=1).mean())), **found}


def compare(
    first: Measurements,
    second: Measurements,
    *,
    offset_s: float = 0.0,
    repeatability_sd: Mapping[str, float] | None = None,
) -> Comparison:
    """Second session less first, with the probability that each change is real.

    Args:
        first: Measurements whose times are kept.
        second: Measurements that are moved by ``offset_s``.
        offset_s: Found by `offset_by_event`, `offset_by_correlation` or by hand.
        repeatability_sd: Standard deviation between recordings of the same thing, by curve's or
            number's name, in its unit. None takes what the cycles of both sessions tell.

    Raises:
        MeasureError: The sessions do not overlap at this offset.
    """
    stated = repeatability_sd
    if stated is None:
        stated = pooled([repeatability(first), repeatability(second)])
    ours, theirs = first.curves, {curve.name: curve for curve in second.curves}
    both = [(curve, theirs[curve.name]) for curve in ours if curve.name in theirs]
    pairs = [(a, b) for a, b in both if len(a.times_s) and len(b.times_s)]
    if pairs:
        _check_overlap(*pairs[0], offset_s)
    curves = tuple(
        _subtract(a, b, offset_s, stated.get(a.name, 0.0)) for a, b in pairs if a.known and b.known
    )
    numbers = {quantity.name: quantity for quantity in second.quantities}
    quantities = tuple(
        change(q, numbers[q.name], stated.get(q.name, 0.0))
        for q in first.quantities
        if q.name in numbers
    )
    notes = []
    if not stated:
        notes.append(NO_REPEATABILITY)
    elif any(q.name not in stated for q in quantities if np.isfinite(q.difference)):
        notes.append(SOME_REPEATABILITY)
    if first.facing != second.facing:
        notes.append(
            f"The person faces {first.facing} in one session and {second.facing} in the other: the "
            "camera sees the other side of the body."
        )
    return Comparison(offset_s, curves, quantities, tuple(notes))


def pooled(spreads: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Root mean square of what the sessions say of each name."""
    names = dict.fromkeys(name for found in spreads for name in found)
    found = {name: [m[name] for m in spreads if name in m] for name in names}
    return {name: float(np.sqrt(np.mean(np.square(sds)))) for name, sds in found.items()}


def _check_overlap(first: Curve, second: Curve, offset_s: float) -> None:
    moved = second.times_s + offset_s
    overlap = min(first.times_s[-1], moved[-1]) - max(first.times_s[0], moved[0])
    if overlap < _LEAST_OVERLAP_S:
        raise MeasureError(
            f"The two sessions overlap by {max(overlap, 0):.2f} s at an offset of {offset_s:.2f} "
            f"s, expected at least {_LEAST_OVERLAP_S} s; choose another offset."
        )


def _subtract(a: Curve, b: Curve, offset_s: float, repeat_sd: float) -> CurveDifference:
    moved = b.times_s + offset_s

    def carried(values: Array) -> Array:
        return np.interp(a.times_s, moved, values, left=np.nan, right=np.nan)

    second = carried(b.values)
    difference = second - a.values
    sd = _sd(a.half_width, carried(b.half_width), repeat_sd)
    return CurveDifference(
        a.name, a.label, a.unit, a.times_s, a.values, second, difference,
        difference - _HALF_90 * sd, difference + _HALF_90 * sd, _probability(difference, sd),
    )  # fmt: skip


def change(a: Quantity, b: Quantity, repeat_sd: float = 0.0) -> QuantityDifference:
    """One number less the same number of an earlier session.

    Args:
        a: Of the first session.
        b: Of the second.
        repeat_sd: Standard deviation between recordings of the same thing, in its unit.
    """
    difference = b.value - a.value
    sd = float(_sd((a.high - a.low) / 2, (b.high - b.low) / 2, repeat_sd))
    reason = a.reason or b.reason
    return QuantityDifference(
        a.name, a.label, a.unit, a.value, b.value, difference,
        difference - _HALF_90 * sd, difference + _HALF_90 * sd,
        float(_probability(difference, sd)), reason,
    )  # fmt: skip


def _sd(first_half: ArrayLike, second_half: ArrayLike, repeat_sd: float) -> Array:
    """Of a difference of two; each session brings its own error and its own repetition."""
    model = np.hypot(np.asarray(first_half), np.asarray(second_half)) / _HALF_90
    return np.hypot(model, np.sqrt(2) * repeat_sd)


def _probability(difference: ArrayLike, sd: ArrayLike) -> Array:
    size, spread = np.abs(np.asarray(difference, float)), np.asarray(sd, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size / spread
    ratio = np.where((size == 0) & (spread == 0), 0.0, ratio)
    return np.asarray(2 * norm.cdf(ratio) - 1)
