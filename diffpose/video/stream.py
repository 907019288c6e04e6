"""Opening a video file and taking its packets and frames out one by one, past what is damaged."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from diffpose.errors import VideoError
from diffpose.video.picture import MAX_PIXELS, check_size

# Named, so that a playlist or a script among the uploads cannot make the reader open other files
# or the network. The audio formats are here only so that FFmpeg says what is wrong with them.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,ivf,nut,mxf,dv,"
    "h264,hevc,m4v,obu,wtv,yuv4mpegpipe,mp3,wav,flac,aac"
)
_OPEN_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PIXELS + 2**20),
}
_MAX_READ_ERRORS = 100
# FFmpeg's errors, and those of its binding where a file announces one thing and brings another,
# as a packet of a stream that was not there when the file was opened.
LIBRARY_ERRORS = (av.FFmpegError, OSError, IndexError, KeyError, ValueError, OverflowError)
REORDER_FRAMES = 16

Item = TypeVar("Item")


@contextmanager
def open_stream(
    path: Path, *, threads: bool = True
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and find its video stream, refusing what could not be decoded.

    Args:
        path: The file.
        threads: Decode with several threads: faster, but loses more of a damaged file.

    Yields:
        The container and its main video stream; closed at the end of the block.

    Raises:
        VideoError: There is no such file, it is no video, has no pictures or too large ones.
    """
    _check_file(path)
    try:
        # "file:" keeps a colon in a name from being read as a protocol.
        container = av.open(f"file:{path}", options=dict(_OPEN_OPTIONS), metadata_errors="replace")
    except LIBRARY_ERRORS as error:
        raise VideoError(_why_not(path)) from error
    try:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO" if threads else "NONE"
        stream.codec_context.options = {"max_pixels": _OPEN_OPTIONS["max_pixels"]}
        yield container, stream
    finally:
        container.close()


def read_packets(
    container: InputContainer,
    stream: VideoStream,
    errors: list[str] | None = None,
    *,
    shown_at: Mapping[int, int] | None = None,
) -> Iterator[Packet[VideoStream]]:
    """The packets of a stream in file order, the empty flushing packet last.

    Args:
        container: Where to read.
        stream: Which stream.
        errors: Receives one entry for each place that could not be read.
        shown_at: Presentation times by the timestamps in the file, where those are of storing.
    """
    failed = 0
    source = container.demux(stream)
    while True:
        try:
            packet = next(source)
        except StopIteration:
            return
        except LIBRARY_ERRORS as error:
            failed += 1
            if errors is not None:
                errors.append(type(error).__name__)
            if failed > _MAX_READ_ERRORS:
                return
            source = container.demux(stream)
            continue
        if shown_at is not None and packet.pts is not None:
            packet.pts = shown_at.get(packet.pts, packet.pts)
        yield packet


def decode_packet(stream: VideoStream, packet: Packet[VideoStream]) -> list[VideoFrame] | None:
    """The frames that come out when a packet goes in; None if the decoder refused it."""
    try:
        # A packet without data would flush the decoder and end the video early.
        if packet.size == 0 and packet.dts is not None:
            return []
        return stream.decode(packet)
    except LIBRARY_ERRORS:
        return None


def unit_prefix_bytes(stream: VideoStream) -> int:
    """How many bytes state the length of each H.264 or HEVC unit in a packet; 0 if none do."""
    header = stream.codec_context.extradata or b""
    at = {"h264": 4, "hevc": 21}.get(stream.codec_context.name)
    # The other form of these codecs, in transport streams, begins with start codes instead.
    return (header[at] & 3) + 1 if at and len(header) > at and header[0] == 1 else 0


def is_torn(packet: Packet[VideoStream], prefix_bytes: int) -> bool:
    """Whether a packet holds what no encoder wrote: found without decoding, so not always.

    Some decoders make pictures from such packets without a word.

    Args:
        packet: Not empty.
        prefix_bytes: See `unit_prefix_bytes`.
    """
    data = bytes(memoryview(packet))
    # A hole in a file reads as zeros; no packet of a usual codec begins with 16 of them.
    if packet.is_corrupt or not any(data[:16]):
        return True
    at = 0
    while prefix_bytes and at < len(data):
        length = int.from_bytes(data[at : at + prefix_bytes], "big")
        at += prefix_bytes + length
        if length == 0 or at > len(data):
            return True
    return False


def in_time_order(items: Iterable[Item], tick: Callable[[Item], int]) -> Iterator[Item]:
    """Items sorted by their timestamp within a short delay; those that come later are left out.

    Where a key frame is lost, the decoder gives out the frames around it in a wrong order.

    Args:
        items: Frames, or what was noted of them, as decoded.
        tick: The timestamp of an item.
    """
    waiting: list[tuple[int, int, Item]] = []
    last: int | None = None
    for count, item in enumerate(items):
        heapq.heappush(waiting, (tick(item), count, item))
        if len(waiting) > REORDER_FRAMES:
            first = heapq.heappop(waiting)
            if last is None or first[0] > last:
                last = first[0]
                yield first[2]
    for first in sorted(waiting):
        if last is None or first[0] > last:
            last = first[0]
            yield first[2]


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise VideoError(
                f"Expected a video or picture, got no file named {path.name}; check the path."
            )
        if not path.is_file():
            raise VideoError(f"Expected a file, got {path.name}, which is none; choose a file.")
        if path.stat().st_size == 0:
            raise VideoError(
                f"Expected a video, got the empty file {path.name}; copy or upload it again."
            )
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(
            f"Expected a readable file, got '{error.strerror}' for {path.name}; "
            "check that it is there and may be read."
        ) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    # The cover of a song counts as a video stream of one picture.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        if not container.streams.audio:
            raise VideoError(_why_not(path))
        raise VideoError(
            f"Expected a video, got only sound in {path.name}; choose a file with pictures."
        )
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise VideoError(
            f"Expected a video with a known codec, got one without a decoder in {path.name}; "
            "convert it to H.264 in an MP4 file."
        )
    if min(stream.width, stream.height) < 1:
        raise VideoError(
            f"Expected a video with readable pictures, got none in {path.name}: the file is "
            "damaged or cut off at the start; copy or export it again."
        )
    check_size(stream.height, stream.width, path.name)
    return stream


def _why_not(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(1024)
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            f"Expected a complete video, got an MP4 or MOV file without a usable index in "
            f"{path.name}, as when a recording or a copy stops early; copy it again or let a "
            "repair tool rebuild the index."
        )
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in head) and b"\x00" not in head:
        return f"Expected a video or picture, got text in {path.name}; choose another file."
    return (
        f"Expected a video or picture, got content of no known format in {path.name}; "
        "choose an MP4, MOV, MKV, WebM, AVI, JPEG, PNG or HEIC file, or copy it again."
    )
