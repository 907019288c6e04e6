"""Poses of people whose boxes are given in a data set's pictures, as the benchmarks want them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.data.pictures import PictureFolder
from diffpose.geometry import crop_affine
from diffpose.inference.estimator import Estimator
from diffpose.poses import SamplingConfig
from diffpose.skeleton import Skeleton, convert
from diffpose.video.crop import cut_crop

_BATCH = 16


@dataclass(frozen=True)
class BoxedPerson:
    """One pose to estimate.

    Attributes:
        names: T pictures of the window, oldest first; a still is repeated.
        box: (4,) f64 xyxy in the centre picture.
    """

    names: tuple[str, ...]
    box: NDArray[np.float64]

    @property
    def centre(self) -> str:
        """The picture whose pose is wanted."""
        return self.names[len(self.names) // 2]

    @property
    def seed(self) -> int:
        """Depends on nothing but the picture and the box: the order of people changes nothing."""
        return zlib.crc32(self.centre.encode() + self.box.round(2).tobytes()) % 2**31


def estimate_boxed(
    estimator: Estimator,
    pictures: PictureFolder,
    people: Sequence[BoxedPerson],
    sampling: SamplingConfig,
    *,
    skeleton: Skeleton,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Poses in the paper's windows: the box, enlarged by 25 %, crops all T pictures.

    Args:
        estimator: Any.
        pictures: Where the names lead.
        people: N of them; those of neighbouring frames should follow each other.
        sampling: K, E, seed.
        skeleton: Keypoints wanted.
        progress: Receives the finished fraction.

    Returns:
        Keypoints (N, K, 2) in picture pixels and confidence (N, K); NaN where the estimator's
        skeleton lacks the keypoint.
    """
    keypoints: list[NDArray[np.floating]] = [np.zeros((0, len(skeleton), 2))]
    confidence: list[NDArray[np.floating]] = [np.zeros((0, len(skeleton)))]
    for start in range(0, len(people), _BATCH):
        some = people[start : start + _BATCH]
        affines = np.stack([crop_affine(p.box, size=estimator.crop_size) for p in some])
        pairs = zip(some, affines, strict=True)
        crops = np.stack([_window(pictures, p, a, estimator.crop_size) for p, a in pairs])
        seeds = [person.seed for person in some]
        poses = estimator.sample(estimator.encode(crops), affines, sampling, seeds=seeds)
        own = estimator.skeleton
        keypoints.append(convert(poses.keypoints.astype(np.float64), own, skeleton))
        confidence.append(convert(poses.confidence.astype(np.float64), own, skeleton, axis=-1))
        progress((start + len(some)) / len(people))
    return np.concatenate(keypoints), np.concatenate(confidence)


def _window(
    pictures: PictureFolder,
    person: BoxedPerson,
    affine: NDArray[np.float64],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    names = dict.fromkeys(person.names)
    cut = {name: cut_crop(pictures[name], affine, size=size) for name in names}
    return np.stack([cut[name] for name in person.names])
