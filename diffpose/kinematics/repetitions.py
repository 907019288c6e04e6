"""Repetitions of an exercise: an angle that goes up and comes back, counted and timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from diffpose.kinematics.gaps import runs
from diffpose.kinematics.moments import Moment, first_below, last_below, summit
from diffpose.kinematics.records import Array, Quantity
from diffpose.kinematics.sampling import ErrorModel
from diffpose.kinematics.series import Series, quantity

_LEAST_DEG = 25.0
_LEAST_SHARE = 0.4
_LEAST_S = 0.5
_NEAR_REST = 0.1
_WHOLE = 0.5  # the smaller of rise and fall, as a share of the larger
_SEARCH_S = 0.25


@dataclass(frozen=True)
class Repetition:
    """One time there and back.

    Attributes:
        start: When the angle has left its rest by a tenth of the way.
        peak: When it is largest.
        end: When it is back but for a tenth of the way.
        largest: The angle at the peak, degrees, and (D,) in every draw.
    """

    start: Moment
    peak: Moment
    end: Moment
    largest: tuple[float, Array]


def find_repetitions(
    series: Series, error: ErrorModel, *, side: str = ""
) -> tuple[Repetition, ...]:
    """Whole repetitions in an angle's series, in order.

    A repetition rises and falls by at least 25 degrees and by two fifths of the angle's range;
    one that the clip cuts at either end does not count.
    """
    found = []
    for start, stop in runs(np.isfinite(series.values)):
        if stop - start < 5:
            continue
        values, times = series.values[start:stop], series.times_s[start:stop]
        reach = float(np.ptp(np.quantile(values, [0.02, 0.98])))
        peaks, _ = find_peaks(
            values,
            prominence=max(_LEAST_DEG, _LEAST_SHARE * reach),
            distance=max(int(_LEAST_S / np.median(np.diff(times))), 1),
        )
        for peak in peaks:
            one = _around(series, side, int(peak), (start, stop), error.event_factor)
            if one is not None:
                found.append(one)
    return tuple(found)


def _around(
    series: Series, side: str, peak: int, stretch: tuple[int, int], factor: float
) -> Repetition | None:
    """The repetition with its peak at an index of a stretch; None if an end is cut off."""
    start, stop = stretch
    times, values = series.times_s[start:stop], series.values[start:stop]
    draws = series.draws[:, start:stop]
    top = float(values[peak])
    valleys = (
        float(values[peak - _until_rise(values[: peak + 1][::-1])]),
        float(values[peak + _until_rise(values[peak:])]),
    )
    falls = [top - valley for valley in valleys]
    if min(falls) < _WHOLE * max(falls):
        return None
    levels = [valley + _NEAR_REST * (top - valley) for valley in valleys]
    began = last_below(times, values, levels[0], before=peak)
    ended = first_below(times, values, levels[1], after=peak)
    if not np.isfinite(began + ended):
        return None
    before = [last_below(times, row, levels[0], before=peak) for row in draws]
    after = [first_below(times, row, levels[1], after=peak) for row in draws]
    near = np.abs(times - times[peak]) <= _SEARCH_S
    known = np.isfinite(draws).all()
    largest = draws[:, near].max(axis=1) if known else np.full(len(draws), np.nan)
    return Repetition(
        start=Moment("repetition_start", side, began, np.array(before)).widened(factor),
        peak=Moment("repetition_peak", side, *summit(times, values, draws, peak)).widened(factor),
        end=Moment("repetition_end", side, ended, np.array(after)).widened(factor),
        largest=(top, np.asarray(largest)),
    )


def _until_rise(values: Array) -> int:
    """Index of the lowest value before the curve climbs back by a third of what it fell."""
    lowest = np.minimum.accumulate(values)
    climbed = values - lowest > (values[0] - lowest) / 3
    climbed &= values[0] - lowest >= _LEAST_DEG / 2
    stop = int(np.argmax(climbed)) if climbed.any() else len(values)
    return int(np.argmin(values[: max(stop, 1)]))


def repetition_quantities(
    repetitions: tuple[Repetition, ...],
    error: ErrorModel,
    *,
    name: str,
    label: str,
    reason: str = "",
) -> tuple[Quantity, ...]:
    """How many, how long and how far on average."""
    count = float(len(repetitions))
    none = "" if repetitions else reason or "No whole repetition in the clip."
    results = [Quantity(f"{name}.count", f"{label}, repetitions", count, count, count, "")]
    empty = (np.nan, np.full(0, np.nan))
    duration = largest = empty
    if repetitions:
        duration = (
            float(np.mean([r.end.time_s - r.start.time_s for r in repetitions])),
            np.mean([r.end.draws - r.start.draws for r in repetitions], axis=0),
        )
        largest = (
            float(np.mean([r.largest[0] for r in repetitions])),
            np.mean([r.largest[1] for r in repetitions], axis=0),
        )
    results += [
        quantity(f"{name}.duration", f"{label}, mean duration", "s", *duration, reason=none),
        quantity(
            f"{name}.largest",
            f"{label}, mean largest angle",
            "deg",
            *largest,
            reason=none,
            factor=error.extreme_factor,
        ),
    ]
    return tuple(results)


def mean_series(first: Series, second: Series, *, name: str, label: str) -> Series:
    """The mean of left and right, or the one that is known."""
    if not first.known or not second.known:
        one = first if first.known else second
        return one.renamed(name=name, label=label, unit=one.unit, factor=1.0)
    return Series(
        name, label, first.unit, first.times_s, (first.values + second.values) / 2,
        (first.draws + second.draws) / 2, first.marked | second.marked,
        first.reason or second.reason,
    )  # fmt: skip
