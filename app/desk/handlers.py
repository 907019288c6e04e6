"""Projects and the work of the session: what a run finds is kept, and a project is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import handlers
from app.desk import adapting
from app.desk.desk import Desk
from app.desk.shelf import Shelf, words_for
from app.handlers import provenance_of, run_job, show_clip
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import DiffPoseError, ProjectError
from diffpose.poses import PoseSequence, SamplingConfig
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.video.decode import Video


def find_poses(workspace: Workspace, session: Session, sampling: SamplingConfig) -> Iterator[None]:
    """Find poses and keep them in a project, also those of a run that was cancelled."""

    def keep() -> str:
        try:
            _keep_poses(workspace, session)
        except DiffPoseError as error:
            folder = workspace.shelf(session.owner).folder
            return f" They could not be saved: {words_for(error, [folder])}"
        return ""

    return handlers.find_poses(workspace, session, sampling, after=keep)


def open_project(workspace: Workspace, session: Session, project: str) -> Iterator[None]:
    """Open a project: its video, its people, their poses as they were left."""
    session.cancel.set()

    def work() -> str:
        return _open_project(workspace, session, project)

    return run_job(session, work, wait_s=handlers.HANDOVER_S)


def take_in(workspace: Workspace, session: Session, upload: Path) -> Iterator[None]:
    """Add an uploaded project file to the visitor's projects and open it; can be cancelled."""
    session.cancel.set()

    def work() -> str:
        shelf = workspace.shelf(session.owner)
        with _told(shelf, upload.parent):
            project = shelf.take_in(upload, cancelled=session.cancelled)
        return _open_project(workspace, session, project)

    return run_job(session, work, wait_s=handlers.HANDOVER_S)


def _open_project(workspace: Workspace, session: Session, project: str) -> str:
    shelf = workspace.shelf(session.owner)
    with _told(shelf), _opened(session, shelf.path(project)) as store:
        try:
            video = shelf.open_video(store)
        except ProjectError:
            session.wanted = project
            raise
        return _show_project(workspace, session, store, video)


def open_upload(workspace: Workspace, session: Session, upload: str) -> Iterator[None]:
    """Take over an uploaded file: a video, the video a project waits for, or a project."""
    shelf = workspace.shelf(session.owner)
    workspace.check_room(session)
    if Path(upload).suffix == ".diffpose":
        return take_in(workspace, session, Path(upload))
    wanted, session.wanted = session.wanted, None
    if wanted is None:
        return handlers.open_upload(workspace, session, upload)
    path = handlers.take_upload(workspace, session, upload)

    def work() -> str:
        video = Video(path)
        with _told(shelf), _opened(session, shelf.path(wanted)) as store:
            if store.videos()[0].video_id != video.info.video_id:
                words = show_clip(workspace, session, video, path.name)
                return f"{words} This is not the video of {store.name}: its content differs."
            shelf.adopt(store, video.info)
            video.close()
            known = store.videos()[0]
            return _show_project(workspace, session, store, Video(known.path, info=known))

    return run_job(session, work, wait_s=handlers.HANDOVER_S)


@contextmanager
def _told(shelf: Shelf, *more: Path) -> Iterator[None]:
    """Keep the server's folders out of what is said about a project file."""
    try:
        yield
    except ProjectError as error:
        raise ProjectError(words_for(error, [shelf.folder, *more])) from error


@contextmanager
def _opened(session: Session, path: Path) -> Iterator[Store]:
    """A project that is closed again unless the session has taken it over."""
    store = Store(path)
    try:
        yield store
    finally:
        if session.desk is None or session.desk.store is not store:
            store.close()


def _show_project(workspace: Workspace, session: Session, store: Store, video: Video) -> str:
    show_clip(workspace, session, video, store.videos()[0].path.name, search=False)
    clip = session.clip
    assert clip is not None
    clip.name = store.name
    boxes = [store.boxes_of(track_id) for track_id in store.track_ids()]
    clip.set_detected([track for track in boxes if track is not None])
    for track_id in store.track_ids():
        adapting.restore_poses(clip, store, track_id)
    session.choose(min(clip.tracks, default=None))
    desk = _make_desk(workspace, session, clip, store)
    note = adapting.use_adapted(workspace, clip, desk)
    session.open_desk(desk)
    workspace.note_use()
    return f"{store.name} is open. Press Edit to correct poses.{note}"


def _keep_poses(workspace: Workspace, session: Session) -> None:
    """Put the chosen person's poses into the session's project, which is made if there is none."""
    clip, person = session.clip, session.person
    if clip is None or person is None or not clip.poses[person].by_frame:
        return
    sequence = next(s for s in clip.sequences(workspace.estimator.skeleton) if s.track_id == person)
    desk = session.desk
    if desk is None:
        shelf: Shelf = workspace.shelf(session.owner)
        store = shelf.create(clip.name, clip.info)
        desk = _make_desk(workspace, session, clip, store)
        session.open_desk(desk)
    _add_predictions(workspace, desk, clip, sequence)
    session.stamp += 1


def _add_predictions(workspace: Workspace, desk: Desk, clip: Clip, sequence: PoseSequence) -> None:
    provenance = provenance_of(workspace, clip)
    boxes = clip.tracks[sequence.track_id]
    if sequence.track_id in desk.review.track_ids:
        desk.review.replace_predictions(sequence, boxes=boxes, provenance=provenance)
    else:
        desk.store.add_predictions(
            sequence, video_id=clip.info.video_id, boxes=boxes, provenance=provenance
        )


def _make_desk(workspace: Workspace, session: Session, clip: Clip, store: Store) -> Desk:
    resampler, hypotheses = workspace.desk_models(workspace, clip)
    review = ReviewSession(store, resampler=resampler, hypotheses=hypotheses, author=session.author)
    return Desk(store, review, tab=session.session_id)
