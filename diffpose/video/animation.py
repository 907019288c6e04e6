"""Animated WebP pictures, which FFmpeg does not decode, as the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from diffpose.errors import VideoError

MOST_BYTES = 2**30  # all frames are decoded at once


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that begins so, 32 bytes, is an animated WebP picture."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def is_animation(path: Path) -> bool:
    """Whether a file is an animated WebP picture."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_animated_webp(file.read(32))


def animation_times(path: Path) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """When each frame begins, seconds, and (height, width), without decoding.

    Raises:
        VideoError: There is no frame, or so many that they would not fit into memory.
    """
    data = path.read_bytes()
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    durations = [
        int.from_bytes(data[at + 12 : at + 15], "little")
        for kind, at in _chunks(data)
        if kind == b"ANMF"
    ]
    if not durations:
        raise VideoError(
            f"Expected an animated picture with frames, got none in {path.name}; copy it again."
        )
    if len(durations) * height * width * 4 > MOST_BYTES:
        raise VideoError(
            f"Expected an animated picture of at most {MOST_BYTES // 4 // 10**6} million pixels in "
            f"all frames, got {len(durations)} of {width} x {height} in {path.name}; convert it to "
            "MP4."
        )
    # Frames without a duration follow each other as fast as a browser shows them.
    steps = [duration / 1000 if duration > 10 else 0.1 for duration in durations]
    return np.concatenate([[0.0], np.cumsum(steps)[:-1]]), (height, width)


def animation_frames(path: Path) -> Iterator[VideoFrame]:
    """The frames, put together as a browser shows them."""
    try:
        _, animation = cv2.imreadanimation(str(path))
    except cv2.error:
        return
    for picture in animation.frames:
        bgr = np.ascontiguousarray(picture[..., :3], np.uint8)
        yield VideoFrame.from_ndarray(bgr, format="bgr24")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and start of the content of each chunk."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            return
        yield data[at : at + 4], at + 8
        at += 8 + length + length % 2
