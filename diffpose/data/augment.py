"""Augmentation: pure functions of arrays and a numpy random generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import (
    Affine,
    apply_affine,
    box_of_points,
    compose_affines,
    crop_box,
    similarity,
)
from diffpose.skeleton import Skeleton
from diffpose.video.crop import cut_crop

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
        aspect: Standard deviation of the logarithm of width to height, of the picture before it
            is turned; cut at 2.5 of them. For pictures whose true aspect is not known for sure.
        low_resolution: Share of crops that lose their detail: 2 to 6 times fewer pixels a side.
        motion_blur: Share of crops blurred along a line of any direction.
        shapes: Share of crops with one or two pasted ellipses or polygons, most with a piece of
            the picture on them.
        second_person: Share of crops into which another person of the same source is pasted, half
            a box away from the person at least.
        compression: Share of windows that are compressed, every frame by itself and with its own
            noise: what is wrong in one frame need not be wrong in the next.
        passing: Share of windows of several frames through which an occluder moves.
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
    aspect: float = 0.0
    low_resolution: float = 0.0
    motion_blur: float = 0.0
    shapes: float = 0.0
    second_person: float = 0.0
    compression: float = 0.0
    passing: float = 0.0


def random_crop(
    box: NDArray[np.floating],
    *,
    size: tuple[int, int],
    config: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[Affine, bool]:
    """A jittered crop around ``box``: affine to the (height, width) crop, and whether mirrored."""
    stretch = np.eye(2, 3)
    if config.aspect > 0:
        stretch = random_stretch(box, config.aspect, rng)
        box = apply_affine(stretch, np.asarray(box).reshape(2, 2)).reshape(4)
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
    return compose_affines(affine, stretch), mirrored


def random_stretch(box: NDArray[np.floating], strength: float, rng: np.random.Generator) -> Affine:
    """Affine that makes a picture wider and as much lower, or the reverse, about a box's centre."""
    factor = np.exp(strength * np.clip(rng.normal(), -2.5, 2.5) / 2)
    centre = np.asarray(box, dtype=np.float64).reshape(2, 2).mean(axis=0)
    linear = np.diag([factor, 1 / factor])
    return np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)


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
    """Occluders, blur and colour of one window (T, H, W, 3).

    Equal for all its frames, but for noise, compression and occluders that pass.
    """
    frames = crops
    if config.passing > 0 and len(frames) > 1 and rng.random() < config.passing:
        frames = _pass_an_occluder(frames, rng)
    if rng.random() < config.occlude:
        frames = _paste_rectangle(frames, rng)
    if config.shapes > 0 and rng.random() < config.shapes:
        for _ in range(int(rng.integers(1, 3))):
            frames = _paste_shape(frames, rng)
    if config.motion_blur > 0 and rng.random() < config.motion_blur:
        kernel = line_kernel(
            length=frames.shape[1] * rng.uniform(0.02, 0.08), angle=rng.uniform(0, np.pi)
        )
        frames = np.stack([cv2.filter2D(frame, -1, kernel) for frame in frames])
    if config.low_resolution > 0 and rng.random() < config.low_resolution:
        frames = _coarsened(frames, rng.uniform(2, 6))
    if rng.random() < config.blur:
        sigma = rng.uniform(0.5, 1.8)
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
    if config.colour > 0:
        frames = _recolour(frames, config.colour, rng)
    if config.compression > 0 and rng.random() < config.compression:
        frames = _compressed(frames, rng)
    return frames


def _pass_an_occluder(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A rectangle that moves through the window at a constant rate, plain or of the picture."""
    count, height, width = crops.shape[:3]
    h, w = (int(side * rng.uniform(0.12, 0.35)) for side in (height, width))
    middle = rng.uniform(0.1, 0.9, 2) * (height, width)
    rate = rng.normal(0, 0.12, 2) * (height, width)  # a frame
    patch: NDArray[np.uint8] = np.full((h, w, 3), rng.integers(0, 256, 3), np.uint8)
    if rng.random() < 0.5:
        y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        patch = crops[count // 2, y : y + h, x : x + w].copy()
    result = crops.copy()
    for step, frame in enumerate(result):
        top, left = (middle + (step - count // 2) * rate - (h / 2, w / 2)).astype(int)
        rows = slice(max(top, 0), max(min(top + h, height), 0))
        columns = slice(max(left, 0), max(min(left + w, width), 0))
        part = frame[rows, columns]
        above, before = max(-top, 0), max(-left, 0)
        part[:] = patch[above : above + part.shape[0], before : before + part.shape[1]]
    return result


def _compressed(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames with noise of their own, through JPEG."""
    quality, noise = int(rng.integers(15, 70)), rng.uniform(0, 8)
    result: list[NDArray[np.uint8]] = []
    for frame in crops:
        grainy = np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
        _, packed = cv2.imencode(".jpg", grainy, [cv2.IMWRITE_JPEG_QUALITY, quality])
        result.append(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8))
    return np.stack(result)


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


def _paste_shape(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """An ellipse or a polygon with a soft edge, plain or with another piece of the picture."""
    height, width = crops.shape[1:3]
    centre = rng.uniform(0, 1, 2) * (width, height)
    radii = rng.uniform(0.05, 0.2, 2) * max(height, width)
    corners = 48 if rng.random() < 0.5 else int(rng.integers(3, 9))
    around = (np.arange(corners) + rng.uniform(0, 0.7, corners)) * 2 * np.pi / corners
    reach = np.ones(corners) if corners == 48 else rng.uniform(0.4, 1.2, corners)
    outline = np.stack([np.cos(around), np.sin(around)], axis=1) * reach[:, None] * radii
    turn = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    polygon = outline @ np.array([[cos, sin], [-sin, cos]]) + centre
    mask = np.zeros((height, width), np.float32)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.5)).astype(np.float32)
    if rng.random() < 0.25:
        texture = np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), crops.shape)
    else:
        shift = rng.uniform(0.25, 0.75, 2) * (height, width)
        texture = np.roll(crops, shift.astype(int).tolist(), axis=(1, 2))[:, :, ::-1]
    return _blended(crops, texture, mask)


def _blended(
    crops: NDArray[np.uint8], layer: NDArray[np.uint8], mask: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """A layer over crops (T, H, W, 3) where the mask (H, W) is 1."""
    over = mask[..., None]
    return np.rint(crops * (1 - over) + layer * over).astype(np.uint8)


def line_kernel(*, length: float, angle: float) -> NDArray[np.float32]:
    """A blur along a line: (n, n) of sum 1, equal to itself turned by half a turn.

    Args:
        length: Of the line, pixels.
        angle: Of the line, radians.
    """
    radius = int(np.ceil(length / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    steps = ((np.arange(8 * radius) + 0.5) / (8 * radius) - 0.5) * length
    place = np.stack([np.sin(angle) * steps, np.cos(angle) * steps], axis=1) + radius
    corner = np.floor(place).astype(int)
    part = place - corner
    for row in (0, 1):
        for column in (0, 1):
            share = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
            at = np.minimum(corner + np.array([row, column]), 2 * radius)
            np.add.at(kernel, (at[:, 0], at[:, 1]), share)
    kernel = (kernel + kernel[::-1, ::-1]) / 2
    return (kernel / kernel.sum()).astype(np.float32)


def _coarsened(crops: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    height, width = crops.shape[1:3]
    small = max(1, round(width / factor)), max(1, round(height / factor))
    frames = [
        cv2.resize(
            cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
            (width, height),
            interpolation=cv2.INTER_LINEAR,
        )
        for frame in crops
    ]
    return np.stack(frames).astype(np.uint8, copy=False)


def paste_person(
    crops: NDArray[np.uint8],
    box: NDArray[np.floating],
    picture: NDArray[np.uint8],
    other: NDArray[np.floating],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Paste another person next to a person or partly over them.

    The other person comes as a soft ellipse, 0.7 to 1.1 times as large, with the middle half a box
    away from the person's at least.

    Args:
        crops: (T, H, W, 3) of the person.
        box: (4,) xyxy around the person in the crops.
        picture: (h, w, 3) of the other person.
        other: (4,) xyxy around the other person in it.
        rng: Says where and how large.
    """
    size = (crops.shape[1], crops.shape[2])
    low, high = np.asarray(box, dtype=np.float64).reshape(2, 2)
    there_low, there_high = np.asarray(other, dtype=np.float64).reshape(2, 2)
    scale = rng.uniform(0.7, 1.1) * max(high - low) / max(1.0, *(there_high - there_low))
    direction = rng.uniform(0, 2 * np.pi)
    away = rng.uniform(0.5, 0.9) * np.array([np.cos(direction), np.sin(direction)])
    middle = (low + high) / 2 + away * (high - low)
    affine = similarity(centre=(there_low + there_high) / 2, scale=scale, angle=0.0, size=size)
    affine[:, 2] += middle - np.array([size[1] - 1, size[0] - 1]) / 2
    rows, columns = np.ogrid[: size[0], : size[1]]
    radii = np.maximum((there_high - there_low) * scale / 2, 1.0)
    distance = np.hypot((columns - middle[0]) / radii[0], (rows - middle[1]) / radii[1])
    mask = np.clip((1.15 - distance) / 0.25, 0, 1).astype(np.float32)
    within = np.full(picture.shape[:2], 255, np.uint8)
    mask *= cv2.warpAffine(within, affine, (size[1], size[0])).astype(np.float32) / 255
    return _blended(crops, cut_crop(picture, affine, size=size)[None], mask)


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
