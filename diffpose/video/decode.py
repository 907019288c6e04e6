"""Reading frames by their number: exactly, with bounded memory, past damage."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from diffpose.errors import InputError, VideoError
from diffpose.poses import VideoInfo
from diffpose.video.animation import animation_frames, is_animation
from diffpose.video.display import Display
from diffpose.video.index import (
    FrameIndex,
    index_like,
)
from diffpose.video.info import probe
from diffpose.video.losses import damaged_words, span_words
from diffpose.video.picture import read_picture
from diffpose.video.stream import (
    LIBRARY_ERRORS,
    decode_packet,
    in_time_order,
    open_stream,
    read_packets,
)

Image = NDArray[np.uint8]
# A frame, and whether it only stands in for one that did not come out of the decoder.
_Step = tuple[int, VideoFrame, bool]

_CACHE_BYTES = 2**28


class Video:
    """The frames of a video file, a picture or a folder of pictures, by number.

    Frame ``i`` is the same picture whether it is asked for directly or read in sequence, and
    belongs to ``info.times_s[i]``. All methods may be called from several threads.

    Damage that probing did not meet, because a long file is not decoded then, moves no frame in
    number or time: a frame that cannot be decoded shows the one before, and ``warnings`` says so.
    Only what a decoder makes up inside damaged frames can differ from one reading to another.

    Example:
        >>> with Video("walk.mp4") as video:  # doctest: +SKIP
        ...     middle = video.frame(video.info.num_frames // 2)
        ...     for frame, image in video.frames(10, 20):
        ...         ...
    """

    def __init__(
        self,
        path: str | Path,
        *,
        info: VideoInfo | None = None,
        cache_frames: int = 64,
        most_frames: int | None = None,
        isolated: bool = False,
        capture_fps: float | None = None,
    ) -> None:
        """Open a video; nothing is decoded yet if ``info`` is given.

        Args:
            path: A video file, a picture or a folder of pictures.
            info: What `probe` said about it, to save asking again.
            cache_frames: How many frames `frame` remembers at most; large frames fewer.
            most_frames: See `probe`.
            isolated: See `probe`.
            capture_fps: See `probe`; not heeded if ``info`` is given.
        """
        self._path = Path(path)
        if info is None:
            info = probe(
                self._path, most_frames=most_frames, isolated=isolated, capture_fps=capture_fps
            )
        self.info = info
        self._display = Display.of_video(info)
        self._index: FrameIndex | None = None
        self._lock = threading.RLock()
        self._cache: OrderedDict[int, VideoFrame | Image] = OrderedDict()
        height, width = self.info.size
        # Decoded frames are kept as the codec has them, mostly 1.5 bytes a pixel.
        self._cache_frames = max(1, min(cache_frames, 2 * _CACHE_BYTES // (3 * height * width)))
        self._walk: Generator[_Step] | None = None
        self._next = 0
        self._absent: set[int] = set()
        self._damaged: set[int] = set()
        self._refused: set[int | None] = set()

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each loss: those found by probing, and those met while reading."""
        with self._lock:
            absent, damaged = sorted(self._absent), sorted(self._damaged)
            refused = len(self._refused)
        said = list(self.info.warnings)
        if absent:
            where = span_words([float(t) for t in self.info.times_s[absent]])
            said.append(
                f"{len(absent)} frame(s){where} could not be decoded; "
                "the frame before stands in for each."
            )
        if damaged and not self.info.warnings:
            where = span_words([float(t) for t in self.info.times_s[damaged]])
            said.append(damaged_words(len(damaged), where))
        if refused and len(said) == 0:
            said.append(
                f"{refused} packet(s) could not be decoded; frames built upon them may show wrong "
                "pictures, and others when they are read on their own."
            )
        return tuple(said)

    def show_as(self, known: VideoInfo) -> None:
        """Show pictures and times as when the video was looked at before, by an older version.

        Poses made then lie in those pictures. To be called before anything is read.

        Args:
            known: What was stored of the same content.
        """
        with self._lock:
            self._drop_walk()
            self._cache.clear()
            self._index = None
            self.info = replace(known, path=self._path)
            self._display = Display.of_video(known)

    def frame(self, index: int) -> Image:
        """One frame by its number; stepping back a little costs no decoding.

        Args:
            index: 0 to ``info.num_frames - 1``.

        Returns:
            (H, W, 3) RGB as shown: upright, square pixels. The caller may change it.

        Raises:
            InputError: There is no such frame.
            VideoError: The file has gone or has changed.
        """
        if not 0 <= index < self.info.num_frames:
            raise InputError(
                f"Expected a frame from 0 to {self.info.num_frames - 1}, got {index}; "
                "choose one of the video's frames."
            )
        with self._lock:
            picture = self._cache.get(index)
            if picture is None:
                picture = self._reach(index)
            self._cache.move_to_end(index)
        return picture.copy() if isinstance(picture, np.ndarray) else self._to_rgb(picture)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Image]]:
        """Frames in sequence, one in memory at a time.

        Args:
            start: First frame.
            stop: One past the last frame; the video's end if not given or beyond it.

        Returns:
            Iterator over (frame, (H, W, 3) RGB as shown).

        Raises:
            InputError: ``start`` is negative.
            VideoError: The file has gone or has changed.
        """
        if start < 0:
            raise InputError(f"Expected a first frame of 0 or more, got {start}.")
        count = self.info.num_frames
        return self._sequence(start, count if stop is None else min(stop, count))

    def close(self) -> None:
        """Let go of the file and the remembered frames; a later call opens it again."""
        with self._lock:
            self._drop_walk()
            self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sequence(self, start: int, stop: int) -> Iterator[tuple[int, Image]]:
        if start >= stop:
            return
        if self.info.names:
            for number in range(start, stop):
                yield number, read_picture(self._picture_path(number))
            return
        walk = _walk(self._path, self._frame_index(), start, self._refused)
        try:
            for number, picture, stands_in in walk:
                if number >= start:
                    self._note(number, picture, stands_in)
                    yield number, self._to_rgb(picture)
                if number >= stop - 1:
                    return
        finally:
            walk.close()

    def _reach(self, target: int) -> VideoFrame | Image:
        if self.info.names:
            self._remember(target, read_picture(self._picture_path(target)))
            return self._cache[target]
        index = self._frame_index()
        if self._walk is None or not self._is_ahead(index, target):
            self._drop_walk()
            self._walk = _walk(self._path, index, target, self._refused)
        for number, picture, stands_in in self._walk:
            self._note(number, picture, stands_in)
            self._remember(number, picture)
            self._next = number + 1
            if number == target:
                return picture
        self._drop_walk()
        raise VideoError(
            f"Expected frame {target} in {self._path.name}, got no picture for it: the file has "
            "changed since it was opened; open it again."
        )

    def _is_ahead(self, index: FrameIndex, target: int) -> bool:
        """Whether decoding on is no longer than starting at the target's own key frame."""
        if target < self._next:
            return False
        entry = index.entries_before(target)[0]
        return entry is None or index.ticks is None or entry <= index.ticks[self._next]

    def _remember(self, number: int, picture: VideoFrame | Image) -> None:
        self._cache[number] = picture
        self._cache.move_to_end(number)
        while len(self._cache) > self._cache_frames:
            self._cache.popitem(last=False)

    def _note(self, number: int, picture: VideoFrame, stands_in: bool) -> None:
        with self._lock:
            if stands_in:
                self._absent.add(number)
            elif picture.is_corrupt:
                self._damaged.add(number)

    def _drop_walk(self) -> None:
        if self._walk is not None:
            self._walk.close()
        self._walk = None
        self._next = 0

    def _frame_index(self) -> FrameIndex:
        with self._lock:
            if self._index is None:
                sound = not self.info.warnings
                self._index = index_like(
                    self._path, self.info.times_s, size=self.info.size, sound=sound
                )
            return self._index

    def _picture_path(self, number: int) -> Path:
        name = self.info.names[number]
        return self._path / name if self._path.is_dir() else self._path

    def _to_rgb(self, picture: VideoFrame) -> Image:
        return self._display.picture(picture, self.info.size)


def _walk(path: Path, index: FrameIndex, start: int, refused: set[int | None]) -> Generator[_Step]:
    """Every frame from ``start`` on, exactly once, after those that had to be decoded before it.

    A frame of the index that does not come out of the decoder is stood in for by the one before.
    ``refused`` receives the timestamps of packets that the decoder does not take.
    """
    last: VideoFrame | None = None
    expected = start
    # Seeking may land too late, or a frame may need more of the past: then begin earlier.
    for entry in index.entries_before(start):
        last = None
        source = _decode_from(path, index, entry, refused)
        for number, picture in source:
            if number < expected:
                last = picture
                if number < start:
                    yield number, picture, False
                continue
            if number > expected and expected == start and entry is not None:
                break
            for absent in range(expected, number):
                yield absent, last or picture, True
            yield number, picture, False
            last, expected = picture, number + 1
        source.close()
        if expected > start:
            break
    if last is not None:
        for absent in range(expected, len(index)):
            yield absent, last, True


def _decode_from(
    path: Path, index: FrameIndex, entry: int | None, refused: set[int | None]
) -> Generator[tuple[int, VideoFrame]]:
    """Frames with their numbers, from a key frame on, or from the file's start."""
    if is_animation(path):
        yield from enumerate(islice(animation_frames(path), len(index)))
        return
    with open_stream(path, threads=index.is_sound) as (container, stream):
        if entry is None:
            packets = read_packets(container, stream, shown_at=index.shown_at)
            pictures = _pictures(stream, packets, refused)
        else:
            try:
                container.seek(entry, stream=stream)
            except LIBRARY_ERRORS:
                return
            packets = read_packets(container, stream, shown_at=index.shown_at)
            pictures = _pictures_from_key(stream, packets, entry, refused)
        if index.ticks is None:
            yield from enumerate(pictures)
            return
        if not index.is_sound:
            timed = (picture for picture in pictures if picture.pts is not None)
            pictures = in_time_order(timed, lambda picture: picture.pts or 0)
        for picture in pictures:
            number = index.number(picture.pts)
            if number is not None:
                yield number, picture


def _pictures(
    stream: VideoStream, packets: Iterable[Packet[VideoStream]], refused: set[int | None]
) -> Iterator[VideoFrame]:
    for packet in packets:
        pictures = decode_packet(stream, packet)
        if pictures is None:
            refused.add(packet.pts)
        yield from pictures or ()


def _pictures_from_key(
    stream: VideoStream,
    packets: Iterator[Packet[VideoStream]],
    entry: int,
    refused: set[int | None],
) -> Iterator[VideoFrame]:
    """Frames from a key frame at or before ``entry`` on; none if the seek has gone beyond it."""
    first = next((packet for packet in packets if packet.is_keyframe), None)
    if first is None or first.pts is None or first.pts > entry:
        return
    is_reached = False
    for picture in _pictures(stream, chain([first], packets), refused):
        # Frames before the key frame may lack the frames they are built on.
        if picture.pts is None or picture.pts < first.pts:
            continue
        # Without a sound key frame, what follows is not what it is in sequence.
        is_reached |= picture.pts == first.pts and not picture.is_corrupt
        if not is_reached:
            return
        yield picture
