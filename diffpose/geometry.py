"""Boxes, crops and their affines: functions on arrays.

Points are (x, y), sizes are (height, width), boxes are xyxy in video pixels, pixel centres lie
at integers; the left edge of a picture is therefore at x = -0.5. An affine is a (2, 3) matrix
that carries (x, y, 1) from the first named frame of reference to the second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffpose.errors import BoxError

Affine = NDArray[np.float64]
Size = tuple[int, int]


def check_box(box: ArrayLike, *, size: Size) -> NDArray[np.float64]:
    """The box as (4,) float64, clipped to the picture.

    Raises:
        BoxError: It is not four finite numbers, has no area or lies outside the picture.
    """
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise BoxError(f"Expected a box of four finite numbers (x1, y1, x2, y2), got {box!r}.")
    height, width = size
    x1, y1, x2, y2 = values
    if x2 <= x1 or y2 <= y1:
        raise BoxError(f"Expected a box with x1 < x2 and y1 < y2, got {values.tolist()}.")
    limits = np.array([width, height, width, height]) - 0.5
    clipped = np.clip(values, -0.5, limits)
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        raise BoxError(
            f"The box {values.round(1).tolist()} lies outside the {width}x{height} picture; "
            "draw it around the person."
        )
    return clipped


def box_of_points(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Smallest box around the finite points of (..., 2), as (4,) xyxy.

    Raises:
        BoxError: No point is finite.
    """
    flat = points.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(axis=1)]
    if not len(flat):
        raise BoxError("Expected at least one known keypoint to put a box around, got none.")
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)]).astype(np.float64)


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes ``a`` (N, 4) with boxes ``b`` (M, 4)."""
    a = np.asarray(a, dtype=np.float64).reshape(-1, 4)
    b = np.asarray(b, dtype=np.float64).reshape(-1, 4)
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap = np.clip(corner, 0, None).prod(axis=-1)
    area_a = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(axis=-1)
    area_b = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=-1)
    union = area_a[:, None] + area_b[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def union_box(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Smallest box that holds every box of (N, 4)."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def crop_box(box: ArrayLike, *, size: Size, padding: float = 1.25) -> NDArray[np.float64]:
    """The box enlarged about its centre and widened to the aspect of a (height, width) crop.

    ``padding`` 1.25 is the paper's "each box is enlarged by 25 %" (section 3).
    """
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
    height, width = size
    scale = max((x2 - x1) / width, (y2 - y1) / height) * padding
    half = np.array([width, height]) * scale / 2
    centre = np.array([x1 + x2, y1 + y2]) / 2
    return np.concatenate([centre - half, centre + half])


def crop_affine(box: ArrayLike, *, size: Size, padding: float = 1.25) -> Affine:
    """Affine from video pixels to the pixels of a (height, width) crop around ``box``."""
    x1, y1, x2, y2 = crop_box(box, size=size, padding=padding)
    centre = ((x1 + x2) / 2, (y1 + y2) / 2)
    return similarity(centre=centre, scale=size[1] / (x2 - x1), angle=0.0, size=size)


def similarity(
    *, centre: ArrayLike, scale: float, angle: float, size: Size, mirrored: bool = False
) -> Affine:
    """Affine that turns about ``centre``, scales, and puts it in the middle of a crop.

    Args:
        centre: (x, y) that lands in the middle of the crop.
        scale: Crop pixels per source pixel.
        angle: Radians, clockwise on screen (y points down).
        size: (height, width) of the crop.
        mirrored: Exchange left and right after turning.
    """
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    if mirrored:
        linear[0] *= -1
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    offset = middle - linear @ np.asarray(centre, dtype=np.float64)
    return np.concatenate([linear, offset[:, None]], axis=1)


def invert_affine(affine: Affine) -> Affine:
    """The affine that leads back."""
    linear = np.linalg.inv(affine[:, :2])
    return np.concatenate([linear, -(linear @ affine[:, 2])[:, None]], axis=1)


def compose_affines(second: Affine, first: Affine) -> Affine:
    """The affine that applies ``first`` and then ``second``."""
    linear = second[:, :2] @ first[:, :2]
    return np.concatenate([linear, (second[:, :2] @ first[:, 2] + second[:, 2])[:, None]], axis=1)


def apply_affine(affine: Affine, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Carry points (..., 2) to the affine's second frame of reference."""
    return np.asarray(points, dtype=np.float64) @ affine[:, :2].T + affine[:, 2]


def apply_affine_covariance(
    affine: Affine, covariance: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Carry covariances (..., 2, 2) to the affine's second frame of reference."""
    linear = affine[:, :2]
    return linear @ np.asarray(covariance, dtype=np.float64) @ linear.T


def points_in_polygon(
    points: NDArray[np.floating], polygon: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which of the points (N, 2) lie strictly inside a polygon (P, 2); its edge is outside.

    A polygon that crosses itself has the even-odd inside; NaN lies nowhere.
    """
    x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T[:, :, None]
    start = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    (x1, y1), (x2, y2) = start.T, np.roll(start, -1, axis=0).T
    side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)  # > 0: left of the edge
    between = (np.minimum(x1, x2) <= x) & (x <= np.maximum(x1, x2))
    between &= (np.minimum(y1, y2) <= y) & (y <= np.maximum(y1, y2))
    on_edge = ((side == 0) & between).any(axis=1)
    crosses = ((y1 <= y) != (y2 <= y)) & np.where(y2 > y1, side > 0, side < 0)
    return np.asarray((crosses.sum(axis=1) % 2 == 1) & ~on_edge)
