"""One function per action of the visitor: payload to session to view."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from app import views
from app.examples import JPEG_QUALITY, Prepared, read_truth
from app.failures import words_of
from app.jobs import run_job
from app.line import words_for
from app.once import Cancelled, Progress
from app.payloads import SEED, DrawnBox, parse_resample, sequence_of
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import CancelledError, InputError, NoPersonError
from diffpose.formats.coco import write_coco_dataset
from diffpose.formats.native import write_native
from diffpose.formats.overlay import write_overlay
from diffpose.formats.table import write_csv
from diffpose.inference.follow import follow_person
from diffpose.inference.pipeline import detect_tracks, iter_poses, sample_window, window_at
from diffpose.poses import Provenance, SamplingConfig, Track
from diffpose.video.decode import Video
from diffpose.video.proxy import write_frames

EXPORTS = {"CSV": "poses.csv", "COCO": "poses.coco.json", "JSON": "poses.json", "MP4": "poses.mp4"}
"""What can be downloaded, and under which name."""

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
        search: Whether to look for people.

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
    session.replace_clip(clip)
    write_frames(
        video, clip.frames_folder, start=0, stop=num_frames,
        max_side=workspace.settings.frame_side, quality=JPEG_QUALITY,
        progress=_counting(session, clip), cancelled=session.cancelled,
    )  # fmt: skip
    clip.ready = num_frames
    return _with_warnings(_find_people(workspace, session, clip) if search else "", clip)


def _show_example(
    workspace: Workspace, session: Session, path: Path, name: str, *, search: bool
) -> str:
    """The same for an example, whose pictures and people are everybody's."""
    waiting = {"cancelled": session.cancelled}
    shared = workspace.prepared.open(path, progress=lambda fraction, words: None, **waiting)
    clip = Clip(
        shared.video, name=name, folder=session.folder, num_frames=shared.num_frames, shared=shared
    )
    session.replace_clip(clip)
    shared.pictures.get(progress=_counting(session, clip), **waiting)
    clip.ready = shared.num_frames
    words = _find_people(workspace, session, clip, shared) if search else ""
    return _with_warnings(words, clip)


def _counting(session: Session, clip: Clip) -> Callable[[float, str], None]:
    def progress(fraction: float, words: str) -> None:
        clip.ready = max(clip.ready, int(fraction * clip.num_frames + 1e-6))
        session.progress(0.5 * fraction, f"Reading frames: {clip.ready} of {clip.num_frames}")

    return progress


class _InLine(TypedDict):
    waiting: Callable[[int], None]
    cancelled: Callable[[], bool]


def in_line(session: Session) -> _InLine:
    """What a run says and asks while others have the model."""

    def waiting(ahead: int) -> None:
        session.progress(session.status.fraction, words_for(ahead))

    return {"waiting": waiting, "cancelled": session.cancelled}


def _with_warnings(words: str, clip: Clip) -> str:
    notes = [*clip.info.notes, *clip.video.warnings]
    if clip.num_frames < clip.info.num_frames:
        notes.append(f"Only the first {clip.num_frames} frames are used.")
    return " ".join([words, *notes])


def _find_people(
    workspace: Workspace, session: Session, clip: Clip, shared: Prepared | None = None
) -> str:
    def progress(fraction: float, words: str) -> None:
        session.progress(0.5 + 0.5 * fraction, words)

    def find(progress: Progress, cancelled: Cancelled) -> list[Track]:
        def waiting(ahead: int) -> None:
            progress(0.0, words_for(ahead))

        with workspace.line.turn(waiting=waiting, cancelled=cancelled):
            return detect_tracks(
                clip.video, workspace.finder, start=0, stop=clip.num_frames, progress=progress,
                cancelled=cancelled,
            )  # fmt: skip

    session.progress(0.5, "Looking for people")
    try:
        if shared is None:
            tracks = find(progress, session.cancelled)
        else:
            once = shared.people(workspace.finder.weights_hash, find)
            tracks = once.get(progress=progress, cancelled=session.cancelled)
    except NoPersonError:
        clip.searched = True
        raise NoPersonError(
            "Nobody was found in this clip. Press Draw box and drag a box around the person."
        ) from None
    clip.set_detected(tracks)
    session.choose(min(clip.tracks))
    found = "One person" if len(tracks) == 1 else f"{len(tracks)} people"
    choose = "" if len(tracks) == 1 else " Click the one you want, then"
    return f"{found} found.{choose} {'p' if choose else 'P'}ress Find poses."


def find_poses(
    workspace: Workspace,
    session: Session,
    sampling: SamplingConfig,
    *,
    after: Callable[[], str] = str,
) -> Iterator[None]:
    """Estimate the chosen person's poses in every frame; they are shown as they come.

    ``after`` runs when they are done, or cancelled; its words are added to those for the visitor.
    """

    def work() -> str:
        clip = _clip(session)
        if not clip.tracks and not clip.searched:
            _find_people(workspace, session, clip)
        person = session.person
        if person is None:
            raise NoPersonError("Nobody is chosen. Click a person, or press Draw box and draw one.")
        _follow_if_drawn(workspace, session, clip, person)
        held = clip.start_poses(person, sampling)
        chunks = iter_poses(
            clip.video, [clip.tracks[person]], clip.adapted or workspace.estimator, sampling,
            start=0, stop=clip.num_frames, cache=workspace.features,
            progress=lambda fraction, words: session.progress(fraction, f"Finding poses: {words}"),
            cancelled=session.cancelled,
        )  # fmt: skip
        for chunk in workspace.line.take_turns(chunks, **in_line(session)):
            clip.add_poses(person, chunk)
        name = views.person_name(person).lower()
        return f"Poses found in {len(held.by_frame)} frames of {name}.{after()}"

    def with_kept_poses() -> str:
        try:
            return work()
        except CancelledError:
            clip, person = session.clip, session.person
            held = clip.poses.get(person) if clip and person is not None else None
            kept = len(held.by_frame) if held else 0
            words = f"Cancelled. {kept} finished frames are kept.{after() if kept else ''}"
            raise CancelledError(words) from None

    return run_job(session, with_kept_poses)


def _follow_if_drawn(workspace: Workspace, session: Session, clip: Clip, person: int) -> None:
    """One drawn box is enough: the person is followed through the clip from there."""
    lone = clip.lone_box(person)
    if lone is None:
        return
    with workspace.line.turn(**in_line(session)):
        track = follow_person(
            clip.video,
            workspace.estimator,
            track_id=person,
            frame=lone[0],
            box=lone[1],
            stop=clip.num_frames,
            progress=lambda fraction, words: session.progress(fraction, words.capitalize()),
            cancelled=session.cancelled,
        )
    clip.set_followed(track)
    session.revision += 1


def cancel(session: Session) -> None:
    """Ask the running job to stop."""
    session.stop_job()


def draw_box(session: Session, drawn: DrawnBox) -> None:
    """Add a person by a drawn box, or correct a box; the person is chosen."""
    clip = _clip(session)
    person = clip.draw_box(drawn.frame, drawn.box, track=drawn.track)
    session.choose(person)
    session.revision += 1
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
    clip = _clip(session)
    estimator = clip.adapted or workspace.estimator
    track = clip.tracks.get(request.track)
    if clip.clip_id != request.clip or track is None or request.frame >= clip.num_frames:
        raise InputError("This frame or person is no longer there; choose another.")
    if request.keypoint >= len(estimator.skeleton):
        raise InputError(f"There is no keypoint {request.keypoint}; choose one of the list.")
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
        "heat": views.heat_view(heatmap, window.crop, crop_size=estimator.crop_size),
    }


def export(workspace: Workspace, session: Session, kind: str) -> Iterator[None]:
    """Write the poses of everybody in a format and offer the file."""

    def work() -> str:
        clip = _clip(session)
        sequences = session.sequences(workspace.estimator.skeleton)
        if not sequences:
            raise InputError("There are no poses yet; press Find poses first.")
        folder = session.folder / "exports"
        folder.mkdir(exist_ok=True)
        name = f"{Path(clip.name).stem.replace(' ', '_')}.{EXPORTS[kind]}"
        path = folder / name
        session.progress(None, f"Writing {name}")
        provenance = provenance_of(workspace, clip)
        if kind == "CSV":
            write_csv(path, sequences, clip.info)
        elif kind == "COCO":
            write_coco_dataset(path, sequences, clip.info, provenance)
        elif kind == "JSON":
            write_native(path, sequences, clip.info, provenance)
        else:
            write_overlay(
                path,
                clip.video,
                sequences,
                progress=session.progress,
                cancelled=session.cancelled,
            )
        count = session.download["count"] + 1 if session.download else 1
        session.download = {"path": str(path), "name": name, "count": count}
        return f"{name} is ready."

    return run_job(session, work)


def provenance_of(workspace: Workspace, clip: Clip) -> Provenance:
    """How the clip's poses were made.

    Settings are those of the newest run; they differ from person to person only if the visitor
    changed them.
    """
    estimator = clip.adapted or workspace.estimator
    runs = {p: held.sampling for p, held in clip.poses.items() if held.sampling is not None}
    newest = list(runs.values())[-1]
    settings = {
        str(p): {"num_steps": s.num_steps, "num_hypotheses": s.num_hypotheses}
        for p, s in runs.items()
    }
    return Provenance(
        model=estimator.model_name,
        weights=estimator.weights_hash,
        num_steps=newest.num_steps,
        num_hypotheses=newest.num_hypotheses,
        seed=SEED,
        extra={"settings_of_tracks": settings},
    )


def _clip(session: Session) -> Clip:
    if session.clip is None:
        raise InputError("There is no video yet; choose an example or upload one.")
    return session.clip
