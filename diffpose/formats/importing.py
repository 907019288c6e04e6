"""Files of other programs, and our own, as starting poses or corrections of a video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from diffpose.errors import FormatError, SettingsError
from diffpose.formats.coco_poses import read_coco_poses
from diffpose.formats.common import read_json, require_packages
from diffpose.formats.deeplabcut import read_deeplabcut
from diffpose.formats.foreign import ForeignPoses, ImportedPoses, adopt
from diffpose.formats.native import FORMAT, NativePoses, read_native
from diffpose.formats.sleap import read_sleap
from diffpose.formats.table import read_csv, read_parquet
from diffpose.poses import Origin, Provenance, VideoInfo
from diffpose.skeleton import HALPE26, Skeleton

IMPORT_FORMATS = {
    "json": "DiffPose JSON",
    "csv": "CSV table of DiffPose",
    "parquet": "Parquet table of DiffPose",
    "coco": "COCO annotations",
    "dlc": "DeepLabCut CSV or H5",
    "sleap": "SLEAP labels",
}
"""Formats that can be imported, by the name the command line knows."""


@dataclass(frozen=True)
class ImportedFile:
    """Poses taken over from a file, and what they belong to.

    Attributes:
        poses: In our skeleton, with what was different in the file.
        info: The video they belong to.
        provenance: What made them, as far as the file says.
        format_name: One of `IMPORT_FORMATS`.
    """

    poses: ImportedPoses
    info: VideoInfo
    provenance: Provenance
    format_name: str


def import_poses(
    path: Path | str,
    *,
    info: VideoInfo | None,
    skeleton: Skeleton | None = None,
    format_name: str = "auto",
    origin: Origin = Origin.PREDICTED,
) -> ImportedFile:
    """Read poses by the names of their keypoints, and say what was different in the file.

    Args:
        path: The file.
        info: The video the poses must belong to; None for the one a DiffPose JSON describes.
        skeleton: The keypoints wanted; None for the file's own in a DiffPose JSON, else halpe26.
        format_name: One of `IMPORT_FORMATS`, or ``auto`` to find out.
        origin: What known keypoints become where the file does not tell corrected from predicted:
            `Origin.PREDICTED` for starting poses, `Origin.CORRECTED` for corrections.

    Raises:
        FormatError: The file is none of the format, or does not fit the video.
        SettingsError: No such format, or a video is needed and not given.
    """
    path = Path(path)
    if format_name == "auto":
        format_name = find_format(path)
    if format_name not in IMPORT_FORMATS:
        raise SettingsError(
            f"There is no format {format_name!r} to import; choose one of "
            f"{', '.join(IMPORT_FORMATS)}, or auto."
        )
    about = {"file": path.name, "format": format_name}
    if format_name == "json":
        return _import_native(read_native(path), info, skeleton, about)
    if info is None:
        raise SettingsError(
            f"{path.name} does not describe its video; name the video the poses belong to."
        )
    poses = adopt(_read(format_name, path, info), info, skeleton or HALPE26, origin=origin)
    provenance = Provenance("imported", "", 0, 0, 0, {"imported": about})
    return ImportedFile(poses, info, provenance, format_name)


def find_format(path: Path | str) -> str:
    """Which of `IMPORT_FORMATS` a file has, by its suffix and its first words.

    Raises:
        FormatError: It looks like none.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        content = read_json(path)
        return "json" if isinstance(content, dict) and content.get("format") == FORMAT else "coco"
    if suffix == ".csv":
        try:
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                return "dlc" if file.readline(100).startswith("scorer") else "csv"
        except OSError as error:
            raise FormatError(
                f"Cannot read {path} ({error.strerror}); check the name of the file."
            ) from error
    found = {".slp": "sleap", ".h5": "dlc", ".hdf5": "dlc", ".parquet": "parquet"}.get(suffix)
    if found is None:
        raise FormatError(
            f"The format of {path.name} is not known by its suffix; say which it is: "
            f"{', '.join(IMPORT_FORMATS)}."
        )
    return found


def _read(format_name: str, path: Path, info: VideoInfo) -> ForeignPoses:
    packages = {"sleap": ("h5py",), "parquet": ("pyarrow",)}.get(format_name, ())
    if path.suffix.lower() in (".h5", ".hdf5"):
        packages = ("h5py",)
    require_packages(IMPORT_FORMATS[format_name], packages)
    if format_name == "coco":
        return read_coco_poses(path, info)
    if format_name == "dlc":
        return read_deeplabcut(path)
    if format_name == "sleap":
        return read_sleap(path)
    return ForeignPoses(tuple(read_csv(path) if format_name == "csv" else read_parquet(path)))


def _import_native(
    file: NativePoses, info: VideoInfo | None, skeleton: Skeleton | None, about: dict[str, str]
) -> ImportedFile:
    wanted = skeleton or (file.sequences[0].skeleton if file.sequences else HALPE26)
    foreign = ForeignPoses(
        sequences=file.sequences,
        num_frames=file.info.num_frames,
        times_s=file.info.times_s,
        size=file.info.size,
    )
    poses = adopt(foreign, info or file.info, wanted)
    if info is not None and info.video_id != file.info.video_id:
        note = f"The poses were made from {file.info.path.name}, whose content is another."
        poses = replace(poses, notes=(note, *poses.notes))
    provenance = replace(file.provenance, extra={**file.provenance.extra, "imported": about})
    return ImportedFile(poses, info or file.info, provenance, "json")
