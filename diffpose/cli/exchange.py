"""``diffpose export`` and ``diffpose import``: poses in other programs' files, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffpose.cli.console import interruptible, say, show_progress
from diffpose.errors import InputError, SettingsError
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo

if TYPE_CHECKING:
    from diffpose.formats.common import PoseKey
    from diffpose.review.store import Store

_OVERLAY = "overlay"
_PROJECT = b"SQLite format 3\0"
_FORMATS = (
    "json, csv, parquet, coco, coco-results, posetrack18, dlc-csv, dlc-h5, sleap, trc, mot, c3d, "
    "cvat or overlay"
)


class TakenAs(StrEnum):
    """What imported keypoints are if the file does not say."""

    START = "start"
    CORRECTIONS = "corrections"


@dataclass(frozen=True)
class _Poses:
    """What can be exported.

    Attributes:
        sequences: Tracks, with all corrections.
        info: Their video.
        provenance: What made them.
        order: Of the boxes, if the file says.
        predictions: As the model made them, of a project.
        queue: Frames to look at, of a project.
    """

    sequences: list[PoseSequence]
    info: VideoInfo
    provenance: Provenance
    order: Sequence[PoseKey] | None = None
    predictions: Sequence[PoseSequence] = ()
    queue: Sequence[int] = ()


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("export")(export_poses)
    app.command("import")(import_file)


def export_poses(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A DiffPose JSON or a project file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    output_format: Annotated[str, typer.Option("--format", help=f"{_FORMATS}.")],
    video: Annotated[
        Path | None, typer.Option(help="The video, for an overlay; which one, of a project.")
    ] = None,
    track: Annotated[
        list[int] | None, typer.Option(help="Only this person; may be given several times.")
    ] = None,
    metres_per_px: Annotated[
        float | None, typer.Option(help="Scale of the picture, for trc and c3d.")
    ] = None,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="Hide the heads of all people, for overlay.")
    ] = False,
) -> None:
    """Write poses in another format; says what the format loses."""
    if blur_faces and output_format != _OVERLAY:
        raise SettingsError("--blur-faces belongs to --format overlay: other formats show nobody.")
    poses = _load_project(source, video) if _is_project(source) else _load_file(source)
    wanted = _chosen(poses.sequences, track)
    if output_format == _OVERLAY:
        _export_overlay(output, wanted, poses, video, blur_faces=blur_faces)
        return
    from diffpose.formats.exporting import EXPORT_FORMATS, ExportSettings, export_sequences

    settings = ExportSettings(
        metres_per_px=metres_per_px,
        order=poses.order if track is None else None,
        predictions=poses.predictions,
        queue=poses.queue,
    )
    written = export_sequences(
        output_format, output, wanted, poses.info, poses.provenance, settings=settings
    )
    for path in written:
        say(f"wrote {path}")
    chosen = EXPORT_FORMATS[output_format]
    beside = "" if chosen.whole else f" ({output.name}.values.csv does)"
    say(f"{chosen.title} alone does not hold: {chosen.loses}{beside}.")


def import_file(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="DiffPose JSON to write.")],
    input_format: Annotated[
        str, typer.Option("--format", help="json, csv, parquet, coco, dlc, sleap or auto.")
    ] = "auto",
    video: Annotated[
        Path | None,
        typer.Option(help="The video the poses belong to, or a DiffPose JSON of it."),
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Keypoints wanted, e.g. halpe26 or coco17.")
    ] = None,
    taken_as: Annotated[
        TakenAs, typer.Option("--as", help="What keypoints are if the file does not say.")
    ] = TakenAs.START,
) -> None:
    """Read poses of another program, by the names of their keypoints."""
    from diffpose.formats.importing import import_poses
    from diffpose.formats.native import write_native
    from diffpose.skeleton import SKELETONS

    if skeleton is not None and skeleton not in SKELETONS:
        raise SettingsError(
            f"There is no skeleton {skeleton!r}; choose one of {', '.join(SKELETONS)}."
        )
    read = import_poses(
        source,
        info=None if video is None else _info_of(video),
        skeleton=None if skeleton is None else SKELETONS[skeleton],
        format_name=input_format,
        origin=Origin.CORRECTED if taken_as is TakenAs.CORRECTIONS else Origin.PREDICTED,
    )
    for note in read.poses.notes:
        say(f"note: {note}")
    write_native(output, read.poses.sequences, read.info, read.provenance)
    sequences = read.poses.sequences
    say(f"{sum(map(len, sequences))} poses, {len(sequences)} tracks: {output}")


def _is_project(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(len(_PROJECT)) == _PROJECT
    except OSError as error:
        raise InputError(
            f"Cannot read {source} ({error.strerror}); check the name of the file."
        ) from error


def _load_file(source: Path) -> _Poses:
    from diffpose.formats.native import read_native

    file = read_native(source)
    return _Poses(list(file.sequences), file.info, file.provenance, file.order)


def _load_project(source: Path, video: Path | None) -> _Poses:
    """The poses of one video of a project, as reviewed."""
    from diffpose.review.session import ReviewSession
    from diffpose.review.store import Store

    with Store(source, read_only=True) as store:
        info = _video_of(store, video)
        session = ReviewSession(store)
        ids = [i for i in session.track_ids if session.video(i).video_id == info.video_id]
        made = next((p for p in map(store.provenance, ids) if p is not None), None)
        return _Poses(
            sequences=[session.reviewed(track_id).poses for track_id in ids],
            info=info,
            provenance=made or Provenance("unknown", "", 0, 0, 0),
            predictions=[store.predictions(track_id) for track_id in ids],
            queue=list(dict.fromkeys(
                item.frame for item in session.queue(target_px=0.0) if item.track_id in ids
            )),
        )  # fmt: skip


def _video_of(store: Store, video: Path | None) -> VideoInfo:
    known = store.videos()
    found = [info for info in known if video is None or info.path.name == video.name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(info.path.name for info in known) or "none"
    raise SettingsError(f"Name one of the project's videos with --video; it has {names}.")


def _chosen(sequences: list[PoseSequence], track: Sequence[int] | None) -> list[PoseSequence]:
    if track is None:
        return sequences
    known = [s.track_id for s in sequences]
    missing = [str(track_id) for track_id in track if track_id not in known]
    if missing:
        raise SettingsError(
            f"There is no track {', '.join(missing)}; the tracks are "
            f"{', '.join(map(str, known)) or 'none'}."
        )
    return [s for s in sequences if s.track_id in track]


def _info_of(video: Path) -> VideoInfo:
    from diffpose import cli

    if video.suffix.lower() == ".json":
        return _load_file(video).info
    with cli.open_video(video) as opened:
        return opened.info


def _export_overlay(
    output: Path,
    wanted: list[PoseSequence],
    poses: _Poses,
    video: Path | None,
    *,
    blur_faces: bool,
) -> None:
    from diffpose import cli
    from diffpose.formats.overlay import write_overlay
    from diffpose.privacy import heads_by_frame

    path = video or poses.info.path
    if not path.exists():
        raise SettingsError(f"{path} is not there; name the video of the poses with --video.")
    with cli.open_video(path) as opened, interruptible() as cancelled:
        if opened.info.video_id != poses.info.video_id:
            raise InputError(
                f"{path.name} is not the video the poses were made from: its content differs; "
                f"give {poses.info.path.name} with --video."
            )
        # All people, also those that are not drawn: nobody asked to show the others' faces.
        heads = heads_by_frame(poses.sequences, opened.info) if blur_faces else {}
        write_overlay(
            output, opened, wanted, heads=heads, progress=show_progress(), cancelled=cancelled
        )
    say(f"wrote {output}")
