"""What the pipeline asks of a video, a person detector and an estimator; tests bring their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffpose.geometry import Size
from diffpose.poses import FloatArray, SamplingConfig, VideoInfo
from diffpose.skeleton import Skeleton
from diffpose.tracking.associate import Detections

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""

Progress = Callable[[float, str], None]
"""Called with the finished fraction, 0 to 1, and words for the user."""

Cancelled = Callable[[], bool]
"""True once the user wants the work to stop."""


class FrameSource(Protocol):
    """A video or pictures, read by frame index."""

    @property
    def info(self) -> VideoInfo:
        """What the file holds."""

    def frame(self, index: int) -> Picture:
        """One frame."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Picture]]:
        """Index and picture of every frame of a range, in order."""


class PersonFinder(Protocol):
    """Finds people in pictures."""

    @property
    def weights_hash(self) -> str:
        """Names the weights: equal hashes give equal detections."""

    def detect(self, frames: Sequence[Picture]) -> list[Detections]:
        """Boxes and scores of the people in each picture."""


class WindowFeatures(Protocol):
    """What the decoder needs to know of B windows."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice | Tensor) -> WindowFeatures: ...

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The features as arrays, for their size and for keeping them."""


class Poses(Protocol):
    """Poses of B windows: `diffpose.inference.estimator.PoseBatch`."""

    @property
    def keypoints(self) -> FloatArray:
        """(B, K, 2) video pixels."""

    @property
    def confidence(self) -> FloatArray:
        """(B, K), 0 to 1."""

    @property
    def covariance(self) -> FloatArray:
        """(B, K, 2, 2) px^2."""

    @property
    def hypotheses(self) -> FloatArray:
        """(B, S, K, 2) video pixels."""

    @property
    def heatmaps(self) -> FloatArray:
        """(B, K, h, w), 0 to 1: mean of the ensemble."""


class PoseEstimator(Protocol):
    """The network on a device: `diffpose.inference.estimator.Estimator`."""

    @property
    def skeleton(self) -> Skeleton:
        """The K keypoints."""

    @property
    def model_name(self) -> str:
        """Name of the preset."""

    @property
    def weights_hash(self) -> str:
        """Names the weights."""

    @property
    def radius(self) -> int:
        """Frames of a window on either side of its centre frame."""

    @property
    def crop_size(self) -> Size:
        """(H, W) of the crops."""

    def encode_frames(self, crops: NDArray[np.uint8]) -> Tensor:
        """Features (V, C, h, w) of crops (V, H, W, 3) RGB: the costly part, once a frame."""

    def fuse(self, frame_features: Tensor) -> Any:
        """`WindowFeatures` of B windows from (B, T, C, h, w)."""

    def sample(
        self,
        features: Any,
        affines: NDArray[np.float64],
        sampling: SamplingConfig,
        *,
        seeds: Sequence[int] | None = None,
    ) -> Poses:
        """Poses of B windows; noise depends on ``sampling.seed`` and the window's seed only."""
