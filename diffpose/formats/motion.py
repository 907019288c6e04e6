"""Joint angles as OpenSim motions, with their intervals next to them; write only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from diffpose.cells import safe_name
from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import check_sequences
from diffpose.formats.opensim import trc_paths, write_mot
from diffpose.kinematics.measure import MeasureSettings, measure
from diffpose.kinematics.records import Curve
from diffpose.poses import PoseSequence, VideoInfo


def write_angles(path: Path | str, sequences: Sequence[PoseSequence], info: VideoInfo) -> None:
    """Write the joint angles of `diffpose.kinematics` in degrees, as MOT.

    Several people with two poses or more become one file each, ``<stem>_track_<id>.mot``; one pose
    is no motion and left out. Next to each lies
    ``<stem>_intervals.csv``: every value with its 90 % interval, and whether it fills a gap.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.

    Raises:
        FormatError: Nobody has two poses, or no angle can be measured.
    """
    check_sequences(sequences, info)
    people = people_in_motion(sequences)
    if not people:
        raise FormatError(
            "Expected two poses of a person for a MOT file, got none; track somebody."
        )
    settings = MeasureSettings(derivatives=False)
    for target, person in zip(trc_paths(path, people), people, strict=True):
        measured = measure(person, info.times_s[person.frames], settings)
        curves = [curve for curve in measured.curves if curve.unit == "deg"]
        if not curves:
            raise FormatError(f"Track {person.track_id} has no angle that can be measured.")
        write_mot(target, curves[0].times_s, {curve.name: curve.values for curve in curves})
        atomic_write(intervals_path(target), _intervals(curves))


def people_in_motion(sequences: Sequence[PoseSequence]) -> list[PoseSequence]:
    """Those with two poses at least: one is no motion."""
    return [sequence for sequence in sequences if len(sequence) > 1]


def intervals_path(path: Path) -> Path:
    """Where the intervals of a MOT file lie."""
    return path.with_name(f"{path.stem}_intervals.csv")


def _intervals(curves: Sequence[Curve]) -> str:
    tables = [
        pd.DataFrame(
            {
                "angle": safe_name(curve.name),
                "time_s": curve.times_s,
                "value_deg": curve.values,
                "low_deg": curve.low,
                "high_deg": curve.high,
                "origin": ["interpolated" if filled else "measured" for filled in curve.marked],
            }
        )
        for curve in curves
    ]
    return pd.concat(tables).to_csv(index=False, lineterminator="\n", float_format="%.6g")
