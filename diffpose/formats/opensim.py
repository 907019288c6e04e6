"""OpenSim's text files: marker positions (TRC) and motions (MOT)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffpose.cells import safe_name
from diffpose.errors import FormatError, SettingsError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import check_sequences, known_keypoints
from diffpose.poses import FloatArray, PoseSequence, VideoInfo


def write_trc(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    *,
    metres_per_px: float | None = None,
) -> None:
    """Write marker positions; several people become one file each, ``<stem>_track_<id>.trc``.

    Rows go from the first to the last frame of a track at the video's own times; unknown values
    are ``nan``: OpenSim refuses a row that ends in blank cells. Z is 0. Without a scale the
    numbers are pixels, y down, the unit is written as ``px``, and ``_px`` belongs into the file's
    name, which tells Sports2D so. With a scale they are metres, y up, from the centre of the lower
    left pixel.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        metres_per_px: Scale of the picture; None for pixels.

    Raises:
        FormatError: There is no pose; TRC has no way to say so.
        SettingsError: The scale is not positive.
    """
    check_sequences(sequences, info)
    people = [sequence for sequence in sequences if len(sequence)]
    if not people:
        raise FormatError("Expected poses for a TRC file, got none; it cannot be empty.")
    for target, sequence in zip(trc_paths(path, people), people, strict=True):
        points, frames = marker_positions(sequence, info, unit_per_px=metres_per_px)
        unit = "px" if metres_per_px is None else "m"
        atomic_write(target, _trc_text(target.name, sequence, points, frames, info, unit))


def trc_paths(path: Path | str, people: Sequence[PoseSequence]) -> list[Path]:
    """The file of each person with poses."""
    path = Path(path)
    if len(people) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_track_{p.track_id}{path.suffix}") for p in people]


def marker_positions(
    sequence: PoseSequence, info: VideoInfo, *, unit_per_px: float | None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Positions (N, K, 3) f64 from the first to the last frame, NaN where unknown, and the frames.

    Pixels with y down, or with a scale its unit with y up and 0 at the centre of the lowest row.

    Raises:
        SettingsError: The scale is not positive.
    """
    if unit_per_px is not None and not (np.isfinite(unit_per_px) and unit_per_px > 0):
        raise SettingsError(f"Expected a positive scale of the picture, got {unit_per_px} a pixel.")
    frames = np.arange(sequence.frames[0], sequence.frames[-1] + 1, dtype=np.int64)
    points = np.full((len(frames), len(sequence.skeleton), 3), np.nan)
    rows = sequence.frames - sequence.frames[0]
    points[rows, :, :2] = np.where(known_keypoints(sequence)[..., None], sequence.keypoints, np.nan)
    if unit_per_px is not None:
        points[..., 1] = info.height - 1 - points[..., 1]
        points *= unit_per_px
    points[..., 2] = np.where(np.isfinite(points[..., 0]), 0.0, np.nan)
    return points, frames


def write_mot(
    path: Path | str,
    times_s: FloatArray,
    columns: Mapping[str, ArrayLike],
    *,
    in_degrees: bool = True,
) -> None:
    """Write a motion: one column of numbers per name, NaN where unknown.

    Args:
        path: File to write.
        times_s: (N,) increasing seconds.
        columns: (N,) values by name, for example joint angles; spaces in names become ``_``,
            because OpenSim takes them for the end of the name.
        in_degrees: Whether angles are degrees (else radians).

    Raises:
        FormatError: Times do not increase, a column has another length, two names are the same.
    """
    times_s = np.asarray(times_s, np.float64)
    if not len(times_s) or np.any(np.diff(times_s) <= 0):
        raise FormatError("Expected increasing times for a MOT file, at least one.")
    names = [re.sub(r"\W+", "_", name).strip("_") for name in columns]
    if len(set(names)) < len(names) or not all(names) or "time" in names:
        raise FormatError(f"Expected different names for the columns, got {', '.join(names)}.")
    wrong = [name for name, values in columns.items() if np.shape(values) != times_s.shape]
    if wrong:
        raise FormatError(f"Expected {len(times_s)} values of {wrong[0]}, as many as times.")
    head = [
        "Coordinates",
        "version=1",
        f"nRows={len(times_s)}",
        # The time counts: with one fewer OpenSim's Storage loses the first row.
        f"nColumns={1 + len(names)}",
        f"inDegrees={'yes' if in_degrees else 'no'}",
        "endheader",
        "\t".join(["time", *names]),
    ]
    rows = np.column_stack([times_s, *columns.values()])
    lines = ["\t".join([_time(row[0]), *map(_number, row[1:])]) for row in rows]
    atomic_write(path, "\n".join([*head, *lines]) + "\n")


def _trc_text(
    name: str,
    sequence: PoseSequence,
    points: FloatArray,
    frames: NDArray[np.int64],
    info: VideoInfo,
    unit: str,
) -> str:
    count, num = points.shape[:2]
    rate = f"{info.fps:.6f}".rstrip("0").rstrip(".")
    axes = [f"{axis}{number}" for number in range(1, num + 1) for axis in "XYZ"]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{_marker(name)}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{num}\t{unit}\t{rate}\t{frames[0]}\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(map(_marker, sequence.skeleton.keypoints)) + "\t\t",
        "\t\t" + "\t".join(axes),
        "",
    ]
    for frame, row in zip(frames.tolist(), points.reshape(count, -1), strict=True):
        cells = [str(frame), _time(info.times_s[frame]), *map(_number, row)]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _marker(keypoint: str) -> str:
    """A marker's name: in one cell, and none that a spreadsheet runs."""
    return safe_name(re.sub(r"\s+", " ", keypoint))


def _time(value: float) -> str:
    return f"{value:.6f}"


def _number(value: float) -> str:
    return f"{value:.5f}" if np.isfinite(value) else "nan"
