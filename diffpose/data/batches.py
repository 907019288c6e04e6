"""Batches of training windows, made ahead of the trainer and repeatable from a seed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import get_all_start_methods
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from diffpose.data.augment import (
    AugmentConfig,
    degrade,
    drift_affines,
    half_body_box,
    paste_person,
    random_crop,
)
from diffpose.data.posetrack import PoseTrackSource
from diffpose.data.sources import Example, ShardSource, Source
from diffpose.geometry import Affine, apply_affine, box_of_points, crop_affine, union_box
from diffpose.skeleton import Skeleton
from diffpose.video.crop import cut_crop

Made = TypeVar("Made")


@dataclass(frozen=True)
class Batch:
    """Windows of one size with the truth of their centre frames.

    Attributes:
        crops: (B, T, H, W, 3) u8.
        keypoints: (B, K, 2) f32 crop pixels, NaN where not annotated.
        weights: (B, K) f32 how far each annotation is trusted; None: all fully.
        exact: The annotations are known, not judged: rendered people.
        features: (B, T, C, h, w) f32 what a frozen backbone says of the crops, which are then left
            out; None: nobody has asked it yet.
    """

    crops: Tensor
    keypoints: Tensor
    weights: Tensor | None = None
    exact: bool = False
    features: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            crops=self.crops.to(device),
            keypoints=self.keypoints.to(device),
            weights=moved(self.weights),
            features=moved(self.features),
        )


@dataclass(frozen=True)
class Mixture:
    """What a stage of training reads.

    Attributes:
        sources: Named collections of examples.
        weights: Share of the batches that comes from each source.
        num_frames: T; 1 for single frames.
        crop_size: (height, width) of the crops.
        batch_size: Windows a batch.
        skeleton: For mirroring.
        augment: Strength of the augmentation.
        still_frames: T of windows from stills: 1 repeats the features, T drifts the camera.
    """

    sources: Sequence[Source]
    weights: Sequence[float]
    num_frames: int
    crop_size: tuple[int, int]
    batch_size: int
    skeleton: Skeleton
    augment: AugmentConfig
    still_frames: int = 1


def make_batch(mixture: Mixture, *, seed: int, index: int) -> Batch:
    """Batch number ``index`` of a run: depends on the seed and the number only."""
    rng = np.random.default_rng([seed, index])
    shares = np.asarray(mixture.weights, dtype=np.float64)
    source = mixture.sources[int(rng.choice(len(shares), p=shares / shares.sum()))]
    windows = [_draw(source, mixture, rng) for _ in range(mixture.batch_size)]
    return Batch(
        crops=torch.from_numpy(np.stack([crops for crops, _, _ in windows])),
        keypoints=torch.from_numpy(np.stack([points for _, points, _ in windows])),
        weights=torch.from_numpy(np.stack([weights for _, _, weights in windows])),
        exact=isinstance(source, ShardSource),
    )


def _draw(
    source: Source, mixture: Mixture, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = int(rng.integers(len(source)))
    example = _window_of(source, index, mixture.num_frames, rng)
    size = mixture.crop_size
    box = union_box(example.boxes)
    if mixture.augment.half_body > 0 and rng.random() < mixture.augment.half_body:
        box = half_body_box(example.keypoints[len(example.frames) // 2], mixture.skeleton, box, rng)
    affine, mirrored = random_crop(box, size=size, config=mixture.augment, rng=rng)
    if len(example.frames) > 1 or mixture.still_frames == 1:
        affines = [affine] * len(example.frames)
        frames = example.frames
    else:
        count = mixture.still_frames
        drift = mixture.augment.drift
        affines = drift_affines(affine, num_frames=count, size=size, drift=drift, rng=rng)
        frames = example.frames * count
    crops = np.stack([cut_crop(f, a, size=size) for f, a in zip(frames, affines, strict=True)])
    centre = len(example.frames) // 2
    points = apply_affine(affine, example.keypoints[centre]).astype(np.float32)
    weights = np.ones(len(points), np.float32) if example.weights is None else example.weights
    if mirrored:
        points, weights = points[mixture.skeleton.mirror], weights[mixture.skeleton.mirror]
    crowd = mixture.augment.second_person
    if crowd > 0 and rng.random() < crowd:
        crops = _with_a_second_person(crops, _extent(affine, box), source, rng)
    return degrade(crops, config=mixture.augment, rng=rng), points, weights


def _extent(affine: Affine, box: np.ndarray) -> np.ndarray:
    """Box (4,) of a box's corners in the crop."""
    return box_of_points(apply_affine(affine, box[[[0, 1], [2, 1], [0, 3], [2, 3]]]))


def _with_a_second_person(
    crops: np.ndarray, box: np.ndarray, source: Source, rng: np.random.Generator
) -> np.ndarray:
    other = _window_of(source, int(rng.integers(len(source))), 1, rng)
    return paste_person(crops, box, other.frames[0], union_box(other.boxes), rng)


def _window_of(source: Source, index: int, num_frames: int, rng: np.random.Generator) -> Example:
    if isinstance(source, PoseTrackSource):
        return source.around(index, num_frames)
    if not isinstance(source, ShardSource):
        return source[index]
    length = source.num_frames(index)
    centre = int(rng.integers(length))
    radius = num_frames // 2
    # At a clip's ends the nearest frame is repeated, as inference does.
    rows = np.clip(np.arange(centre - radius, centre + radius + 1), 0, length - 1)
    return source.window(index, [int(row) for row in rows])


def prefetch(
    mixture: Mixture, *, seed: int, first: int, stride: int = 1, ahead: int = 4, workers: int = 0
) -> Iterator[Batch]:
    """Batches ``first``, ``first + stride``, ... made while the trainer computes.

    Args:
        mixture: What they are made from.
        seed: Of the run.
        first: Number of the first batch.
        stride: From one to the next.
        ahead: Batches that are ready, at most; of every worker.
        workers: Processes that make them; 0: a thread.
    """
    if workers == 0:
        return make_ahead(
            lambda index: make_batch(mixture, seed=seed, index=index),
            first=first,
            stride=stride,
            ahead=ahead,
        )
    return _from_workers(mixture, seed, _Numbers(first, stride), ahead=ahead, workers=workers)


def _from_workers(
    mixture: Mixture, seed: int, numbers: Sampler[int], *, ahead: int, workers: int
) -> Iterator[Batch]:
    """Batches in the order of their numbers; closing the iterator ends the processes."""
    loader: DataLoader[Batch] = DataLoader(
        _Numbered(mixture, seed),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=ahead,
        # Forked workers share the pictures that are in memory; OpenCV's threads do not survive it.
        multiprocessing_context="fork" if "fork" in get_all_start_methods() else None,
        worker_init_fn=_one_thread,
    )
    yield from loader


@dataclass(frozen=True)
class _Numbered(Dataset[Batch]):
    """Batches by number, for PyTorch's loader."""

    mixture: Mixture
    seed: int

    def __getitem__(self, index: int) -> Batch:
        return make_batch(self.mixture, seed=self.seed, index=index)


@dataclass(frozen=True)
class _Numbers(Sampler[int]):
    """first, first + stride, and so on without end."""

    first: int
    stride: int

    def __iter__(self) -> Iterator[int]:
        return count(self.first, self.stride)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


_LONGEST_BATCH_S = 10.0  # waited for, at most, when nobody wants more


def make_ahead(
    make: Callable[[int], Made], *, first: int, stride: int = 1, ahead: int = 4
) -> Iterator[Made]:
    """``make(first)``, ``make(first + stride)``, ... made in a thread, ``ahead`` at most."""
    ready: queue.Queue[Made | BaseException] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def offer(item: Made | BaseException) -> bool:
        """Hand over an item; false if nobody wants any more."""
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        index = first
        try:
            while offer(make(index)):
                index += stride
        except BaseException as error:  # handed to the trainer, which would wait for ever
            offer(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        # A thread that is still at work when Python ends takes the process down with it.
        thread.join(_LONGEST_BATCH_S)


def evaluation_batches(
    source: Source, *, crop_size: tuple[int, int], num_frames: int, batch_size: int
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Every example once, without augmentation.

    Yields:
        The batch, its affines (B, 2, 3) from picture to crop, and its true keypoints (B, K, 2)
        in picture pixels.
    """
    for start in range(0, len(source), batch_size):
        crops, affines, truths = [], [], []
        for index in range(start, min(start + batch_size, len(source))):
            example = _centre_window(source, index, num_frames)
            affine = crop_affine(union_box(example.boxes), size=crop_size)
            crops.append(np.stack([cut_crop(f, affine, size=crop_size) for f in example.frames]))
            affines.append(affine)
            truths.append(example.keypoints[len(example.frames) // 2])
        points = [
            apply_affine(a, t).astype(np.float32) for a, t in zip(affines, truths, strict=True)
        ]
        batch = Batch(torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(points)))
        yield batch, np.stack(affines), np.stack(truths)


def _centre_window(source: Source, index: int, num_frames: int) -> Example:
    if isinstance(source, PoseTrackSource):
        return source.around(index, num_frames)
    if not isinstance(source, ShardSource):
        return source[index]
    centre = source.num_frames(index) // 2
    radius = num_frames // 2
    rows = np.clip(np.arange(centre - radius, centre + radius + 1), 0, source.num_frames(index) - 1)
    return source.window(index, [int(row) for row in rows])
