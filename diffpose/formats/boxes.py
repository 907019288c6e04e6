"""``boxes.json``: whose poses are wanted, as ``[{"image": ..., "bbox": [x, y, w, h]}]``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from diffpose.errors import BoxError, FormatError
from diffpose.formats.common import read_json
from diffpose.geometry import check_box
from diffpose.poses import FloatArray, VideoInfo


def read_boxes(path: Path | str, info: VideoInfo) -> list[tuple[int, FloatArray]]:
    """Read person boxes in the order of the file.

    ``image`` is a frame index (for pictures: the position, from 0) or a picture's name, with or
    without folder and extension. ``bbox`` is x, y of the top left corner, width and height, in
    video pixels.

    Args:
        path: The JSON file.
        info: The video or pictures the boxes lie in.

    Returns:
        (frame index, box (4,) f64 xyxy in video pixels, clipped to the picture) per entry; of
        pictures with several sizes, clipped to the largest, which is all ``info`` knows.

    Raises:
        FormatError: The file is not such a list or names a frame or picture that is not there.
        BoxError: A box is not finite, empty or outside the picture.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise FormatError(
            'Expected a list of {"image": name or frame index, "bbox": [x, y, w, h]} in '
            f"{path}, got {type(content).__name__}."
        )
    frames = _frames_by_name(info)
    boxes = []
    for number, entry in enumerate(content):
        where = f"Entry {number} of {Path(path).name}"
        if not isinstance(entry, dict) or not {"image", "bbox"} <= set(entry):
            raise FormatError(f'{where}: expected {{"image": ..., "bbox": [x, y, w, h]}}.')
        frame = _frame(entry["image"], info, frames, where)
        boxes.append((frame, _box(entry["bbox"], info, where)))
    return boxes


def _frames_by_name(info: VideoInfo) -> dict[str, set[int]]:
    """Frames by every way to write a picture's name: whole, without folder, without extension."""
    frames: dict[str, set[int]] = {}
    for frame, name in enumerate(info.names):
        path = PurePosixPath(name)
        for spelling in (name, str(path.with_suffix("")), path.name, path.stem):
            frames.setdefault(spelling, set()).add(frame)
    return frames


def _frame(image: Any, info: VideoInfo, frames: dict[str, set[int]], where: str) -> int:
    if isinstance(image, int) and not isinstance(image, bool):
        if 0 <= image < info.num_frames:
            return image
        raise FormatError(
            f"{where}: frame {image} is not in {info.path.name}, whose frames are 0 to "
            f"{info.num_frames - 1}."
        )
    if not isinstance(image, str) or not image:
        raise FormatError(
            f'{where}: expected "image" to be a name or a frame index, got {repr(image)[:40]}.'
        )
    if not info.names:
        raise FormatError(
            f"{where}: {info.path.name} is a video; give a frame index, not the name "
            f"{image[:60]!r}."
        )
    if image in info.names:
        return info.names.index(image)
    path = PurePosixPath(image.replace("\\", "/"))
    for spelling in (str(path), path.name):
        found = frames.get(spelling, set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            names = ", ".join(info.names[frame] for frame in sorted(found))
            raise FormatError(f"{where}: {image[:60]!r} may be {names}; give the whole name.")
    raise FormatError(
        f"{where}: no picture is called {image[:60]!r}; {info.path.name} has {len(info.names)}, "
        f"for example {info.names[0]!r}."
    )


def _box(bbox: Any, info: VideoInfo, where: str) -> FloatArray:
    if isinstance(bbox, list) and None in bbox:
        raise BoxError(f"{where}: expected finite numbers in the bbox, got {repr(bbox)[:80]}.")
    numbers = isinstance(bbox, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in bbox
    )
    if not numbers or len(bbox) != 4:
        raise FormatError(
            f"{where}: expected a bbox of four numbers [x, y, w, h], got {repr(bbox)[:80]}."
        )
    if not all(abs(v) <= 1e12 for v in bbox):
        raise BoxError(f"{where}: expected finite numbers in the bbox, got {repr(bbox)[:80]}.")
    x, y, width, height = bbox
    try:
        return check_box(np.array([x, y, x + width, y + height], np.float64), size=info.size)
    except BoxError as error:
        raise BoxError(f"{where}, bbox {bbox}: {error}") from error
