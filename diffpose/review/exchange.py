"""Legs that the model took for each other over some frames, recognised by corrections.

Whether left and right are exchanged is a hidden state of each frame. Corrections speak for it
where they land on the prediction of the mirrored keypoint instead of their own. An exchange
begins most easily where the predictions jump onto each other, also where the legs meet, hardly
where they move on far from each other; it ends at the next jump or meeting unless corrections
there say otherwise. The likeliest sequence of states (Viterbi) is taken. Without corrections
every exchange only costs, so none is seen; with them the answer depends on all of them together
and not on their order.

Arms are left alone: hands are so often close to each other, and so uncertain, that on held-out
clips the rule did harm there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import PoseSequence

Array = NDArray[np.float64]

_LEG = ("knee", "ankle", "heel", "big_toe", "small_toe")
_SPREAD = 0.12  # of a correction about the keypoint that it belongs to, torsos
_MOST = 8.0  # that one correction can say
_BEGIN = (3.0, 5.0, 10.0)  # costs of a beginning: at a jump, where the legs meet, far apart
_START = 5.0  # cost of sides exchanged from the first frame on
_EXCHANGED = 0.05  # cost of each frame in which they are


def exchanged(
    poses: PoseSequence, placed: Mapping[tuple[int, int], Sequence[float]], unit: float
) -> NDArray[np.bool_]:
    """(N, K) keypoints that are the other leg's, as the corrections have it.

    Args:
        poses: Predictions.
        placed: (frame, keypoint) -> (x, y) px.
        unit: The size of the body, px.
    """
    result = np.zeros(poses.keypoints.shape[:2], bool)
    rows = {int(frame): row for row, frame in enumerate(poses.frames)}
    names, mirror = poses.skeleton.keypoints, poses.skeleton.mirror
    legs = [k for k, name in enumerate(names) if name.partition("_")[2] in _LEG and mirror[k] != k]
    points = poses.keypoints.astype(np.float64) / unit
    evidence = np.zeros(len(points))
    for (frame, k), xy in placed.items():
        if k in legs:
            here, there = points[rows[frame]], np.asarray(xy, np.float64) / unit
            evidence[rows[frame]] += _surprise(there - here[k]) - _surprise(there - here[mirror[k]])
    if (evidence > 0).any():
        begins = _begins(points[:, legs], points[:, mirror[legs]])
        result[:, legs] = _likeliest(_EXCHANGED - evidence, begins)[:, None]
    return result


def _surprise(step: Array) -> float:
    """Minus the log of how likely such a miss is; no miss surprises without bounds."""
    size = float((step**2).sum()) / (2 * _SPREAD**2)
    return min(size, _MOST) if np.isfinite(size) else 0.0


def _begins(own: Array, other: Array) -> Array:
    """(N - 1,) what it costs that an exchange begins between a frame and the next."""
    kept = np.nan_to_num(((own[1:] - own[:-1]) ** 2).sum(axis=-1)).mean(axis=1)
    crossed = np.nan_to_num(((other[1:] - own[:-1]) ** 2).sum(axis=-1)).mean(axis=1)
    jump, meeting, apart = _BEGIN
    return np.clip(meeting + (crossed - kept) / (2 * _SPREAD**2), jump, apart)


def _likeliest(costs: Array, begins: Array) -> NDArray[np.bool_]:
    """(N,) where the second of two states holds, at the least cost in all."""
    best, came = np.array([0.0, _START + costs[0]]), np.zeros((len(costs), 2), int)
    for row in range(1, len(costs)):
        ends = max(begins[row - 1] - _BEGIN[1], 0)
        moved = best[::-1] + np.array([ends, begins[row - 1]])
        came[row] = np.where(moved < best, [1, 0], [0, 1])
        best = np.minimum(best, moved) + np.array([0.0, costs[row]])
    state = int(best[1] < best[0])
    result = np.zeros(len(costs), bool)
    for row in range(len(costs) - 1, -1, -1):
        result[row] = bool(state)
        state = int(came[row, state])
    return result
