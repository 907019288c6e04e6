"""The canonical bones that motion clips are stored in, and how they hang together.

Rotations are global and measured against a T-pose: arms along +-x, palms down, legs along -y,
facing +z; x points to the person's left, y up; metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BONES: tuple[str, ...] = (
    "pelvis", "spine", "chest", "neck", "head",
    "left_clavicle", "left_upper_arm", "left_forearm", "left_hand",
    "right_clavicle", "right_upper_arm", "right_forearm", "right_hand",
    "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
)  # fmt: skip

PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 0, 16, 17)
"""Index of the bone that each bone hangs on; a parent comes before its children."""

LIMB_ENDS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "left_upper_arm": ("left_forearm", (1.0, 0.0, 0.0)),
    "left_forearm": ("left_hand", (1.0, 0.0, 0.0)),
    "right_upper_arm": ("right_forearm", (-1.0, 0.0, 0.0)),
    "right_forearm": ("right_hand", (-1.0, 0.0, 0.0)),
    "left_thigh": ("left_shin", (0.0, -1.0, 0.0)),
    "left_shin": ("left_foot", (0.0, -1.0, 0.0)),
    "right_thigh": ("right_shin", (0.0, -1.0, 0.0)),
    "right_shin": ("right_foot", (0.0, -1.0, 0.0)),
}
"""Limb bone: the bone at its far end, and its direction in the T-pose."""

LEG_LENGTH_M = 0.84
"""Hip to ankle of the canonical body: root positions are scaled by leg length over this."""


def _mirrored_name(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return "left_" + name.removeprefix("right_") if name.startswith("right_") else name


MIRROR: NDArray[np.int64] = np.array([BONES.index(_mirrored_name(name)) for name in BONES])
"""Permutation (19,) of the bones that exchanges left and right; its own inverse."""


def bone_indices(*parts: str) -> NDArray[np.int64]:
    """Positions of the bones whose name ends with one of ``parts``."""
    return np.array([i for i, name in enumerate(BONES) if name.endswith(parts)], dtype=np.int64)
