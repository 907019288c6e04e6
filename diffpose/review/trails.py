"""What the picture shows of the way from one correction to the next.

A placed keypoint is followed through the picture into the frames around, until it is lost, too
far away, or at the next frame in which it was placed. Each step is a measurement of how far the
keypoint moved between two frames; how well the point finds its way back, how long it has been
followed and by how much two trails miss each other say what the measurement is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import PoseSequence
from diffpose.review.motion import DEFAULT_PROPAGATION, Motion, PropagationConfig, body_size
from diffpose.tracking.flow import Trails

Array = NDArray[np.float64]

Follow = Callable[[int, Array, int, int], Trails]
"""(frame, points (P, 2) in video pixels, direction, most) -> where they went."""


def seen_motion(
    poses: PoseSequence,
    placed: Mapping[tuple[int, int], Sequence[float]],
    follow: Follow,
    *,
    config: PropagationConfig = DEFAULT_PROPAGATION,
) -> Motion:
    """How far the picture shows each keypoint to move, near where it was placed.

    Args:
        poses: N poses of a track; a trail ends where frames are missing.
        placed: (frame, keypoint) -> (x, y) in video pixels.
        follow: Follows points through the video (`diffpose.tracking.flow.follow`).
        config: How far to follow, and what a step is worth.

    Returns:
        (N - 1) steps in video pixels, for `diffpose.review.propagate.propagate`.
    """
    unit = body_size(poses)
    count, num = poses.keypoints.shape[:2]
    weighed = np.zeros((max(count - 1, 0), num, 2))
    precision = np.zeros(weighed.shape[:2])
    points = _placed_rows(poses, placed)
    for row in np.flatnonzero(np.isfinite(points[..., 0]).any(axis=1)).tolist():
        chosen = np.flatnonzero(np.isfinite(points[row, :, 0]))
        for direction in (1, -1):
            walk = _walk_from(row, direction, poses.frames, points[:, chosen], config.flow_reach)
            most = int(walk.limits.max(initial=0))
            if not most:
                continue
            trails = follow(int(poses.frames[row]), points[row, chosen], direction, most)
            for i, worth in enumerate(_worth(walk, trails, unit=unit, config=config)):
                gap = row + i if direction > 0 else row - 1 - i
                precision[gap, chosen] += worth
                weighed[gap, chosen] += direction * np.nan_to_num(trails.steps[i]) * worth[:, None]
    step = weighed / np.maximum(precision, 1e-300)[..., None]
    # Two trails over the same frames see the same picture: they are not two measurements.
    return Motion(step, np.minimum(precision, 1 / (config.flow * unit) ** 2))


def _placed_rows(poses: PoseSequence, placed: Mapping[tuple[int, int], Sequence[float]]) -> Array:
    """(N, K, 2) where each keypoint was placed; NaN where it was not."""
    rows = {int(frame): row for row, frame in enumerate(poses.frames)}
    points = np.full(poses.keypoints.shape, np.nan)
    for (frame, keypoint), xy in placed.items():
        if frame in rows:
            points[rows[frame], keypoint] = xy
    return points


@dataclass(frozen=True)
class _Walk:
    """Points of one frame that are followed.

    Attributes:
        limits: (P,) through how many frames: to the next place of the keypoint, or a gap.
        ends: (P, 2) px from each point to the next place of its keypoint; NaN where it has none
            within reach.
    """

    limits: NDArray[np.int64]
    ends: Array


def _walk_from(
    row: int, direction: int, frames: NDArray[np.integer], points: Array, reach: int
) -> _Walk:
    """Follow the points of a row; ``points`` (N, P, 2) holds all places of their keypoints."""
    ahead = points[row + 1 :] if direction > 0 else points[:row][::-1]
    steps = np.diff(frames[row:]) if direction > 0 else -np.diff(frames[row::-1])
    gaps = np.flatnonzero(steps != 1)
    reach = min(reach, int(gaps[0]) if len(gaps) else len(steps))
    known = np.isfinite(ahead[:reach, :, 0])
    met = known.any(axis=0)
    first = known.argmax(axis=0) if reach else np.zeros(points.shape[1], np.int64)
    ends = np.full(points.shape[1:], np.nan)
    ends[met] = ahead[first[met], np.flatnonzero(met)] - points[row, met]
    return _Walk(np.where(met, first + 1, reach), ends)


def _worth(walk: _Walk, trails: Trails, *, unit: float, config: PropagationConfig) -> Array:
    """(m, P) one over the variance of each step, px^-2; 0 beyond the limits and once lost.

    A step is doubted the longer the point has been followed, by its miss on the way back, and by
    how far the trail ends from where the keypoint was placed next.
    """
    walked = np.arange(len(trails))[:, None]
    inside = walked < walk.limits
    variance = (config.flow * unit * (1 + config.flow_growth * walked)) ** 2 + trails.misses**2 / 2
    whole = len(trails) >= walk.limits
    gap = walk.ends - np.where(inside[..., None], trails.steps, 0).sum(axis=0)
    doubt = (gap**2).sum(axis=-1) / 4 / np.maximum(walk.limits, 1)
    variance = variance + np.where(whole, np.nan_to_num(doubt), 0)
    return np.where(inside & np.isfinite(variance), 1 / variance, 0)
