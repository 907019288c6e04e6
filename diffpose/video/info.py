"""Probing: what a video file, a picture or a folder of pictures holds, measured, not believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from diffpose.errors import VideoError
from diffpose.poses import VideoInfo
from diffpose.video.index import read_index
from diffpose.video.picture import (
    decode_picture,
    is_cut_off,
    is_picture,
    list_pictures,
    read_bytes,
)

_HASH_BLOCK = 2**20


def probe(path: str | Path) -> VideoInfo:
    """Measure a video file, one picture, or a folder of pictures.

    Args:
        path: The file or folder. The content decides what it is, not the extension.

    Returns:
        Frame times in seconds from the first frame, the size in pixels after rotation (the maxima
        for pictures of several sizes), a hash of the content, and a sentence for each loss.
        The pictures of a folder are unrelated to each other and stand 1 s apart.

    Raises:
        VideoError: There is nothing that can be read; the message says why and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return _probe_folder(path)
    if path.is_file() and is_picture(path):
        return _probe_pictures(path, [path])
    index = read_index(path)
    return VideoInfo(
        path=path,
        video_id=_hash_files([path]),
        width=index.size[1],
        height=index.size[0],
        times_s=index.times_s,
        warnings=index.warnings,
    )


def _probe_folder(folder: Path) -> VideoInfo:
    pictures = list_pictures(folder)
    if not pictures:
        raise VideoError(
            f"Expected JPEG, PNG, WebP or BMP pictures in the folder {folder.name}, got none; "
            "choose another folder, or a video file itself."
        )
    return _probe_pictures(folder, pictures)


def _probe_pictures(path: Path, pictures: list[Path]) -> VideoInfo:
    # Each picture is decoded once: only that shows whether it can be, and how EXIF turns it.
    sizes, kept, cut, errors = [], [], [], []
    for picture in pictures:
        try:
            data = read_bytes(picture)
            sizes.append(decode_picture(data, picture.name).shape[:2])
        except VideoError as error:
            errors.append((picture.name, error))
            continue
        kept.append(picture)
        if is_cut_off(data):
            cut.append(picture.name)
    if not kept:
        raise errors[0][1]
    return VideoInfo(
        path=path,
        video_id=_hash_files(kept),
        width=max(width for _, width in sizes),
        height=max(height for height, _ in sizes),
        times_s=np.arange(len(kept), dtype=np.float64),
        warnings=tuple(_picture_losses([name for name, _ in errors], cut, len(pictures))),
        names=tuple(picture.name for picture in kept),
    )


def _picture_losses(unread: list[str], cut: list[str], count: int) -> list[str]:
    said = []
    if unread:
        said.append(f"{len(unread)} of {count} pictures could not be read: {_enumerate(unread)}.")
    if cut:
        said.append(f"Cut off, so that a part of the picture is missing: {_enumerate(cut)}.")
    return said


def _enumerate(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _hash_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.stat().st_size}:".encode())
        with file.open("rb") as content:
            while block := content.read(_HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()
