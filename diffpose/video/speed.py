"""Slow motion and time lapse: at which rate a video was recorded, where it is played at another."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from diffpose.errors import SettingsError
from diffpose.poses import FloatArray

MOST_CAPTURE_FPS = 100_000.0
_CAPTURE_KEYS = ("com.android.capture.fps",)
_SAME_RATE = 1.5  # rates this near are one rate, stated inexactly


def stated_capture_fps(metadata: Mapping[str, str]) -> float | None:
    """The rate of recording that a phone wrote into a file; None if there is none."""
    for key in _CAPTURE_KEYS:
        try:
            rate = float(metadata.get(key, ""))
        except ValueError:
            continue
        if math.isfinite(rate) and 0 < rate <= MOST_CAPTURE_FPS:
            return rate
    return None


def check_capture_fps(rate: float) -> None:
    """Refuse a rate that no camera has.

    Raises:
        SettingsError: It is not above 0, or above 100,000.
    """
    if not 0 < rate <= MOST_CAPTURE_FPS:
        raise SettingsError(
            f"Expected a rate of recording above 0 and up to {MOST_CAPTURE_FPS:,.0f} frames a "
            f"second, got {rate}."
        )


def recorded_times(
    times_s: FloatArray, fps: float, *, stated: float | None, written: float | None
) -> tuple[FloatArray, tuple[str, ...]]:
    """When the frames were recorded, and what to say about it.

    Args:
        times_s: (N,) seconds at which they are played.
        fps: Frames a second at which they are played.
        stated: The rate of recording that the user states; it counts whatever the file says.
        written: The rate that the file states; it counts where it clearly is another one.
    """
    if stated is not None:
        check_capture_fps(stated)
    rate = stated if stated is not None else written
    if rate is None or len(times_s) < 2:
        return times_s, ()
    speed = rate / fps
    if stated is None and 1 / _SAME_RATE < speed < _SAME_RATE:
        return times_s, ()
    word = "as stated" if stated is not None else "as the file says"
    note = (
        f"Recorded at {rate:.6g} frames a second, {word}, and played at {fps:.6g}: all times and "
        "speeds are those of the recording."
    )
    return np.asarray(times_s) / speed, (note,)
