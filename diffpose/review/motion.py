"""The prior of the propagation, and what it makes of one keypoint's predictions through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.pck import torso_sizes
from diffpose.poses import PoseSequence

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PropagationConfig:
    """The prior on poses and errors; lengths in parts of the torso, measured on held-out clips.

    Attributes:
        acceleration: Least standard deviation of a keypoint's second difference, a frame squared.
        stride: Frames apart of the differences that show a livelier motion than that.
        placed: Standard deviation of a reviewer's point.
        edge_range: Edges over which the error's correlation falls to 1/e.
        error_shares: How much of the error's variance lasts how long: (share, frames) pairs; 0
            frames is noise. The shares add up to 1.
        window: Frames that are solved together; longer tracks blend overlapping windows.
        flow: Standard deviation of the first step of a point that is followed through the picture
            (`diffpose.review.trails`).
        flow_growth: By how much of that it grows with each further frame.
        flow_reach: Frames through which a point is followed.
    """

    acceleration: float = 0.03
    stride: int = 4
    placed: float = 0.03
    edge_range: float = 1.5
    error_shares: tuple[tuple[float, float], ...] = ((0.2, 0), (0.35, 8), (0.45, 80))
    window: int = 64
    flow: float = 0.02
    flow_growth: float = 0.15
    flow_reach: int = 12


DEFAULT_PROPAGATION = PropagationConfig()


@dataclass(frozen=True)
class Motion:
    """How far keypoints were seen to move from one frame of a window to the next.

    Attributes:
        step: (n - 1, K, 2) displacement, in the unit of the window's predictions.
        precision: (n - 1, K) one over the variance of one coordinate; 0 where nothing was seen.
    """

    step: Array
    precision: Array

    def part(self, start: int, stop: int, *, unit: float) -> Motion:
        """The motion between frames ``start`` to ``stop``, lengths in parts of ``unit``."""
        rows = slice(start, stop - 1)
        return Motion(self.step[rows] / unit, self.precision[rows] * unit**2)


def body_size(poses: PoseSequence) -> float:
    """The median torso of the poses, pixels: the unit of every length in the prior."""
    sizes = torso_sizes(poses.keypoints.astype(np.float64), poses.skeleton)
    known = sizes[np.isfinite(sizes)]
    return max(float(np.median(known)), 1.0) if len(known) else 50.0


def solve_time(
    frames: NDArray[np.integer],
    predicted: Array,
    sizes: Array,
    config: PropagationConfig,
    *,
    seen: Motion | None = None,
) -> tuple[Array, Array]:
    """The law of each keypoint through time, given the predictions of it alone.

    Args:
        frames: (n,) increasing frame indices.
        predicted: (n, K, 2) in parts of the torso.
        sizes: (n, K) their stated standard deviations, in the same unit.
        config: The prior.
        seen: How far each keypoint was seen to move from each frame to the next.

    Returns:
        Means (n, K, 2) and lower roots of the covariances (K, n, n) of one coordinate.
    """
    time = frames.astype(np.float64)
    apart = np.abs(time[:, None] - time)
    memory = sum(
        share * (np.exp(-apart / length) if length else np.eye(len(time)))
        for share, length in config.error_shares
    )
    bend = _second_differences(time)
    liveliness = _accelerations(predicted, sizes, config)[1:-1].T  # (K, n - 2)
    smooth = bend.T @ (bend / liveliness[:, :, None] ** 2)
    inverse = np.linalg.inv(memory)
    weights = 1 / sizes.T  # (K, n)
    evidence = inverse * weights[:, :, None] * weights[:, None, :]
    precision = smooth + evidence
    pull = evidence @ predicted.transpose(1, 0, 2)
    if seen is not None:
        step = np.diff(np.eye(len(time)), axis=0)  # (n - 1, n)
        weighed = step.T * seen.precision.T[:, None, :]  # (K, n, n - 1)
        precision = precision + weighed @ step
        pull = pull + weighed @ seen.step.transpose(1, 0, 2)
    covariance = np.linalg.inv(precision)
    covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
    mean = covariance @ pull
    return mean.transpose(1, 0, 2), np.asarray(np.linalg.cholesky(covariance), np.float64)


def _accelerations(predicted: Array, sizes: Array, config: PropagationConfig) -> Array:
    """(n, K) how lively each keypoint is about each frame, at least ``config.acceleration``.

    Differences over several frames show motion beyond what the stated error explains.
    """
    count, step = len(predicted), config.stride
    result = np.full(predicted.shape[:2], config.acceleration)
    if count <= 2 * step:
        return result
    bends = predicted[2 * step :] - 2 * predicted[step:-step] + predicted[: -2 * step]
    # Twice what the error explains: on weak predictions chance alone would look lively.
    noise = 2 * (6 - 8 * _memory(step, config) + 2 * _memory(2 * step, config))
    own = (bends**2).mean(axis=-1) - noise * sizes[step:-step] ** 2
    # The second difference over h frames of a walk whose steps' steps have variance 1.
    own /= step * (2 * step**2 + 1) / 3
    kernel = np.ones(2 * step + 1) / (2 * step + 1)
    padded = np.pad(own, ((2 * step, 2 * step), (0, 0)), mode="edge")
    even = np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)
    return np.sqrt(np.maximum(even, config.acceleration**2))


def _memory(frames: float, config: PropagationConfig) -> float:
    """Correlation of the error over so many frames, at least one."""
    return sum(s * float(np.exp(-frames / length)) for s, length in config.error_shares if length)


def _second_differences(time: Array) -> Array:
    """(n - 2, n): 1, -2, 1 for equal steps; for others the change of slope over a mean step."""
    rows = np.zeros((max(len(time) - 2, 0), len(time)))
    for i in range(len(rows)):
        before, after = time[i + 1] - time[i], time[i + 2] - time[i + 1]
        rows[i, i : i + 3] = 1 / before, -1 / before - 1 / after, 1 / after
    return rows
