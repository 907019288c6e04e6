"""Annotations that are probably wrong: a trained model finds left and right exchanged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.pck import torso_sizes
from diffpose.skeleton import Skeleton, indices_of

_LIMBS = {
    "arms": ("shoulder", "elbow", "wrist"),
    "legs": ("hip", "knee", "ankle"),
}


@dataclass(frozen=True)
class ExchangedSides:
    """Pairs of limbs whose annotation fits a model's pose far better with its sides exchanged.

    Attributes:
        arms: (N,) bool, of each person.
        legs: (N,) bool.
        weights: (N, K) f32 factor on each keypoint's training loss: 1, or less where doubted.
    """

    arms: NDArray[np.bool_]
    legs: NDArray[np.bool_]
    weights: NDArray[np.float32]


def find_exchanged_sides(
    found: NDArray[np.floating],
    truth: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    ratio: float = 0.4,
    weight: float = 0.1,
) -> ExchangedSides:
    """Doubt annotations that a model contradicts by exactly an exchange of left and right.

    A person's arms (legs) are doubted where the model's pose lies on average ``ratio`` times as
    far from the exchanged annotation as from the given one, and the given one is missed by more
    than a quarter of the torso. The model may be the one who errs, so they are weighted down,
    never changed.

    Args:
        found: (N, K, 2) a model's poses, pixels.
        truth: (N, K, 2) annotations, NaN where there is none.
        skeleton: Of both.
        ratio: Smaller doubts fewer.
        weight: Of the doubted keypoints.
    """
    sizes = torso_sizes(truth, skeleton)
    mirrored = truth[:, skeleton.mirror]
    weights = np.ones(truth.shape[:2], np.float32)
    doubted = {}
    for limb, parts in _LIMBS.items():
        rows = indices_of(skeleton, [f"{side}_{part}" for part in parts for side in _SIDES])
        given = _mean_distance(found[:, rows], truth[:, rows])
        exchanged = _mean_distance(found[:, rows], mirrored[:, rows])
        with np.errstate(invalid="ignore"):  # unknown stays unsuspected
            doubted[limb] = (exchanged < ratio * given) & (given > 0.25 * sizes)
        weights[np.ix_(doubted[limb], rows)] = weight
    return ExchangedSides(doubted["arms"], doubted["legs"], weights)


_SIDES = ("left", "right")


def _mean_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) mean over the known keypoints; NaN where fewer than four are known."""
    distance = np.linalg.norm(a - b, axis=-1)
    known = np.isfinite(distance)
    count = known.sum(axis=1)
    total = np.where(known, distance, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(a), np.nan), where=count >= 4)
