"""C3D, the file of motion laboratories, with the uncertainty as residuals; write only.

The bytes follow the C3D user guide (c3d.org). No library writes them for us: ezc3d puts the
residual into the byte that the guide gives to the cameras, and is silent where a disk is full.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write_bytes
from diffpose.formats.common import check_sequences, known_keypoints
from diffpose.formats.opensim import marker_positions
from diffpose.poses import FloatArray, Origin, PoseSequence, Provenance, VideoInfo

_BLOCK = 512
_MAGIC = 0x50
_INTEL = 84
_MOST_FRAMES = 65535  # of the header; TRIAL has room for more
_MOST_LABELS = 255
_STEPS = 255  # a residual is a byte times the scale
_SEEN = 1 << 8  # the first camera
_UNKNOWN = -1

Value = str | list[str] | int | float | NDArray[np.uint16]


def write_c3d(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    metres_per_px: float | None = None,
) -> None:
    """Write all people as points over one span of frames.

    With several people a point is called ``<track id>:<keypoint>``. The residual of a point is
    the uncertainty's radius (root of the mean of the two variances) in the unit of the points, in
    steps of a 255th of the largest. As C3D's guide has it, the residual is 0 where a point was
    not measured, corrected or interpolated, and -1 where it is unknown. Axes are those of
    `write_trc`, in pixels, or with a scale in millimetres. The video's first frame is frame 1.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses; the group ``DIFFPOSE`` has it.
        metres_per_px: Scale of the picture; None for pixels.

    Raises:
        FormatError: There is no pose, or the frames are unevenly spaced, which C3D cannot say.
    """
    check_sequences(sequences, info)
    people = [sequence for sequence in sequences if len(sequence)]
    if not people:
        raise FormatError("Expected poses for a C3D file, got none; it cannot be empty.")
    start = min(int(p.frames[0]) for p in people)
    stop = max(int(p.frames[-1]) for p in people) + 1
    _check_even(info.times_s[start:stop], info)
    mm_per_px = None if metres_per_px is None else 1000 * metres_per_px
    points, radius = _points(people, info, start, stop, mm_per_px)
    # Also the unit of the points if somebody turns the file into one of integers.
    scale = max(float(np.nanmax(radius, initial=0)) / _STEPS, 1e-3)
    points[..., 3] = _fourth_word(points, radius / scale)
    points[~np.isfinite(points[..., 0]), :3] = 0
    data_start, parameters = _parameters(
        people, info, provenance, start=start, stop=stop, scale=scale,
        unit="px" if mm_per_px is None else "mm",
    )  # fmt: skip
    header = struct.pack(
        "<BBHHHHHfHHf", 2, _MAGIC, points.shape[1], 0, min(start + 1, _MOST_FRAMES),
        min(stop, _MOST_FRAMES), 0, -scale, data_start, 0, info.fps,
    )  # fmt: skip
    content = header.ljust(_BLOCK, b"\0") + parameters + points.astype("<f4").tobytes()
    atomic_write_bytes(path, content + b"\0" * (-len(content) % _BLOCK))


def _check_even(times_s: FloatArray, info: VideoInfo) -> None:
    even = times_s[0] + np.arange(len(times_s)) / info.fps
    late = float(np.abs(times_s - even).max())
    if late > 0.5 / info.fps:
        raise FormatError(
            f"The frames of {info.path.name} are unevenly spaced (up to {late:.3f} s from "
            f"{info.fps:.3f} a second), which C3D cannot say; choose TRC or CSV, which have times."
        )


def _points(
    people: Sequence[PoseSequence],
    info: VideoInfo,
    start: int,
    stop: int,
    mm_per_px: float | None,
) -> tuple[FloatArray, FloatArray]:
    """Points (N, M, 4), NaN where unknown, and radius (N, M), 0 where not measured, in the unit."""
    num = len(people[0].skeleton)
    points = np.full((stop - start, len(people) * num, 4), np.nan)
    radius = np.zeros(points.shape[:2])
    for number, person in enumerate(people):
        block = slice(number * num, (number + 1) * num)
        positions, frames = marker_positions(person, info, unit_per_px=mm_per_px)
        points[frames - start, block, :3] = positions
        placed = np.isin(person.origin, (Origin.CORRECTED, Origin.INTERPOLATED))
        measured = known_keypoints(person) & ~placed & np.isfinite(person.radius)
        unit = 1.0 if mm_per_px is None else mm_per_px
        radius[person.frames - start, block] = np.where(measured, person.radius * unit, 0)
    return points, radius


def _fourth_word(points: FloatArray, steps: FloatArray) -> FloatArray:
    """Camera mask in the high byte and residual in the low one, as a float; -1 where unknown."""
    residual = np.clip(np.ceil(steps), 0, _STEPS)  # a measured point has at least one step
    word = np.where(residual > 0, _SEEN + residual, 0)
    return np.where(np.isfinite(points[..., 0]), word, _UNKNOWN)


def _parameters(
    people: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    start: int,
    stop: int,
    scale: float,
    unit: str,
) -> tuple[int, bytes]:
    """The block at which the data starts, counted from 1, and the whole parameter section."""
    several = len(people) > 1
    labels = [
        f"{person.track_id}:{name}" if several else name
        for person in people
        for name in person.skeleton.keypoints
    ]
    groups: dict[str, dict[str, Value]] = {
        "POINT": {
            "USED": len(labels), "FRAMES": min(stop - start, _MOST_FRAMES), "DATA_START": 0,
            "SCALE": -scale, "RATE": float(info.fps), "UNITS": [unit],
            **dict(_chunks("LABELS", labels)), **dict(_chunks("DESCRIPTIONS", [""] * len(labels))),
        },
        "ANALOG": {"USED": 0, "RATE": 0.0, "GEN_SCALE": 1.0},
        "FORCE_PLATFORM": {"USED": 0},
        "TRIAL": {
            "ACTUAL_START_FIELD": _long(start + 1), "ACTUAL_END_FIELD": _long(stop),
            "CAMERA_RATE": float(info.fps),
        },
        "DIFFPOSE": {
            "MODEL": provenance.model, "WEIGHTS": provenance.weights, "VIDEO_ID": info.video_id,
            "NUM_STEPS": provenance.num_steps, "NUM_HYPOTHESES": provenance.num_hypotheses,
            "SEED": str(provenance.seed),
        },
    }  # fmt: skip
    blocks = -(-len(_section(groups, 0)) // _BLOCK)
    groups["POINT"]["DATA_START"] = 2 + blocks
    return 2 + blocks, _section(groups, blocks).ljust(blocks * _BLOCK, b"\0")


def _section(groups: dict[str, dict[str, Value]], blocks: int) -> bytes:
    records = b""
    for number, (group, values) in enumerate(groups.items(), start=1):
        name = group.encode("ascii")
        records += struct.pack("<bb", len(name), -number) + name + struct.pack("<hB", 3, 0)
        for key, value in values.items():
            records += _parameter(number, key, value)
    return struct.pack("<BBBB", 1, _MAGIC, blocks, _INTEL) + records + b"\0\0"


def _parameter(group: int, key: str, value: Value) -> bytes:
    """One record: name, offset of the next one, type, dimensions, data, empty description."""
    if isinstance(value, str):
        text = value.encode("ascii", "replace")[:_MOST_LABELS]
        body = struct.pack("<bBB", -1, 1, len(text)) + text
    elif isinstance(value, list):
        texts = [text.encode("ascii", "replace")[:_MOST_LABELS] for text in value]
        width = max(map(len, texts), default=0)
        body = struct.pack("<bBBB", -1, 2, width, len(texts))
        body += b"".join(text.ljust(width) for text in texts)
    elif isinstance(value, np.ndarray):
        body = struct.pack("<bBB", 2, 1, len(value)) + value.astype("<u2").tobytes()
    elif isinstance(value, int):
        body = struct.pack("<bBH", 2, 0, value)
    else:
        body = struct.pack("<bBf", 4, 0, value)
    name = key.encode("ascii")
    offset = struct.pack("<h", 2 + len(body) + 1)
    return struct.pack("<bb", len(name), group) + name + offset + body + b"\0"


def _chunks(name: str, labels: list[str]) -> Iterator[tuple[str, list[str]]]:
    """``LABELS``, ``LABELS2``, ...: a list holds 255 at most."""
    for number, begin in enumerate(range(0, len(labels), _MOST_LABELS), start=1):
        yield f"{name}{number if number > 1 else ''}", labels[begin : begin + _MOST_LABELS]


def _long(value: int) -> NDArray[np.uint16]:
    """A number of 32 bits as two words, the low one first."""
    return np.array([value & 0xFFFF, value >> 16], np.uint16)
