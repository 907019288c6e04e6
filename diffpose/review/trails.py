"""What the picture shows of the way from one correction to the next.

A placed keypoint is followed through the picture into the frames around, until it is lost, too
far away, or at the next frame in which it was placed. Each step is a measurement of how far the
keypoint moved between two frames; how well the point finds its way back, how long it has been
followed and by how much two trails miss each other say what the measurement is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import PoseSequence
from diffpose.review.motion import DEFAULT_PROPAGATION, Motion, PropagationConfig, body_size

Array = NDArray[np.float64]

Follow = Callable[[int, Array, int, int], tuple[Array, Array]]
"""(frame, points (P, 2), direction, most) -> steps (m, P, 2) and misses (m, P), video pixels."""


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
    unit, (count, num) = body_size(poses), poses.keypoints.shape[:2]
    weighed = np.zeros((max(count - 1, 0), num, 2))
    precision = np.zeros(weighed.shape[:2])
    points = _placed_rows(poses, placed)
    best = 1 / (config.flow * unit) ** 2
    for row in np.flatnonzero(np.isfinite(points[..., 0]).any(axis=1)).tolist():
        chosen = np.flatnonzero(np.isfinite(points[row, :, 0]))
        for direction in (1, -1):
            limits = _limits(poses.frames, points[:, chosen], row, direction, config.flow_reach)
            most = int(limits.max(initial=0))
            if not most:
                continue
            steps, misses = follow(int(poses.frames[row]), points[row, chosen], direction, most)
            variance = _variance(steps, misses, points[:, chosen], row, direction, limits)
            for i in range(len(steps)):
                here = (limits > i) & np.isfinite(misses[i])
                gap = row + i if direction > 0 else row - 1 - i
                grown = (config.flow * unit * (1 + config.flow_growth * i)) ** 2
                worth = 1 / (grown + variance[i, here])
                precision[gap, chosen[here]] += worth
                weighed[gap, chosen[here]] += direction * steps[i, here] * worth[:, None]
    step = weighed / np.maximum(precision, 1e-300)[..., None]
    # Two trails over the same frames see the same picture: they are not two measurements.
    return Motion(step, np.minimum(precision, best))


def _placed_rows(poses: PoseSequence, placed: Mapping[tuple[int, int], Sequence[float]]) -> Array:
    """(N, K, 2) where each keypoint was placed; NaN where it was not."""
    rows = {int(frame): row for row, frame in enumerate(poses.frames)}
    points = np.full(poses.keypoints.shape, np.nan)
    for (frame, keypoint), xy in placed.items():
        if frame in rows:
            points[rows[frame], keypoint] = xy
    return points


def _limits(
    frames: NDArray[np.integer], points: Array, row: int, direction: int, reach: int
) -> NDArray[np.int64]:
    """(P,) frames to follow each point: to the next place of its keypoint, or a gap."""
    ahead = points[row + 1 :] if direction > 0 else points[:row][::-1]
    steps = np.diff(frames[row:]) if direction > 0 else -np.diff(frames[row::-1])
    gaps = np.flatnonzero(steps != 1)
    reach = min(reach, int(gaps[0]) if len(gaps) else len(steps))
    if not reach:
        return np.zeros(points.shape[1], np.int64)
    known = np.isfinite(ahead[:reach, :, 0])
    return np.where(known.any(axis=0), known.argmax(axis=0) + 1, reach)


def _variance(
    steps: Array, misses: Array, points: Array, row: int, direction: int, limits: NDArray[np.int64]
) -> Array:
    """(m, P) px^2 of a step: by its way back, and by the miss of the trail's known end."""
    variance = misses**2 / 2
    for p, limit in enumerate(limits.tolist()):
        end = row + direction * limit
        if not 0 < limit <= len(steps):
            continue
        miss = points[end, p] - points[row, p] - steps[:limit, p].sum(axis=0)
        if np.isfinite(miss).all():
            variance[:, p] += (miss**2).sum() / 4 / limit
    return variance
