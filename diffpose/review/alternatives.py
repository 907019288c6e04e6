"""Alternative poses: what else the model's hypotheses of a frame hold to be possible.

Hypotheses differ joint by joint, so whole poses hardly ever repeat. What repeats is where a limb
is: the hypotheses of each limb are grouped, and an alternative is the usual pose with one limb,
or with left and right exchanged, where another group has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.pck import torso_sizes
from diffpose.poses import FloatArray, Hypotheses
from diffpose.skeleton import Skeleton

Array = NDArray[np.float64]

_APART = 0.25  # parts of the torso: keypoints further apart are different places
_LEAST_SHARE = 0.1
_LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "heel", "big_toe", "small_toe"))


@dataclass(frozen=True, eq=False)
class Alternative:
    """A pose that some of the hypotheses hold to be right.

    Attributes:
        keypoints: (K, 2) f32 video pixels: a whole pose, placed keypoints where they were placed.
        share: Of the hypotheses, 0 to 1, weighed by how well they agree with what was placed.
        keypoints_changed: Indices of the keypoints that differ from the usual pose.
        is_swap: Left and right are exchanged.
    """

    keypoints: FloatArray
    share: float
    keypoints_changed: tuple[int, ...]
    is_swap: bool


def cluster(
    hypotheses: Hypotheses,
    skeleton: Skeleton,
    placed: Mapping[int, Sequence[float]] | None = None,
    *,
    most: int = 3,
) -> list[Alternative]:
    """The poses other than the usual one, the likeliest first.

    Args:
        hypotheses: S sampled poses of one frame.
        skeleton: Their K keypoints.
        placed: keypoint -> (x, y) px of what the reviewer placed in the frame: hypotheses that
            disagree lose their weight, and no alternative moves these keypoints.
        most: How many at most.
    """
    fixed = {k: np.asarray(xy, dtype=np.float64) for k, xy in (placed or {}).items()}
    poses = hypotheses.keypoints.astype(np.float64)
    if len(poses) < 2:
        return []
    apart = _APART * _size(poses, skeleton)
    weights = _agreement(poses, fixed, apart)
    usual = _usual(poses, weights, apart)
    found = []
    exchanged = _exchanged(poses, usual, skeleton, apart)
    for pattern in {tuple(row) for row in exchanged if row.any()}:
        chosen = (exchanged == np.array(pattern)).all(axis=1)
        pose = np.where(np.array(pattern)[:, None], usual[skeleton.mirror], usual)
        found.append(_alternative(pose, usual, weights[chosen].sum(), fixed, True))
    # With the exchanged sides put back, a swap is not mistaken for two moved limbs.
    poses = np.where(exchanged[..., None], poses[:, skeleton.mirror], poses)
    for limb in _limbs(skeleton):
        groups = _groups(poses[:, limb], apart)
        for group in groups:
            pose = usual.copy()
            pose[limb] = np.average(poses[group][:, limb], axis=0, weights=weights[group])
            if np.linalg.norm(pose - usual, axis=-1).max() > apart:
                found.append(_alternative(pose, usual, weights[group].sum(), fixed, False))
    found = [a for a in found if a.share >= _LEAST_SHARE and a.keypoints_changed]
    return sorted(found, key=lambda a: (-a.share, a.keypoints_changed))[:most]


def _size(poses: Array, skeleton: Skeleton) -> float:
    sizes = torso_sizes(poses, skeleton)
    known = sizes[np.isfinite(sizes)]
    return max(float(np.median(known)), 1.0) if len(known) else float(np.ptp(poses)) / 4


def _agreement(poses: Array, fixed: Mapping[int, Array], apart: float) -> Array:
    """(S,) weights that add up to 1: normal densities of the placed keypoints."""
    exponent = np.zeros(len(poses))
    for k, xy in fixed.items():
        exponent -= ((poses[:, k] - xy) ** 2).sum(axis=-1) / (2 * apart**2)
    weights = np.exp(exponent - exponent.max())
    return np.asarray(weights / weights.sum())


def _usual(poses: Array, weights: Array, apart: float) -> Array:
    """(K, 2) mean of the heaviest group of each keypoint."""
    usual = np.empty(poses.shape[1:])
    for k in range(poses.shape[1]):
        group = max(_groups(poses[:, [k]], apart), key=lambda g: weights[g].sum())
        usual[k] = np.average(poses[group, k], axis=0, weights=weights[group] + 1e-12)
    return usual


def _exchanged(poses: Array, usual: Array, skeleton: Skeleton, apart: float) -> NDArray[np.bool_]:
    """(S, K) keypoints that lie where the usual pose has their mirror image."""
    mirror = skeleton.mirror
    there = np.linalg.norm(poses - usual[mirror], axis=-1) <= apart
    distinct = np.linalg.norm(usual - usual[mirror], axis=-1) > 2 * apart
    own = there & there[:, mirror] & distinct
    result = np.zeros(own.shape, bool)
    for part in (_side_pairs(skeleton, limb) for limb in _LIMBS):
        # A limb is exchanged as a whole where most of what can be distinguished is.
        tellable = part[distinct[part]]
        if len(tellable):
            result[:, part] |= (own[:, tellable].mean(axis=1) > 0.5)[:, None]
    return result


def _side_pairs(skeleton: Skeleton, limb: Sequence[str]) -> NDArray[np.int64]:
    """Keypoints of both sides of a limb."""
    names = {f"{side}_{part}" for side in ("left", "right") for part in limb}
    return np.array([k for k, name in enumerate(skeleton.keypoints) if name in names], np.int64)


def _limbs(skeleton: Skeleton) -> Iterator[NDArray[np.int64]]:
    """Keypoints that move together: four limbs, and the head with the rest."""
    rest = set(range(len(skeleton)))
    for limb in _LIMBS:
        for side in ("left", "right"):
            names = {f"{side}_{part}" for part in limb}
            rows = [k for k, name in enumerate(skeleton.keypoints) if name in names]
            rest -= set(rows)
            if rows:
                yield np.array(rows, np.int64)
    if rest:
        yield np.array(sorted(rest), np.int64)


def _groups(points: Array, apart: float) -> list[NDArray[np.int64]]:
    """Rows of (S, k, 2) joined by chains in which no keypoint moves further than ``apart``."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1).max(axis=-1)
    near = distance <= apart
    label = np.arange(len(points))
    for _ in range(len(points)):
        label = np.array([label[near[row]].min() for row in range(len(points))])
    return [np.flatnonzero(label == value) for value in np.unique(label)]


def _alternative(
    pose: Array, usual: Array, share: float, fixed: Mapping[int, Array], is_swap: bool
) -> Alternative:
    changed = np.linalg.norm(pose - usual, axis=-1) > 1e-6
    keypoints = pose.astype(np.float32)
    for k, xy in fixed.items():
        keypoints[k], changed[k] = xy, False
    keypoints.setflags(write=False)
    return Alternative(keypoints, float(share), tuple(np.flatnonzero(changed).tolist()), is_swap)
