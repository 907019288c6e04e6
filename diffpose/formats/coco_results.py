"""Reading COCO keypoint result lists: another estimator's poses of known pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.formats.common import read_json
from diffpose.skeleton import COCO17


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
    entries = read_json(path)
    row_of = {PurePosixPath(name).name: row for row, name in enumerate(names)}
    points = np.full((len(names), len(COCO17), 3), np.nan, np.float32)
    points[..., 2] = 0
    best = np.full(len(names), -np.inf)
    try:
        for entry in entries:
            row, triplets, score = _entry(entry, row_of)
            if row is not None and score > best[row]:
                points[row], best[row] = triplets, score
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"Expected {Path(path).name} to be a list of COCO keypoint results with file_name, "
            f"17 triplets and a score each, got something else ({error!r})."
        ) from error
    if not np.isfinite(best).any():
        raise FormatError(
            f"{Path(path).name} mentions none of the {len(names)} pictures, e.g. {names[0]}; "
            "give results of these pictures."
        )
    return points[..., :2], points[..., 2]


def _entry(
    entry: dict[str, Any], row_of: dict[str, int]
) -> tuple[int | None, NDArray[np.float32], float]:
    row = row_of.get(PurePosixPath(str(entry["file_name"])).name)
    triplets = np.asarray(entry["keypoints"], np.float32).reshape(len(COCO17), 3)
    return row, triplets, float(entry["score"])
