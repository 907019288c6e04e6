"""Stand-ins with known answers: a video of bright dots, and a detector and estimator that see dots.

One dot is one person. Everything is exact to a fraction of a pixel and takes milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from diffpose.geometry import apply_affine, invert_affine
from diffpose.poses import SamplingConfig, VideoInfo
from diffpose.skeleton import HALPE26, Skeleton
from diffpose.tracking.associate import Detections

HALF_WIDTH, HALF_HEIGHT = 20.0, 30.0
"""Half the sides of the box around a dot."""

DotPath = Callable[[int], Sequence[tuple[float, float]]]
"""Frame index to the (x, y) of every dot in it."""


def walk(frame: int) -> list[tuple[float, float]]:
    """One dot that moves slowly on a curve."""
    return [(60.0 + 1.5 * frame, 70.0 + 8.0 * float(np.sin(frame / 5)))]


def box_around(dot: tuple[float, float]) -> np.ndarray:
    """The xyxy box of a dot's person."""
    x, y = dot
    return np.array([x - HALF_WIDTH, y - HALF_HEIGHT, x + HALF_WIDTH, y + HALF_HEIGHT])


def draw_dots(
    dots: Sequence[tuple[float, float]], *, size: tuple[int, int], sigma: float = 3.0
) -> np.ndarray:
    """A black picture (H, W, 3) with Gaussian dots, true to a fraction of a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    picture = np.zeros(size)
    for at in dots:
        picture += 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
    return np.repeat(picture.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


class FakeVideo:
    """Dots on black; ``reads`` remembers which frames were read, in order."""

    def __init__(
        self,
        path: DotPath = walk,
        *,
        num_frames: int = 40,
        size: tuple[int, int] = (150, 200),
        names: tuple[str, ...] = (),
        sigma: float = 3.0,
    ) -> None:
        self.path = path
        self.sigma = sigma
        self.reads: list[int] = []
        self.info = VideoInfo(
            path=Path("dots.mp4"),
            video_id=hashlib.sha256(f"dots-{num_frames}".encode()).hexdigest(),
            width=size[1],
            height=size[0],
            times_s=np.arange(num_frames) / 10,
            names=names,
        )

    def __enter__(self) -> FakeVideo:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.info.warnings

    def frame(self, index: int) -> np.ndarray:
        self.reads.append(index)
        return draw_dots(self.path(index), size=self.info.size, sigma=self.sigma)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        for index in range(start, self.info.num_frames if stop is None else stop):
            yield index, self.frame(index)


class FakeDetector:
    """Finds the dots, the boxes of `box_around`; a dim dot has a low score."""

    weights_hash = "fake-detector"

    def __init__(self) -> None:
        self.num_pictures = 0

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        self.num_pictures += len(frames)
        return [self._detect(picture) for picture in frames]

    def _detect(self, picture: np.ndarray) -> Detections:
        bright = (picture[..., 0] > 60).astype(np.uint8)
        count, labels = cv2.connectedComponents(bright)
        dots = [_centroid(picture[..., 0] * (labels == i)) for i in range(1, count)]
        peaks = [picture[..., 0][labels == i].max() / 255 for i in range(1, count)]
        boxes = np.array([box_around((float(x), float(y))) for x, y in dots]).reshape(-1, 4)
        return Detections(boxes.astype(np.float32), np.array(peaks, np.float32))


@dataclass(frozen=True)
class FakePoses:
    """What `diffpose.inference.estimator.PoseBatch` holds."""

    keypoints: np.ndarray
    confidence: np.ndarray
    covariance: np.ndarray
    hypotheses: np.ndarray
    heatmaps: np.ndarray


class FakeFeatures:
    """The crops themselves, (B, T, 3, H, W)."""

    def __init__(self, crops: Tensor) -> None:
        self.crops = crops

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, part: slice | Tensor) -> FakeFeatures:
        return FakeFeatures(self.crops[part])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"crops": self.crops.numpy()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> FakeFeatures:
        return cls(torch.from_numpy(arrays["crops"]))


class FakeEstimator:
    """Keypoint k is the dot in the window's k-th frame; those past T repeat the centre frame's.

    Hypotheses scatter about it by noise of the two seeds, one pixel of the video wide.
    ``num_encoded`` counts the crops that went through the backbone, ``fail_after`` many windows
    the next is an error (a crash).
    """

    model_name = "fake"
    weights_hash = "fake-weights"
    heatmap_size = (16, 12)

    def __init__(
        self,
        *,
        radius: int = 2,
        crop_size: tuple[int, int] = (64, 48),
        skeleton: Skeleton = HALPE26,
        fail_after: int | None = None,
    ) -> None:
        self.radius = radius
        self.crop_size = crop_size
        self.skeleton = skeleton
        self.fail_after = fail_after
        self.num_encoded = 0
        self.num_sampled = 0

    def encode_frames(self, crops: np.ndarray) -> Tensor:
        assert crops.dtype == np.uint8
        assert crops.shape[1:] == (*self.crop_size, 3)
        self.num_encoded += len(crops)
        return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()

    def fuse(self, frame_features: Tensor) -> FakeFeatures:
        assert frame_features.shape[1] == 2 * self.radius + 1
        return FakeFeatures(frame_features)

    def sample(
        self,
        features: FakeFeatures,
        affines: np.ndarray,
        sampling: SamplingConfig,
        *,
        seeds: Sequence[int] | None = None,
    ) -> FakePoses:
        if self.fail_after is not None and self.num_sampled + len(features) > self.fail_after:
            raise MemoryError("the machine went down")
        self.num_sampled += len(features)
        seeds = [0] * len(features) if seeds is None else seeds
        count, num = sampling.num_hypotheses, len(self.skeleton)
        keypoints = np.zeros((len(features), num, 2), np.float32)
        noise = np.zeros((len(features), count, num, 2))
        for b, crops in enumerate(features.crops.numpy()):
            dots = np.stack([_centroid(crop[0].astype(float)) for crop in crops])
            frames = [k if k < len(dots) else self.radius for k in range(num)]
            keypoints[b] = apply_affine(invert_affine(affines[b]), dots[frames])
            rng = np.random.default_rng((sampling.seed, seeds[b]))
            noise[b] = rng.normal(size=(count, num, 2))
        return FakePoses(
            keypoints=keypoints,
            confidence=np.full((len(features), num), 0.75, np.float32),
            covariance=np.einsum("bskx,bsky->bkxy", noise, noise).astype(np.float32) / count,
            hypotheses=(keypoints[:, None] + noise).astype(np.float32),
            heatmaps=np.zeros((len(features), num, *self.heatmap_size), np.float32),
        )


def _centroid(picture: np.ndarray) -> np.ndarray:
    """(x, y) of what is brighter than the grey around a picture; its middle if nothing is."""
    weight = np.clip(picture.astype(float) - 130, 0, None)
    if not weight.any():
        return (np.array(picture.shape[::-1]) - 1) / 2
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
