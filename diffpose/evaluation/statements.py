"""What an estimator states about poses, and whether each statement came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.evaluation.pck import torso_sizes
from diffpose.skeleton import Skeleton

LEVEL = 0.9
"""Share of the truths that the calibrated ellipse holds."""

ELLIPSE = float(-2 * np.log(1 - LEVEL))
"""Squared Mahalanobis distance of that ellipse's edge: chi-square with two degrees of freedom."""

NEAR = 0.1
"""Part of the torso that counts as correct in the confidence's promise."""


def _both(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


GROUPS: Mapping[str, tuple[str, ...]] = {
    "face": ("nose", *_both("eye", "ear")),
    "head and trunk": ("head", "neck", "head_top", "head_bottom", "hip"),
    "shoulders": _both("shoulder"),
    "elbows": _both("elbow"),
    "wrists": _both("wrist"),
    "hips": _both("hip"),
    "knees": _both("knee"),
    "ankles": _both("ankle"),
    "feet": _both("big_toe", "small_toe", "heel"),
}
"""Joint groups by the keypoints' names. The middle of the hips has no side to be confused."""


@dataclass(frozen=True)
class Predictions:
    """What an estimator states about N poses, in any one frame of reference a pose.

    Attributes:
        skeleton: The K keypoints.
        keypoints: (N, K, 2) pixels; NaN where unknown.
        confidence: (N, K) in 0..1.
        covariance: (N, K, 2, 2) px^2.
        draws: (N, 2) denoising steps K and hypotheses E of each pose.
    """

    skeleton: Skeleton
    keypoints: NDArray[np.floating]
    confidence: NDArray[np.floating]
    covariance: NDArray[np.floating]
    draws: NDArray[np.floating]

    def __post_init__(self) -> None:
        count, num = len(self.keypoints), len(self.skeleton)
        shapes = {
            "keypoints": (count, num, 2),
            "confidence": (count, num),
            "covariance": (count, num, 2, 2),
            "draws": (count, 2),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise FormatError(
                    f"Expected Predictions.{name} of shape {shape}, "
                    f"got {getattr(self, name).shape}."
                )

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, rows: NDArray[Any]) -> Predictions:
        """The poses of an index or mask array."""
        return Predictions(
            self.skeleton,
            self.keypoints[rows],
            self.confidence[rows],
            self.covariance[rows],
            self.draws[rows],
        )


def join(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of one skeleton one after the other."""
    return Predictions(
        parts[0].skeleton,
        np.concatenate([part.keypoints for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.covariance for part in parts]),
        np.concatenate([part.draws for part in parts]),
    )


def group_columns(skeleton: Skeleton) -> dict[str, NDArray[np.int64]]:
    """Positions of each joint group's keypoints in a skeleton; groups without any are left out."""
    names = skeleton.keypoints
    found = {
        group: np.array([i for i, name in enumerate(names) if name in members], dtype=np.int64)
        for group, members in GROUPS.items()
    }
    return {group: columns for group, columns in found.items() if len(columns)}


def log_miss(predictions: Predictions, truths: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of the scale at which each 90 % ellipse would just hold its truth: (N, K).

    At most 0 where it holds it as it is; NaN where truth or prediction is not known.
    """
    miss = np.asarray(truths, np.float64) - predictions.keypoints
    c = np.asarray(predictions.covariance, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = (
            c[..., 1, 1] * miss[..., 0] ** 2
            - (c[..., 0, 1] + c[..., 1, 0]) * miss[..., 0] * miss[..., 1]
            + c[..., 0, 0] * miss[..., 1] ** 2
        ) / determinant(c)
    return np.asarray(np.log((squared / ELLIPSE).clip(min=1e-12)) / 2)


def determinant(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of symmetric matrices (..., 2, 2); NaN where one is not known."""
    m = np.asarray(matrices, np.float64)
    return np.asarray(m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0])


def within(predictions: Predictions, truths: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 where a keypoint is within `NEAR` torsos of its truth, else 0; NaN where not known."""
    limit = NEAR * torso_sizes(np.asarray(truths, np.float64), predictions.skeleton)
    distance = np.linalg.norm(predictions.keypoints - truths, axis=-1)
    known = np.isfinite(distance) & np.isfinite(limit)[:, None]
    return np.where(known, distance <= limit[:, None], np.nan)
