"""Points of the face and head of an avatar, found from its eye joints and its mesh."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_EYE_FORWARD_M = 0.012  # from the eye's centre to its surface
_NOSE_USUALLY_M = np.array([0.0, -0.04, 0.03])
_USUAL_EAR_M, _EAR_RANGE_M = 0.075, (0.068, 0.085)


def head_landmarks(
    vertices: NDArray[np.floating], joints: Mapping[str, NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Nose, eyes, ears, top of the head, chin and upper neck (8, 3) in the rest pose.

    Args:
        vertices: (V, 3) of body and hair in the rest pose: metres, y up, facing +z.
        joints: Positions (3,) of ``LeftEye``, ``RightEye``, ``Head`` and ``Neck``.
    """
    left, right = joints["LeftEye"], joints["RightEye"]
    eyes = (left + right) / 2
    x, y, z = (vertices - eyes).T  # of the vertices, seen from between the eyes
    surface = np.array([0.0, 0.0, _EYE_FORWARD_M])
    ridge = (np.abs(x) < 0.018) & (y > -0.065) & (y < -0.01) & (z > -0.05)
    nose = _extreme(vertices[ridge], axis=2, fallback=eyes + _NOSE_USUALLY_M)
    crown = vertices[(np.abs(x) < 0.07) & (y > 0), 1]
    height = crown.max() if len(crown) else eyes[1] + 0.13
    # The crown lies above the head's middle, half way between the neck and the face.
    top = np.array([eyes[0], height, (joints["Head"][2] + eyes[2]) / 2 - 0.03])
    beside = (y > -0.05) & (y < 0.005) & (z > -0.14) & (z < -0.06)
    ears = [_ear(eyes, side * x[beside], side) for side in (1, -1)]
    chin = eyes + np.array([0.0, -0.115, -0.005])
    upper_neck = (joints["Neck"] + joints["Head"]) / 2
    return np.array([nose, left + surface, right + surface, *ears, top, chin, upper_neck])


def _ear(eyes: NDArray[np.floating], outward: NDArray[np.floating], side: int) -> NDArray:
    """On the side of the head, where most of the mesh ends: the ear itself sticks out further."""
    skull = outward[(outward > 0.05) & (outward < 0.1)]
    width = np.percentile(skull, 90) if len(skull) > 3 else _USUAL_EAR_M
    out = np.clip(width, *_EAR_RANGE_M)
    place: NDArray[np.float64] = eyes + np.array([side * out, -0.02, -0.1])
    return place


def _extreme(
    points: NDArray[np.floating], *, axis: int, fallback: NDArray[np.floating]
) -> NDArray[np.floating]:
    return points[points[:, axis].argmax()] if len(points) else fallback
