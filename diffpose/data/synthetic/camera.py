"""Cameras: from world metres to picture pixels and back.

World frame: y up, metres. Picture frame: pixel centres at integers, x right, y down. Depth is the
distance along the viewing direction, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffpose.geometry import Size

NEAR_M, FAR_M = 0.1, 200.0


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera at T times.

    Attributes:
        matrices: (T, 4, 4) f64, world to OpenGL clip space; the last coordinate is the depth.
        eyes: (T, 3) f64 its position.
        size: Height and width of the picture in pixels.
    """

    matrices: NDArray[np.float64]
    eyes: NDArray[np.float64]
    size: Size


def look_at(
    eye: NDArray[np.floating], target: NDArray[np.floating], *, roll_rad: float = 0.0
) -> NDArray[np.float64]:
    """View matrix (4, 4) of a camera at ``eye`` that looks at ``target``; -z is forward."""
    forward = np.asarray(target, dtype=np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    cos, sin = np.cos(roll_rad), np.sin(roll_rad)
    view = np.eye(4)
    view[0, :3], view[1, :3], view[2, :3] = (
        cos * right + sin * up,
        cos * up - sin * right,
        -forward,
    )
    view[:3, 3] = -view[:3, :3] @ eye
    return view


def perspective(fov_rad: float, size: Size) -> NDArray[np.float64]:
    """OpenGL projection (4, 4) with a vertical field of view."""
    height, width = size
    focal = 1.0 / np.tan(fov_rad / 2)
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = focal * height / width, focal
    matrix[2, 2] = (FAR_M + NEAR_M) / (NEAR_M - FAR_M)
    matrix[2, 3] = 2 * FAR_M * NEAR_M / (NEAR_M - FAR_M)
    matrix[3, 2] = -1.0
    return matrix


def zoom_to(camera: Camera, box: ArrayLike, goal: ArrayLike) -> Camera:
    """Cut the picture again so that the centre and longer side of ``box`` become those of ``goal``.

    Args:
        camera: The camera before.
        box: xyxy pixels in its picture.
        goal: xyxy pixels where the box must lie; only its centre and longer side count.
    """
    height, width = camera.size
    a, b = np.asarray(box, dtype=np.float64), np.asarray(goal, dtype=np.float64)
    scale = (b[2:] - b[:2]).max() / (a[2:] - a[:2]).max()
    shift = (b[:2] + b[2:]) / 2 - scale * (a[:2] + a[2:]) / 2
    # new = scale * old + shift in pixels; the same map in clip space, whose y points up
    half = np.array([width, height]) / 2
    centre = half - 0.5
    move = (scale * centre + shift - centre) / half
    cut = np.diag([scale, scale, 1.0, 1.0])
    cut[:2, 3] = move[0], -move[1]
    return Camera(cut @ camera.matrices, camera.eyes, camera.size)


def project(camera: Camera, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Project world points (T, ..., 3) to (T, ..., 3): x and y in pixels, depth in metres."""
    height, width = camera.size
    flat = points.reshape(len(points), -1, 3)
    matrices = camera.matrices
    clip = flat @ np.swapaxes(matrices[:, :, :3], 1, 2) + matrices[:, None, :, 3]
    depth = clip[..., 3]
    safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
    x = (clip[..., 0] / safe + 1) * width / 2 - 0.5
    y = (1 - clip[..., 1] / safe) * height / 2 - 0.5
    return np.stack([x, y, depth], axis=-1).reshape(points.shape)


def unproject(camera: Camera, points: NDArray[np.floating], *, at: int = 0) -> NDArray[np.float64]:
    """World points (..., 3) of pixels with depth (..., 3) in the picture number ``at``."""
    height, width = camera.size
    x = (points[..., 0] + 0.5) * 2 / width - 1
    y = 1 - (points[..., 1] + 0.5) * 2 / height
    depth = points[..., 2]
    matrix = camera.matrices[at][[0, 1, 3]]
    clip = np.stack([x * depth, y * depth, depth], axis=-1) - matrix[:, 3]
    return clip @ np.linalg.inv(matrix[:, :3]).T
