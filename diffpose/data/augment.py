"""Augmentation: pure functions of arrays and a numpy random generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import Affine, box_of_points, compose_affines, crop_box, similarity
from diffpose.skeleton import Skeleton

_LOWER = ("hip", "knee", "ankle", "heel", "toe")


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly a training crop differs from the crop that inference would take.

    Attributes:
        rotation: Standard deviation of the rotation, degrees; cut at 90.
        scale: Standard deviation of the logarithm of the scale; cut at 2.5 of them.
        shift: Standard deviation of the shift, in parts of the crop's sides.
        flip: Share of mirrored examples.
        colour: Strength of brightness, contrast and colour changes, 0 to 1.
        occlude: Share of crops with a pasted rectangle.
        blur: Share of blurred crops.
        drift: Camera motion of pseudo-clips a frame, in parts of the crop's sides.
        half_body: Share of crops around the upper or lower half of a person only.
        upend: Share of crops turned by any angle instead, all equally likely: people who stand on
            their hands, lie or fall are few, and a network learns by heart those it sees.
    """

    rotation: float = 30.0
    scale: float = 0.18
    shift: float = 0.05
    flip: float = 0.5
    colour: float = 0.4
    occlude: float = 0.25
    blur: float = 0.15
    drift: float = 0.01
    half_body: float = 0.0
    upend: float = 0.0


def random_crop(
    box: NDArray[np.floating],
    *,
    size: tuple[int, int],
    config: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[Affine, bool]:
    """A jittered crop around ``box``: affine to the (height, width) crop, and whether mirrored."""
    angle = np.deg2rad(np.clip(rng.normal(0, config.rotation), -90, 90))
    if rng.random() < config.upend:
        angle = rng.uniform(-np.pi, np.pi)
        box = turned_box(box, angle)
    x1, y1, x2, y2 = crop_box(box, size=size)
    centre = np.array([x1 + x2, y1 + y2]) / 2
    centre += rng.normal(0, config.shift, 2) * (x2 - x1, y2 - y1)
    log_scale = config.scale * np.clip(rng.normal(), -2.5, 2.5)
    mirrored = bool(rng.random() < config.flip)
    scale = size[1] / (x2 - x1) * float(np.exp(log_scale))
    affine = similarity(centre=centre, scale=scale, angle=angle, size=size, mirrored=mirrored)
    return affine, mirrored


def turned_box(box: NDArray[np.floating], angle: float) -> NDArray[np.float64]:
    """Box (4,) xyxy of what fills ``box``, turned about its centre by an angle in radians.

    The body is taken for the ellipse in its box: people seldom reach into a box's corners.
    """
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
    centre, half = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1]) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.hypot(half * cos, half[::-1] * sin)
    return np.concatenate([centre - turned, centre + turned])


def half_body_box(
    keypoints: NDArray[np.floating],
    skeleton: Skeleton,
    box: NDArray[np.floating],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Box of the upper or lower half of somebody of whom enough is annotated; else ``box``.

    As in the PoseTrack recipes since HRNet: more than eight keypoints known, three of them in the
    chosen half, whose extent is enlarged by half.

    Args:
        keypoints: (K, 2) pixels, NaN where not annotated.
        skeleton: The keypoints.
        box: (4,) xyxy of the whole person.
        rng: Chooses the half.
    """
    known = np.isfinite(keypoints).all(axis=1)
    lower = np.array([any(part in name for part in _LOWER) for name in skeleton.keypoints])
    half = known & (lower if rng.random() < 0.5 else ~lower)
    if known.sum() <= 8 or half.sum() < 3:
        return np.asarray(box, dtype=np.float64)
    x1, y1, x2, y2 = box_of_points(keypoints[half])
    centre = np.array([x1 + x2, y1 + y2]) / 2
    # Three points on a line have no area.
    sides = np.maximum(0.75 * np.array([x2 - x1, y2 - y1]), 1.0)
    return np.concatenate([centre - sides, centre + sides])


def drift_affines(
    affine: Affine,
    *,
    num_frames: int,
    size: tuple[int, int],
    drift: float,
    rng: np.random.Generator,
) -> list[Affine]:
    """Crops of a slowly moving camera about one still: the pseudo-clip of a picture.

    The middle crop is ``affine`` itself; the others turn, zoom and shift at a constant rate.
    """
    rate = rng.normal(0, drift, 4)  # x, y in crop sides; zoom; radians, all a frame
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    result = []
    for step in range(-(num_frames // 2), num_frames // 2 + 1):
        move = similarity(
            centre=middle + step * rate[:2] * (size[1], size[0]),
            scale=float(np.exp(step * rate[2])),
            angle=float(step * rate[3]),
            size=size,
        )
        result.append(compose_affines(move, affine))
    return result


def degrade(
    crops: NDArray[np.uint8], *, config: AugmentConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Occluder, blur and colour of one window (T, H, W, 3), equal for all its frames."""
    frames = crops
    if rng.random() < config.occlude:
        frames = _paste_rectangle(frames, rng)
    if rng.random() < config.blur:
        sigma = rng.uniform(0.5, 1.8)
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
    if config.colour > 0:
        frames = _recolour(frames, config.colour, rng)
    return frames


def _paste_rectangle(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = crops.shape[1:3]
    h, w = (int(side * rng.uniform(0.12, 0.4)) for side in (height, width))
    top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    result = crops.copy()
    if rng.random() < 0.5:
        result[:, top : top + h, left : left + w] = rng.integers(0, 256, 3)
    else:  # a piece of the same picture: harder to tell from the person
        y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        result[:, top : top + h, left : left + w] = crops[:, y : y + h, x : x + w]
    return result


def _recolour(
    crops: NDArray[np.uint8], strength: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    # One 3 x 4 colour matrix: gains, a mix towards grey, an offset; one pass over the pixels.
    gains = np.exp(rng.normal(0, 0.35 * strength) + rng.normal(0, 0.2 * strength, 3))
    grey = rng.uniform(0, 1) ** 2 * strength * 1.5
    grey = 1.0 if rng.random() < 0.1 * strength else min(grey, 1.0)
    mix = (1 - grey) * np.eye(3) + grey / 3
    offset = rng.normal(0, 30 * strength)
    matrix = np.concatenate([np.diag(gains) @ mix, np.full((3, 1), offset)], axis=1)
    flat = crops.reshape(-1, crops.shape[2], 3)
    return cv2.transform(flat, matrix.astype(np.float32)).reshape(crops.shape).astype(np.uint8)
