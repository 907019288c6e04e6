"""Person boxes that another detector found on a data set, as the PoseTrack literature passes them.

A list of ``{"bbox": [x, y, w, h], "score": s}`` with ``image_name`` (DCPose, PoseWarper) or
``image_id`` (mmpose, COCO results).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from diffpose.checked import Identifier, Number, Text, validate
from diffpose.errors import FormatError
from diffpose.formats.common import read_json
from diffpose.formats.posetrack_records import PoseTrackSequence


@dataclass(frozen=True)
class FrameBoxes:
    """The N people of one picture whose poses are wanted.

    Attributes:
        boxes: (N, 4) f64 xyxy, pixels.
        scores: (N,) of the detector; 1 for annotated boxes.
        track_ids: (N,) i64.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    track_ids: NDArray[np.int64]


class _Detection(TypedDict):
    image_name: NotRequired[Text]
    image_id: NotRequired[Identifier]
    category_id: NotRequired[Identifier]
    bbox: NotRequired[Annotated[list[Number], Field(min_length=4, max_length=4)]]
    score: NotRequired[Number]


def read_detections(
    path: Path | str, sequences: Sequence[PoseTrackSequence], *, min_score: float = 0.2
) -> dict[str, FrameBoxes]:
    """The boxes of a detection file by the name of the picture.

    Args:
        path: The JSON file.
        sequences: Whose pictures the file's names or ids are.
        min_score: Weaker boxes are left out; 0.2 is the literature's.

    Raises:
        FormatError: It is no such list, a box is none, or no entry names a picture of the data.
    """
    what = (
        'Expected a list of {"image_name" or "image_id", "bbox": [x, y, w, h], "score"}: '
        f"{Path(path).name}"
    )
    content = validate(list[_Detection], read_json(path), what)
    frames = [frame for sequence in sequences for frame in sequence.frames]
    by_id: dict[Identifier, str] = {frame.image_id: frame.name for frame in frames}
    by_name = {_short(frame.name): frame.name for frame in frames}
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for number, entry in enumerate(content):
        name = _picture(entry, by_id, by_name)
        if name is not None and entry.get("category_id", 1) == 1:
            rows[name].append(_row(entry, f"Entry {number} of {Path(path).name}"))
    if not rows:
        raise FormatError(
            f"No box of {Path(path).name} lies in the pictures of this data set; give the "
            "detections of the split that is evaluated."
        )
    return {name: _boxes(np.array(found), min_score) for name, found in rows.items()}


def _short(name: str) -> tuple[str, ...]:
    """Folder and stem: copies of the data set lie in other folders, with other extensions."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (path.parent.name, path.stem)


def _picture(
    entry: _Detection, by_id: Mapping[Identifier, str], by_name: Mapping[tuple[str, ...], str]
) -> str | None:
    if "image_name" in entry:
        return by_name.get(_short(entry["image_name"]))
    return by_id.get(entry.get("image_id", -1))


def _row(entry: _Detection, where: str) -> list[float]:
    if "bbox" not in entry or "score" not in entry:
        raise FormatError(f"{where}: expected bbox [x, y, w, h] and a score.")
    x, y, width, height = entry["bbox"]
    if width <= 0 or height <= 0:
        raise FormatError(f"{where}: expected a finite box with an area, got {entry['bbox']}.")
    return [x, y, x + width, y + height, entry["score"]]


def _boxes(rows: NDArray[np.float64], min_score: float) -> FrameBoxes:
    kept = rows[rows[:, 4] >= min_score]
    return FrameBoxes(kept[:, :4], kept[:, 4], np.arange(len(kept)))
