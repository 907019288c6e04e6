"""Velocity and acceleration on true times, even or not."""

from __future__ import annotations

import numpy as np

from diffpose.kinematics.gaps import known_everywhere, runs
from diffpose.kinematics.records import Array


def velocity(values: Array, times_s: Array) -> Array:
    """First derivative of (..., N) by time; exact for parabolas, also on uneven times.

    Each stretch between gaps by itself; stretches of fewer than three frames stay NaN.
    """
    result = np.full(np.shape(values), np.nan)
    known = known_everywhere(values)
    for start, stop in runs(known):
        if stop - start >= 3:
            result[..., start:stop] = np.gradient(
                values[..., start:stop], times_s[start:stop], axis=-1, edge_order=2
            )
    return result


def acceleration(values: Array, times_s: Array) -> Array:
    """Second derivative of (..., N) by time: of the parabola through three frames.

    The first and last frame of a stretch take their neighbour's value.
    """
    result = np.full(np.shape(values), np.nan)
    known = known_everywhere(values)
    for start, stop in runs(known):
        if stop - start < 3:
            continue
        slopes = np.diff(values[..., start:stop]) / np.diff(times_s[start:stop])
        steps = (times_s[start + 2 : stop] - times_s[start : stop - 2]) / 2
        inner = np.diff(slopes) / steps
        result[..., start + 1 : stop - 1] = inner
        result[..., start] = inner[..., 0]
        result[..., stop - 1] = inner[..., -1]
    return result
