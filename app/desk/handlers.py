"""Opening projects: of the list, uploaded, or whose video was uploaded again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import handlers
from app.desk import adapting, unsaved
from app.desk.shelf import Shelf, words_for
from app.handlers import show_clip
from app.jobs import run_job
from app.session import Session
from app.workspace import Workspace
from diffpose.errors import ProjectError
from diffpose.review.store import Store
from diffpose.video.decode import Video


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
    session.choose(min(clip.tracks, default=None))
    desk = unsaved.make_desk(workspace, session, clip, store)
    note = adapting.use_adapted(workspace, clip, desk)
    session.open_desk(desk)
    workspace.note_use()
    words = f"{store.name} is open. Press Edit to correct poses.{note}"
    return f"{words} {desk.other_weights(store.track_ids())}".rstrip()
