"""``diffpose review``: what the review desk does to a project, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffpose.cli.console import interruptible, say, show_progress
from diffpose.errors import CorrectionError, DiffPoseError, InputError
from diffpose.poses import SamplingConfig

if TYPE_CHECKING:
    from diffpose.inference.estimator import Estimator
    from diffpose.review.session import Change, ReviewSession
    from diffpose.video.decode import Video
    from diffpose.workflow.resampling import Preview

review = typer.Typer(
    help="Correct the poses of a project: queue, apply, undo, redo, resample, adapt, copy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Project = Annotated[Path, typer.Argument(help="A project file.")]
_Author = Annotated[str, typer.Option(help="Whose actions; undo takes back these only.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(review, name="review")


@review.command("queue")
def list_queue(
    project: _Project,
    target_px: Annotated[float, typer.Option(help="Accuracy wanted, pixels.")] = 5.0,
    track: Annotated[int | None, typer.Option(help="Only this person.")] = None,
    most: Annotated[int, typer.Option(help="How many frames at most.")] = 20,
) -> None:
    """Say where a correction helps most, as JSON; frames are indices from 0."""
    with _opened(project, read_only=True) as session:
        items = session.queue(target_px=target_px, track_id=track)
        content = {
            "target_px": target_px,
            "clicks_left": session.clicks_left(target_px=target_px),
            "frames": len(items),
            "items": [asdict(item) for item in items[:most]],
        }
    typer.echo(json.dumps(content, indent=1))


@review.command("apply")
def apply_corrections(
    project: _Project,
    corrections: Annotated[Path, typer.Argument(help="JSON: a list of actions.")],
    author: _Author = "me",
) -> None:
    """Apply corrections one after the other; each is saved before the next and can be undone."""
    actions = _read(corrections)
    with _opened(project, author=author) as session:
        from diffpose.review.events import from_dict

        skeleton = session.skeleton
        for number, data in enumerate(actions, start=1):
            try:
                change = session.apply(from_dict(data, skeleton))
            except CorrectionError as error:
                raise CorrectionError(
                    f"Correction {number} of {len(actions)}: {error} "
                    f"Those before it are saved; repeat with the rest."
                ) from error
            _tell(change)


@review.command()
def undo(project: _Project, author: _Author = "me") -> None:
    """Take back the author's last action."""
    with _opened(project, author=author) as session:
        _tell(session.undo(), otherwise="There is nothing to undo.")


@review.command()
def redo(project: _Project, author: _Author = "me") -> None:
    """Bring back what was undone last."""
    with _opened(project, author=author) as session:
        _tell(session.redo(), otherwise="There is nothing to redo.")


@review.command("resample")
def resample_around(
    project: _Project,
    frame: Annotated[int, typer.Option(help="The corrected frame, index from 0.")],
    track: Annotated[
        int | None, typer.Option(help="The person; not needed where there is one.")
    ] = None,
    radius: Annotated[int, typer.Option(min=0, help="Frames on either side that follow.")] = 8,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; as the poses have.")] = None,
    ensemble: Annotated[int | None, typer.Option(help="Hypotheses; as the poses have.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take what is suggested.")] = False,
    revision: Annotated[
        int | None, typer.Option(help="Refuse if the project has changed since this revision.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    video: Annotated[Path | None, typer.Option(help="The video, if it has moved.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights file; the shipped one.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    author: _Author = "me",
) -> None:
    """Show what follows from the corrections in a frame: its pose sampled again, those around."""
    with _opened(project, author=author, read_only=not accept) as session:
        from diffpose.inference.estimator import Estimator
        from diffpose.workflow.resampling import check_corrected

        chosen = _track(session, track)
        check_corrected(session, track_id=chosen, frame=frame, revision=revision)
        with _video(session, chosen, video) as opened:
            found = _preview(
                session, opened, Estimator.load(weights, device=device),
                track=chosen, frame=frame, radius=radius, steps=steps, ensemble=ensemble,
            )  # fmt: skip
        change = session.accept(found.suggestion) if accept and found.moves else None
        if as_json:
            typer.echo(_as_json(found, change))
        else:
            typer.echo("\n".join(_in_words(found)))
        if change is not None:
            _tell(change)
        elif found.moves:
            say(f"revision {found.suggestion.revision}: nothing is changed; --accept takes it.")


@review.command()
def adapt(
    project: _Project,
    video: Annotated[Path | None, typer.Option(help="The video, if it has moved.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights file; the shipped one.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    seconds: Annotated[float, typer.Option(help="About how long the training may take.")] = 120.0,
    anyway: Annotated[bool, typer.Option(help="Use it even if it does not help.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Back to the shipped model.")] = False,
) -> None:
    """Fine-tune a small part of the model on the project's corrections, or take that back."""
    with _opened(project) as session:
        if undo:
            from diffpose.review.adapting import return_to_shipped

            return_to_shipped(session)
            say("The project uses the model as it is shipped.")
            return
        say(_adapted(session, video, weights, device=device, seconds=seconds, anyway=anyway))


@review.command()
def copy(
    project: _Project,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
) -> None:
    """Write the whole project to another file, also while others work on it."""
    with _opened(project, read_only=True) as session:
        session.store.copy_to(output)
    say(f"wrote {output}")


def _adapted(
    session: ReviewSession,
    path: Path | None,
    weights: Path | None,
    *,
    device: str,
    seconds: float,
    anyway: bool,
) -> str:
    from diffpose.inference.adapt import AdaptConfig
    from diffpose.inference.estimator import Estimator
    from diffpose.inference.features import FeatureCache
    from diffpose.workflow.adapting import learn_from, put_in_force

    boxes = {track_id: session.store.boxes_of(track_id) for track_id in session.track_ids}
    tracks = {track_id: track for track_id, track in boxes.items() if track is not None}
    with (
        _video(session, min(boxes, default=0), path) as video,
        interruptible() as stopped,
    ):
        estimator, progress = Estimator.load(weights, device=device), show_progress()
        found = learn_from(
            session, estimator, video, tracks=tracks, cache=FeatureCache(),
            config=AdaptConfig(seconds=seconds), progress=progress, cancelled=stopped,
        )  # fmt: skip
        if not (found.improved or anyway):
            return f"{found.words} The shipped model stays; --anyway takes the adapted one."
        put_in_force(
            session, estimator, video, found, tracks=tracks, stop=None, progress=progress,
            cancelled=stopped,
        )  # fmt: skip
    return found.words


def _preview(
    session: ReviewSession,
    video: Video,
    estimator: Estimator,
    *,
    track: int,
    frame: int,
    radius: int,
    steps: int | None,
    ensemble: int | None,
) -> Preview:
    from diffpose.inference.features import FeatureCache
    from diffpose.review.provenance import other_weights, sampling_of
    from diffpose.review.session import ReviewSession
    from diffpose.workflow.adapting import model_of
    from diffpose.workflow.resampling import preview, resampler_of

    try:
        estimator = model_of(session, estimator)
    except DiffPoseError as error:  # as the app does
        say(f"{error} Until then the shipped model is used.")
    if others := other_weights(session.store, track, estimator.weights_hash):
        raise CorrectionError(
            f"The poses of track {track} were found with other weights ({', '.join(others)}) than "
            f"these ({estimator.weights_hash}): name those with --weights, or find the poses again."
        )
    usual = sampling_of(session.store, track)
    sampling = SamplingConfig(
        usual.num_steps if steps is None else steps,
        usual.num_hypotheses if ensemble is None else ensemble,
        usual.seed,
    )
    resampler = resampler_of(
        session.store, video, estimator, cache=FeatureCache(), sampling=sampling
    )
    asking = ReviewSession(session.store, resampler=resampler, radius=radius)
    return preview(asking, track_id=track, frame=frame)


def _as_json(found: Preview, change: Change | None) -> str:
    suggestion = found.suggestion
    content = {
        "revision": suggestion.revision if change is None else change.revision,
        "track_id": suggestion.track_id,
        "accepted": change is not None,
        "moves": [{**asdict(move), "distance_px": move.distance_px} for move in found.moves],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _in_words(found: Preview) -> Iterator[str]:
    """A line a keypoint; frames count from 1, as everywhere in words."""
    frames = len({move.frame for move in found.moves})
    if not frames:
        yield "Nothing would move by half a pixel or more."
        return
    where = "1 frame" if frames == 1 else f"{frames} frames"
    yield f"Keypoints that would move: {len(found.moves)}, in {where}."
    for move in found.moves:
        far, before = move.distance_px, move.before_radius_px
        yield (
            f"frame {move.frame + 1:5d}  {move.keypoint.replace('_', ' '):16s}  "
            f"{'new' if far is None else f'{far:.1f} px':>9s}   uncertainty "
            f"{'unknown' if before is None else f'{before:.1f}'} -> {move.radius_px:.1f} px"
        )


@contextmanager
def _video(session: ReviewSession, track: int, path: Path | None) -> Iterator[Video]:
    """The video of a track, where it was or where ``path`` says."""
    from diffpose.video.decode import Video

    known = session.video(track)
    if not (path or known.path).is_file():
        raise InputError("The project's video is not where it was; name it with --video.")
    with Video(path or known.path) as video:
        if video.info.video_id != known.video_id:
            raise InputError(f"{video.info.path.name} is not the project's video; name that one.")
        video.show_as(known)
        yield video


@contextmanager
def _opened(
    project: Path, *, author: str = "me", read_only: bool = False
) -> Iterator[ReviewSession]:
    from diffpose.review.session import ReviewSession
    from diffpose.review.store import Store

    if not project.is_file():
        raise InputError(f"There is no project file {project}; check its name.")
    with Store(project, read_only=read_only) as store:
        yield ReviewSession(store, author=author)


def _track(session: ReviewSession, track: int | None) -> int:
    known = session.track_ids
    if track is not None:
        return track
    if len(known) != 1:
        raise InputError(f"The project has the tracks {known}; name one with --track.")
    return known[0]


def _read(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}); check its name.") from error
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON ({error}); correct it.") from error
    if not isinstance(content, list):
        raise InputError(f"Expected a list of actions in {path.name}; put it into [ ].")
    return content


def _tell(change: Change | None, *, otherwise: str = "") -> None:
    say(otherwise if change is None else f"revision {change.revision}: {change.summary}")
