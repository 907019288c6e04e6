"""HEIC and AVIF stills: their tiles put together, turned and mirrored as the file says.

FFmpeg decodes tiles one by one and does not say where they belong; the boxes of the file do
(ISO/IEC 23008-12).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from diffpose.errors import VideoError
from diffpose.video.light import to_rgb

Image = NDArray[np.uint8]
Span = tuple[int, int]

_MOST_TILES = 4096
_CODED = (b"hvc1", b"av01")


@dataclass(frozen=True)
class HeifLayout:
    """Where the pictures of a HEIC or AVIF file belong.

    Attributes:
        size: (height, width) before turning.
        tiles: Items that hold the pictures, row by row.
        columns: Tiles in a row.
        turns: Steps to bring it upright, in order: quarter turns counter-clockwise, or
            ``"upside down"`` and ``"left to right"`` for mirroring.
    """

    size: tuple[int, int]
    tiles: tuple[int, ...]
    columns: int
    turns: tuple[int | str, ...]

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) after turning."""
        quarters = sum(turn for turn in self.turns if isinstance(turn, int))
        return self.size[::-1] if quarters % 2 else self.size


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC or AVIF still; their sequences are videos."""
    return head[4:8] == b"ftyp" and head[8:12] in (
        b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"mif2",
    )  # fmt: skip


def read_layout(data: bytes) -> HeifLayout | None:
    """What the boxes of a file say; None if they say nothing that can be shown."""
    try:
        return _layout(data)
    except (struct.error, KeyError, IndexError, StopIteration, ValueError):
        return None


def decode_heif(data: bytes, name: str) -> Image:
    """The whole picture, (H, W, 3) RGB, upright.

    Raises:
        VideoError: A part of it is missing, or it is made in a way that is not known.
    """
    layout = read_layout(data)
    tiles = _decoded(data, layout.tiles) if layout is not None else {}
    if layout is None or len(tiles) < len(set(layout.tiles)):
        raise VideoError(
            f"Expected a HEIC or AVIF picture whose parts can be put together, got one with "
            f"unknown or missing parts in {name}; save it as JPEG."
        )
    rows = [
        np.concatenate([tiles[tile] for tile in layout.tiles[at : at + layout.columns]], axis=1)
        for at in range(0, len(layout.tiles), layout.columns)
    ]
    image = np.concatenate(rows)[: layout.size[0], : layout.size[1]]
    if image.shape[:2] != layout.size:
        raise VideoError(
            f"Expected tiles that fill {layout.size[1]} x {layout.size[0]} pixels, got "
            f"{image.shape[1]} x {image.shape[0]} in {name}; save it as JPEG."
        )
    for turn in layout.turns:
        if isinstance(turn, int):
            image = np.rot90(image, turn)
        else:
            image = image[::-1] if turn == "upside down" else image[:, ::-1]
    return np.ascontiguousarray(image)


def _decoded(data: bytes, wanted: tuple[int, ...]) -> dict[int, Image]:
    """Pictures by item, as far as they can be decoded."""
    found: dict[int, Image] = {}
    try:
        with av.open(io.BytesIO(data), "r", format="mov") as container:
            streams = [stream for stream in container.streams.video if stream.id in wanted]
            for packet in container.demux(streams):
                for frame in packet.decode():
                    if isinstance(frame, VideoFrame):
                        found.setdefault(packet.stream.id, to_rgb(frame))
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass
    return found


def _layout(data: bytes) -> HeifLayout:
    meta = _inside(data, (0, len(data)), b"meta")
    meta = meta[0] + 4, meta[1]
    begin, _ = _inside(data, meta, b"pitm")
    primary = _number(data, begin + 4, 2 if data[begin] == 0 else 4)
    kinds = dict(_items(data, _inside(data, meta, b"iinf")))
    properties = list(_properties(data, _inside(data, meta, b"iprp"), primary))
    size = next(
        (_number(data, at + 8, 4), _number(data, at + 4, 4))
        for kind, (at, _) in properties
        if kind == b"ispe"
    )
    turns = tuple(turn for kind, (at, _) in properties for turn in _turn(kind, data[at]))
    if kinds[primary] in _CODED:
        return HeifLayout(size, (primary,), 1, turns)
    if kinds[primary] != b"grid":
        raise ValueError(kinds[primary])
    parts = _parts(data, _inside(data, meta, b"iref"), primary)
    grid = _item_data(data, meta, primary)
    flags, rows, columns = grid[1], grid[2] + 1, grid[3] + 1
    width, height = struct.unpack_from(">II" if flags & 1 else ">HH", grid, 4)
    if len(parts) != rows * columns or any(kinds[part] not in _CODED for part in parts):
        raise ValueError("parts")
    return HeifLayout((height, width), parts, columns, turns)


def _turn(kind: bytes, value: int) -> list[int | str]:
    if kind == b"irot":
        return [value & 3]
    if kind == b"imir":
        return ["left to right" if value & 1 else "upside down"]
    return []


def _boxes(data: bytes, span: Span) -> Iterator[tuple[bytes, Span]]:
    at, end = span
    while at + 8 <= end:
        length, begin = _number(data, at, 4), at + 8
        if length == 1:
            length, begin = _number(data, at + 8, 8), at + 16
        stop = end if length == 0 else at + length
        if stop < begin or stop > end:
            raise ValueError("a box beyond its end")
        yield data[at + 4 : at + 8], (begin, stop)
        at = stop


def _inside(data: bytes, span: Span, kind: bytes) -> Span:
    return next(found for name, found in _boxes(data, span) if name == kind)


def _items(data: bytes, span: Span) -> Iterator[tuple[int, bytes]]:
    """(item, kind) of all."""
    begin = span[0] + (6 if data[span[0]] == 0 else 8)
    for kind, (at, _) in _boxes(data, (begin, span[1])):
        if kind == b"infe" and data[at] >= 2:
            width = 2 if data[at] == 2 else 4
            yield _number(data, at + 4, width), data[at + 6 + width : at + 10 + width]


def _properties(data: bytes, span: Span, item: int) -> Iterator[tuple[bytes, Span]]:
    """Boxes that describe an item, in the order in which they apply."""
    boxes = list(_boxes(data, _inside(data, span, b"ipco")))
    for kind, (at, _) in _boxes(data, span):
        if kind != b"ipma":
            continue
        wide_item, wide_index = data[at] > 0, data[at + 3] & 1
        entries = _number(data, at + 4, 4)
        at += 8
        for _ in range(entries):
            number = _number(data, at, 4 if wide_item else 2)
            at += 4 if wide_item else 2
            count = data[at]
            at += 1
            for _ in range(count):
                index = _number(data, at, 2) & 0x7FFF if wide_index else data[at] & 0x7F
                at += 2 if wide_index else 1
                if number == item and index > 0:
                    yield boxes[index - 1]


def _parts(data: bytes, span: Span, item: int) -> tuple[int, ...]:
    """The items that a grid is made of."""
    width = 2 if data[span[0]] == 0 else 4
    for kind, (at, _) in _boxes(data, (span[0] + 4, span[1])):
        if kind == b"dimg" and _number(data, at, width) == item:
            count = _number(data, at + width, 2)
            first = at + width + 2
            if count > _MOST_TILES:
                raise ValueError("too many parts")
            return tuple(_number(data, first + width * i, width) for i in range(count))
    raise ValueError("a grid without parts")


def _item_data(data: bytes, meta: Span, item: int) -> bytes:
    """The bytes of a small item, whether next to the pictures or in the header."""
    begin, _ = _inside(data, meta, b"iloc")
    version = data[begin]
    offset_bytes, length_bytes = data[begin + 4] >> 4, data[begin + 4] & 15
    base_bytes, index_bytes = data[begin + 5] >> 4, data[begin + 5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, at = _number(data, begin + 6, wide), begin + 6 + wide
    for _ in range(count):
        number, at = _number(data, at, wide), at + wide
        method = 0
        if version:
            method, at = data[at + 1] & 15, at + 2
        base, at = _number(data, at + 2, base_bytes), at + 2 + base_bytes
        extents, at = _number(data, at, 2), at + 2
        for extent in range(extents):
            at += index_bytes
            offset = base + _number(data, at, offset_bytes)
            length = _number(data, at + offset_bytes, length_bytes)
            at += offset_bytes + length_bytes
            if number == item and extent == 0:
                start = offset + (_inside(data, meta, b"idat")[0] if method == 1 else 0)
                return data[start : start + length]
    raise ValueError("an item without data")


def _number(data: bytes, at: int, length: int) -> int:
    if at + length > len(data):
        raise ValueError("cut off")
    return int.from_bytes(data[at : at + length])
