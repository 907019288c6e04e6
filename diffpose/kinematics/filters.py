"""Smoothing of curves on true times: Butterworth dual pass, Savitzky-Golay, Hampel or none.

All filters run on each stretch between gaps by itself, so that nothing leaks across a gap, and
on every row alike. Where times are uneven a stretch is resampled evenly at its median step,
filtered and read off at its own times again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, filtfilt, savgol_filter

from diffpose.errors import SettingsError
from diffpose.kinematics.gaps import known_everywhere, runs
from diffpose.kinematics.records import Array

_EVEN_S = 2e-3  # containers round times to milliseconds


@dataclass(frozen=True)
class Smoothing:
    """Which filter, and how strong.

    Attributes:
        kind: ``butterworth`` (two passes, no delay), ``savgol`` (Savitzky-Golay) or ``none``.
        cutoff_hz: Butterworth: cut-off of one pass. Two passes have half the power at 0.80 of
            it; no factor is applied for that (Winter's 0.802 is not used).
        order: Butterworth: order of one pass. 2 in two passes is what Sports2D calls 4.
        window_s: Savitzky-Golay: length of the window, seconds.
        degree: Savitzky-Golay: degree of the polynomial.
        hampel: Replace outliers by their neighbours' median before filtering.
        hampel_window: Frames, odd.
        hampel_limit: Outliers lie further than this many robust standard deviations away.
    """

    kind: Literal["butterworth", "savgol", "none"] = "butterworth"
    cutoff_hz: float = 6.0
    order: int = 2
    window_s: float = 0.25
    degree: int = 3
    hampel: bool = False
    hampel_window: int = 7
    hampel_limit: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in ("butterworth", "savgol", "none"):
            raise SettingsError(f"Expected filter butterworth, savgol or none, got {self.kind!r}.")
        if not self.cutoff_hz > 0 or not 1 <= self.order <= 8:
            raise SettingsError(
                "Expected a cut-off above 0 Hz and an order of 1 to 8, got "
                f"{self.cutoff_hz} Hz and {self.order}."
            )
        if not self.window_s > 0 or not 0 <= self.degree <= 8:
            raise SettingsError(
                "Expected a window above 0 s and a degree of 0 to 8, got "
                f"{self.window_s} s and {self.degree}."
            )
        if self.hampel_window < 3 or self.hampel_window % 2 == 0 or not self.hampel_limit > 0:
            raise SettingsError(
                "Expected an odd Hampel window of at least 3 frames and a limit above 0, got "
                f"{self.hampel_window} and {self.hampel_limit}."
            )


def smooth(values: Array, times_s: Array, smoothing: Smoothing) -> tuple[Array, str]:
    """Filter (..., N) along its last axis.

    Args:
        values: All rows with the same gaps (NaN).
        times_s: (N,) increasing, even or not.
        smoothing: Which filter.

    Returns:
        The filtered values, NaN also where a stretch was too short for the filter, and why in
        words, empty if all were long enough.

    Raises:
        SettingsError: The cut-off is not below half the frame rate.
    """
    result = np.full(np.shape(values), np.nan)
    known = known_everywhere(values)
    short = 0
    for start, stop in runs(known):
        stretch = np.asarray(values[..., start:stop], dtype=np.float64)
        if smoothing.hampel:
            stretch = hampel(stretch, window=smoothing.hampel_window, limit=smoothing.hampel_limit)
        filtered = _on_even_times(stretch, times_s[start:stop], smoothing)
        if filtered is None:
            short += stop - start
        else:
            result[..., start:stop] = filtered
    if not short:
        return result, ""
    return result, (
        f"{short} frames lie in stretches too short for the {smoothing.kind} filter "
        "(choose no filter or a longer clip)."
    )


def hampel(values: Array, *, window: int, limit: float) -> Array:
    """Replace outliers of (..., N) by the median of the frames around them (Hampel 1974)."""
    half = window // 2
    edge = [(0, 0)] * (values.ndim - 1) + [(half, half)]
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, edge, mode="reflect" if values.shape[-1] > half else "edge"),
        window,
        axis=-1,
    )
    median = np.median(around, axis=-1)
    spread = 1.4826 * np.median(np.abs(around - median[..., None]), axis=-1)
    return np.where(np.abs(values - median) > limit * spread + 1e-9, median, values)


def butterworth(values: Array, *, rate_hz: float, cutoff_hz: float, order: int = 2) -> Array:
    """Butterworth low pass forwards and backwards over (..., N), without delay.

    Args:
        values: Evenly spaced, no NaN, more than ``3 * (order + 1)`` frames.
        rate_hz: Frames a second.
        cutoff_hz: Of one pass.
        order: Of one pass.

    Raises:
        SettingsError: The cut-off is not below half the frame rate.
    """
    if cutoff_hz >= rate_hz / 2:
        raise SettingsError(
            f"A cut-off of {cutoff_hz:g} Hz needs more than {2 * cutoff_hz:g} frames a second, "
            f"got {rate_hz:.4g}; choose a lower cut-off or no filter."
        )
    b, a = butter(order, cutoff_hz / (rate_hz / 2))
    return np.asarray(filtfilt(b, a, values, axis=-1))


def _on_even_times(values: Array, times_s: Array, smoothing: Smoothing) -> Array | None:
    """The filtered stretch, or None if it is too short."""
    if smoothing.kind == "none":
        return values
    count = len(times_s)
    if count < 4:
        return None
    steps = np.diff(times_s)
    span = times_s[-1] - times_s[0]
    even = float(np.abs(steps - span / (count - 1)).max()) <= _EVEN_S
    if even:
        return _filter_even(values, (count - 1) / span, smoothing)
    num = max(int(np.ceil(span / float(np.median(steps)))) + 1, 4)
    grid = np.linspace(times_s[0], times_s[-1], num)
    resampled = CubicSpline(times_s, values, axis=-1)(grid)
    filtered = _filter_even(resampled, (num - 1) / span, smoothing)
    if filtered is None:
        return None
    return np.asarray(CubicSpline(grid, filtered, axis=-1)(times_s))


def _filter_even(values: Array, rate_hz: float, smoothing: Smoothing) -> Array | None:
    count = values.shape[-1]
    if smoothing.kind == "butterworth":
        if count <= 3 * (smoothing.order + 1):
            return None
        return butterworth(
            values, rate_hz=rate_hz, cutoff_hz=smoothing.cutoff_hz, order=smoothing.order
        )
    half = max(round(smoothing.window_s * rate_hz / 2), (smoothing.degree + 2) // 2)
    window = 2 * half + 1
    if count < window:
        return None
    return np.asarray(savgol_filter(values, window, smoothing.degree, axis=-1))
