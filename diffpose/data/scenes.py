"""Training pictures for the person detector: people and rectangles pasted onto photos.

Every picture is a photo with layers: a rendered scene, a picture of people or a still of one
person, moved, mirrored and scaled, with soft edges. Rectangles of other photos are pasted as often
as people are, so that a rectangle's edge says nothing about a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose.data.augment import AugmentConfig, degrade
from diffpose.data.people import PeoplePicture, PeopleSource
from diffpose.geometry import Affine, Size, apply_affine, similarity

Picture = NDArray[np.uint8]

_NOBODY = np.zeros((0, 4), np.float32)
_GREY = 114  # margins of pictures whose sides are no multiples of 32
_MULTIPLE = 32
_LEAST_INSIDE = 0.3  # of a box's area: less of a person than this is not asked for
_LEAST_SIDE_PX = 8.0
_MOST_COVERED = 0.5
_ZOOMS = ((-0.3, 0.5), (-0.3, 0.4), (-0.25, 0.35))  # logarithms, of scenes, crowds and stills


@dataclass(frozen=True)
class SceneMixture:
    """What the detector is trained on.

    Attributes:
        scenes: Rendered scenes; None without.
        crowds: Pictures of any number of people; None without.
        stills: Stills of one person each; None without.
        photos: RGB photos without people; at least one.
        sizes: (height, width) of training pictures, in turn by batch; multiples of 32.
        batch_size: Pictures a batch.
        shares: Of pictures with a scene, a picture of people or a still that fills the canvas,
            pasted stills, nobody.
        augment: Colour and blur; its geometry is not used.
        low_quality: Share of pictures that are shrunk and compressed like old video.
    """

    scenes: PeopleSource | None
    crowds: PeopleSource | None
    stills: PeopleSource | None
    photos: Sequence[Picture]
    sizes: Sequence[Size] = ((192, 256), (256, 192), (160, 256))
    batch_size: int = 16
    shares: tuple[float, float, float, float, float] = (0.4, 0.25, 0.15, 0.15, 0.05)
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(occlude=0.1, blur=0.12, colour=0.35)
    )
    low_quality: float = 0.35


@dataclass(frozen=True)
class SceneBatch:
    """Pictures of one size.

    Attributes:
        pictures: (B, H, W, 3) u8.
        boxes: B arrays (N, 4) f32 xyxy.
        unsure: B arrays (M, 4) f32 xyxy.
    """

    pictures: Tensor
    boxes: tuple[Tensor, ...]
    unsure: tuple[Tensor, ...]


def make_scene_batch(mixture: SceneMixture, *, seed: int, index: int) -> SceneBatch:
    """Batch number ``index`` of a run: depends on the seed and the number only."""
    rng = np.random.default_rng([seed, index])
    size = mixture.sizes[index % len(mixture.sizes)]
    drawn = [_letterboxed(mixture, size, rng) for _ in range(mixture.batch_size)]
    return SceneBatch(
        pictures=torch.from_numpy(np.stack([d.picture for d in drawn])),
        boxes=tuple(torch.from_numpy(d.boxes) for d in drawn),
        unsure=tuple(torch.from_numpy(d.unsure) for d in drawn),
    )


def _letterboxed(mixture: SceneMixture, size: Size, rng: np.random.Generator) -> PeoplePicture:
    """A scene with the grey margin below or at the right that inference may add."""
    bottom, right = rng.integers(0, _MULTIPLE, 2) * (rng.random(2) < 0.25)
    scene = draw_scene(mixture, size=(size[0] - int(bottom), size[1] - int(right)), rng=rng)
    picture = np.full((*size, 3), _GREY, np.uint8)
    picture[: size[0] - bottom, : size[1] - right] = scene.picture
    return PeoplePicture(picture, scene.boxes, scene.unsure)


def draw_scene(mixture: SceneMixture, *, size: Size, rng: np.random.Generator) -> PeoplePicture:
    """One training picture of (height, width) pixels."""
    canvas = _photo_canvas(mixture.photos, size, rng)
    shares = np.array(mixture.shares)
    sources = (mixture.scenes, mixture.crowds, mixture.stills)
    shares *= [source is not None for source in (*sources, mixture.stills, mixture.photos)]
    kind = int(rng.choice(len(shares), p=shares / shares.sum()))
    if kind < len(sources) and (source := sources[kind]) is not None:
        canvas = _paste(canvas, _any(source, rng), _cover(size, rng, zoom=_ZOOMS[kind]))
    else:
        people = int(rng.integers(1, 3)) if kind == len(sources) else 0
        canvas = _paste_many(canvas, mixture, people, rng)
    degraded = degrade(canvas.picture[None], config=mixture.augment, rng=rng)[0]
    if rng.random() < mixture.low_quality:
        degraded = _low_quality(degraded, rng)
    return PeoplePicture(degraded, canvas.boxes, canvas.unsure)


@dataclass(frozen=True)
class _Place:
    """Where a layer goes: its scale is chosen for the layer's own size when it is pasted."""

    size: Size
    rng: np.random.Generator
    zoom: tuple[float, float] | None = None
    body_px: float = 0.0

    def affine(self, layer: PeoplePicture) -> Affine:
        """From the layer's pixels to the canvas's."""
        height, width = layer.picture.shape[:2]
        middle = np.array([width - 1, height - 1]) / 2
        if self.zoom is not None:  # the whole layer, about as large as the canvas
            scale = max(self.size[0] / height, self.size[1] / width)
            scale *= float(np.exp(self.rng.uniform(*self.zoom)))
            room = np.abs(np.array([width, height]) * scale - self.size[::-1]) / 2
            centre = middle + self.rng.uniform(-1, 1, 2) * room / scale
        else:  # a person of known height, anywhere
            body = layer.boxes[0] if len(layer.boxes) else np.array([0, 0, width, height])
            scale = self.body_px / max(body[3] - body[1], body[2] - body[0], 1.0)
            at = (self.rng.uniform(0.08, 0.92, 2) - 0.5) * self.size[::-1]
            centre = (body[:2] + body[2:]) / 2 - at / scale
        mirrored = bool(self.rng.random() < 0.5)
        return similarity(centre=centre, scale=scale, angle=0.0, size=self.size, mirrored=mirrored)


def _cover(size: Size, rng: np.random.Generator, *, zoom: tuple[float, float]) -> _Place:
    return _Place(size, rng, zoom=zoom)


def _any(source: PeopleSource, rng: np.random.Generator) -> PeoplePicture:
    return source[int(rng.integers(len(source)))]


def _photo_canvas(photos: Sequence[Picture], size: Size, rng: np.random.Generator) -> PeoplePicture:
    photo = PeoplePicture(photos[int(rng.integers(len(photos)))], _NOBODY, _NOBODY)
    affine = _cover(size, rng, zoom=(0.02, 0.8)).affine(photo)
    return PeoplePicture(_warp(photo.picture, affine, size), _NOBODY, _NOBODY)


def _paste_many(
    canvas: PeoplePicture, mixture: SceneMixture, people: int, rng: np.random.Generator
) -> PeoplePicture:
    """People and as many rectangles of photos, in any order."""
    size = (canvas.picture.shape[0], canvas.picture.shape[1])
    layers = ["person"] * people + ["photo"] * int(rng.integers(0, people + 2))
    for what in rng.permutation(layers):
        body_px = size[0] * float(np.exp(rng.uniform(np.log(0.22), 0.05)))
        if what == "person" and mixture.stills is not None:
            layer = _trimmed(_any(mixture.stills, rng), rng)
        else:
            photo = mixture.photos[int(rng.integers(len(mixture.photos)))]
            layer = _piece(PeoplePicture(photo, _NOBODY, _NOBODY), rng)
        canvas = _paste(canvas, layer, _Place(size, rng, body_px=body_px))
    return canvas


def _piece(layer: PeoplePicture, rng: np.random.Generator) -> PeoplePicture:
    """A random rectangle of a photo, of the shapes that people have."""
    height, width = layer.picture.shape[:2]
    h, w = (max(8, int(side * rng.uniform(0.25, 1.0))) for side in (height, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return PeoplePicture(layer.picture[top : top + h, left : left + w], _NOBODY, _NOBODY)


def _trimmed(layer: PeoplePicture, rng: np.random.Generator) -> PeoplePicture:
    """The still with a random part of its margin around the person cut off."""
    height, width = layer.picture.shape[:2]
    x1, y1, x2, y2 = layer.boxes[0]
    left, top = int(max(x1, 0) * rng.random()), int(max(y1, 0) * rng.random())
    right = width - int(max(width - 1 - x2, 0) * rng.random())
    bottom = height - int(max(height - 1 - y2, 0) * rng.random())
    offset = np.array([left, top, left, top], np.float32)
    whole = np.array([[0, 0, right - left, bottom - top]], np.float32) - 0.5
    return PeoplePicture(layer.picture[top:bottom, left:right], layer.boxes - offset, whole)


def _paste(canvas: PeoplePicture, layer: PeoplePicture, place: _Place) -> PeoplePicture:
    """Lay a picture over the canvas; boxes move with it, boxes below it may become unsure."""
    size, rng = place.size, place.rng
    affine = place.affine(layer)
    mask = _soft_rectangle(layer.picture.shape[:2], rng)
    cover = cv2.warpAffine(mask, affine, size[::-1], flags=cv2.INTER_LINEAR)[..., None]
    picture = _warp(layer.picture, affine, size)
    mixed = canvas.picture + (picture.astype(np.float32) - canvas.picture) * cover
    boxes, lost = _cut(_moved(layer.boxes, affine), size)
    hidden = _covered(canvas.boxes, cover[..., 0] > 0.5) > _MOST_COVERED
    unsure, _ = _cut(_moved(layer.unsure, affine), size, least_inside=0.0)
    return PeoplePicture(
        np.clip(mixed + 0.5, 0, 255).astype(np.uint8),
        np.concatenate([canvas.boxes[~hidden], boxes]),
        np.concatenate([canvas.unsure, canvas.boxes[hidden], unsure, lost]),
    )


def _warp(picture: Picture, affine: Affine, size: Size) -> Picture:
    scale = float(np.hypot(*affine[:, 0]))
    if scale < 0.6:  # bilinear sampling alone would flicker
        height, width = picture.shape[:2]
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        picture = cv2.resize(picture, inner[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
        sx, sy = width / inner[1], height / inner[0]
        linear = affine[:, :2] * [sx, sy]
        offset = affine[:, 2] + affine[:, :2] @ [(sx - 1) / 2, (sy - 1) / 2]
        affine = np.concatenate([linear, offset[:, None]], axis=1)
    return cv2.warpAffine(
        picture, affine, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def _soft_rectangle(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Opacity of a layer: 1 inside, falling to 0 over a margin of random width."""
    margin = max(0.02, rng.uniform(-0.06, 0.16)) * min(shape[0], shape[1])
    rows, columns = (
        np.clip((np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5) / margin, 0, 1)
        for n in shape[:2]
    )
    return (rows[:, None] * columns[None]).astype(np.float32)


def _moved(boxes: NDArray[np.float32], affine: Affine) -> NDArray[np.float32]:
    """Boxes (N, 4) after a similarity without rotation; corners sorted again if mirrored."""
    corners = apply_affine(affine, boxes.reshape(-1, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def _cut(
    boxes: NDArray[np.float32], size: Size, *, least_inside: float = _LEAST_INSIDE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes cut at the canvas, and the remains of those that are mostly outside or tiny."""
    limits = np.array([size[1], size[0], size[1], size[0]]) - 0.5
    cut = np.clip(boxes, -0.5, limits).astype(np.float32)
    sides = cut[:, 2:] - cut[:, :2]
    inside = sides.prod(axis=1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    kept = (inside >= least_inside) & (sides.max(axis=1, initial=0) >= _LEAST_SIDE_PX)
    visible = sides.prod(axis=1) > 0
    return cut[kept & visible], cut[~kept & visible]


def _covered(boxes: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each box's pixels that a mask covers."""
    shares = np.zeros(len(boxes))
    for i, (x1, y1, x2, y2) in enumerate(np.round(boxes).astype(int)):
        part = mask[max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1]
        shares[i] = part.mean() if part.size else 0.0
    return shares


def _low_quality(picture: Picture, rng: np.random.Generator) -> Picture:
    """Shrunk and enlarged again, then compressed: what small or old video looks like."""
    size = picture.shape[1::-1]
    scale = rng.uniform(0.4, 0.9)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    _, encoded = cv2.imencode(".jpg", back, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
