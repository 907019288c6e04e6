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
from diffpose.errors import CorrectionError, InputError

if TYPE_CHECKING:
    from diffpose.review.session import Change, ReviewSession

review = typer.Typer(
    help="Correct the poses of a project: queue, apply, undo, redo, adapt, copy.",
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
    from diffpose.video.decode import Video
    from diffpose.workflow.adapting import learn_from, put_in_force

    store = session.store
    known = session.video(session.track_ids[0]) if session.track_ids else None
    if known is None or not (path or known.path).is_file():
        raise InputError("The project's video is not where it was; name it with --video.")
    boxes = {track_id: store.boxes_of(track_id) for track_id in session.track_ids}
    tracks = {track_id: track for track_id, track in boxes.items() if track is not None}
    estimator = Estimator.load(weights, device=device)
    with Video(path or known.path) as video, interruptible() as stopped:
        if video.info.video_id != known.video_id:
            raise InputError(f"{video.info.path.name} is not the project's video; name that one.")
        progress = show_progress()
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
