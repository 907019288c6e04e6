"""Annotations that are probably wrong: a model of ours or another estimator contradicts them."""

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
    for limb in _LIMBS:
        rows = _limb_rows(skeleton, limb)
        given = _mean_distance(found[:, rows], truth[:, rows])
        exchanged = _mean_distance(found[:, rows], mirrored[:, rows])
        with np.errstate(invalid="ignore"):  # unknown stays unsuspected
            doubted[limb] = (exchanged < ratio * given) & (given > 0.25 * sizes)
        weights[np.ix_(doubted[limb], rows)] = weight
    return ExchangedSides(doubted["arms"], doubted["legs"], weights)


@dataclass(frozen=True)
class Reconciled:
    """Annotations after another estimator was heard.

    Attributes:
        keypoints: (N, K, 2) f32 pixels, NaN where neither knows the keypoint.
        weights: (N, K) f32 factor on each keypoint's training loss.
        exchanged: (N,) bool, people of whom arms or legs changed sides.
        replaced: (N, K) bool, annotations that were replaced.
        added: (N, K) bool, keypoints that were not annotated.
    """

    keypoints: NDArray[np.float32]
    weights: NDArray[np.float32]
    exchanged: NDArray[np.bool_]
    replaced: NDArray[np.bool_]
    added: NDArray[np.bool_]


def reconcile(
    truth: NDArray[np.floating],
    opinion: NDArray[np.floating],
    scores: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    sure: float = 0.6,
    unsure: float = 0.3,
    near: float = 0.25,
) -> Reconciled:
    """Settle annotations against the poses of an estimator that never saw them.

    Limbs whose sides the estimator exchanges, being half sure at least, change sides first. Then
    an annotation within ``near`` torsos of the estimator's point stands, because people placed it
    by the data set's own definition of the joint. One that is contradicted is replaced where the
    estimator is sure, stands where it is not, and hardly counts in between. A keypoint that was
    not annotated is taken from a sure estimator.

    Args:
        truth: (N, K, 2) annotations, pixels, NaN where there is none.
        opinion: (N, K, 2) the estimator's poses, NaN where it has none.
        scores: (N, K) the estimator's confidence, 0..1.
        skeleton: Of both.
        sure: Score from which the estimator is believed.
        unsure: Score under which it is not heard.
        near: Torso sizes between points that agree.
    """
    heard = np.where(scores[..., None] >= unsure, opinion, np.nan)
    sides = find_exchanged_sides(heard, truth, skeleton)
    keypoints = truth.astype(np.float32)
    for limb, doubted in (("arms", sides.arms), ("legs", sides.legs)):
        rows = _limb_rows(skeleton, limb)
        keypoints[np.ix_(doubted, rows)] = truth[:, skeleton.mirror][np.ix_(doubted, rows)]
    sizes = torso_sizes(keypoints, skeleton)[:, None]
    known = np.isfinite(keypoints).all(axis=-1)
    told = np.isfinite(opinion).all(axis=-1) & np.isfinite(scores)
    with np.errstate(invalid="ignore"):  # a person without a torso is left as annotated
        contradicted = known & told & (np.linalg.norm(opinion - keypoints, axis=-1) > near * sizes)
    believed = told & (scores >= sure)
    replaced, added = contradicted & believed, ~known & believed
    keypoints = np.where((replaced | added)[..., None], opinion, keypoints).astype(np.float32)
    weights = np.ones(known.shape, np.float32)
    weights[replaced | added] = _SECOND_HAND
    weights[contradicted & ~believed & (scores >= unsure)] = _DISPUTED
    weights[contradicted & ~(scores >= unsure)] = _CONTRADICTED_BY_THE_UNSURE
    return Reconciled(keypoints, weights, sides.arms | sides.legs, replaced, added)


_SECOND_HAND, _DISPUTED, _CONTRADICTED_BY_THE_UNSURE = 0.8, 0.25, 0.6
_SIDES = ("left", "right")


def _limb_rows(skeleton: Skeleton, limb: str) -> NDArray[np.signedinteger]:
    return indices_of(skeleton, [f"{side}_{part}" for part in _LIMBS[limb] for side in _SIDES])


def _mean_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) mean over the known keypoints; NaN where fewer than four are known."""
    distance = np.linalg.norm(a - b, axis=-1)
    known = np.isfinite(distance)
    count = known.sum(axis=1)
    total = np.where(known, distance, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(a), np.nan), where=count >= 4)
