"""Gaps in curves: filled by interpolation only up to a stated length, and marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.kinematics.records import Array, Mask


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one-past-last index of every stretch of True in (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def known_everywhere(values: Array) -> Mask:
    """Where every row of (..., N) has a value, (N,)."""
    rows = np.isfinite(values).reshape(-1, np.shape(values)[-1])
    return np.asarray(rows.all(axis=0), dtype=bool)


def fill_gaps(values: Array, times_s: Array, *, longest_s: float) -> tuple[Array, Mask]:
    """Fill short gaps linearly in time; long ones and those at the ends stay NaN.

    A gap's length is the time between the known values on either side of it.

    Args:
        values: (..., N), all rows with the same gaps; NaN is a gap and 0 is a value.
        times_s: (N,) increasing.
        longest_s: Longest gap that is filled; 0 fills none.

    Returns:
        The filled values and (N,) where they were filled.
    """
    result = np.array(values, dtype=np.float64)
    gaps = ~known_everywhere(result)
    marked = np.zeros(len(times_s), dtype=bool)
    for start, stop in runs(gaps):
        if start == 0 or stop == len(times_s):
            continue
        before, after = start - 1, stop
        span = times_s[after] - times_s[before]
        if span > longest_s + 1e-9:
            continue
        share = (times_s[start:stop] - times_s[before]) / span
        left, right = result[..., before, None], result[..., after, None]
        result[..., start:stop] = left + (right - left) * share
        marked[start:stop] = True
    return result, marked
