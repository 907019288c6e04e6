"""One PoseTrack video as arrays: pictures, people, head boxes, areas to ignore."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.formats.common import refuse_twice
from diffpose.skeleton import POSETRACK15

NUM_KEYPOINTS = len(POSETRACK15)
_SEQUENCE = re.compile(r"(\d+)_(mpiinew|mpii|bonn)")
_SEQUENCE_TYPES = {"mpii": 1, "bonn": 2, "mpiinew": 3}

Region = NDArray[np.float64]
"""Corners (P, 2) of a polygon, pixels of the picture."""


@dataclass(frozen=True)
class PoseTrackFrame:
    """One picture of a sequence and the N people annotated or found in it.

    Only ``name`` and ``keypoints`` must be given.

    Attributes:
        name: The picture's file, relative to the data set's folder.
        keypoints: (N, 15, 2) f64 pixels in the order of `POSETRACK15`; NaN where there is none.
        image_id: As in files of 2018.
        labeled: False for a picture that nobody looked at: people in it are unknown.
        scores: (N, 15) f64; NaN where the file has none. Annotations have none.
        visible: (N, 15) bool, false where the file says that a keypoint is occluded.
        boxes: (N, 4) f64 xyxy around the person; NaN where the file has none.
        head_boxes: (N, 4) f64 xyxy around the head, the measure of PoseTrack AP; NaN likewise.
        track_ids: (N,) i64; -1 where the file has none.
        ignore_regions: Areas whose people are not annotated.
        size: (height, width) if the file has it.
    """

    name: str
    keypoints: NDArray[np.float64]
    image_id: int = 0
    labeled: bool = True
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    visible: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    head_boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    track_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ignore_regions: tuple[Region, ...] = ()
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        self._complete("keypoints", (count, NUM_KEYPOINTS, 2), np.float64, np.nan)
        self._complete("scores", (count, NUM_KEYPOINTS), np.float64, np.nan)
        self._complete("visible", (count, NUM_KEYPOINTS), np.bool_, True)
        self._complete("boxes", (count, 4), np.float64, np.nan)
        self._complete("head_boxes", (count, 4), np.float64, np.nan)
        self._complete("track_ids", (count,), np.int64, -1)

    def _complete(self, name: str, shape: tuple[int, ...], dtype: Any, default: Any) -> None:
        value = np.asarray(getattr(self, name), dtype=dtype)
        if value.size == 0:
            value = np.full(shape, default, dtype)
        if value.shape != shape:
            raise FormatError(
                f"Expected {name} of shape {shape} for {self.name}, got {value.shape}."
            )
        value.setflags(write=False)
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(N, 15) true where a keypoint has coordinates."""
        return np.asarray(np.isfinite(self.keypoints).all(axis=-1))


@dataclass(frozen=True)
class PoseTrackSequence:
    """All pictures of one video, in order.

    Attributes:
        name: Of the file, without extension: predictions carry the name of their annotations.
        frames: Labelled and unlabelled.
        year: 2017, 2018 or 2021: which edition the file belongs to.
    """

    name: str
    frames: tuple[PoseTrackFrame, ...]
    year: int = 2018


def posetrack_image_id(sequence: str, frame: int) -> int | None:
    """The id that PoseTrack18 gives a picture: type, six digits of sequence, four of frame.

    >>> posetrack_image_id("009473_mpii_test", 12)
    10094730012

    None for a folder that is not named as PoseTrack names its own.
    """
    found = _SEQUENCE.match(sequence)
    if found is None or len(found[1]) > 6 or not 0 <= frame < 10_000:
        return None
    return _SEQUENCE_TYPES[found[2]] * 10**10 + int(found[1]) * 10**4 + frame


def checked(frame: PoseTrackFrame, file: str) -> PoseTrackFrame:
    """The frame, if its track ids are distinct and its numbers are numbers."""
    where = f"{frame.name} of {file}"
    refuse_twice(frame.track_ids[frame.track_ids >= 0].tolist(), "track id", where)
    half_known = np.isfinite(frame.keypoints).any(axis=-1) != frame.annotated
    if half_known.any() or np.isinf(frame.keypoints).any():
        raise FormatError(f"Expected finite coordinates in {where}, got NaN or infinity.")
    if not all(np.isfinite(region).all() for region in frame.ignore_regions):
        raise FormatError(f"Expected finite corners of ignore regions in {where}.")
    return frame
