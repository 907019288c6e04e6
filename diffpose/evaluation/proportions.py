"""The proportions of bodies, and the aspect of a picture that they tell.

A person's shoulders are about as wide as the torso is long; where those of all people in a picture
are half again as wide, the picture was stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.skeleton import Skeleton, indices_of

_LENGTHS = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
        ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"),
        ("elbow", "wrist"), ("shoulder", "ear"),
    )),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "right_eye"),
    ("left_ear", "right_ear"),
)  # fmt: skip
_EDGES = np.linspace(-4.0, 2.0, 61)  # of logarithms of lengths in torsos
_SMOOTH = 1.5  # standard deviation of the smoothing, bins
_INDEPENDENT = 0.35  # share of what a length says that others do not say as well


@dataclass(frozen=True)
class Proportions:
    """How long parts of bodies look, as logarithms of torso lengths.

    Attributes:
        skeleton: Of the bodies.
        chance: (lengths, bins) f64 logarithm of the share of people in each bin.
    """

    skeleton: Skeleton
    chance: NDArray[np.float64]

    def likelihood(self, keypoints: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N,) logarithm of how likely bodies (N, K, 2) look like this; 0 without a torso."""
        lengths = _lengths(keypoints, self.skeleton)
        known = np.isfinite(lengths)
        bins = np.digitize(np.nan_to_num(lengths), _EDGES[1:-1])
        said = np.where(known, self.chance[np.arange(len(_LENGTHS)), bins], 0.0)
        return np.asarray(said.sum(axis=1) * _INDEPENDENT)


def learn_proportions(keypoints: NDArray[np.floating], skeleton: Skeleton) -> Proportions:
    """The proportions of people (N, K, 2) in pictures of true aspect, NaN where not known."""
    lengths = _lengths(keypoints, skeleton)
    reach = np.arange(-4, 5)
    kernel = np.exp(-0.5 * (reach / _SMOOTH) ** 2)
    counts = []
    for column in lengths.T:
        inside = np.clip(column[np.isfinite(column)], _EDGES[0], _EDGES[-1])
        found = np.histogram(inside, _EDGES)[0].astype(np.float64)
        counts.append(np.convolve(np.pad(found, 4, mode="edge"), kernel, "valid") + 0.5)
    chance = np.log(np.stack(counts))
    return Proportions(skeleton, chance - np.log(np.exp(chance).sum(axis=1, keepdims=True)))


def likely_aspect(
    keypoints: NDArray[np.floating], proportions: Proportions, aspects: Sequence[float]
) -> float:
    """The factor on a picture's width that makes its people look most like people.

    Args:
        keypoints: (N, K, 2) everybody in the picture as it is stored, NaN where not known.
        proportions: Of people in pictures of true aspect.
        aspects: Candidates; the first of those that are equally likely is taken.
    """
    likely = [
        proportions.likelihood(keypoints * np.array([aspect, 1.0])).sum() for aspect in aspects
    ]
    return aspects[int(np.argmax(likely))]


def _lengths(keypoints: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, lengths) logarithms of lengths in torsos, NaN where not known."""
    points = np.asarray(keypoints, dtype=np.float64)
    starts, ends = (indices_of(skeleton, names) for names in zip(*_LENGTHS, strict=True))
    shoulders = points[:, indices_of(skeleton, ("left_shoulder", "right_shoulder"))].mean(axis=1)
    hips = points[:, indices_of(skeleton, ("left_hip", "right_hip"))].mean(axis=1)
    torso = np.linalg.norm(shoulders - hips, axis=-1)
    length = np.linalg.norm(points[:, starts] - points[:, ends], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = length / torso[:, None]
    return np.where(np.isfinite(ratio), np.log(np.maximum(ratio, 1e-6)), np.nan)
