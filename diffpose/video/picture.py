"""Still pictures: recognised by their content, measured before they are decoded, read as RGB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.errors import VideoError
from diffpose.video.animation import is_animated_webp
from diffpose.video.heif import decode_heif, is_heif, read_layout

_MOST_PNG_HEADER = 2**16
MAX_SIDE = 8192
MAX_PIXELS = 40_000_000


def check_size(height: int, width: int, name: str) -> None:
    """Refuse sizes that would not fit into memory, before anything is decoded.

    Args:
        height: Pixels.
        width: Pixels.
        name: What to call the file in the message.

    Raises:
        VideoError: A side over 8192 pixels, or more than 40 million pixels.
    """
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise VideoError(
            f"Expected at most {MAX_SIDE} pixels a side and {MAX_PIXELS // 10**6} million in all, "
            f"got {width} x {height} in {name}; scale it down first."
        )


def is_picture(path: Path) -> bool:
    """Whether the content of a file is one still picture, whatever its name says.

    Animated PNG and WebP pictures are videos, as GIF is.
    """
    with path.open("rb") as file:
        head = file.read(_MOST_PNG_HEADER)
    kind = picture_kind(head[:32])
    if kind == "webp":
        return not is_animated_webp(head[:32])
    # An animation says so before its first picture.
    return kind is not None and not (kind == "png" and b"acTL" in head.partition(b"IDAT")[0])


def picture_kind(head: bytes) -> str | None:
    """The format of a picture from its first 32 bytes: jpeg, png, webp, heif, bmp or None."""
    if is_heif(head):
        return "heif"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    # "BM" alone could begin a text; the second header's length has few values.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (
        12,
        40,
        52,
        56,
        64,
        108,
        124,
    ):
        return "bmp"
    return None


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one picture, turned upright by its EXIF orientation.

    Returns:
        (H, W, 3) RGB.

    Raises:
        VideoError: The file is missing, is no picture, is too large or cannot be decoded.
    """
    return decode_picture(read_bytes(path), path.name)


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of one picture; see `read_picture`."""
    size = picture_size(data)
    if size is None:
        raise VideoError(
            f"Expected a JPEG, PNG, WebP, HEIC, AVIF or BMP picture, got other content in {name}, "
            "or one made in an unknown way; save it as JPEG."
        )
    check_size(*size, name)
    if picture_kind(data[:32]) == "heif":
        return decode_heif(data, name)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise VideoError(
            f"Expected a readable picture, got damaged data in {name}; copy or save it again."
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as the header of a picture states them; None if there is no such header.

    EXIF is not looked at: it may exchange them.
    """
    kind = picture_kind(data[:32])
    if kind == "heif":
        layout = read_layout(data)
        return layout.upright_size if layout is not None else None
    if kind == "png" and len(data) >= 24:
        return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
    if kind == "jpeg":
        at = _jpeg_frame_header(data)
        if at is None:
            return None
        return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
    if kind == "bmp" and len(data) >= 26:
        if int.from_bytes(data[14:18], "little") == 12:
            return _little(data, 20, 2), _little(data, 18, 2)
        height = int.from_bytes(data[22:26], "little", signed=True)
        return abs(height), _little(data, 18, 4)
    if kind == "webp" and len(data) >= 30:
        return _webp_size(data)
    return None


def is_cut_off(data: bytes) -> bool:
    """Whether a picture's bytes end before its end mark or its stated length."""
    kind = picture_kind(data[:32])
    if kind == "jpeg":
        # A thumbnail has an end mark of its own, but before the frame header.
        at = _jpeg_frame_header(data)
        return at is None or b"\xff\xd9" not in data[at:]
    if kind == "png":
        return b"IEND" not in data[-4096:]
    if kind == "webp":
        return _little(data, 4, 4) + 8 > len(data)
    return kind == "bmp" and _little(data, 2, 4) > len(data)


def list_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures of a folder in natural order, 2.jpg before 10.jpg, and its other files."""
    files = (file for file in folder.iterdir() if file.is_file() and file.name[0] != ".")
    pictures: list[Path] = []
    others: list[Path] = []
    for file in sorted(files, key=_natural):
        (pictures if is_picture(file) else others).append(file)
    return pictures, others


def _natural(file: Path) -> list[Any]:
    # Digits stand at odd places of the split, so numbers meet numbers and words meet words.
    parts = re.split(r"([0-9]+)", file.stem.lower())
    return [[int(part) if i % 2 else part for i, part in enumerate(parts)], file.name]


def read_bytes(path: Path) -> bytes:
    """The content of a picture file; a `VideoError` if it cannot be had."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise VideoError(
            f"Expected a readable picture, got '{error.strerror}' for {path.name}; "
            "check that the file is there and may be read."
        ) from error


def _jpeg_frame_header(data: bytes) -> int | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return at
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _little(data, 27, 3) + 1, _little(data, 24, 3) + 1
    if chunk == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _little(data, 28, 2) & 0x3FFF, _little(data, 26, 2) & 0x3FFF
    return None


def _little(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")
