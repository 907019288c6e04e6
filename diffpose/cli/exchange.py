"""``diffpose export`` and ``diffpose import``: poses in other programs' files, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffpose.cli.console import interruptible, say, show_progress
from diffpose.errors import InputError, SettingsError
from diffpose.poses import Origin, VideoInfo

if TYPE_CHECKING:
    from diffpose.review.store import Store
    from diffpose.video.decode import Video
    from diffpose.workflow.exports import Exportable

_PROJECT = b"SQLite format 3\0"
FORMATS = (
    "json, csv, parquet, coco, coco-annotations, posetrack18, dlc-csv, dlc-h5, sleap, trc, mot, "
    "c3d, cvat, overlay"
)
"""Names of `diffpose.formats.exporting.EXPORT_FORMATS`: help must not wait for its imports."""


class TakenAs(StrEnum):
    """What imported keypoints are if the file does not say."""

    START = "start"
    CORRECTIONS = "corrections"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("export")(export_poses)
    app.command("import")(import_file)


def export_poses(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A DiffPose JSON or a project file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    output_format: Annotated[str, typer.Option("--format", help=f"{FORMATS}.")],
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
    from diffpose.formats.exporting import check_format
    from diffpose.workflow.exports import export

    check_format(output_format)
    if blur_faces and output_format != "overlay":
        raise SettingsError("--blur-faces belongs to --format overlay: other formats show nobody.")
    loaded = _load_project(source, video) if _is_project(source) else _load_file(source)
    with (
        loaded as poses,
        _frames_of(poses.info, video, wanted=output_format == "overlay") as frames,
        interruptible() as cancelled,
    ):
        written = export(
            poses, output_format, output, track_ids=track, metres_per_px=metres_per_px,
            video=frames, blur_faces=blur_faces, progress=show_progress(), cancelled=cancelled,
        )  # fmt: skip
    say_written(written, output_format)


def say_written(written: Sequence[Path], format_name: str) -> None:
    """Name the files of an export, and what the main one does not hold."""
    from diffpose.formats.exporting import EXPORT_FORMATS

    for path in written:
        say(f"wrote {path}")
    chosen = EXPORT_FORMATS[format_name]
    beside = f" ({written[0].name}.values.csv does)" if chosen.values_beside else ""
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


@contextmanager
def _load_file(source: Path) -> Iterator[Exportable]:
    from diffpose.formats.native import read_native
    from diffpose.workflow.exports import of_sequences

    file = read_native(source)
    yield of_sequences(file.sequences, file.info, file.provenance, order=file.order)


@contextmanager
def _load_project(source: Path, video: Path | None) -> Iterator[Exportable]:
    from diffpose.review.session import ReviewSession
    from diffpose.review.store import Store
    from diffpose.workflow.exports import of_project

    with Store(source, read_only=True) as store:
        yield of_project(ReviewSession(store), _video_of(store, video))


def _video_of(store: Store, video: Path | None) -> VideoInfo:
    known = store.videos()
    found = [info for info in known if video is None or info.path.name == video.name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(info.path.name for info in known) or "none"
    raise SettingsError(f"Name one of the project's videos with --video; it has {names}.")


def _info_of(video: Path) -> VideoInfo:
    from diffpose import cli
    from diffpose.formats.native import read_native

    if video.suffix.lower() == ".json":
        return read_native(video).info
    with cli.open_video(video) as opened:
        return opened.info


@contextmanager
def _frames_of(info: VideoInfo, video: Path | None, *, wanted: bool) -> Iterator[Video | None]:
    """The video of the poses, where it was or where ``video`` says; None if it is not wanted."""
    from diffpose import cli

    path = video or info.path
    if not wanted:
        yield None
        return
    if not path.exists():
        raise SettingsError(f"{path} is not there; name the video of the poses with --video.")
    with cli.open_video(path) as opened:
        yield opened
