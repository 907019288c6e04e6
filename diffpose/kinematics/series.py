"""A quantity over time with its draws: from keypoints, over gaps and filters, to intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffpose.kinematics.angles import (
    find_angle,
    measure_angle,
    missing_keypoints,
    pick,
    settle,
    unwrap,
    unwrap_near,
)
from diffpose.kinematics.derivatives import acceleration, velocity
from diffpose.kinematics.filters import Smoothing, smooth
from diffpose.kinematics.gaps import fill_gaps
from diffpose.kinematics.records import Array, Curve, Mask, Quantity
from diffpose.kinematics.sampling import ErrorModel, interval
from diffpose.poses import PoseSequence
from diffpose.skeleton import Skeleton

NO_ERROR = "The poses carry no uncertainty, so the error is not known."


@dataclass(frozen=True)
class Trajectory:
    """Poses with their draws: what every measurement starts from.

    Attributes:
        skeleton: Names the K keypoints.
        frames: (N,) consecutive frame indices.
        times_s: (N,).
        points: (N, K, 2) video pixels, NaN where unknown.
        draws: (D, N, K, 2) f32, equally likely trajectories.
        facing: How angles are read.
        smoothing: The filter.
        longest_gap_s: Longest gap that is filled.
        error: What the draws were made with.
    """

    skeleton: Skeleton
    frames: np.ndarray
    times_s: Array
    points: Array
    draws: np.ndarray
    facing: str
    smoothing: Smoothing
    longest_gap_s: float
    error: ErrorModel


@dataclass(frozen=True)
class Series:
    """One quantity over time.

    Attributes:
        name: As in `Curve`.
        label: As in `Curve`.
        unit: As in `Curve`.
        times_s: (N,).
        values: (N,).
        draws: (D, N): the same from every drawn trajectory; NaN if the error is not known.
        marked: (N,) filled gaps.
        reason: Why values are missing.
    """

    name: str
    label: str
    unit: str
    times_s: Array
    values: Array
    draws: Array
    marked: Mask
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is at least one value."""
        return bool(np.isfinite(self.values).any())

    def curve(self) -> Curve:
        """Its values with the central 90 % interval of its draws."""
        low, high = interval(self.draws)
        return Curve(
            self.name, self.label, self.unit, self.times_s, self.values, low, high,
            self.marked, self.reason,
        )  # fmt: skip

    def renamed(self, *, name: str, label: str, unit: str, factor: float) -> Series:
        """The same in another unit."""
        return Series(
            name, label, unit, self.times_s, self.values * factor, self.draws * factor,
            self.marked, self.reason,
        )  # fmt: skip


def angle_series(trajectory: Trajectory, name: str) -> Series:
    """One angle of a trajectory: unwrapped, its gaps filled, filtered; empty with a reason if not.

    Raises:
        MeasureError: There is no such angle.
    """
    angle = find_angle(name)
    missing = missing_keypoints(angle, trajectory.skeleton)
    if missing:
        words = ", ".join(part.replace("_", " ") for part in missing)
        return empty_series(
            trajectory, name, angle.label, "deg",
            f"Needs {words}, which skeleton {trajectory.skeleton.name} does not have.",
        )  # fmt: skip

    def read(points: Array) -> Array:
        return measure_angle(points, angle, trajectory.skeleton, facing=trajectory.facing)

    follow = unwrap if angle.turns else settle
    values = follow(read(trajectory.points), lowest=angle.lowest)
    draws = unwrap_near(read(trajectory.draws), values)
    return finish(trajectory, values, draws, name=name, label=angle.label, unit="deg")


def point_series(
    trajectory: Trajectory, read: Callable[[Array], Array], *, name: str, label: str
) -> Series:
    """A length in pixels that ``read`` takes (..., N, K, 2) to (..., N), treated as angles are."""
    return finish(
        trajectory, read(trajectory.points), read(trajectory.draws), name=name, label=label,
        unit="px",
    )  # fmt: skip


def keypoint_series(trajectory: Trajectory, keypoint: str, axis: int) -> Series:
    """One coordinate of one keypoint, pixels."""
    word = "xy"[axis]
    return point_series(
        trajectory,
        lambda points: pick(points, keypoint, trajectory.skeleton)[..., axis],
        name=f"{keypoint}.{word}",
        label=f"{keypoint.replace('_', ' ').capitalize()} {word}",
    )


def finish(
    trajectory: Trajectory, values: Array, draws: Array, *, name: str, label: str, unit: str
) -> Series:
    """Fill gaps, filter, and say why values are missing."""
    times = trajectory.times_s
    if not np.isfinite(values).any():
        return empty_series(trajectory, name, label, unit, "Its keypoints are nowhere known.")
    filled, marked = fill_gaps(values, times, longest_s=trajectory.longest_gap_s)
    smoothed, reason = smooth(filled, times, trajectory.smoothing)
    known = np.isfinite(values)
    if np.isfinite(draws[:, known]).all():
        draws = np.where(known, draws, np.nan)
        filled_draws, _ = fill_gaps(draws, times, longest_s=trajectory.longest_gap_s)
        smoothed_draws, _ = smooth(filled_draws, times, trajectory.smoothing)
    else:
        smoothed_draws = np.full(draws.shape, np.nan)
        reason = " ".join(part for part in (reason, NO_ERROR) if part)
    if np.isnan(smoothed).any() and not reason:
        reason = (
            f"{int(np.isnan(smoothed).sum())} frames lie in gaps longer than "
            f"{trajectory.longest_gap_s:g} s or at the ends."
        )
    return Series(name, label, unit, times, smoothed, smoothed_draws, marked, reason)


def empty_series(trajectory: Trajectory, name: str, label: str, unit: str, reason: str) -> Series:
    """A series without values that says why."""
    count, num = len(trajectory.times_s), len(trajectory.draws)
    return Series(
        name, label, unit, trajectory.times_s, np.full(count, np.nan),
        np.full((num, count), np.nan), np.zeros(count, dtype=bool), reason,
    )  # fmt: skip


def derivative_series(series: Series) -> tuple[Series, Series]:
    """Velocity and acceleration of a series, each draw by itself."""
    results = []
    for function, suffix, word, unit in (
        (velocity, "velocity", "velocity", "/s"),
        (acceleration, "acceleration", "acceleration", "/s^2"),
    ):
        results.append(
            Series(
                f"{series.name}.{suffix}", f"{series.label}, {word}", series.unit + unit,
                series.times_s, function(series.values, series.times_s),
                function(series.draws, series.times_s), series.marked, series.reason,
            )
        )  # fmt: skip
    return results[0], results[1]


def quantity(
    name: str,
    label: str,
    unit: str,
    value: float,
    draws: Array,
    *,
    reason: str = "",
    factor: float = 1.0,
) -> Quantity:
    """A number with the interval that its draws (D,) state about the truth.

    Draws scatter about the measured value as the measured value scatters about the truth, and
    what noise does to it on average it has done once before. The interval is therefore that of
    ``2 value - draws`` (basic bootstrap; Davison and Hinkley 1997), made wider about its
    middle by ``factor``.
    """
    if not math.isfinite(value):
        return Quantity(name, label, math.nan, math.nan, math.nan, unit, reason or "Not known.")
    known = draws[np.isfinite(draws)]
    if len(known) < max(0.5 * len(draws), 2):
        return Quantity(name, label, value, math.nan, math.nan, unit, reason or NO_ERROR)
    low, high = (float(end[0]) for end in interval(2 * value - known[:, None]))
    middle, half = (low + high) / 2, factor * (high - low) / 2
    return Quantity(name, label, value, middle - half, middle + half, unit, reason)


def consecutive(sequence: PoseSequence, times_s: Array) -> tuple[PoseSequence, Array]:
    """The sequence with a row of NaN for every frame left out, and the times of all rows.

    Times of frames left out are interpolated.
    """
    if not len(sequence) or np.all(np.diff(sequence.frames) == 1):
        return sequence, times_s
    frames = np.arange(sequence.frames[0], sequence.frames[-1] + 1)
    rows = sequence.frames - frames[0]

    def spread(values: np.ndarray, fill: float) -> np.ndarray:
        result = np.full((len(frames), *values.shape[1:]), fill, dtype=values.dtype)
        result[rows] = values
        return result

    whole = PoseSequence(
        skeleton=sequence.skeleton,
        track_id=sequence.track_id,
        frames=frames,
        keypoints=spread(sequence.keypoints, np.nan),
        confidence=spread(sequence.confidence, np.nan),
        covariance=spread(sequence.covariance, np.nan),
        origin=spread(sequence.origin, 0),
    )
    return whole, np.interp(frames, sequence.frames, times_s)
