"""Every format that poses can be written in, by name: what is lost, what is needed, one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffpose.errors import FormatError, InputError, SettingsError
from diffpose.formats.atomic import staged_folder
from diffpose.formats.c3d import write_c3d
from diffpose.formats.coco import write_coco_dataset, write_coco_results
from diffpose.formats.common import (
    PoseKey,
    check_sequences,
    known_keypoints,
    missing_packages,
    require_packages,
    write_sidecar,
)
from diffpose.formats.cvat import write_cvat
from diffpose.formats.deeplabcut import write_deeplabcut_csv, write_deeplabcut_h5
from diffpose.formats.motion import intervals_path, people_in_motion, write_angles
from diffpose.formats.native import write_native
from diffpose.formats.opensim import trc_paths, write_trc
from diffpose.formats.overlay import FrameSource, write_overlay
from diffpose.formats.posetrack_poses import write_posetrack_poses
from diffpose.formats.sleap import write_sleap
from diffpose.formats.table import write_csv, write_parquet
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo
from diffpose.privacy import heads_by_frame


@dataclass(frozen=True)
class ExportSettings:
    """What some formats can hold in addition to the poses; each takes what it can.

    Attributes:
        metres_per_px: Scale for TRC and C3D; None for pixels.
        order: (track_id, frame) of every pose in the order of the boxes, for flat lists.
        predictions: The model's poses before any correction, for SLEAP's links.
        queue: Frames to look at, the most urgent first, for SLEAP's suggestions.
        video: The video of the poses, for the overlay.
        blurred: People whose heads the overlay hides.
        progress: Called with how far the overlay is.
        cancelled: Asked before every frame of the overlay; true stops.
    """

    metres_per_px: float | None = None
    order: Sequence[PoseKey] | None = None
    predictions: Sequence[PoseSequence] = ()
    queue: Sequence[int] = ()
    video: FrameSource | None = None
    blurred: Sequence[PoseSequence] = ()
    progress: Callable[[float, str], None] = lambda fraction, words: None
    cancelled: Callable[[], bool] = lambda: False


Writer = Callable[
    [Path, Sequence[PoseSequence], VideoInfo, Provenance, ExportSettings], Path | None
]


@dataclass(frozen=True)
class ExportFormat:
    """One way to write poses.

    Attributes:
        title: For a menu.
        suffix: Of the file.
        write: Writes it.
        loses: What a reader of the file alone does not learn.
        packages: What must be installed, by the name pip knows.
        values_beside: Whether a table with everything is written next to the file, because the
            file itself does not say where every value comes from.
        making_beside: Whether what made the poses is written next to the file.
    """

    title: str
    suffix: str
    write: Writer
    loses: str
    packages: tuple[str, ...] = ()
    values_beside: bool = True
    making_beside: bool = True


@dataclass(frozen=True)
class ExportPreview:
    """What an export will write.

    Attributes:
        files: Names, the main one first.
        loses: What a reader of the main file alone does not learn.
        num_poses: Poses of all people.
        origins: Number of known keypoints of each origin.
        num_unknown: Keypoints without a place.
    """

    files: tuple[str, ...]
    loses: str
    num_poses: int
    origins: dict[str, int]
    num_unknown: int


def _write_overlay(
    path: Path,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    _: Provenance,
    settings: ExportSettings,
) -> None:
    video = settings.video
    if video is None:
        raise SettingsError("An overlay needs the video of the poses; name it with --video.")
    if video.info.video_id != info.video_id:
        raise InputError(
            f"{video.info.path.name} is not the video the poses were made from: its content "
            f"differs; give {info.path.name}."
        )
    heads = heads_by_frame(settings.blurred, info) if settings.blurred else {}
    write_overlay(
        path, video, sequences, heads=heads, progress=settings.progress,
        cancelled=settings.cancelled,
    )  # fmt: skip


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "json": ExportFormat(
        "DiffPose JSON", ".json",
        lambda p, s, i, o, e: write_native(p, s, i, o, order=e.order),
        "pictures", values_beside=False, making_beside=False,
    ),
    "csv": ExportFormat(
        "CSV table", ".csv", lambda p, s, i, o, e: write_csv(p, s, i, o),
        "the skeleton's edges, tracks without frames", values_beside=False,
    ),
    "parquet": ExportFormat(
        "Parquet table", ".parquet", lambda p, s, i, o, e: write_parquet(p, s, i, o),
        "the skeleton's edges, tracks without frames", packages=("pyarrow",),
        values_beside=False, making_beside=False,
    ),
    "coco": ExportFormat(
        "COCO results", ".json",
        lambda p, s, i, o, e: write_coco_results(p, s, i, o, order=e.order),
        "keypoints beyond COCO's 17, times, uncertainty, tracks",
    ),
    "coco-annotations": ExportFormat(
        "COCO annotations", ".json", lambda p, s, i, o, e: write_coco_dataset(p, s, i, o),
        "keypoints beyond COCO's 17, the direction of the uncertainty",
        values_beside=False, making_beside=False,
    ),
    "posetrack18": ExportFormat(
        "PoseTrack18 JSON", ".json", lambda p, s, i, o, e: write_posetrack_poses(p, s, i),
        "keypoints beyond PoseTrack's 15, times, uncertainty",
    ),
    "dlc-csv": ExportFormat(
        "DeepLabCut CSV", ".csv", lambda p, s, i, o, e: write_deeplabcut_csv(p, s, i, o),
        "times, the uncertainty, whose size is in a second file",
    ),
    "dlc-h5": ExportFormat(
        "DeepLabCut H5", ".h5", lambda p, s, i, o, e: write_deeplabcut_h5(p, s, i, o),
        "times, uncertainty", packages=("tables",),
    ),
    "sleap": ExportFormat(
        "SLEAP labels", ".slp",
        lambda p, s, i, o, e: write_sleap(
            p, s, i, o, predictions=e.predictions, queue=e.queue
        ),
        "times, uncertainty, interpolated from predicted", packages=("h5py",),
        making_beside=False,
    ),
    "trc": ExportFormat(
        "OpenSim markers (TRC)", ".trc",
        lambda p, s, i, o, e: write_trc(p, s, i, metres_per_px=e.metres_per_px),
        "confidence, uncertainty",
    ),
    "mot": ExportFormat(
        "OpenSim motion: joint angles (MOT)", ".mot",
        lambda p, s, i, o, e: write_angles(p, s, i),
        "keypoints, the angles' intervals, which are in a second file",
    ),
    "c3d": ExportFormat(
        "C3D", ".c3d", lambda p, s, i, o, e: write_c3d(p, s, i, o, metres_per_px=e.metres_per_px),
        "confidence, the direction of the uncertainty",
    ),
    "cvat": ExportFormat(
        "CVAT for video 1.1", ".xml", lambda p, s, i, o, e: write_cvat(p, s, i, o),
        "times, uncertainty, a hundredth of a pixel", making_beside=False,
    ),
    # To be watched and passed on: nothing lies next to it.
    "overlay": ExportFormat(
        "Video with the poses drawn on it (MP4)", ".mp4", _write_overlay, "the numbers",
        values_beside=False, making_beside=False,
    ),
}  # fmt: skip
"""Formats by name: of the command line, the app and the library."""


def check_format(format_name: str) -> None:
    """Refuse a format that cannot be written here.

    Raises:
        SettingsError: There is no such format, or a package for it is missing.
    """
    chosen = _format(format_name)
    require_packages(chosen.title, chosen.packages)


def packages_missing_for(format_name: str) -> tuple[str, ...]:
    """Packages that a format needs and that are not installed."""
    return missing_packages(_format(format_name).packages)


def preview_export(
    format_name: str, path: Path | str, sequences: Sequence[PoseSequence], info: VideoInfo
) -> ExportPreview:
    """What `export_sequences` will write, without writing."""
    chosen, path = _format(format_name), Path(path)
    check_sequences(sequences, info)
    main = [path]
    if format_name == "trc":
        main = trc_paths(path, [s for s in sequences if len(s)]) or main
    if format_name == "mot":
        main = trc_paths(path, people_in_motion(sequences)) or main
        main += [intervals_path(target) for target in main]
    names = [target.name for target in main]
    if format_name == "dlc-csv":
        names.append(f"{path.stem}_variances.csv")
    if chosen.values_beside:
        names.append(_values_path(path).name)
    if chosen.making_beside:
        names.append(f"{path.name}.provenance.json")
    known = [known_keypoints(s) for s in sequences]
    origins = {
        origin.name.lower(): sum(
            int(((s.origin == origin) & k).sum()) for s, k in zip(sequences, known, strict=True)
        )
        for origin in Origin
    }
    return ExportPreview(
        files=tuple(names),
        loses=chosen.loses,
        num_poses=sum(map(len, sequences)),
        origins=origins,
        num_unknown=sum(int((~k).sum()) for k in known),
    )


def export_sequences(
    format_name: str,
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    settings: ExportSettings | None = None,
) -> tuple[Path, ...]:
    """Write poses and the files that belong to them; all files appear together, or none.

    Next to a file that cannot say where each value comes from, ``<name>.values.csv`` says it, with
    times, confidence and covariances; next to one without room for what made the poses,
    ``<name>.provenance.json``.

    Args:
        format_name: One of `EXPORT_FORMATS`.
        path: The main file; its folder must exist.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses.
        settings: What some formats can hold in addition.

    Returns:
        The files written, the main one first.

    Raises:
        SettingsError: No such format, or a package for it is missing.
        FormatError: The format cannot hold these poses.
        InputError: The files cannot be written there.
    """
    check_format(format_name)
    chosen, path = EXPORT_FORMATS[format_name], Path(path)
    if path.is_dir():
        raise FormatError(f"Expected a file name to write to, got the folder {path}.")
    files = preview_export(format_name, path, sequences, info).files
    for sequence in sequences:
        if np.isinf(sequence.keypoints).any():
            raise FormatError(f"Track {sequence.track_id} has an infinite keypoint; remove it.")
    with staged_folder(path.parent) as stage:
        target = stage / path.name
        chosen.write(target, sequences, info, provenance, settings or ExportSettings())
        if chosen.values_beside:
            write_csv(_values_path(target), sequences, info)
        if chosen.making_beside:
            write_sidecar(target, info, provenance)
    return tuple(path.parent / name for name in files)


def _format(format_name: str) -> ExportFormat:
    if format_name not in EXPORT_FORMATS:
        raise SettingsError(
            f"There is no format {format_name!r}; choose one of {', '.join(EXPORT_FORMATS)}."
        )
    return EXPORT_FORMATS[format_name]


def _values_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.values.csv")
