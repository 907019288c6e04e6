"""Writing H.264 in MP4 that every browser plays, at the frames' true times."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from diffpose.errors import DiffPoseError, InputError
from diffpose.poses import FloatArray

_TICKS = 90_000
_BT709 = 1
_LIMITED_RANGE = 1


class VideoWriter:
    """Writes one video file; it appears under its name only once it is complete.

    Leaving the ``with`` block by an exception, or `cancel`, leaves no file, and an older file of
    the same name stays as it was.

    Example:
        >>> with VideoWriter("out.mp4", size=(480, 640), fps=30) as writer:  # doctest: +SKIP
        ...     for image in images:
        ...         writer.write(image)
    """

    def __init__(
        self, path: str | Path, *, size: tuple[int, int], fps: float, crf: int = 20
    ) -> None:
        """Start a file.

        Args:
            path: Where to write; the folder must exist.
            size: (height, width) of the frames; an odd side is padded by one pixel at the end.
            fps: Frame rate, for frames written without a time and for the last one's duration.
            crf: Constant quality of x264: 0 is lossless, 18 looks so, 28 is coarse.

        Raises:
            InputError: The size or the rate is not positive.
            DiffPoseError: The file cannot be written.
        """
        if min(size) < 1 or not fps > 0:
            raise InputError(f"Expected a positive size and frame rate, got {size} and {fps}.")
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        self._size = size
        self._frame_ticks = max(1, round(_TICKS / fps))
        self._last_tick: int | None = None
        self._written = 0
        self._is_open = False
        try:
            self._container = av.open(
                f"file:{self._temporary}", "w", format="mp4", options={"movflags": "faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._is_open = True
        try:
            self._stream = self._add_stream(fps, crf)
        except (av.FFmpegError, ValueError, OSError) as error:
            self.cancel()
            raise self._failure(error) from error

    def write(self, image: NDArray[np.uint8], time_s: float | None = None) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) RGB.
            time_s: When it is shown, seconds; one frame duration after the last if not given.

        Raises:
            InputError: The image has another size, or the time is not after the last frame's.
            DiffPoseError: The file cannot be written.
        """
        if image.shape != (*self._size, 3) or image.dtype != np.uint8:
            raise InputError(
                f"Expected a uint8 frame of shape {(*self._size, 3)}, "
                f"got {image.dtype} {image.shape}."
            )
        last = self._last_tick
        if time_s is not None:
            tick = round(time_s * _TICKS)
        else:
            tick = 0 if last is None else last + self._frame_ticks
        if tick < 0 or (last is not None and tick <= last):
            after = "from 0 s" if last is None else f"after {last / _TICKS:.5f} s"
            raise InputError(f"Expected a time {after}, got {time_s} s; give increasing times.")
        frame = self._to_frame(image)
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        try:
            self._mux(frame)
        except (av.FFmpegError, OSError) as error:
            self.cancel()
            raise self._failure(error) from error
        self._last_tick = tick
        self._written += 1

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            InputError: No frame was written; there is no file.
            DiffPoseError: The file cannot be written; there is no file.
        """
        if not self._is_open:
            return
        if self._written == 0:
            self.cancel()
            raise InputError(f"Expected at least one frame for {self._path.name}, got none.")
        try:
            self._mux(None)
            self._is_open = False
            self._container.close()
            self._check_complete()
            self._temporary.replace(self._path)
        except (av.FFmpegError, OSError) as error:
            self.cancel()
            raise self._failure(error) from error

    def cancel(self) -> None:
        """Stop and leave no file."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(av.FFmpegError, OSError):  # Nothing of the file is kept.
                self._container.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.cancel()

    def _add_stream(self, fps: float, crf: int) -> av.VideoStream:
        rate = Fraction(fps).limit_denominator(1001)
        stream = self._container.add_stream(
            "libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"}
        )
        stream.height, stream.width = (side + side % 2 for side in self._size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        # With B-frames the file's stated length goes wrong when frames are not evenly spaced.
        context.max_b_frames = 0
        # Said in the file, so that players do not guess the colours from the size.
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream

    def _to_frame(self, image: NDArray[np.uint8]) -> VideoFrame:
        below, right = (side % 2 for side in self._size)
        if below or right:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE).astype(
                np.uint8
            )
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        return rgb.reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range=_LIMITED_RANGE
        )

    def _mux(self, frame: VideoFrame | None) -> None:
        self._container.mux(self._stream.encode(frame))

    def _check_complete(self) -> None:
        """A full disk may show only in what is missing from the file."""
        with av.open(f"file:{self._temporary}") as container:
            found = sum(packet.size > 0 for packet in container.demux(video=0))
        if found != self._written:
            raise OSError(0, f"only {found} of {self._written} frames were stored")

    def _failure(self, error: Exception) -> DiffPoseError:
        words = getattr(error, "strerror", None) or type(error).__name__
        return DiffPoseError(
            f"Expected to write {self._path.name}, got '{words}'; check that the folder exists, "
            "may be written to and has room. No file was left behind."
        )


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    times_s: Sequence[float] | FloatArray,
    *,
    crf: int = 20,
) -> None:
    """Write a whole video at its true times; variable frame rates are kept.

    Args:
        path: Where to write.
        frames: (H, W, 3) RGB, all of one size, as many as there are times.
        times_s: (N,) seconds, increasing from 0 or later; kept to 1/90000 s.
        crf: Constant quality of x264.

    Raises:
        InputError: There are no frames, or fewer or more than times.
        DiffPoseError: The file cannot be written; there is no file.
    """
    path = Path(path)
    times = [float(time_s) for time_s in times_s]
    steps = np.diff(times)
    fps = 1 / float(np.median(steps)) if len(steps) and np.all(steps > 0) else 30.0
    source = iter(frames)
    first = next(source, None)
    if first is None or not times:
        raise InputError(f"Expected at least one frame for {path.name}, got none.")
    with VideoWriter(path, size=(first.shape[0], first.shape[1]), fps=fps, crf=crf) as writer:
        writer.write(first, times[0])
        count = 1
        for image in source:
            if count < len(times):
                writer.write(image, times[count])
            count += 1
        if count != len(times):
            raise InputError(
                f"Expected as many frames as times for {path.name}, got {count} and {len(times)}."
            )
