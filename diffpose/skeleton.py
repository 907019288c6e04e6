"""Skeletons: which keypoints a pose has, how they are joined, which mirror which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError


@dataclass(frozen=True)
class Skeleton:
    """Names, edges, mirror pairs and OKS sigmas of one keypoint layout.

    Attributes:
        name: Short identifier, stored in weights and exports.
        keypoints: K names in array order.
        edges: Pairs of names that are drawn as limbs.
        sigmas: K OKS constants (COCO's per-keypoint standard deviations, unitless).
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.keypoints):
            raise FormatError(
                f"Expected one OKS sigma per keypoint of skeleton {self.name!r}, "
                f"got {len(self.sigmas)} for {len(self.keypoints)} keypoints."
            )

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        """Position of a keypoint's name in every (K, ...) array."""
        try:
            return self.keypoints.index(keypoint)
        except ValueError:
            raise FormatError(
                f"Skeleton {self.name!r} has no keypoint {keypoint!r}; "
                f"it has {', '.join(self.keypoints)}."
            ) from None

    @cached_property
    def edge_indices(self) -> NDArray[np.int64]:
        """Edges as index pairs, (number of edges, 2)."""
        pairs = [(self.index(a), self.index(b)) for a, b in self.edges]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def mirror(self) -> NDArray[np.int64]:
        """Permutation (K,) that exchanges left and right; its own inverse.

        A keypoint without a counterpart stays where it is.
        """
        places = {name: k for k, name in enumerate(self.keypoints)}
        mirrored = [places.get(_mirrored(name), k) for k, name in enumerate(self.keypoints)]
        return np.array(mirrored, dtype=np.int64)


def _mirrored(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


# PoseTrack's words for points that HALPE and LSP call head and neck (poseval: neck = head_bottom).
_SAME_POINT = {"head_top": "head", "head_bottom": "neck"}


def keypoint_map(source: Skeleton, target: Skeleton) -> NDArray[np.int64]:
    """Index in ``source`` of every keypoint of ``target``, (K_target,); -1 where it has none."""
    canonical = [_SAME_POINT.get(name, name) for name in source.keypoints]
    wanted = [_SAME_POINT.get(name, name) for name in target.keypoints]
    return np.array([canonical.index(n) if n in canonical else -1 for n in wanted], dtype=np.int64)


def convert(
    values: NDArray[np.floating], source: Skeleton, target: Skeleton, *, axis: int = -2
) -> NDArray[np.floating]:
    """Re-order ``values`` along ``axis`` from one skeleton to another; missing keypoints are NaN.

    Args:
        values: Floating array whose ``axis`` has ``len(source)`` entries.
        source: Skeleton of the given values.
        target: Skeleton wanted.
        axis: The keypoint axis.
    """
    if values.shape[axis] != len(source):
        raise FormatError(
            f"Expected {len(source)} keypoints ({source.name}) on axis {axis}, "
            f"got {values.shape = }."
        )
    indices = keypoint_map(source, target)
    moved = np.moveaxis(values, axis, 0)
    result = moved[np.maximum(indices, 0)].copy()
    result[indices < 0] = np.nan
    return np.moveaxis(result, 0, axis)


_COCO_SIGMAS = (
    0.026,
    0.025,
    0.025,
    0.035,
    0.035,
    0.079,
    0.079,
    0.072,
    0.072,
    0.062,
    0.062,
    0.107,
    0.107,
    0.087,
    0.087,
    0.089,
    0.089,
)
_COCO_KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)


def _sides(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in pairs)


_LIMBS = _sides(("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))

COCO17 = Skeleton(
    name="coco17",
    keypoints=_COCO_KEYPOINTS,
    edges=(
        *_LIMBS,
        *_sides(("shoulder", "hip"), ("eye", "ear"), ("ear", "shoulder")),
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "right_eye"),
    ),
    sigmas=_COCO_SIGMAS,
)

HALPE26 = Skeleton(
    name="halpe26",
    keypoints=(
        *_COCO_KEYPOINTS,
        "head",
        "neck",
        "hip",
        "left_big_toe",
        "right_big_toe",
        "left_small_toe",
        "right_small_toe",
        "left_heel",
        "right_heel",
    ),
    edges=(
        *_LIMBS,
        ("head", "neck"),
        ("neck", "hip"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        *_sides(("eye", "ear"), ("ankle", "heel"), ("ankle", "big_toe"), ("ankle", "small_toe")),
        ("neck", "left_shoulder"),
        ("neck", "right_shoulder"),
        ("hip", "left_hip"),
        ("hip", "right_hip"),
    ),
    sigmas=(*_COCO_SIGMAS, 0.026, 0.026, 0.066, 0.079, 0.079, 0.079, 0.079, 0.079, 0.079),
)

# PoseTrack and LSP list the limbs alike, from the right ankle up to the left wrist.
_LIMBS_UPWARDS = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)
_LIMB_SIGMAS = tuple(_COCO_SIGMAS[_COCO_KEYPOINTS.index(name)] for name in _LIMBS_UPWARDS)
_HEAD_SIGMA = 0.026  # COCO has no such points: the nose's

POSETRACK15 = Skeleton(
    name="posetrack15",
    keypoints=(*_LIMBS_UPWARDS, "head_bottom", "nose", "head_top"),
    edges=(
        *_LIMBS,
        ("head_bottom", "nose"),
        ("nose", "head_top"),
        ("head_bottom", "left_shoulder"),
        ("head_bottom", "right_shoulder"),
        *_sides(("shoulder", "hip")),
        ("left_hip", "right_hip"),
    ),
    sigmas=(*_LIMB_SIGMAS, *3 * (_HEAD_SIGMA,)),
)

LSP14 = Skeleton(
    name="lsp14",
    keypoints=(*_LIMBS_UPWARDS, "neck", "head"),
    edges=(*_LIMBS, ("neck", "head"), ("neck", "left_shoulder"), ("neck", "right_shoulder")),
    sigmas=(*_LIMB_SIGMAS, *2 * (_HEAD_SIGMA,)),
)

SKELETONS = {s.name: s for s in (COCO17, HALPE26, POSETRACK15, LSP14)}

LIMB_KEYPOINTS: tuple[str, ...] = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
"""The twelve keypoints that every human pose data set labels."""


def indices_of(skeleton: Skeleton, names: Sequence[str]) -> NDArray[np.int64]:
    """Positions of several keypoints, in the order asked for."""
    return np.array([skeleton.index(name) for name in names], dtype=np.int64)
