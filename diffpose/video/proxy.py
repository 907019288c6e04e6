"""The frames of a video as JPEG files, which a browser shows exactly and without delay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.errors import CancelledError, DiffPoseError, SettingsError
from diffpose.video.decode import Video

_MANIFEST = "proxy.json"


@dataclass(frozen=True)
class FrameProxy:
    """A folder of JPEG files, one a frame.

    Attributes:
        folder: Where they are, named by `frame_path`.
        count: How many frames of the range asked for are there: all of them.
        width: Pixels of a proxy frame (the largest, for pictures of several sizes).
        height: Pixels of a proxy frame.
        scale: Proxy pixels per video pixel, at most 1, the same for all frames.
    """

    folder: Path
    count: int
    width: int
    height: int
    scale: float


def frame_path(folder: Path, index: int) -> Path:
    """The file of one frame."""
    return folder / f"{index:06d}.jpg"


def write_frames(
    video: Video,
    folder: str | Path,
    *,
    start: int = 0,
    stop: int | None = None,
    max_side: int = 960,
    quality: int = 85,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> FrameProxy:
    """Write one JPEG a frame; frames already there are kept, so a stopped run resumes.

    A folder that holds the frames of another video, or at another size or quality, is emptied of
    them first. Each file appears under its name only when it is complete.

    Args:
        video: Where the frames come from.
        folder: Made if missing.
        start: First frame.
        stop: One past the last frame; the video's end if not given.
        max_side: The longer side at most, pixels.
        quality: Of the JPEG, 1 to 100.
        progress: Called with the fraction done and words for it.
        cancelled: Asked before every frame.

    Raises:
        SettingsError: ``max_side`` or ``quality`` is out of range.
        CancelledError: ``cancelled`` said so; the files written remain.
        VideoError: The video cannot be read.
        DiffPoseError: A file cannot be written, as on a full disk.
    """
    if max_side < 16 or not 1 <= quality <= 100:
        raise SettingsError(
            f"Expected a side of 16 or more and a quality of 1 to 100, got {max_side}, {quality}."
        )
    folder = Path(folder)
    info = video.info
    scale = min(1.0, max_side / max(info.size))
    height, width = _scaled(info.size, scale)
    stop = info.num_frames if stop is None else min(stop, info.num_frames)
    count = max(0, stop - start)
    try:
        _prepare(folder, {"video_id": info.video_id, "max_side": max_side, "quality": quality})
        missing = [i for i in range(start, stop) if not frame_path(folder, i).exists()]
        done = count - len(missing)
        for first, last in _runs(missing):
            for index, image in video.frames(first, last + 1):
                if cancelled():
                    raise CancelledError(
                        f"Preparing the frames was stopped after {done} of {count}."
                    )
                _write_jpeg(frame_path(folder, index), image, scale, quality)
                done += 1
                progress(done / count, f"Frame {done} of {count}")
    except OSError as error:
        raise DiffPoseError(
            f"Expected room for the frames of {info.path.name}, got '{error.strerror}' while "
            f"writing to {folder.name}; free some space or choose another folder."
        ) from error
    return FrameProxy(folder=folder, count=count, width=width, height=height, scale=scale)


def _prepare(folder: Path, manifest: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _MANIFEST
    try:
        same = json.loads(path.read_text()) == manifest
    except (OSError, ValueError):
        same = False
    if same:
        return
    path.unlink(missing_ok=True)
    for old in folder.glob("[0-9]*.jpg"):
        old.unlink()
    _replace(path, json.dumps(manifest).encode())


def _runs(indices: list[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = runs[-1][0], index
        else:
            runs.append((index, index))
    return runs


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _write_jpeg(path: Path, image: NDArray[np.uint8], scale: float, quality: int) -> None:
    height, width = _scaled((image.shape[0], image.shape[1]), scale)
    if (height, width) != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    _replace(path, data.tobytes())


def _replace(path: Path, data: bytes) -> None:
    # Named by process, so that two writers of one folder do not share a half-written file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
