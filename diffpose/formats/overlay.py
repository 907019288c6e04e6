"""The video with the poses drawn on it, as an MP4 that browsers play; write only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffpose.draw import MIN_CONFIDENCE, draw_pose
from diffpose.errors import CancelledError, FormatError
from diffpose.formats.common import check_sequences
from diffpose.poses import FloatArray, PoseSequence, VideoInfo
from diffpose.privacy import blur_circles
from diffpose.video.encode import write_video


class FrameSource(Protocol):
    """What is needed of `diffpose.video.decode.Video`."""

    @property
    def info(self) -> VideoInfo:
        """What the video holds."""

    def frames(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(index, (H, W, 3) u8 RGB) of the frames from ``start`` to before ``stop``."""


def write_overlay(
    path: Path | str,
    video: FrameSource,
    sequences: Sequence[PoseSequence],
    *,
    min_confidence: float = MIN_CONFIDENCE,
    heads: Mapping[int, FloatArray] = MappingProxyType({}),
    progress: Callable[[float, str], None] = lambda fraction, words: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Write the clip that the sequences cover, with every pose drawn, at the video's own times.

    The clip goes from the first to the last frame that has a pose; frames between without one
    are shown as they are. Its first frame is at 0 s. Memory does not grow with its length.
    Pictures of several sizes are padded with black to the largest. Nothing of the source's
    metadata (place, device, title) goes over.

    Args:
        path: MP4 file to write; an old one is replaced only once the new one is complete.
        video: The video the poses were made from.
        sequences: Tracks, keypoints in video pixels.
        min_confidence: Keypoints below it are drawn hollow.
        heads: Circles (M, 3) to blur by frame, from `diffpose.privacy.heads_by_frame`, before
            anything is drawn; none by default.
        progress: Called with the fraction done and a description.
        cancelled: Asked before every frame; true stops.

    Raises:
        FormatError: There is no pose to draw, or the sequences belong to another video.
        CancelledError: ``cancelled`` said so; nothing is written.
    """
    check_sequences(sequences, video.info)
    covered = [sequence.frames for sequence in sequences if len(sequence)]
    if not covered:
        raise FormatError("Expected poses to draw, got none; run the estimation first.")
    start = min(int(frames[0]) for frames in covered)
    stop = max(int(frames[-1]) for frames in covered) + 1

    def drawn() -> Iterator[NDArray[np.uint8]]:
        rows = [{int(f): row for row, f in enumerate(s.frames)} for s in sequences]
        for index, frame in video.frames(start, stop):
            if cancelled():
                raise CancelledError("The overlay video was cancelled; no file was written.")
            if index in heads:
                frame = blur_circles(frame, heads[index])
            for sequence, row_of in zip(sequences, rows, strict=True):
                if index in row_of:
                    frame = _draw(frame, sequence, row_of[index], min_confidence)
            yield _padded(frame, video.info.size)
            progress((index + 1 - start) / (stop - start), "Drawing the overlay video")

    times_s = video.info.times_s[start:stop]
    write_video(path, drawn(), times_s - times_s[0])


def _draw(
    frame: NDArray[np.uint8], sequence: PoseSequence, row: int, min_confidence: float
) -> NDArray[np.uint8]:
    return draw_pose(
        frame,
        sequence.keypoints[row],
        skeleton=sequence.skeleton,
        confidence=sequence.confidence[row],
        covariance=sequence.covariance[row],
        min_confidence=min_confidence,
    )


def _padded(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frame at the top left of a black (height, width) picture."""
    if frame.shape[:2] == size:
        return frame
    result = np.zeros((*size, 3), dtype=np.uint8)
    result[: frame.shape[0], : frame.shape[1]] = frame
    return result
