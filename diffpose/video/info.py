"""Probing: what a video file, a picture or a folder of pictures holds, measured, not believed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diffpose.errors import SettingsError, VideoError
from diffpose.isolated import run_isolated
from diffpose.poses import VideoInfo
from diffpose.video.index import FrameIndex, read_index
from diffpose.video.picture import (
    decode_picture,
    is_cut_off,
    is_picture,
    list_pictures,
    read_bytes,
)
from diffpose.video.speed import recorded_times

_HASH_BLOCK = 2**20
_PROBE_SECONDS = 60.0  # a long damaged recording is decoded as a whole
_PROBE_MEMORY = 2**32  # address space; the codecs' threads reserve more than they use


def probe(
    path: str | Path,
    *,
    most_frames: int | None = None,
    isolated: bool = False,
    capture_fps: float | None = None,
) -> VideoInfo:
    """Measure a video file, one picture, or a folder of pictures.

    Args:
        path: The file or folder. The content decides what it is, not the extension.
        most_frames: Frames of a video beyond this are left out, as if it ended there. None reads
            up to half a million, and says so where there are more.
        isolated: Probe in a process of its own with limits of time and memory: for files from
            strangers, at the cost of starting one.
        capture_fps: Frames a second at which a video was recorded, where it is played slower or
            faster: times are those of recording. None for what the file says.

    Returns:
        Frame times in seconds from the first frame, the size in display pixels, which are square
        (the maxima for pictures of several sizes), a hash of the content, and a sentence for each
        loss.
        The pictures of a folder are unrelated to each other and stand 1 s apart.

    Raises:
        VideoError: There is nothing that can be read; the message says why and what to do.
        SettingsError: A rate of recording is given for pictures, or is none.
    """
    path = Path(path)
    if isolated:
        return _probe_isolated(path, most_frames, capture_fps)
    if path.is_dir() or (path.is_file() and is_picture(path)):
        if capture_fps is not None:
            raise SettingsError(
                f"Expected a video for a rate of recording, got the pictures {path.name}; a folder "
                "of frames has a frame rate."
            )
        return _probe_folder(path) if path.is_dir() else _probe_pictures(path, [path])
    index = read_index(path, most_frames=most_frames)
    played = VideoInfo(
        path=path,
        video_id=_hash_files([path]),
        width=index.size[1],
        height=index.size[0],
        times_s=index.times_s,
        warnings=index.warnings,
        stored_size=index.stored_size,
    )
    times_s, said = recorded_times(
        played.times_s, played.fps, stated=capture_fps, written=index.capture_fps
    )
    return replace(played, times_s=times_s, notes=(*said, *_notes(index, played)))


def _notes(index: FrameIndex, info: VideoInfo) -> list[str]:
    said = []
    if index.stored_size is not None and index.stored_size != index.size:
        height, width = index.stored_size
        said.append(
            f"Pixels in the file are not square: its pictures of {width} x {height} are shown "
            f"{info.width} x {info.height}."
        )
    if index.is_interlaced:
        said.append(
            f"The video is interlaced: each of its {info.fps:.5g} frames a second shows the first "
            "of its two fields."
        )
    if index.is_hdr:
        said.append("The video is in HDR; it is shown as an ordinary screen shows it.")
    return said


def _probe_isolated(path: Path, most_frames: int | None, capture_fps: float | None) -> VideoInfo:
    found = run_isolated(
        "diffpose.video.info:probe_plainly",
        str(path.resolve()),
        most_frames,
        capture_fps,
        what=path.name,
        seconds=_PROBE_SECONDS,
        memory=_PROBE_MEMORY,
        error=VideoError,
    )
    words = {key: tuple(map(str, found[key])) for key in ("warnings", "names", "notes")}
    stored = found["stored_size"]
    return VideoInfo(
        path=path,
        video_id=str(found["video_id"]),
        width=int(found["width"]),
        height=int(found["height"]),
        times_s=found["times_s"],
        stored_size=(int(stored[0]), int(stored[1])) if stored else None,
        **words,
    )


def probe_plainly(path: str, most_frames: int | None, capture_fps: float | None) -> dict[str, Any]:
    """`probe` in plain values, for `diffpose.isolated`."""
    info = probe(path, most_frames=most_frames, capture_fps=capture_fps)
    return {
        "video_id": info.video_id,
        "width": info.width,
        "height": info.height,
        "times_s": info.times_s,
        "warnings": info.warnings,
        "names": info.names,
        "notes": info.notes,
        "stored_size": info.stored_size,
    }


def _probe_folder(folder: Path) -> VideoInfo:
    pictures, others = list_pictures(folder)
    if not pictures:
        raise VideoError(
            f"Expected JPEG, PNG, WebP, HEIC, AVIF or BMP pictures in the folder {folder.name}, "
            "got none; choose another folder, or a video file itself."
        )
    info = _probe_pictures(folder, pictures)
    if not others:
        return info
    names = _enumerate([file.name for file in others])
    count = "1 file is" if len(others) == 1 else f"{len(others)} files are"
    return replace(info, notes=(f"{count} left out, being no still pictures: {names}.",))


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
        warnings=tuple(
            _picture_losses(
                [name for name, _ in errors],
                str(errors[0][1]) if errors else "",
                cut,
                len(pictures),
            )
        ),
        names=tuple(picture.name for picture in kept),
    )


def _picture_losses(unread: list[str], why: str, cut: list[str], count: int) -> list[str]:
    said = []
    if unread:
        said.append(
            f"{len(unread)} of {count} pictures could not be read and are left out: "
            f"{_enumerate(unread)}. The first: {why}"
        )
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
