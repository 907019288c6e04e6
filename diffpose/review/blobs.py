"""Arrays and skeletons as the project file keeps them: little-endian bytes, and JSON.

What is read is checked: shapes, ranges, finite numbers. Anything else is a `DamagedError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.names import is_plain_name, parse_video_id
from diffpose.poses import Origin, PoseSequence, Track, VideoInfo
from diffpose.review.limits import (
    MAX_FRAMES,
    MAX_KEYPOINTS,
    MAX_NAME,
    MAX_PATH,
    MAX_PLACE,
    MAX_SIDE,
)
from diffpose.review.rows import (
    DamagedError,
    damaged,
    data,
    fields,
    from_json,
    items,
    number,
    whole,
)
from diffpose.review.rows import text as text_of
from diffpose.skeleton import Skeleton

CHUNK_FRAMES = 512
_TYPES = {
    "frames": "<i4",
    "keypoints": "<f4",
    "confidence": "<f4",
    "covariance": "<f4",
    "origin": "u1",
}
_DETAILS = ("warnings", "names")
_MAX_CONFIDENCE = 1e6  # of imported poses: not every program ends at 1
_MAX_TIME_S = 1e9


def split_chunks(sequence: PoseSequence, *, first: int = 0) -> Iterator[tuple[int | bytes, ...]]:
    """(start, then the bytes of frames, keypoints, confidence, covariance, origin) by chunk.

    Args:
        sequence: The poses.
        first: The start of the first chunk: poses that chunks before it hold.
    """
    for start in range(0, len(sequence), CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        arrays = (getattr(sequence, name)[part].astype(kind) for name, kind in _TYPES.items())
        yield (first + start, *(array.tobytes() for array in arrays))


def unpack_frames(packed: object) -> NDArray[np.int32]:
    """The frames of a chunk."""
    return np.frombuffer(data(packed, "poses (frames)", unit=4), "<i4")


def join_chunks(
    skeleton: Skeleton, track_id: int, chunks: Sequence[Sequence[object]]
) -> PoseSequence:
    """The sequence that `split_chunks` took apart; the chunks without their start, in order."""
    num = len(skeleton)
    shapes = {"keypoints": (num, 2), "confidence": (num,), "covariance": (num, 2, 2)}
    shapes |= {"origin": (num,), "frames": ()}
    arrays = {}
    for index, (name, kind) in enumerate(_TYPES.items()):
        unit = np.dtype(kind).itemsize * int(np.prod(shapes[name]))
        parts = [data(chunk[index], f"poses ({name})", unit=unit) for chunk in chunks]
        arrays[name] = np.frombuffer(b"".join(parts), kind).reshape(-1, *shapes[name])
    if len({len(array) for array in arrays.values()}) > 1:
        raise DamagedError("expected arrays of poses of one length, got several")
    check_frames(arrays["frames"])
    check_poses(arrays["keypoints"], arrays["covariance"], arrays["confidence"])
    if arrays["origin"].size and arrays["origin"].max() > max(Origin):
        raise damaged("a keypoint's origin", f"0 to {max(Origin):d}", int(arrays["origin"].max()))
    return PoseSequence(skeleton=skeleton, track_id=track_id, **arrays)


def check_frames(frames: NDArray[np.integer]) -> None:
    """Refuse frames that do not increase, or that no video has."""
    if len(frames) and (frames[0] < 0 or frames[-1] >= MAX_FRAMES or (np.diff(frames) <= 0).any()):
        raise DamagedError("expected increasing frames of a video")


def check_in_video(frames: NDArray[np.integer], num_frames: int) -> None:
    """Refuse frames that a video does not have; they increase."""
    if len(frames) and frames[-1] >= num_frames:
        raise damaged("the last frame of a track", f"at most {num_frames - 1}", int(frames[-1]))


def check_poses(
    keypoints: NDArray[Any], covariance: NDArray[Any], confidence: NDArray[Any]
) -> None:
    """Refuse numbers that are no places, spreads and beliefs; NaN is unknown and right.

    Args:
        keypoints: (..., 2) px.
        covariance: (..., 2, 2) px^2.
        confidence: (...).
    """
    if _beyond(keypoints, MAX_PLACE):
        raise DamagedError(f"expected keypoints within {MAX_PLACE:.0f} pixels")
    variances = covariance[..., (0, 1), (0, 1)]
    if _beyond(covariance, MAX_PLACE**2) or (variances < 0).any():
        raise DamagedError("expected covariances of keypoints")
    if _beyond(confidence, _MAX_CONFIDENCE):
        raise DamagedError("expected finite confidences")


def _beyond(values: NDArray[Any], limit: float) -> bool:
    """Whether anything is infinite or too large, NaN aside; without copies of large arrays."""
    return bool(values.size) and not (
        np.fmax.reduce(values, axis=None, initial=0) <= limit
        and np.fmin.reduce(values, axis=None, initial=0) >= -limit
    )


def skeleton_to_json(skeleton: Skeleton) -> str:
    """All of a skeleton, so that a project never depends on a later version's."""
    return json.dumps(asdict(skeleton))


def skeleton_from_json(text: object) -> Skeleton:
    """The skeleton that `skeleton_to_json` wrote."""
    names = ("name", "keypoints", "edges", "sigmas")
    values = fields(from_json(text, "a skeleton"), "a skeleton", names)
    keypoints = items(values["keypoints"], "keypoints", _name, most=MAX_KEYPOINTS)
    if not keypoints or len(set(keypoints)) < len(keypoints):
        raise damaged("keypoints", "different names", keypoints)
    edges = items(values["edges"], "edges", _edge, most=MAX_KEYPOINTS**2)
    if unknown := {name for edge in edges for name in edge} - set(keypoints):
        raise damaged("the ends of edges", "keypoints", unknown)
    sigmas = items(values["sigmas"], "sigmas", _sigma, most=MAX_KEYPOINTS)
    if len(sigmas) != len(keypoints):
        raise damaged("sigmas", "one for each keypoint", sigmas)
    return Skeleton(_name(values["name"], "a skeleton"), keypoints, edges, sigmas)


def _name(value: object, what: str) -> str:
    return text_of(value, what, longest=MAX_NAME, empty=False)


def _sigma(value: object, what: str) -> float:
    return number(value, what, least=0)


def _edge(value: object, what: str) -> tuple[str, str]:
    ends = items(value, what, _name, most=2)
    if len(ends) != 2:
        raise damaged(what, "pairs of keypoints", value)
    return ends[0], ends[1]


def pack_boxes(track: Track) -> bytes:
    """(N, 6) f64: frame, box, score; every value exact."""
    table = np.column_stack([track.frames, track.boxes, track.scores])
    return table.astype("<f8").tobytes()


def unpack_boxes(track_id: int, packed: object) -> Track:
    """The track that `pack_boxes` wrote."""
    table = np.frombuffer(data(packed, "boxes", unit=48), "<f8").reshape(-1, 6)
    if not (np.abs(table) <= MAX_FRAMES).all() or (table[:, 0] != np.floor(table[:, 0])).any():
        raise DamagedError("expected boxes of finite numbers")
    frames = table[:, 0].astype(np.int32)
    check_frames(frames)
    return Track(track_id, frames, table[:, 1:5], table[:, 5])


def video_to_row(info: VideoInfo) -> tuple[str | int | bytes, ...]:
    """Id, path, width, height, times (f64 bytes) and details (JSON)."""
    details: dict[str, list[Any]] = {"warnings": list(info.warnings), "names": list(info.names)}
    if info.stored_size is not None:
        details["stored_size"] = list(info.stored_size)
    times_s = info.times_s.astype("<f8").tobytes()
    place = info.video_id, str(info.path)
    return (*place, info.width, info.height, times_s, json.dumps(details))


def video_from_row(row: Sequence[object]) -> VideoInfo:
    """The video that `video_to_row` wrote."""
    video_id, path, width, height, times_s, details = row
    more = fields(from_json(details, "a video's details"), "a video's details", _DETAILS)
    times = np.frombuffer(data(times_s, "times of frames", unit=8), "<f8")
    if len(times) > MAX_FRAMES or not (np.abs(times) <= _MAX_TIME_S).all():
        raise DamagedError(f"expected finite times of at most {MAX_FRAMES} frames")
    names = items(more["names"], "names of pictures", _picture_name, most=MAX_FRAMES)
    if names and len(names) != len(times):
        raise damaged("names of pictures", f"{len(times)} names", names)
    return VideoInfo(
        path=Path(_path(path)),
        video_id=parse_video_id(video_id),
        width=whole(width, "a video's width", least=1, most=MAX_SIDE),
        height=whole(height, "a video's height", least=1, most=MAX_SIDE),
        times_s=times,
        warnings=items(more["warnings"], "warnings", _warning, most=1000),
        names=names,
        stored_size=_stored_size(more.get("stored_size")),
    )


def _stored_size(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = items(value, "a stored size", _side, most=2)
    if len(sides) != 2:
        raise damaged("a stored size", "a height and a width", value)
    return sides[0], sides[1]


def _side(value: object, what: str) -> int:
    return whole(value, what, least=1, most=MAX_SIDE)


def _path(value: object) -> str:
    path = text_of(value, "a video's path", longest=MAX_PATH)
    if any(len(part.encode("utf-8")) > 255 for part in path.split("/")):
        raise damaged("a video's path", "names of at most 255 bytes", path)
    return path


def _picture_name(value: object, what: str) -> str:
    if not is_plain_name(value):
        raise damaged(what, "file names without folders", value)
    return str(value)


def _warning(value: object, what: str) -> str:
    return text_of(value, what, longest=10_000)
