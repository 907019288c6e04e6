"""Arrays and skeletons as the project file keeps them: little-endian bytes, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diffpose.poses import PoseSequence, Track, VideoInfo
from diffpose.skeleton import Skeleton

CHUNK_FRAMES = 512
_TYPES = {
    "frames": "<i4",
    "keypoints": "<f4",
    "confidence": "<f4",
    "covariance": "<f4",
    "origin": "u1",
}


def split_chunks(sequence: PoseSequence) -> Iterator[tuple[int | bytes, ...]]:
    """(start, then the bytes of frames, keypoints, confidence, covariance, origin) by chunk."""
    for start in range(0, len(sequence), CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        arrays = (getattr(sequence, name)[part].astype(kind) for name, kind in _TYPES.items())
        yield (start, *(array.tobytes() for array in arrays))


def join_chunks(
    skeleton: Skeleton, track_id: int, chunks: Sequence[Sequence[bytes]]
) -> PoseSequence:
    """The sequence that `split_chunks` took apart; the chunks without their start, in order."""
    num = len(skeleton)
    shapes = {"keypoints": (num, 2), "confidence": (num,), "covariance": (num, 2, 2)}
    shapes |= {"origin": (num,), "frames": ()}
    arrays = {
        name: np.frombuffer(b"".join(chunk[index] for chunk in chunks), kind).reshape(
            -1, *shapes[name]
        )
        for index, (name, kind) in enumerate(_TYPES.items())
    }
    return PoseSequence(skeleton=skeleton, track_id=track_id, **arrays)


def skeleton_to_json(skeleton: Skeleton) -> str:
    """All of a skeleton, so that a project never depends on a later version's."""
    return json.dumps(asdict(skeleton))


def skeleton_from_json(text: str) -> Skeleton:
    """The skeleton that `skeleton_to_json` wrote."""
    values = json.loads(text)
    return Skeleton(
        name=values["name"],
        keypoints=tuple(values["keypoints"]),
        edges=tuple((a, b) for a, b in values["edges"]),
        sigmas=tuple(values["sigmas"]),
    )


def pack_boxes(track: Track) -> bytes:
    """(N, 6) f64: frame, box, score; every value exact."""
    table = np.column_stack([track.frames, track.boxes, track.scores])
    return table.astype("<f8").tobytes()


def unpack_boxes(track_id: int, data: bytes) -> Track:
    """The track that `pack_boxes` wrote."""
    table = np.frombuffer(data, "<f8").reshape(-1, 6)
    return Track(track_id, table[:, 0].astype(np.int32), table[:, 1:5], table[:, 5])


def video_to_row(info: VideoInfo) -> tuple[str | int | bytes, ...]:
    """Id, path, width, height, times (f64 bytes) and details (JSON)."""
    details = {"warnings": list(info.warnings), "names": list(info.names)}
    times_s = info.times_s.astype("<f8").tobytes()
    place = info.video_id, str(info.path)
    return (*place, info.width, info.height, times_s, json.dumps(details))


def video_from_row(row: Sequence[Any]) -> VideoInfo:
    """The video that `video_to_row` wrote."""
    video_id, path, width, height, times_s, details = row
    more = json.loads(details)
    return VideoInfo(
        path=Path(path),
        video_id=video_id,
        width=width,
        height=height,
        times_s=np.frombuffer(times_s, "<f8"),
        warnings=tuple(more["warnings"]),
        names=tuple(more["names"]),
    )
