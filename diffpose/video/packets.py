"""What the packets of a video file say about its frames, without decoding one."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from diffpose.video.display import Display
from diffpose.video.speed import stated_capture_fps
from diffpose.video.stream import (
    REORDER_FRAMES,
    is_torn,
    open_stream,
    read_packets,
    unit_prefix_bytes,
)

# Longer files are read up to here: five hours of 30 frames a second. An animated picture holds a
# frame in a few bytes and must be decoded to be counted.
MOST_FRAMES = 500_000
_MOST_GIF_FRAMES = 50_000
_REORDERING = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "vc1", "wmv3"})
_HIDDEN_SHARE = 0.25  # an ordinary cut hides less, the frames since the last key frame


@dataclass(frozen=True)
class Packets:
    """What the packets of a stream say, without decoding.

    ``counts_packets``: the format (AVI) keeps no timestamps, they are counted while reading.
    ``num_hidden``: frames that the file holds and its edit list or times leave out.
    ``limit``: how many frames are wanted at most; ``is_cut``: there are more.
    ``stream_size``, ``shown_size``: before rotation, as stored and with square pixels.
    ``capture_fps``: frames a second while recording, if the file says.
    ``may_lack_order``: the codec may store frames in another order than they are shown in, yet the
    timestamps increase from packet to packet: they may be those of storing.
    """

    ticks: tuple[int | None, ...]
    key_ticks: tuple[int, ...]
    num_unread: int
    suspicious: bool
    stated: str
    tick_s: float
    frame_s: float
    stream_size: tuple[int, int]
    shown_size: tuple[int, int]
    capture_fps: float | None
    codec: str
    counts_packets: bool
    num_hidden: int
    limit: int
    is_cut: bool
    may_lack_order: bool


def scan_packets(path: Path, most: int) -> Packets:
    """Read the packets of a file, up to ``most`` frames.

    Raises:
        VideoError: The file is missing or is no video.
    """
    ticks: list[int | None] = []
    keys: list[int] = []
    errors: list[str] = []
    suspicious, is_cut = False, False
    last_duration = 0
    with open_stream(path) as (container, stream):
        limit = min(most, _MOST_GIF_FRAMES) if stream.codec_context.name == "gif" else most
        prefix = unit_prefix_bytes(stream)
        for packet in read_packets(container, stream, errors):
            if packet.size == 0 or packet.is_discard:
                continue
            # Packets come in another order than frames: some beyond the limit belong before it.
            if is_cut := len(ticks) >= limit + 2 * REORDER_FRAMES:
                break
            suspicious |= is_torn(packet, prefix) or (not ticks and not packet.is_keyframe)
            ticks.append(packet.pts)
            last_duration = packet.duration or last_duration
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
        known = [tick for tick in ticks if tick is not None]
        span = max(known, default=0) - min(known, default=0) + last_duration
        tick_s = float(stream.time_base or 1)
        whole = not is_cut
        stated = (
            _stated_but_missing(path, container, stream, len(ticks), span * tick_s) if whole else ""
        )
        hidden = _num_hidden(container, stream, len(ticks)) if whole else 0
        increases = len(known) == len(ticks) and all(map(operator.lt, known, known[1:]))
        rate = stream.average_rate or stream.guessed_rate or 30
        suspicious |= bool(errors) or bool(stated) or len(set(known)) < len(ticks)
        if len(ticks) > limit:
            is_cut = True
            ticks = list(sorted(known) if len(known) == len(ticks) else ticks)[:limit]
            last = max((tick for tick in ticks if tick is not None), default=0)
            keys = [key for key in keys if key <= last]
        return Packets(
            ticks=tuple(ticks),
            key_ticks=tuple(sorted(keys)),
            num_unread=len(errors),
            suspicious=suspicious,
            stated=stated,
            tick_s=tick_s,
            frame_s=1 / float(rate),
            stream_size=(stream.height, stream.width),
            shown_size=(stream.height, round(stream.width * Display.of_stream(stream).aspect)),
            capture_fps=stated_capture_fps(container.metadata | stream.metadata),
            codec=stream.codec_context.name,
            counts_packets=container.format.name == "avi",
            num_hidden=hidden,
            limit=limit,
            is_cut=is_cut,
            may_lack_order=increases
            and bool(stream.codec_context.has_b_frames)
            and stream.codec_context.name in _REORDERING,
        )


def _num_hidden(container: InputContainer, stream: VideoStream, shown: int) -> int:
    """Frames of an MP4 or MOV file that its edit list or its times leave out."""
    if "mp4" not in container.format.name:
        return 0
    return max(stream.frames, len(stream.index_entries), shown) - shown


def hidden_words(packets: Packets) -> list[str]:
    """A sentence about frames that the file holds and does not show, if there are many."""
    total = len(packets.ticks) + packets.num_hidden
    if packets.num_hidden <= _HIDDEN_SHARE * total:
        return []
    return [
        f"The file's edit list or times leave out {packets.num_hidden} of its {total} frames; if "
        "they are missed, copy or export it again."
    ]


def _stated_but_missing(
    path: Path, container: InputContainer, stream: VideoStream, found: int, span_s: float
) -> str:
    """What the header promises and the file does not hold, in words; empty if it holds all."""
    if "mp4" in container.format.name:
        length = path.stat().st_size
        beyond = sum(entry.pos + entry.size > length for entry in stream.index_entries)
        return f"{len(stream.index_entries)} frames" if beyond else ""
    if stream.frames and stream.average_rate:
        stated_s = stream.frames / float(stream.average_rate)
        words = f"{stream.frames} frames"
    elif container.duration and len(container.streams) == 1:
        stated_s = container.duration / 1e6
        words = f"{stated_s:.1f} s of frames"
    else:
        return ""
    # Empty packets stand for repeated frames in AVI: the time counts, not the number.
    return words if span_s < stated_s - max(0.5, 0.05 * stated_s) and found else ""
