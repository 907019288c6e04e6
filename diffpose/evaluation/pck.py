"""PCK: the share of keypoints closer to the truth than a part of the person's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.skeleton import LIMB_KEYPOINTS, Skeleton, indices_of


def torso_sizes(truth: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """Size of each person's torso, the normaliser of PCK on LSP.

    The longer of the two diagonals from shoulder to opposite hip; where neither is annotated,
    the longer of the two sides from shoulder to hip; NaN where none is.

    Args:
        truth: (N, K, 2) pixels, NaN where not annotated.
        skeleton: Their skeleton.

    Returns:
        (N,) pixels.
    """
    corners = {
        name: truth[:, skeleton.index(name)]
        for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    }

    def longest(pairs: tuple[tuple[str, str], ...]) -> NDArray[np.float64]:
        lengths = np.stack([np.linalg.norm(corners[a] - corners[b], axis=-1) for a, b in pairs])
        return np.where(
            np.isnan(lengths).all(axis=0),
            np.nan,
            np.nanmax(np.nan_to_num(lengths, nan=-1.0), axis=0),
        )

    diagonal = longest((("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")))
    side = longest((("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")))
    return np.where(np.isnan(diagonal), side, diagonal)


def body_axes(
    points: NDArray[np.floating], skeleton: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which way each body lies: from hips to shoulders, and from its right side to its left.

    Args:
        points: (N, K, 2) pixels, NaN where not known.
        skeleton: Their skeleton.

    Returns:
        Two (N, 2), pixels; NaN where a shoulder or hip is not known.
    """
    corners = [
        np.asarray(points[:, skeleton.index(f"{side}_{part}")], np.float64)
        for part in ("shoulder", "hip")
        for side in ("left", "right")
    ]
    left_shoulder, right_shoulder, left_hip, right_hip = corners
    up = (left_shoulder + right_shoulder - left_hip - right_hip) / 2
    across = (left_shoulder - right_shoulder + left_hip - right_hip) / 2
    return up, across


def torso_tilt(points: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """Angle (N,) between each torso and upright in the picture: 0 to 180 degrees, NaN if unknown.

    Args:
        points: (N, K, 2) pixels, NaN where not known.
        skeleton: Their skeleton.
    """
    up, _ = body_axes(points, skeleton)
    return np.degrees(np.abs(np.arctan2(up[:, 0], -up[:, 1])))


def head_sizes(head_boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Size of each person's head, the normaliser of PCKh on MPII and of PoseTrack AP.

    Args:
        head_boxes: (N, 4) xyxy pixels; NaN where there is none.

    Returns:
        (N,) pixels: 0.6 times the diagonal of the box.
    """
    boxes = np.asarray(head_boxes, dtype=np.float64).reshape(-1, 4)
    return np.asarray(0.6 * np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1))


def pckh(
    predicted: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    head_boxes: NDArray[np.floating],
    threshold: float = 0.5,
) -> NDArray[np.float64]:
    """PCKh of each keypoint: `pck` with the head's size as the measure.

    Args:
        predicted: (N, K, 2) pixels.
        truth: (N, K, 2) pixels, NaN where not annotated.
        head_boxes: (N, 4) xyxy pixels; people without one (NaN) are left out.
        threshold: Part of the head's size that is close enough.

    Returns:
        (K,) shares 0..1; NaN for keypoints without any truth.
    """
    return pck(predicted, truth, sizes=head_sizes(head_boxes), threshold=threshold)


def pck(
    predicted: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    sizes: NDArray[np.floating],
    threshold: float,
) -> NDArray[np.float64]:
    """PCK of each keypoint over all people.

    A missing prediction (NaN) is a miss; a keypoint without truth and a person without size
    are left out.

    Args:
        predicted: (N, K, 2) pixels.
        truth: (N, K, 2) pixels, NaN where not annotated.
        sizes: (N,) pixels, the normaliser.
        threshold: Part of the size that is close enough; equal is close enough.

    Returns:
        (K,) shares 0..1; NaN for keypoints without any truth.
    """
    counted = np.isfinite(truth).all(axis=-1) & np.isfinite(sizes)[:, None]
    distance = np.linalg.norm(predicted - truth, axis=-1)
    close = np.nan_to_num(distance, nan=np.inf) <= threshold * np.nan_to_num(sizes)[:, None]
    total = counted.sum(axis=0)
    hits = (close & counted).sum(axis=0)
    return np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)


def limb_pck(
    predicted: NDArray[np.floating],
    truth: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    threshold: float,
) -> float:
    """PCK over the twelve limb keypoints together, normalised by the torso."""
    limbs = indices_of(skeleton, LIMB_KEYPOINTS)
    sizes = torso_sizes(truth, skeleton)
    counted = np.isfinite(truth[:, limbs]).all(axis=-1) & np.isfinite(sizes)[:, None]
    shares = pck(predicted[:, limbs], truth[:, limbs], sizes=sizes, threshold=threshold)
    return float(np.nansum(shares * counted.sum(axis=0)) / max(counted.sum(), 1))
