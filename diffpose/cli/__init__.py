"""The command line: ``diffpose infer`` and its companions.

Errors meant for the user are one line on stderr and exit code 2; Ctrl-C finishes the part that
is being computed, says what is kept, and exits with 130.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer
from typer.core import TyperGroup

from diffpose import __version__
from diffpose.cli import (
    checking,
    evaluation,
    exchange,
    labelling,
    material,
    measuring,
    review,
    start,
    training,
)
from diffpose.cli.console import interruptible, say, show_progress
from diffpose.errors import CancelledError, DiffPoseError, InputError, SettingsError
from diffpose.poses import PoseSequence, Provenance, SamplingConfig, Track, VideoInfo

if TYPE_CHECKING:
    from diffpose.inference.interfaces import (
        Cancelled,
        FrameSource,
        PersonFinder,
        PoseEstimator,
        Progress,
    )
    from diffpose.inference.jobs import Job
    from diffpose.video.decode import Video


class _Hooks(TypedDict):
    """Arguments that the stages of the pipeline share."""

    start: int
    stop: int
    job: Job | None
    progress: Progress
    cancelled: Cancelled


_INTERRUPTED = 130
_LISTED = 5  # names in one warning


class _Commands(TyperGroup):
    """Turns DiffPose's errors into one line, for every command."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CancelledError as error:
            say(f"diffpose: {error}")
            raise typer.Exit(_INTERRUPTED) from None
        except KeyboardInterrupt:
            say("diffpose: Stopped.")
            raise typer.Exit(_INTERRUPTED) from None
        except DiffPoseError as error:
            say(f"diffpose: {' '.join(str(error).split())}")
            raise typer.Exit(2) from None


app = typer.Typer(
    name="diffpose",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


data = typer.Typer(
    help="Developers: make, import and check training data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"diffpose {__version__}")
        raise typer.Exit


@app.callback()
def diffpose(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Estimate, review, measure and export human poses in video, with their uncertainty."""


@app.command()
def infer(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A video, a picture or a folder of pictures.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; NAME.diffpose is a project.")
    ],
    boxes: Annotated[
        Path | None,
        typer.Option(help='People to estimate: [{"image": ..., "bbox": [x, y, w, h]}].'),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow people who have a box in one frame only.")
    ] = False,
    people: Annotated[
        str, typer.Option(metavar="N|all", help="The N most prominent people found.")
    ] = "all",
    steps: Annotated[int, typer.Option(help="Denoising steps, 1 to 50.")] = 4,
    ensemble: Annotated[int, typer.Option(help="Hypotheses, 1 to 64.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    frames: Annotated[
        str,
        typer.Option("--range", metavar="A:B", help="Frames A to B - 1; either may be left out."),
    ] = ":",
    output_format: Annotated[str, typer.Option("--format", help=f"{exchange.FORMATS}.")] = "json",
    sequence: Annotated[
        bool, typer.Option("--sequence", help="The pictures of the folder are a video's frames.")
    ] = False,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of a --sequence; 30 if not given.")
    ] = None,
    capture_fps: Annotated[
        float | None,
        typer.Option(help="Slow motion: frames a second of the recording, not of playing it."),
    ] = None,
    job: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished parts; run again to resume.")
    ] = None,
    one_sided: Annotated[
        bool, typer.Option("--one-sided", help="Faster: do not look at the mirror image as well.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Another weights file than the shipped one.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Estimate the poses in a video, a picture or a folder of pictures."""
    from diffpose.formats.exporting import check_format
    from diffpose.inference.jobs import Job
    from diffpose.inference.pipeline import estimate_poses
    from diffpose.video.sequence import PictureSequence
    from diffpose.workflow.exports import export, of_sequences

    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    count = _parse_people(people)
    if boxes is not None and count is not None:
        raise SettingsError("Give either --boxes or --people: boxes name the people already.")
    _check_rates(sequence=sequence, fps=fps, capture_fps=capture_fps)
    _check_output(output)
    as_project = output.suffix == ".diffpose"
    if as_project:
        _check_project(output, output_format, sequence=sequence)
    check_format(output_format)
    with open_video(source, capture_fps) as given, interruptible() as cancelled:
        video = PictureSequence(given, fps=fps or 30.0) if sequence else given
        info = video.info
        for note in info.notes:
            say(f"note: {note}")
        for warning in info.warnings:
            say(f"warning: {warning}")
        if as_project and info.names:
            raise SettingsError(
                "A project holds a video, got pictures; write a .json file instead."
            )
        start, stop = _parse_range(frames, info.num_frames)
        estimator = load_estimator(weights, device, mirrored=not one_sided)
        hooks = _Hooks(
            start=start,
            stop=stop,
            job=Job(job) if job is not None else None,
            progress=show_progress(),
            cancelled=cancelled,
        )
        if boxes is not None:
            tracks, order = _given_people(boxes, given.info, info, range(start, stop))
            if follow:
                tracks = [_followed(track, video, estimator, hooks) for track in tracks]
        else:
            finder = load_detector(device)
            tracks, order = _found_people(video, finder, count, hooks), None
        hooks["progress"] = show_progress()
        poses = estimate_poses(video, tracks, estimator, sampling, **hooks)
        provenance = Provenance(
            model=estimator.model_name,
            weights=estimator.weights_hash,
            num_steps=steps,
            num_hypotheses=ensemble,
            seed=seed,
            extra={"boxes": "found" if boxes is None else "given"},
        )
        if as_project:
            _write_project(output, poses, tracks, info, provenance)
        else:
            found = of_sequences(poses, info, provenance, order=order)
            export(
                found, output_format, output, video=video, progress=show_progress(),
                cancelled=cancelled,
            )  # fmt: skip
        for warning in video.warnings[len(info.warnings) :]:
            say(f"warning: {warning}")
    say(f"{sum(map(len, poses))} poses, {len(poses)} tracks: {output}")


review.register(app)
measuring.register(app)
exchange.register(app)
start.register(app)
training.register(app)
app.add_typer(data, name="data")
material.register(data)
labelling.register(data)
checking.register(data)
evaluation.register(app)


def main() -> None:
    """The console command ``diffpose``."""
    app()


def open_video(source: Path, capture_fps: float | None = None) -> Video:
    """The frames of INPUT."""
    from diffpose.video.decode import Video

    return Video(source, capture_fps=capture_fps)


def _check_rates(*, sequence: bool, fps: float | None, capture_fps: float | None) -> None:
    if fps is not None and not sequence:
        raise SettingsError(
            "--fps is for the pictures of a --sequence; a video's times are its own. If it was "
            "recorded faster than it is played, give --capture-fps."
        )
    if capture_fps is not None and sequence:
        raise SettingsError("--capture-fps is for a video; of a --sequence give the --fps.")


def load_estimator(weights: Path | None, device: str, *, mirrored: bool) -> PoseEstimator:
    """The network; DiffPose's own weights if no file is given."""
    from diffpose.inference.estimator import Estimator

    return Estimator.load(weights, device=device, mirrored=mirrored)


def load_detector(device: str) -> PersonFinder:
    """DiffPose's own person detector."""
    from diffpose.inference import detector

    return detector.load_detector(device=device)


def _given_people(
    boxes: Path, pictures: VideoInfo, info: VideoInfo, frames: range
) -> tuple[list[Track], list[tuple[int, int]] | None]:
    """The people of a boxes file, and for unrelated pictures the order of their poses."""
    from diffpose.formats.boxes import read_boxes
    from diffpose.inference.pipeline import order_of_boxes, tracks_from_boxes

    given = read_boxes(boxes, pictures)
    tracks = tracks_from_boxes(given, info)
    if not info.names:
        return tracks, None
    order = [(track_id, frame) for track_id, frame in order_of_boxes(given) if frame in frames]
    if not order:
        raise SettingsError(
            f"No box of {boxes.name} lies in the pictures {frames.start}:{frames.stop}; "
            "choose another --range."
        )
    return tracks, order


def _followed(track: Track, video: FrameSource, estimator: PoseEstimator, hooks: _Hooks) -> Track:
    """Somebody with one box in a video is followed from there; others are as given."""
    from diffpose.inference.follow import follow_person

    marked = track.frames[track.scores == 1]
    if video.info.names or len(marked) != 1:
        return track
    return follow_person(
        video,
        estimator,
        track_id=track.track_id,
        frame=int(marked[0]),
        box=track.boxes[track.frames == marked[0]][0],
        start=hooks["start"],
        stop=hooks["stop"],
        progress=show_progress(),
        cancelled=hooks["cancelled"],
    )


def _found_people(
    video: FrameSource, finder: PersonFinder, count: int | None, hooks: _Hooks
) -> list[Track]:
    """The most prominent people, with a warning that names the pictures without any."""
    from diffpose.inference.pipeline import detect_tracks

    tracks = detect_tracks(video, finder, **hooks)
    names, frames = video.info.names, range(hooks["start"], hooks["stop"])
    seen = {frame for track in tracks for frame in track.frames.tolist()}
    empty = [names[frame] for frame in frames if names and frame not in seen]
    if empty:
        more = f" and {len(empty) - _LISTED} more" if len(empty) > _LISTED else ""
        say(f"warning: Nobody was found in {', '.join(empty[:_LISTED])}{more}.")
    return tracks[:count]


def _check_project(output: Path, output_format: str, *, sequence: bool) -> None:
    """Refuse now what would fail when the project is written."""
    from diffpose.review.library import check_new

    if output_format != "json":
        raise SettingsError(
            f"{output.name} is a project file, got --format {output_format}; give one of the two."
        )
    if sequence:
        raise SettingsError("A project holds a video file, got --sequence; write a .json file.")
    check_new(output)


def _write_project(
    output: Path,
    poses: Sequence[PoseSequence],
    tracks: Sequence[Track],
    info: VideoInfo,
    provenance: Provenance,
) -> None:
    from diffpose.review.library import write_project

    boxes = {track.track_id: track for track in tracks}
    people = ((sequence, boxes[sequence.track_id]) for sequence in poses)
    write_project(output, info, people, provenance)


def _parse_people(text: str) -> int | None:
    """How many people; None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"--people must be a number from 1 or all, got {text!r}.")
    return int(text)


def _parse_range(text: str, num_frames: int) -> tuple[int, int]:
    """First frame and the frame after the last of ``A:B``."""
    begin, colon, end = text.partition(":")
    numbers = [part for part in (begin, end) if part]
    if not colon or not all(part.isdecimal() for part in numbers):
        raise SettingsError(f"--range must be A:B with frame numbers, got {text!r}.")
    start, stop = int(begin or 0), int(end or num_frames)
    if not 0 <= start < stop <= num_frames:
        raise SettingsError(
            f"--range must lie within 0:{num_frames} and hold at least one frame, got {text!r}."
        )
    return start, stop


def _check_output(output: Path) -> None:
    """Find out now, not after an hour, that the file cannot be written."""
    if output.is_dir():
        raise InputError(f"--output must be a file, got the folder {output}.")
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} of --output does not exist; create it.")
