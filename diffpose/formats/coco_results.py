"""Reading COCO keypoint result lists: another estimator's poses of known pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from diffpose.checked import Known, Number, Text, validate
from diffpose.errors import FormatError
from diffpose.formats.common import read_json
from diffpose.skeleton import COCO17

_Numbers = 3 * len(COCO17)


class _Result(TypedDict):
    file_name: Text
    keypoints: Annotated[list[Known], Field(min_length=_Numbers, max_length=_Numbers)]
    score: Number


def read_coco_results(
    path: Path | str, names: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The best pose of each picture in a result list whose entries carry ``file_name``.

    Args:
        path: A list of ``{file_name, keypoints: [x, y, score] * 17, score}``.
        names: N pictures wanted; others are passed over.

    Returns:
        Keypoints (N, 17, 2) picture pixels and their scores (N, 17); NaN and 0 for pictures that
        the list does not mention.

    Raises:
        FormatError: It is no such list, or mentions none of the pictures.
    """
    what = (
        f"Expected {Path(path).name} to be a list of COCO keypoint results with file_name, "
        "17 triplets and a score each; it"
    )
    entries = validate(list[_Result], read_json(path), what)
    row_of = {PurePosixPath(name).name: row for row, name in enumerate(names)}
    points = np.full((len(names), len(COCO17), 3), np.nan, np.float32)
    points[..., 2] = 0
    best = np.full(len(names), -np.inf)
    for entry in entries:
        row = row_of.get(PurePosixPath(entry["file_name"]).name)
        if row is not None and entry["score"] > best[row]:
            points[row] = np.array(entry["keypoints"], np.float32).reshape(len(COCO17), 3)
            best[row] = entry["score"]
    if not np.isfinite(best).any():
        raise FormatError(
            f"{Path(path).name} mentions none of the {len(names)} pictures, e.g. {names[0]}; "
            "give results of these pictures."
        )
    return points[..., :2], points[..., 2]
