"""Teachers: networks that look at square crops of a person, and the views they are shown.

A view turns, scales, mirrors or stretches what a teacher sees; the answers come back in picture
pixels with left and right as they are on the person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose.data.augment import turned_box
from diffpose.folding import kept_in_bf16, native_bf16
from diffpose.geometry import Affine, apply_affine, compose_affines, invert_affine, similarity
from diffpose.inference.estimator import Estimator
from diffpose.inference.look import look_at_crops
from diffpose.movenet import STRIDE, MoveNet, normalise, person_logits
from diffpose.skeleton import COCO17, HALPE26, Skeleton, convert
from diffpose.video.crop import cut_crop

SIDE = 256  # pixels of the crops that MoveNet Thunder was trained with

Answers = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Keypoints (N, K, 2), NaN where the teacher does not know the keypoint, and scores (N, K) 0..1."""

Picture = NDArray[np.uint8]


class Teacher(Protocol):
    """Something that finds the keypoints of the person in the middle of a crop."""

    @property
    def name(self) -> str:
        """Names teacher and weights: equal names give equal answers."""

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints it finds."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crops it wants."""

    def __call__(self, crops: NDArray[np.uint8]) -> Answers:
        """Answers for crops (N, H, W, 3) RGB, in crop pixels."""


class MoveNetTeacher:
    """A single-person MoveNet.

    Args:
        network: With all four heads of a pose.
        name: Names the weights.
        both_sides: Average the heatmaps of every crop and of its mirror image.
        side: Of the crops, a multiple of 32.
    """

    skeleton = COCO17

    def __init__(
        self, network: MoveNet, *, name: str, both_sides: bool = False, side: int = SIDE
    ) -> None:
        network = kept_in_bf16(network.eval()) if native_bf16() else network.eval()
        self.network = network.to(memory_format=torch.channels_last)
        self.name = f"{name}-{side}" + ("-both-sides" if both_sides else "")
        self.size, self.both_sides = (side, side), both_sides

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8]) -> Answers:
        """Answers for crops (N, H, W, 3) RGB, in crop pixels."""
        pictures = normalise(torch.from_numpy(crops)).contiguous(memory_format=torch.channels_last)
        maps = _maps(self.network, pictures)
        if self.both_sides:
            mirrored = _maps(self.network, pictures.flip(3))
            maps = maps.averaged_with(mirrored.mirrored(self.skeleton))
        points, scores = maps.decode()
        return points.numpy(), scores.numpy()


@dataclass(frozen=True)
class _Maps:
    """What a MoveNet says of N crops, cell by cell.

    Attributes:
        choice: (N, 17, h, w) heatmaps weighted by the nearness to the middle person's pose.
        heatmap: (N, 17, h, w) probabilities.
        offset: (N, 17, 2, h, w) where in its cell a keypoint lies, x before y, cells.
    """

    choice: Tensor
    heatmap: Tensor
    offset: Tensor

    def mirrored(self, skeleton: Skeleton) -> _Maps:
        order = torch.from_numpy(skeleton.mirror)
        offset = self.offset[:, order].flip(4)
        turned = torch.stack([1 - offset[:, :, 0], offset[:, :, 1]], dim=2)
        return _Maps(self.choice[:, order].flip(3), self.heatmap[:, order].flip(3), turned)

    def averaged_with(self, other: _Maps) -> _Maps:
        return _Maps(
            (self.choice + other.choice) / 2,
            (self.heatmap + other.heatmap) / 2,
            (self.offset + other.offset) / 2,
        )

    def decode(self) -> tuple[Tensor, Tensor]:
        width = self.choice.shape[3]
        cell = self.choice.flatten(2).argmax(dim=2)
        scores = self.heatmap.flatten(2).gather(2, cell[..., None])[..., 0]
        ways = self.offset.flatten(3)
        way = ways.gather(3, cell[:, :, None, None].expand(-1, -1, 2, 1))[..., 0]
        place = torch.stack([cell % width, cell // width], dim=-1) + way
        return place * STRIDE - 0.5, scores


def _maps(network: MoveNet, pictures: Tensor) -> _Maps:
    with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16()):
        heads = network(pictures)
    offset = heads["offset"].float().unflatten(1, (-1, 2)).flip(2)
    return _Maps(person_logits(heads).exp(), heads["heatmap"].float().sigmoid(), offset)


class EstimatorTeacher:
    """Our own weights as a teacher: one hypothesis in one step.

    Args:
        estimator: Sees every crop as a window of one repeated picture.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self.name, self.skeleton = estimator.weights_hash, estimator.skeleton
        self.size = estimator.crop_size

    def __call__(self, crops: NDArray[np.uint8]) -> Answers:
        """Answers for crops (N, H, W, 3) RGB, in crop pixels."""
        unmoved = np.tile(np.eye(2, 3), (len(crops), 1, 1))
        poses = look_at_crops(self.estimator, crops, unmoved)
        return poses.keypoints, poses.confidence


@dataclass(frozen=True)
class View:
    """How a teacher is shown a person.

    Attributes:
        angle: Degrees that the picture is turned by, clockwise.
        scale: Side of the crop in longer sides of the person's box.
        mirrored: Whether left and right are exchanged.
        aspect: Factor on the picture's width, which un-stretches it.
    """

    angle: float = 0.0
    scale: float = 1.25
    mirrored: bool = False
    aspect: float = 1.0

    def affine(self, box: NDArray[np.floating], *, size: tuple[int, int]) -> Affine:
        """From picture pixels to the pixels of a (height, width) crop around ``box``."""
        stretch = np.array([[self.aspect, 0.0, 0.0], [0.0, 1.0, 0.0]])
        x1, y1, x2, y2 = np.asarray(box, dtype=np.float64) * [self.aspect, 1, self.aspect, 1]
        angle = np.deg2rad(self.angle)
        turned = turned_box(np.array([x1, y1, x2, y2]), angle)
        sides = (turned[2:] - turned[:2]) * self.scale
        if size[0] == size[1]:  # a square of the box's own longer side, as MoveNet was trained
            sides = np.full(2, max(x2 - x1, y2 - y1) * self.scale)
        scale = float(min(size[1] / sides[0], size[0] / sides[1]))
        turn = similarity(
            centre=((x1 + x2) / 2, (y1 + y2) / 2),
            scale=scale,
            angle=float(angle),
            size=size,
            mirrored=self.mirrored,
        )
        return compose_affines(turn, stretch)


@dataclass(frozen=True)
class Look:
    """One view of one person to be asked about.

    Attributes:
        picture: (H, W, 3) RGB.
        box: (4,) xyxy around the person, picture pixels.
        view: How to show it.
    """

    picture: Picture
    box: NDArray[np.floating]
    view: View


def ask(
    teacher: Teacher, looks: Sequence[Look], *, skeleton: Skeleton = HALPE26, batch_size: int = 16
) -> Answers:
    """A teacher's answers to N looks, in picture pixels.

    Args:
        teacher: Any.
        looks: May be of different pictures.
        skeleton: Keypoints wanted.
        batch_size: Crops that the teacher sees at once.

    Returns:
        Keypoints (N, K, 2) and scores (N, K); NaN and 0 where the teacher lacks the keypoint.
    """
    size = teacher.size
    points = np.full((len(looks), len(skeleton), 2), np.nan, np.float32)
    scores = np.zeros((len(looks), len(skeleton)), np.float32)
    for start in range(0, len(looks), batch_size):
        some = looks[start : start + batch_size]
        affines = [look.view.affine(look.box, size=size) for look in some]
        crops = np.stack(
            [cut_crop(k.picture, a, size=size) for k, a in zip(some, affines, strict=True)]
        )
        found, stated = teacher(crops)
        for row, (look, affine) in enumerate(zip(some, affines, strict=True)):
            pose = apply_affine(invert_affine(affine), found[row])
            score = stated[row]
            if look.view.mirrored:
                pose, score = pose[teacher.skeleton.mirror], score[teacher.skeleton.mirror]
            points[start + row] = convert(pose, teacher.skeleton, skeleton)
            scores[start + row] = np.nan_to_num(convert(score, teacher.skeleton, skeleton, axis=-1))
    return points, scores


def as_coco_results(
    teacher: Teacher,
    names: Sequence[str],
    looks: Iterable[Look],
    *,
    batch_size: int = 16,
    progress: Callable[[float, str], None] = lambda done, words: None,
) -> list[dict[str, object]]:
    """COCO keypoint results of one person in each of N pictures.

    `diffpose data check-annotations` reads them.

    Args:
        teacher: Best with ``both_sides``: one look is all it gets.
        names: N file names.
        looks: The person in each; may be made while they are asked for.
        batch_size: Crops that the teacher sees at once.
        progress: Called with the finished fraction and a description.
    """
    entries: list[dict[str, object]] = []
    waiting: list[Look] = []

    def answer() -> None:
        points, scores = ask(teacher, waiting, skeleton=COCO17, batch_size=batch_size)
        for pose, score in zip(points, scores, strict=True):
            triplets = np.concatenate([pose, score[:, None]], axis=1)
            entries.append(
                {
                    "file_name": names[len(entries)],
                    "category_id": 1,
                    "keypoints": [round(float(value), 3) for value in triplets.ravel()],
                    "score": round(float(score.mean()), 4),
                }
            )
        waiting.clear()
        progress(len(entries) / len(names), f"{len(entries)} of {len(names)} people")

    for look in looks:
        waiting.append(look)
        if len(waiting) == batch_size:
            answer()
    if waiting:
        answer()
    return entries
