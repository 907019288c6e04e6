"""A clip's project: in the session's private folder until there is something to keep."""

from __future__ import annotations

from app.desk.desk import Desk
from app.desk.shelf import words_for
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import DiffPoseError
from diffpose.review.library import SUFFIX
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store


def make_desk(
    workspace: Workspace, session: Session, clip: Clip, store: Store, *, listed: bool = True
) -> Desk:
    """The desk of an open project.

    Args:
        workspace: The app's state.
        session: Who works at it.
        clip: Of the project's video.
        store: The project.
        listed: Whether it is among the visitor's projects.
    """
    resampler, hypotheses = workspace.desk_models(workspace, clip, store)
    review = ReviewSession(store, resampler=resampler, hypotheses=hypotheses, author=session.author)
    return Desk(
        store, review, tab=session.session_id, listed=listed,
        weights=lambda: (clip.adapted or workspace.estimator).weights_hash,
    )  # fmt: skip


def begin(workspace: Workspace, session: Session, clip: Clip) -> Desk:
    """A project of a clip that nobody sees yet."""
    store = Store(session.private / f"{clip.clip_id}{SUFFIX}")
    store.rename(clip.name)
    store.add_video(clip.info)
    return make_desk(workspace, session, clip, store, listed=False)


def list_project(workspace: Workspace, session: Session, clip: Clip) -> tuple[bool, str]:
    """Put the session's project among the visitor's, if it is not there yet.

    Returns:
        Whether the page has been shown no poses of it so far, and words if it could not be
        listed: it stays where it is then, as long as the session.
    """
    desk = session.require_desk()
    if desk.listed:
        return False, ""
    shelf, unseen = workspace.shelf(session.owner), not desk.review.track_ids
    try:
        store = shelf.keep(desk.store, clip.tracks)
    except DiffPoseError as error:
        words = words_for(error, [shelf.folder, session.private])
        return unseen, f" They are kept as long as this page only: {words}"
    session.open_desk(make_desk(workspace, session, clip, store))
    return unseen, ""
