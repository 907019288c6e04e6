"""`Adapt to this project`: the model learns from the corrections, and unlearns at a click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.desk.desk import Desk
from app.finding import in_line
from app.jobs import run_job
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import DiffPoseError, InputError
from diffpose.review.adapting import return_to_shipped

if TYPE_CHECKING:
    from diffpose.inference.adapt import Adapted
    from diffpose.inference.estimator import Estimator


def adapt(workspace: Workspace, session: Session, *, anyway: bool = False) -> Iterator[None]:
    """Fine-tune on the project's corrections, and find its poses again if that helps.

    Where it does not help the shipped model stays, and the result is kept for a second request:
    ``anyway`` takes it.
    """

    def work() -> str:
        desk, clip = session.require_desk(), session.require_clip()
        offered, desk.offered = desk.offered, None
        desk.renewed = True
        with workspace.line.turn(**in_line(session)):
            found = offered if anyway and offered is not None else _learn(workspace, session)
            if not (found.improved or anyway):
                desk.offered = found
                return f"{found.words} The shipped model stays."
            clip.adapted = _put_in_force(workspace, session, found)
            clip.adapted_words, desk.model = _words(desk), desk.store.models.in_force()
        return found.words

    return run_job(session, work)


def go_back(session: Session) -> Iterator[None]:
    """Back to the shipped model and what it said; corrections stay."""

    def work() -> str:
        desk, clip = session.require_desk(), session.require_clip()
        desk.renewed = True
        return_to_shipped(desk.review)
        clip.adapted, clip.adapted_words, desk.model = None, "", ""
        return "The shipped model is in use again, and its poses are back."

    return run_job(session, work)


def use_adapted(workspace: Workspace, clip: Clip, desk: Desk) -> str:
    """Take up the tensors that a project was adapted with; words if that cannot be."""
    clip.adapted, clip.adapted_words, desk.model = None, "", desk.store.models.in_force()
    if not desk.model:
        return ""
    from diffpose.workflow.adapting import model_of

    try:
        clip.adapted, clip.adapted_words = model_of(desk.review, _shipped(workspace)), _words(desk)
    except DiffPoseError as error:
        return f" {error} Until then the shipped model is used."
    return ""


def keep_up(workspace: Workspace, session: Session) -> None:
    """Follow another page, or the command line, that has adapted the project or gone back."""
    desk, clip = session.require_desk(), session.require_clip()
    if not session.status.running and desk.store.models.in_force() != desk.model:
        use_adapted(workspace, clip, desk)


def _learn(workspace: Workspace, session: Session) -> Adapted:
    from diffpose.inference.adapt import AdaptConfig
    from diffpose.workflow.adapting import learn_from

    desk, clip = session.require_desk(), session.require_clip()
    return learn_from(
        desk.review,
        _shipped(workspace),
        clip.video,
        tracks=clip.tracks,
        cache=workspace.features,
        config=AdaptConfig(),
        progress=session.progress,
        cancelled=session.cancelled,
    )


def _put_in_force(workspace: Workspace, session: Session, found: Adapted) -> Estimator:
    from diffpose.workflow.adapting import put_in_force

    desk, clip = session.require_desk(), session.require_clip()
    return put_in_force(
        desk.review,
        _shipped(workspace),
        clip.video,
        found,
        tracks=clip.tracks,
        stop=clip.num_frames,
        progress=session.progress,
        cancelled=session.cancelled,
    )


def _shipped(workspace: Workspace) -> Estimator:
    from diffpose.inference.estimator import Estimator

    estimator: Any = workspace.estimator
    if not isinstance(estimator, Estimator):
        raise InputError("This model cannot be adapted.")
    return estimator


def _words(desk: Desk) -> str:
    model = desk.store.models.adapted()
    return model.words if model is not None else ""
