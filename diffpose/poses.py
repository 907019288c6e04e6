"""The records that pass between layers: frozen dataclasses of arrays that check themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError, SettingsError
from diffpose.skeleton import Skeleton

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


_BY_ROW = ("frames", "keypoints", "confidence", "covariance", "origin")


class Origin(IntEnum):
    """Where a keypoint of a pose comes from."""

    PREDICTED = 0
    CORRECTED = 1
    INTERPOLATED = 2
    RESAMPLED = 3  # by the model, given what the reviewer has placed


class _Record:
    """Makes array fields read-only and prints shapes instead of numbers."""

    def _freeze(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def _cast(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> None:
        value = np.array(getattr(self, name), dtype=dtype)
        fits = len(value.shape) == len(shape) and all(
            want is None or want == got for want, got in zip(shape, value.shape, strict=True)
        )
        if not fits:
            raise FormatError(
                f"Expected {type(self).__name__}.{name} of shape {shape}, got {value.shape}."
            )
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        parts = []
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value = f"{value.dtype}{value.shape}"
            elif isinstance(value, Skeleton):
                value = value.name
            parts.append(f"{item.name}={value}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class VideoInfo(_Record):
    """What a video file holds, measured by reading its packets, not trusted from its header.

    Attributes:
        path: The file (or the folder of images).
        video_id: Hash of the content: the same video under another name has the same id.
        width: Display pixels, which are square: after rotation, the pixels' aspect applied.
        height: Display pixels.
        times_s: (N,) f64 presentation time of every frame, seconds, first frame at 0.
        warnings: One sentence for each thing the file has lost.
        names: (N,) file names when the input is pictures that have nothing to do with each
            other; empty for a video.
        stored_size: (height, width) after rotation as the file stores its pictures, where they
            are stretched to square pixels or mirrored to be shown; else None.
        notes: One sentence for each thing the user should know that is no loss.
    """

    path: Path
    video_id: str
    width: int
    height: int
    times_s: FloatArray
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    stored_size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._cast("times_s", np.float64, (None,))
        self._freeze()

    @property
    def num_frames(self) -> int:
        """N."""
        return len(self.times_s)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def fps(self) -> float:
        """Frames a second: the mean, or the median where steps differ; 30 for a single picture.

        Containers with millisecond times make equal steps look unequal by a millisecond.
        """
        if self.num_frames < 2:
            return 30.0
        steps = np.diff(self.times_s)
        typical, mean = float(np.median(steps)), float(np.mean(steps))
        even = float(np.abs(steps - mean).max()) <= 2e-3
        return 1.0 / max(mean if even else typical, 1e-6)


@dataclass(frozen=True, repr=False)
class Track(_Record):
    """One person's boxes through a video.

    Attributes:
        track_id: Identity, stable through the video; 0 is a valid identity.
        frames: (N,) i32 increasing frame indices.
        boxes: (N, 4) f32 xyxy, video pixels.
        scores: (N,) f32 detector scores; 1 for a box a person drew.
    """

    track_id: int
    frames: IntArray
    boxes: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        self._cast("frames", np.int32, (None,))
        count = len(self.frames)
        self._cast("boxes", np.float32, (count, 4))
        self._cast("scores", np.float32, (count,))
        if np.any(np.diff(self.frames) <= 0):
            raise FormatError(f"Expected increasing frames in track {self.track_id}.")
        self._freeze()


@dataclass(frozen=True, repr=False)
class Window(_Record):
    """The frames that one pose is computed from, and the crop they share.

    Attributes:
        video_id: Which video.
        track_id: Whose window.
        frames: (T,) i32 frame indices, oldest first; the middle one is the centre frame.
        crop: (2, 3) f64 affine from video pixels to crop pixels.
    """

    video_id: str
    track_id: int
    frames: IntArray
    crop: FloatArray

    def __post_init__(self) -> None:
        self._cast("frames", np.int32, (None,))
        self._cast("crop", np.float64, (2, 3))
        if len(self.frames) % 2 == 0:
            raise FormatError(f"Expected an odd number of frames in a window, got {self.frames}.")
        self._freeze()

    @property
    def centre(self) -> int:
        """The frame whose pose the window yields."""
        return int(self.frames[len(self.frames) // 2])

    @property
    def key(self) -> str:
        """Hash of everything the features of this window depend on, for the cache."""
        content = (
            f"{self.video_id}/{self.track_id}".encode()
            + self.frames.tobytes()
            + self.crop.tobytes()
        )
        return hashlib.sha256(content).hexdigest()[:32]


@dataclass(frozen=True, repr=False)
class Hypotheses(_Record):
    """S sampled poses of one person in one frame.

    Attributes:
        frame: Frame index.
        keypoints: (S, K, 2) f32, video pixels.
        confidence: (S, K) f32, 0 to 1.
    """

    frame: int
    keypoints: FloatArray
    confidence: FloatArray

    def __post_init__(self) -> None:
        self._cast("keypoints", np.float32, (None, None, 2))
        self._cast("confidence", np.float32, self.keypoints.shape[:2])
        self._freeze()


@dataclass(frozen=True, repr=False)
class PoseSequence(_Record):
    """The poses of one person through a video, with uncertainty: where every layer meets.

    Attributes:
        skeleton: The K keypoints.
        track_id: Whose poses.
        frames: (N,) i32 increasing frame indices.
        keypoints: (N, K, 2) f32 video pixels; NaN where unknown.
        confidence: (N, K) f32, 0 to 1; NaN where a person placed the keypoint.
        covariance: (N, K, 2, 2) f32 px^2; NaN where unknown.
        origin: (N, K) u8, values of `Origin`; all predicted if not given.
    """

    skeleton: Skeleton
    track_id: int
    frames: IntArray
    keypoints: FloatArray
    confidence: FloatArray
    covariance: FloatArray
    origin: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    def __post_init__(self) -> None:
        self._cast("frames", np.int32, (None,))
        count, num = len(self.frames), len(self.skeleton)
        self._cast("keypoints", np.float32, (count, num, 2))
        self._cast("confidence", np.float32, (count, num))
        self._cast("covariance", np.float32, (count, num, 2, 2))
        if self.origin.size == 0:
            object.__setattr__(self, "origin", np.zeros((count, num), np.uint8))
        self._cast("origin", np.uint8, (count, num))
        if np.any(np.diff(self.frames) <= 0):
            raise FormatError(f"Expected increasing frames in track {self.track_id}.")
        self._freeze()

    def __len__(self) -> int:
        return len(self.frames)

    def rows(self, chosen: slice | NDArray[np.bool_] | IntArray) -> PoseSequence:
        """The poses of some rows."""
        parts: dict[str, Any] = {name: getattr(self, name)[chosen] for name in _BY_ROW}
        return replace(self, **parts)

    @property
    def radius(self) -> NDArray[np.float32]:
        """(N, K) one-number uncertainty: root of the mean of the two variances, pixels."""
        trace = self.covariance[..., 0, 0] + self.covariance[..., 1, 1]
        return np.sqrt(np.maximum(trace, 0) / 2)


@dataclass(frozen=True)
class SamplingConfig:
    """How often the denoiser is called and for how many noise samples (paper, section 3.3).

    Attributes:
        num_steps: K, calls of the denoiser a hypothesis, 1 to 50.
        num_hypotheses: E, noise samples, 1 to 64.
        seed: Seed of the noise; equal seeds give equal poses on one machine.
    """

    num_steps: int = 4
    num_hypotheses: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= 50:
            raise SettingsError(f"Denoising steps must be 1 to 50, got {self.num_steps}.")
        if not 1 <= self.num_hypotheses <= 64:
            raise SettingsError(f"Ensemble size must be 1 to 64, got {self.num_hypotheses}.")
        if not 0 <= self.seed < 2**31:
            raise SettingsError(f"The seed must be 0 to {2**31 - 1}, got {self.seed}.")


@dataclass(frozen=True)
class Provenance:
    """How poses were made: written into every export.

    Attributes:
        model: Name of the model's preset.
        weights: Hash of the weights file.
        num_steps: K.
        num_hypotheses: E.
        seed: Seed of the noise.
        extra: Anything else worth keeping, JSON values only.
    """

    model: str
    weights: str
    num_steps: int
    num_hypotheses: int
    seed: int
    extra: Mapping[str, Any] = field(default_factory=dict)
