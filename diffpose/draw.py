"""Skeletons, uncertainty ellipses and boxes drawn onto a frame.

Sides have colours that stay apart for colour-blind eyes; `SIDE_COLOURS` is their only source, for
pictures made here and for the app's canvas alike.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffpose.skeleton import Skeleton

Side = Literal["left", "right", "centre"]
Colour = tuple[int, int, int]

# Okabe and Ito's palette. Of its triples this one has the largest smallest CIELAB distance under
# simulated protanopia, deuteranopia and tritanopia (33.6; Machado et al. 2009).
SIDE_COLOURS: dict[Side, Colour] = {
    "left": (213, 94, 0),
    "right": (86, 180, 233),
    "centre": (240, 228, 66),
}
"""RGB of a keypoint or limb by the person's own left and right."""

ELLIPSE_PROBABILITY = 0.9
MIN_CONFIDENCE = 0.1  # calibrated: right within a tenth of the torso one time in ten

_HALO: Colour = (0, 0, 0)
_BOX: Colour = (255, 255, 255)
_SHIFT = 4  # OpenCV draws at 1/16 pixel


def side_of(keypoint: str) -> Side:
    """Side of the person a keypoint's name speaks of."""
    if keypoint.startswith("left_"):
        return "left"
    return "right" if keypoint.startswith("right_") else "centre"


def side_of_edge(edge: tuple[str, str]) -> Side:
    """Side of a limb: the one side its ends name, centre if they name both or none."""
    sides: set[Side] = {side_of(edge[0]), side_of(edge[1])}
    sides.discard("centre")
    return sides.pop() if len(sides) == 1 else "centre"


def side_colours(skeleton: Skeleton) -> tuple[str, ...]:
    """CSS colour ``#rrggbb`` of each of the skeleton's keypoints."""
    return tuple("#" + bytes(SIDE_COLOURS[side_of(k)]).hex() for k in skeleton.keypoints)


def confidence_ellipse(
    covariance: NDArray[np.floating], probability: float = ELLIPSE_PROBABILITY
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ellipse that holds a Gaussian point with the given probability.

    Args:
        covariance: (..., 2, 2) px^2, symmetric; NaN yields NaN.
        probability: 0 to 1, exclusive.

    Returns:
        Semi-axes (..., 2) px, the longer first, and the angle (...) in radians from the x axis to
        the longer one, clockwise on screen (y points down), in (-pi/2, pi/2].
    """
    # Chi-square with two degrees of freedom is exponential: its quantile needs no table.
    quantile = -2.0 * np.log1p(-probability)
    matrix = np.asarray(covariance, dtype=np.float64)
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    middle, offset = (a + c) / 2, np.hypot((a - c) / 2, b)
    variances = np.stack([middle + offset, middle - offset], axis=-1)
    angle = np.arctan2(2 * b, a - c) / 2
    return np.sqrt(np.maximum(variances, 0) * quantile), angle


def draw_pose(
    frame: NDArray[np.uint8],
    keypoints: NDArray[np.floating],
    *,
    skeleton: Skeleton,
    confidence: NDArray[np.floating] | None = None,
    covariance: NDArray[np.floating] | None = None,
    box: ArrayLike | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> NDArray[np.uint8]:
    """A copy of the frame with one pose drawn on it.

    Unknown keypoints (NaN) and those more than a picture away are left out. A keypoint below
    ``min_confidence`` is a ring and its limbs are thin; one without confidence, placed by a
    person, is drawn like a sure one.

    Args:
        frame: (H, W, 3) u8 RGB; stays as it is.
        keypoints: (K, 2) pixels of the frame.
        skeleton: Names and edges of the K keypoints.
        confidence: (K,) 0 to 1, NaN where a person placed the keypoint; None for all sure.
        covariance: (K, 2, 2) px^2 for ellipses that hold the keypoint with 90 %; None for none.
        box: (4,) xyxy pixels of the frame; None for none.
        min_confidence: Where sure begins.
    """
    canvas = np.array(frame, dtype=np.uint8, order="C")
    points = np.asarray(keypoints, dtype=np.float64)
    known = _drawable(points, size=canvas.shape[:2])
    sure = np.ones(len(points), dtype=bool)
    if confidence is not None:
        sure = ~(np.asarray(confidence) < min_confidence)
    width = line_width(canvas.shape[:2])
    if box is not None:
        _draw_box(canvas, np.asarray(box, dtype=np.float64), max(1, width // 2))
    for edge, (a, b) in zip(skeleton.edges, skeleton.edge_indices, strict=True):
        if known[a] and known[b]:
            thick = width if sure[a] and sure[b] else max(1, width // 2)
            _draw_limb(canvas, points[[a, b]], SIDE_COLOURS[side_of_edge(edge)], thick)
    for index in np.flatnonzero(known):
        colour = SIDE_COLOURS[side_of(skeleton.keypoints[index])]
        if covariance is not None:
            _draw_ellipse(canvas, points[index], covariance[index], colour, max(1, width // 2))
        _draw_keypoint(canvas, points[index], colour, width, filled=bool(sure[index]))
    return canvas


def line_width(size: tuple[int, int]) -> int:
    """Width of limbs in pixels for a (height, width) picture: 3 on 720 lines."""
    return max(1, round(min(size) / 240))


def _drawable(points: NDArray[np.float64], *, size: tuple[int, int]) -> NDArray[np.bool_]:
    extent = np.array([size[1], size[0]])
    with np.errstate(invalid="ignore"):
        near = (points > -extent) & (points < 2 * extent)
    return np.asarray(near.all(axis=-1))


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(point * (1 << _SHIFT)).astype(int).tolist()
    return x, y


def _draw_limb(
    canvas: NDArray[np.uint8], ends: NDArray[np.float64], colour: Colour, width: int
) -> None:
    start, stop = _fixed(ends[0]), _fixed(ends[1])
    # The dark halo keeps every colour visible on every background.
    cv2.line(canvas, start, stop, _HALO, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.line(canvas, start, stop, colour, width, cv2.LINE_AA, _SHIFT)


def _draw_keypoint(
    canvas: NDArray[np.uint8],
    point: NDArray[np.float64],
    colour: Colour,
    width: int,
    *,
    filled: bool,
) -> None:
    centre, radius = _fixed(point), (width + 1) << _SHIFT
    if filled:
        cv2.circle(canvas, centre, radius + (1 << _SHIFT), _HALO, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    else:
        radius += 2 << _SHIFT  # room for a hole in the smallest ring
        cv2.circle(canvas, centre, radius, _HALO, max(1, width // 2) + 2, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, centre, radius, colour, max(1, width // 2), cv2.LINE_AA, _SHIFT)


def _draw_ellipse(
    canvas: NDArray[np.uint8],
    point: NDArray[np.float64],
    covariance: NDArray[np.floating],
    colour: Colour,
    width: int,
) -> None:
    axes, angle = confidence_ellipse(covariance)
    if not np.isfinite(axes).all():
        return
    axes = np.minimum(axes, float(max(canvas.shape)))  # OpenCV's integers overflow beyond
    centre, half, degrees = _fixed(point), _fixed(axes), float(np.degrees(angle))
    for tone, thick in ((_HALO, width + 2), (colour, width)):
        cv2.ellipse(canvas, centre, half, degrees, 0, 360, tone, thick, cv2.LINE_AA, _SHIFT)


def _draw_box(canvas: NDArray[np.uint8], box: NDArray[np.float64], width: int) -> None:
    corners = box.reshape(2, 2)
    if not _drawable(corners, size=canvas.shape[:2]).all():
        return
    start, stop = _fixed(corners[0]), _fixed(corners[1])
    cv2.rectangle(canvas, start, stop, _HALO, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.rectangle(canvas, start, stop, _BOX, width, cv2.LINE_AA, _SHIFT)
