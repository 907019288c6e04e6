"""The tables of SLEAP's ``.slp`` files, and what must be true of them before they are followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from diffpose.checked import Index, Name, parse_json, validate
from diffpose.errors import FormatError

USER, PREDICTED = 0, 1
NO_LINK = -1

FRAME = [
    ("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"),
    ("instance_id_start", "u8"), ("instance_id_end", "u8"),
]  # fmt: skip
INSTANCE = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"),
    ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"),
    ("point_id_end", "u8"), ("tracking_score", "f4"),
]  # fmt: skip
POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
PREDICTED_POINT = [*POINT, ("score", "f8")]
# What is read of each table; older files lack the rest.
_READ = {
    "frames": [field for field in FRAME if not field[0].startswith("instance")],
    "instances": [f for f in INSTANCE if f[0] not in ("skeleton", "score", "tracking_score")],
    "points": POINT,
    "pred_points": PREDICTED_POINT,
}


class _StoredNode(TypedDict):
    name: Name


class _StoredNumber(TypedDict):
    id: Index | dict[str, Any]


class _StoredSkeleton(TypedDict):
    nodes: Annotated[list[_StoredNumber], Field(min_length=1, max_length=1000)]


class _StoredMetadata(TypedDict):
    nodes: list[_StoredNode]
    skeletons: Annotated[list[_StoredSkeleton], Field(min_length=1)]


class _StoredBackend(TypedDict):
    shape: NotRequired[Annotated[list[Index], Field(min_length=3)] | None]


class _StoredVideo(TypedDict):
    backend: NotRequired[_StoredBackend]


_StoredTrack = Annotated[list[Any], Field(min_length=2)]
Texts = dict[str, list[Any]]


def checked_tables(
    found: Mapping[str, Any],
) -> tuple[dict[str, NDArray[Any]], dict[str, Any], Texts]:
    """Tables, metadata and texts of what `diffpose.formats.hdf.read_sleap_tables` found.

    Raises:
        FormatError: A column is missing or of another type, or a text is not what it should be.
    """
    arrays = {name: _table(found["tables"][name], dtype, name) for name, dtype in _READ.items()}
    texts = {
        "videos_json": [_parsed(_StoredVideo, text, "a video") for text in found["videos_json"]],
        "tracks_json": [_parsed(_StoredTrack, text, "a track") for text in found["tracks_json"]],
    }
    return arrays, _parsed(_StoredMetadata, found["metadata"], "its metadata"), texts


def _parsed(kind: Any, text: str, what: str) -> Any:
    return validate(kind, parse_json(text.encode("utf-8"), what), what)


def _table(columns: Mapping[str, NDArray[Any]], dtype: Any, name: str) -> NDArray[Any]:
    """Rows of the columns that are used here."""
    fields = [field for field, _ in dtype]
    if missing := [field for field in fields if field not in columns]:
        raise FormatError(f"{name} has no {', '.join(missing)}")
    rows = np.zeros(len(columns[fields[0]]), dtype)
    for field in fields:
        values = columns[field]
        if rows[field].dtype.kind in "iu":
            limits = np.iinfo(rows[field].dtype)
            whole = values.dtype.kind in "biu" and values.shape == rows.shape
            low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
            if not whole or low < limits.min or high > limits.max:
                raise FormatError(f"{name} has a {field} that is none")
        elif values.shape != rows.shape:
            raise FormatError(f"{name} has a {field} that is none")
        rows[field] = values
    return rows


def check_links(arrays: Mapping[str, NDArray[Any]], tracks: int) -> None:
    """Refuse tables that name a row which is not there.

    Raises:
        FormatError: They do.
    """
    instances = arrays["instances"]
    user = instances["instance_type"] == USER
    ends = np.where(user, len(arrays["points"]), len(arrays["pred_points"]))
    start, stop = instances["point_id_start"], instances["point_id_end"]
    link = instances["from_predicted"]
    linked = link != NO_LINK
    wrong = {
        "a frame beyond 2 thousand million": arrays["frames"]["frame_idx"] >= 2**31,
        "an instance of an unknown kind": ~user & (instances["instance_type"] != PREDICTED),
        "an instance without its points": (start > stop) | (stop > ends.astype(np.uint64)),
        "an instance of an unknown track": (instances["track"] < -1)
        | (instances["track"] >= tracks),
        "a link to no instance": linked & ((link < 0) | (link >= len(instances))),
        "an instance of an unknown frame": ~np.isin(
            instances["frame_id"], arrays["frames"]["frame_id"]
        ),
    }
    if found := [words for words, rows in wrong.items() if rows.any()]:
        raise FormatError(f"it has {found[0]}")
    kinds = instances["instance_type"][link[linked]]
    if (kinds != PREDICTED).any():
        raise FormatError("it has a link to an instance that is not predicted")
