"""Names that come from files and browsers: parsed into types, and resolved inside one folder.

A value of a foreign file must never choose a path, a pattern or a key. Whatever is used as one
goes through `parse_video_id` or `resolve_within` first.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import NewType

from diffpose.errors import FormatError, InputError

VideoId = NewType("VideoId", str)
"""Hash of a video's content: 64 hexadecimal digits, lower case."""

_VIDEO_ID = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]+")
_LONGEST_BYTES = 255  # of one name on common file systems


def parse_video_id(value: object) -> VideoId:
    """The id of a video as `diffpose.video.probe` makes it.

    Raises:
        FormatError: It is anything else.
    """
    if not isinstance(value, str) or not _VIDEO_ID.fullmatch(value):
        raise FormatError(
            f"Expected a video id of 64 hexadecimal digits, got {reprlib.repr(value)}."
        )
    return VideoId(value)


def is_plain_name(value: object) -> bool:
    """Whether a value names a file or folder and nothing else: no folders, no tricks.

    >>> is_plain_name("walk 2.mp4"), is_plain_name("../walk.mp4"), is_plain_name("..")
    (True, False, False)
    """
    return (
        isinstance(value, str)
        and value not in (".", "..")
        and bool(_PLAIN.fullmatch(value))
        and (len(value.encode("utf-8")) <= _LONGEST_BYTES)
    )


def resolve_within(folder: Path, name: object) -> Path:
    """The file or folder of this name in ``folder``, whether it is there or not.

    Args:
        folder: Where it must lie, also after links are followed.
        name: From a file or a browser.

    Raises:
        InputError: The name leads elsewhere, or is no name.
    """
    if isinstance(name, str) and is_plain_name(name):
        path = folder / name
        try:
            if path.resolve().is_relative_to(folder.resolve()):
                return path
        except (OSError, RuntimeError):  # a ring of links
            pass
    raise InputError(f"Expected the name of a file, got {reprlib.repr(name)}; choose another.")
