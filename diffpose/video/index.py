"""Which frames a video file really yields, and when: the index that every reader shares.

A sound file is indexed by its packets alone. A short file, and any file whose packets look
suspicious, is decoded once, because only the decoder knows which frames come out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from diffpose.errors import VideoError
from diffpose.poses import FloatArray
from diffpose.video.animation import animation_frames, animation_times, is_animation
from diffpose.video.display import Display
from diffpose.video.light import is_hdr
from diffpose.video.losses import losses
from diffpose.video.packets import MOST_FRAMES, Packets, hidden_words, scan_packets
from diffpose.video.picture import check_size
from diffpose.video.stream import (
    REORDER_FRAMES,
    decode_packet,
    in_time_order,
    is_torn,
    open_stream,
    read_packets,
    unit_prefix_bytes,
)

Times = NDArray[np.float64]
Ticks = NDArray[np.int64]

# Up to this many pixels (518 frames of 1080p, a few seconds' work) a file is decoded while it
# is probed, so that damage inside its packets is reported at once.
DECODED_PIXELS = 2**30
# In these codecs every packet of a sound file is one frame; others hide frames in packets.
_ONE_PACKET_ONE_FRAME = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg", "prores"})
_TRIED_FRAMES = 250  # an encoder that reorders frames at all does so among these
_FEW_DESCENTS = 0.05


@dataclass(frozen=True)
class FrameIndex:
    """Where each frame of a video file is found.

    Attributes:
        times_s: (N,) seconds, first frame at 0.
        ticks: (N,) increasing timestamps in the stream's time base; None if the file's timestamps
            are of no use and its frames can only be counted from the start.
        entries: Timestamps of the key frames that decoding may start at, increasing.
        size: (height, width) as shown.
        warnings: One sentence for each thing the file has lost.
        stored_size: See `VideoInfo.stored_size`.
        is_interlaced: Whether the first picture is made of two fields.
        is_hdr: Whether the first picture is in PQ or HLG.
        capture_fps: Frames a second while recording, if the file says; else None.
        shown_at: Presentation times by the timestamps in the file, where those are the times of
            storing frames in another order than that of showing; None where they are right.
    """

    times_s: Times
    ticks: Ticks | None
    entries: Ticks
    size: tuple[int, int]
    warnings: tuple[str, ...]
    stored_size: tuple[int, int] | None = None
    is_interlaced: bool = False
    is_hdr: bool = False
    capture_fps: float | None = None
    shown_at: Mapping[int, int] | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, so that several threads decode the same as one."""
        return not self.warnings

    def __len__(self) -> int:
        return len(self.times_s)

    def number(self, tick: int | None) -> int | None:
        """The frame of a timestamp; None if no frame has it."""
        if self.ticks is None or tick is None:
            return None
        at = int(np.searchsorted(self.ticks, tick))
        return at if at < len(self.ticks) and self.ticks[at] == tick else None

    def entries_before(self, frame: int) -> list[int | None]:
        """Where to start decoding to reach a frame, nearest first; None is the file's start."""
        if self.ticks is None:
            return [None]
        last = int(np.searchsorted(self.entries, self.ticks[frame], side="right"))
        # The first key frame is reached more surely by not seeking at all.
        return [int(tick) for tick in self.entries[max(last - 2, 1) : last][::-1]] + [None]


@dataclass(frozen=True)
class _Look:
    """The first picture of a video."""

    size: tuple[int, int]
    stored_size: tuple[int, int] | None
    is_interlaced: bool
    is_hdr: bool

    @classmethod
    def at(cls, frame: VideoFrame, display: Display) -> Self:
        return cls(
            display.size(frame), display.stored_size(frame), frame.interlaced_frame, is_hdr(frame)
        )


@dataclass
class _Decoded:
    """What came out of the decoder."""

    display: Display = field(default_factory=Display)
    ticks: list[int | None] = field(default_factory=list)
    key_ticks: set[int] = field(default_factory=set)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    first: _Look | None = None
    damaged: list[int | None] = field(default_factory=list)
    refused: list[int | None] = field(default_factory=list)
    torn: set[int] = field(default_factory=set)
    tainted_from: int | None = None

    def add(self, frame: VideoFrame) -> None:
        """Take note of the next frame."""
        if self.first is None:
            self.first = _Look.at(frame, self.display)
        self.sizes.add(self.display.size(frame))
        self.ticks.append(frame.pts)
        is_bad = frame.is_corrupt or frame.pts in self.torn
        # Damage lives on in the frames built upon it, until a key frame that needs no other.
        if is_bad and frame.pict_type != PictureType.B:
            self.taint(frame.pts)
        elif frame.key_frame and not is_bad and frame.pts is not None:
            self.key_ticks.add(frame.pts)
            if self.tainted_from is not None and frame.pts > self.tainted_from:
                self.tainted_from = None
        tick, tainted = frame.pts, self.tainted_from
        if is_bad or (tick is not None and tainted is not None and tick >= tainted):
            self.damaged.append(frame.pts)

    @property
    def first_size(self) -> tuple[int, int] | None:
        """(height, width) of the first picture as shown."""
        return None if self.first is None else self.first.size

    def taint(self, tick: int | None) -> None:
        """Distrust the frames from a timestamp on."""
        if self.tainted_from is None:
            self.tainted_from = tick

    def order_of_decoder(self) -> dict[int, int] | None:
        """Presentation times by the times of storing, if the decoder's order is another one.

        Where frames are damaged a few may come out in a wrong order; that says nothing.
        """
        known = [tick for tick in self.ticks if tick is not None]
        if len(known) < len(self.ticks) or len(set(known)) < len(known):
            return None
        descents = sum(later < earlier for earlier, later in pairwise(known))
        if descents <= (_FEW_DESCENTS * len(known) if self.damaged or self.refused else 0):
            return None
        return dict(zip(known, sorted(known), strict=True))

    def show_at(self, shown_at: Mapping[int, int]) -> None:
        """Put presentation times in place of the times of storing."""
        self.ticks = _translated(self.ticks, shown_at)
        self.damaged = _translated(self.damaged, shown_at)
        self.refused = _translated(self.refused, shown_at)
        self.key_ticks = {shown_at.get(tick, tick) for tick in self.key_ticks}


def _translated(ticks: Sequence[int | None], shown_at: Mapping[int, int]) -> list[int | None]:
    return [None if tick is None else shown_at.get(tick, tick) for tick in ticks]


def read_index(path: Path, *, most_frames: int | None = None) -> FrameIndex:
    """Build the index of a video file.

    Args:
        path: The file.
        most_frames: Read no further than this; None for `MOST_FRAMES`, with a warning.

    Raises:
        VideoError: The file is missing, is no video, or not one frame of it can be decoded.
    """
    if is_animation(path):
        return _index_of_animation(path, most_frames)
    packets = scan_packets(path, most_frames or MOST_FRAMES)
    height, width = packets.stream_size
    check_size(*packets.shown_size, path.name)
    short = height * width * len(packets.ticks) <= DECODED_PIXELS
    whole = packets.suspicious or packets.codec not in _ONE_PACKET_ONE_FRAME or short
    if whole or (packets.may_lack_order and _is_reordered(path)):
        index = _index_by_decoding(path, packets)
    else:
        index = _index_by_packets(packets, _first_look(path))
    if packets.is_cut and (most_frames is None or packets.limit < most_frames):
        words = f"Only the first {len(index):,} frames of the file are read; it has more."
        index = replace(index, warnings=(*index.warnings, words))
    return index


def _index_of_animation(path: Path, most_frames: int | None) -> FrameIndex:
    times_s, size = animation_times(path)
    check_size(*size, path.name)
    found = sum(1 for _ in animation_frames(path))
    if not found:
        raise VideoError(
            f"Expected an animated picture that can be read, got damaged data in {path.name}; copy "
            "it again."
        )
    missing = len(times_s) - found
    words = f"{missing} of {len(times_s)} frames could not be read."
    return FrameIndex(
        times_s=times_s[: min(found, most_frames or found)],
        ticks=None,
        entries=np.zeros(0, np.int64),
        size=size,
        warnings=(words,) if missing > 0 else (),
    )


def index_like(
    path: Path, times_s: FloatArray, *, size: tuple[int, int], sound: bool
) -> FrameIndex:
    """The index of a file that was probed before, without decoding it if that can be avoided.

    Args:
        path: The file.
        times_s: (N,) seconds, as probed.
        size: (height, width), as probed.
        sound: Whether probing found nothing wrong.

    Raises:
        VideoError: The file has changed since.
    """
    index, count = None, len(times_s)
    if sound and not is_animation(path):
        packets = scan_packets(path, count)
        is_plain = not packets.suspicious and len(packets.ticks) == count
        if is_plain and not (packets.may_lack_order and _is_reordered(path)):
            index = _index_by_packets(packets, _Look(size, None, is_interlaced=False, is_hdr=False))
    if index is None or not _are_alike(index.times_s, times_s):
        index = read_index(path, most_frames=count)
    if len(index) != len(times_s):
        raise VideoError(
            f"Expected {len(times_s)} frames in {path.name}, got {len(index)}: the file has "
            "changed since it was opened; open it again."
        )
    return index


def _are_alike(times_s: Times, known_s: FloatArray) -> bool:
    """Whether times are those known, but for the speed that slow motion is played at."""
    speed = known_s[-1] / times_s[-1] if times_s[-1] > 0 else 1.0
    return speed > 0 and np.allclose(times_s * speed, known_s, atol=1e-6 * max(1.0, speed))


def _decode(path: Path, packets: Packets, *, threads: bool) -> _Decoded:
    decoded = _Decoded()
    most = packets.limit + REORDER_FRAMES if packets.is_cut else None
    with open_stream(path, threads=threads) as (container, stream):
        decoded.display = Display.of_stream(stream)
        prefix = unit_prefix_bytes(stream)
        for packet in read_packets(container, stream):
            if packet.size and packet.pts is not None and is_torn(packet, prefix):
                decoded.torn.add(packet.pts)
            frames = decode_packet(stream, packet)
            if frames is None:
                decoded.refused.append(packet.pts)
                if not packet.is_disposable:
                    decoded.taint(packet.pts)
                continue
            for frame in frames:
                decoded.add(frame)
            if most is not None and len(decoded.ticks) >= most:
                break
    return decoded


def _index_by_decoding(path: Path, packets: Packets) -> FrameIndex:
    decoded = _decode(path, packets, threads=not packets.suspicious)
    if not packets.suspicious and (decoded.refused or decoded.damaged or not decoded.ticks):
        decoded = _decode(path, packets, threads=False)
    if decoded.first is None:
        raise VideoError(
            f"Expected a video with readable pictures, got none from the {len(packets.ticks)} "
            f"packets of {path.name}; copy or export it again."
        )
    shown_at = decoded.order_of_decoder() if packets.may_lack_order else None
    if shown_at is not None:
        decoded.show_at(shown_at)
        keys = (shown_at[key] for key in packets.key_ticks if key in shown_at)
        packets = replace(packets, key_ticks=tuple(sorted(keys)))
    ticks = _usable_ticks(decoded.ticks)
    if ticks is not None:
        ticks = ticks[: packets.limit]
    if ticks is None:
        count = min(len(decoded.ticks), packets.limit)
        times_s = np.arange(count) * packets.frame_s
    else:
        times_s = (ticks - ticks[0]) * packets.tick_s
    return FrameIndex(
        times_s=times_s.astype(np.float64),
        ticks=ticks,
        entries=np.array(_clean_entries(packets, decoded), np.int64),
        warnings=tuple(losses(packets, decoded, ticks)),
        capture_fps=packets.capture_fps,
        **vars(decoded.first),
        shown_at=shown_at,
    )


def _usable_ticks(decoded: Sequence[int | None]) -> Ticks | None:
    """The timestamps in order; None if some are missing or many are out of order."""
    known = [tick for tick in decoded if tick is not None]
    kept = list(in_time_order(known, int))
    if len(known) < len(decoded) or len(kept) < 0.9 * len(decoded):
        return None
    return np.array(kept, np.int64)


def _clean_entries(packets: Packets, decoded: _Decoded) -> list[int]:
    """Key frames from which decoding gives the same pictures as from the start.

    What a decoder shows in place of damage depends on what it has seen before, so a group of
    pictures with damage in it is only entered through a group before it.
    """
    bad = [*decoded.damaged, *decoded.refused]
    known = np.sort(np.array([tick for tick in bad if tick is not None], np.int64))
    # Where timestamps are counted, a seek past the damage would count differently.
    if len(known) < len(bad) or (packets.counts_packets and packets.suspicious):
        return []
    keys = np.array(packets.key_ticks, np.int64)
    bad_before = np.append(np.searchsorted(known, keys), len(known))
    clean = keys[np.diff(bad_before) == 0]
    return [int(key) for key in clean if int(key) in decoded.key_ticks]


def _is_reordered(path: Path) -> bool:
    """Whether the first frames come out of the decoder in another order than their packets."""
    ticks: list[int] = []
    with open_stream(path) as (container, stream):
        for packet in read_packets(container, stream):
            ticks += [f.pts for f in decode_packet(stream, packet) or () if f.pts is not None]
            if len(ticks) >= _TRIED_FRAMES:
                break
    return any(later < earlier for earlier, later in pairwise(ticks))


def _index_by_packets(packets: Packets, first: _Look) -> FrameIndex:
    ticks = np.sort(np.array(packets.ticks, np.int64))
    return FrameIndex(
        times_s=((ticks - ticks[0]) * packets.tick_s).astype(np.float64),
        ticks=ticks,
        entries=np.array(packets.key_ticks, np.int64),
        warnings=tuple(hidden_words(packets)),
        capture_fps=packets.capture_fps,
        **vars(first),
    )


def _first_look(path: Path) -> _Look:
    # One thread: the first picture is wanted, not a full pipeline.
    with open_stream(path, threads=False) as (container, stream):
        for packet in read_packets(container, stream):
            for frame in decode_packet(stream, packet) or ():
                return _Look.at(frame, Display.of_stream(stream))
    raise VideoError(
        f"Expected a video with readable pictures, got none in {path.name}; "
        "copy or export it again."
    )
