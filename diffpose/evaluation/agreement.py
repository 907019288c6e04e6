"""What several looks at one person agree on: keypoints where they meet, weights by how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.skeleton import Skeleton


@dataclass(frozen=True)
class AgreementRule:
    """When looks agree, and what their agreement is worth.

    Attributes:
        near: Radius within which looks agree, in OKS sigmas of the keypoint times the person's
            size: at 0.8 a twentieth of a person's height for a wrist, a fiftieth for an eye.
        share: Share of the looks' scores under which a keypoint is dropped.
        faint: Mean score of the agreeing looks under which a keypoint is dropped.
        sure: Mean score from which it counts fully.
    """

    near: float = 0.8
    share: float = 0.6
    faint: float = 0.2
    sure: float = 0.5


@dataclass(frozen=True)
class Consensus:
    """What the looks at one person agree on.

    Attributes:
        keypoints: (K, 2) f32, NaN where dropped.
        weights: (K,) f32 0..1, 0 where dropped.
        share: (K,) f32 share of the looks' scores that agrees; 0 where nobody knows the keypoint.
    """

    keypoints: NDArray[np.float32]
    weights: NDArray[np.float32]
    share: NDArray[np.float32]


def consensus(
    points: NDArray[np.floating],
    scores: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    size: float,
    rule: AgreementRule | None = None,
) -> Consensus:
    """The mean of the looks that agree with the look that most of the others agree with.

    Looks count by their scores. A keypoint is dropped where those that agree hold too small a
    share of all the scores, or are too unsure of it. Its weight grows with both.

    Args:
        points: (V, K, 2) keypoints of V looks, NaN where a look does not know one.
        scores: (V, K) how sure each look is, 0..1.
        skeleton: Of the keypoints.
        size: The person's longer side, in the unit of the points.
        rule: None takes the usual one.
    """
    rule = rule or AgreementRule()
    points = np.asarray(points, dtype=np.float64)
    known = np.isfinite(points).all(axis=-1)
    votes = np.where(known, np.clip(scores, 1e-6, None), 0.0)
    reach = rule.near * np.asarray(skeleton.sigmas) * size
    with np.errstate(invalid="ignore"):
        meet = np.linalg.norm(points[:, None] - points[None], axis=-1) <= reach
    meet &= known[:, None] & known[None]
    support = (meet * votes[:, None]).sum(axis=0)  # (V, K): of each look by all
    best = support.argmax(axis=0)
    members = meet[best, :, np.arange(len(skeleton))].T * votes
    total, voted = votes.sum(axis=0), members.sum(axis=0)
    share = np.divide(voted, total, out=np.zeros_like(total), where=total > 0)
    mean = np.divide(
        (members[..., None] * np.nan_to_num(points)).sum(axis=0),
        voted[:, None],
        out=np.full(points.shape[1:], np.nan),
        where=voted[:, None] > 0,
    )
    counted = (members > 0).sum(axis=0)
    score = np.divide(voted, counted, out=np.zeros_like(voted), where=counted > 0)
    kept = (share >= rule.share) & (score >= rule.faint)
    weights = np.where(kept, share * np.clip(score / rule.sure, 0, 1), 0.0)
    return Consensus(
        np.where(kept[:, None], mean, np.nan).astype(np.float32),
        weights.astype(np.float32),
        share.astype(np.float32),
    )


def same_person(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    size: float,
    rule: AgreementRule | None = None,
) -> bool:
    """Whether two poses (K, 2) are one: most keypoints that both have agree.

    Args:
        a: Keypoints, NaN where unknown.
        b: Likewise.
        skeleton: Of both.
        size: The person's longer side.
        rule: None takes the usual one.
    """
    rule = rule or AgreementRule()
    distance = np.linalg.norm(np.asarray(a, np.float64) - b, axis=-1)
    both = np.isfinite(distance)
    near = distance[both] <= rule.near * np.asarray(skeleton.sigmas)[both] * size
    return bool(both.sum() >= 3 and near.mean() > 0.5)
