"""What opening, drawing and sampling live do: payload to session to view."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app import views
from app.desk import unsaved
from app.examples import JPEG_QUALITY, read_truth
from app.failures import words_of
from app.finding import find_people
from app.jobs import run_job
from app.payloads import DrawnBox, parse_resample, sequence_of
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import InputError
from diffpose.inference.pipeline import sample_window, window_at
from diffpose.video.decode import Video
from diffpose.video.proxy import write_frames

HANDOVER_S = 20.0
"""How long the job of the clip before may take to notice that it is cancelled."""


def open_example(workspace: Workspace, session: Session, name: str) -> Iterator[None]:
    """Show an example clip and find its people."""
    path = workspace.examples().get(name)
    if path is None:
        session.say("There is no such example; choose another.", "error")
        return iter((None,))
    session.example = name
    return _open(workspace, session, path, name)


def open_upload(workspace: Workspace, session: Session, upload: str) -> Iterator[None]:
    """Take over an uploaded file, show it and find its people."""
    path = take_upload(workspace, session, upload)
    return _open(workspace, session, path, path.name)


def take_upload(workspace: Workspace, session: Session, upload: str) -> Path:
    """An uploaded file in the session's own folder, in place of the one before.

    Gradio keeps an upload under a name made of its content, so that the same file of two visitors
    is one: it is linked, and Gradio deletes its own name later.

    Raises:
        InputError: The visitor's files take too much room, or the upload is no longer there.
    """
    workspace.check_room(session)
    folder = session.private / "upload"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, target = Path(upload), folder / Path(upload).name
    try:
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)
    except FileNotFoundError:
        raise InputError("This upload is no longer here; upload the file again.") from None
    return target


def _open(workspace: Workspace, session: Session, path: Path, name: str) -> Iterator[None]:
    session.cancel.set()  # whatever runs belongs to the clip that goes

    def work() -> str:
        session.progress(None, f"Opening {name}")
        return show_clip(workspace, session, path, name)

    return run_job(session, work, wait_s=HANDOVER_S)


def show_clip(
    workspace: Workspace, session: Session, video: Video | Path, name: str, *, search: bool = True
) -> str:
    """Make a video the session's clip; within a job.

    Args:
        workspace: The app's state.
        session: Whose clip.
        video: An open video, which belongs to the clip from now on, or where it lies.
        name: What the page calls it.
        search: Whether to look for people and begin a project, because none is being opened.

    Returns:
        Words for the visitor.
    """
    path = video if isinstance(video, Path) else video.info.path
    if path.is_relative_to(workspace.settings.examples):
        if isinstance(video, Video):
            video.close()
        return _show_example(workspace, session, path, name, search=search)
    if isinstance(video, Path):
        video = Video(path)
    num_frames = min(video.info.num_frames, workspace.settings.max_frames)
    clip = Clip(video, name=name, folder=session.folder, num_frames=num_frames)
    clip.write_times(read_truth(path, num_frames, workspace.estimator.skeleton))
    session.example = None
    _take_over(workspace, session, clip, unsaved_project=search)
    write_frames(
        video, clip.frames_folder, start=0, stop=num_frames,
        max_side=workspace.settings.frame_side, quality=JPEG_QUALITY,
        progress=_counting(session, clip), cancelled=session.cancelled,
    )  # fmt: skip
    clip.ready = num_frames
    return _with_warnings(find_people(workspace, session, clip) if search else "", clip)


def _show_example(
    workspace: Workspace, session: Session, path: Path, name: str, *, search: bool
) -> str:
    """The same for an example, whose pictures and people are everybody's."""
    waiting = {"cancelled": session.cancelled}
    shared = workspace.prepared.open(path, progress=lambda fraction, words: None, **waiting)
    clip = Clip(
        shared.video, name=name, folder=session.folder, num_frames=shared.num_frames, shared=shared
    )
    _take_over(workspace, session, clip, unsaved_project=search)
    shared.pictures.get(progress=_counting(session, clip), **waiting)
    clip.ready = shared.num_frames
    words = find_people(workspace, session, clip, shared) if search else ""
    return _with_warnings(words, clip)


def _take_over(
    workspace: Workspace, session: Session, clip: Clip, *, unsaved_project: bool
) -> None:
    session.replace_clip(clip)
    if unsaved_project:
        session.open_desk(unsaved.begin(workspace, session, clip))


def _counting(session: Session, clip: Clip) -> Callable[[float, str], None]:
    def progress(fraction: float, words: str) -> None:
        clip.ready = max(clip.ready, int(fraction * clip.num_frames + 1e-6))
        session.progress(0.5 * fraction, f"Reading frames: {clip.ready} of {clip.num_frames}")

    return progress


def _with_warnings(words: str, clip: Clip) -> str:
    notes = [*clip.info.notes, *clip.video.warnings]
    if clip.num_frames < clip.info.num_frames:
        notes.append(f"Only the first {clip.num_frames} frames are used.")
    return " ".join([words, *notes])


def cancel(session: Session) -> None:
    """Ask the running job to stop."""
    session.stop_job()


def draw_box(session: Session, drawn: DrawnBox) -> None:
    """Add a person by a drawn box, or correct a box; the person is chosen.

    Poses that were found in a corrected box go, unless they are confirmed.
    """
    clip, desk = session.require_clip(), session.require_desk()
    if session.status.running and drawn.track in desk.review.track_ids:
        raise InputError("Poses are being found; correct the box when that is done, or cancel it.")
    person, changed = clip.draw_box(drawn.frame, drawn.box, track=drawn.track)
    session.choose(person)
    desk.move_boxes(clip.tracks[person], changed)
    name = views.person_name(person)
    words = f"{name} added" if drawn.track is None else f"Box of {name.lower()} corrected"
    if not session.status.running:
        session.say(f"{words} in frame {drawn.frame + 1}. Press Find poses.")


def resample(workspace: Workspace, payload: Any) -> views.Json:
    """The pose of one frame with the sliders' settings, with the chosen keypoint's heatmap.

    Never raises: the page gets ``{"ok": false, "error": ...}`` and its own sequence number.
    """
    try:
        return {"ok": True, **_resample(workspace, payload)}
    except Exception as error:
        return {"ok": False, "sequence": sequence_of(payload), "error": words_of(error)}


def _resample(workspace: Workspace, payload: Any) -> views.Json:
    request = parse_resample(payload)
    session = workspace.session(request.session)
    clip = session.require_clip()
    desk = session.require_desk()
    estimator = clip.adapted or workspace.estimator
    track = clip.tracks.get(request.track)
    if clip.clip_id != request.clip or track is None or request.frame >= clip.num_frames:
        raise InputError("This frame or person is no longer there; choose another.")
    if request.keypoint >= len(estimator.skeleton):
        raise InputError(f"There is no keypoint {request.keypoint}; choose one of the list.")
    desk.refuse_other_weights(request.track)
    window = window_at(clip.video, track, estimator, frame=request.frame)
    if window is None:
        raise InputError("The chosen person has no box in this frame; press Draw box.")
    poses = sample_window(clip.video, window, estimator, request.sampling, cache=workspace.features)
    heatmap = poses.heatmaps[0, request.keypoint]
    return {
        "sequence": request.sequence,
        "track": request.track,
        "frame": request.frame,
        "keypoint": request.keypoint,
        "steps": request.sampling.num_steps,
        "hypotheses": request.sampling.num_hypotheses,
        "pose": views.pose_rows(poses.keypoints[0], poses.confidence[0], poses.covariance[0]),
        "ghosts": views.ghosts_view(poses.hypotheses[0]),
        "explanations": views.explanations_view(poses.hypotheses[0], estimator.skeleton),
        "heat": views.heat_view(heatmap, window.crop, crop_size=estimator.crop_size),
    }
