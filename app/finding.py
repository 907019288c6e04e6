"""Finding people, and their poses, which go into the project as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypedDict

from app import views
from app.desk import unsaved
from app.desk.shelf import words_for
from app.examples import Prepared
from app.jobs import run_job
from app.line import words_for as waiting_words
from app.once import Cancelled, Progress
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import CancelledError, NoPersonError, ProjectError
from diffpose.inference.follow import follow_person
from diffpose.inference.pipeline import PoseChunk, detect_tracks, iter_poses
from diffpose.poses import PoseSequence, Provenance, SamplingConfig, Track
from diffpose.review.runs import Run


class _InLine(TypedDict):
    waiting: Callable[[int], None]
    cancelled: Callable[[], bool]


def in_line(session: Session) -> _InLine:
    """What a run says and asks while others have the model."""

    def waiting(ahead: int) -> None:
        session.progress(session.status.fraction, waiting_words(ahead))

    return {"waiting": waiting, "cancelled": session.cancelled}


def find_people(
    workspace: Workspace, session: Session, clip: Clip, shared: Prepared | None = None
) -> str:
    """Look for the people of a clip, once for everybody in an example; what to say of it."""

    def progress(fraction: float, words: str) -> None:
        session.progress(0.5 + 0.5 * fraction, words)

    def find(progress: Progress, cancelled: Cancelled) -> list[Track]:
        def waiting(ahead: int) -> None:
            progress(0.0, waiting_words(ahead))

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


def find_poses(workspace: Workspace, session: Session, sampling: SamplingConfig) -> Iterator[None]:
    """Estimate the chosen person's poses in every frame; each is kept as it is found."""

    def work() -> str:
        clip, found = session.require_clip(), _Found()
        try:
            person = _chosen(workspace, session, clip)
            _stream(workspace, session, clip, person, sampling, found)
        except CancelledError:
            words = f"Cancelled. {found.count} finished frames are kept.{found.note}"
            raise CancelledError(words) from None
        except ProjectError as error:
            folders = [workspace.shelf(session.owner).folder, session.private]
            raise ProjectError(words_for(error, folders)) from error
        name = views.person_name(person).lower()
        return f"Poses found in {found.count} frames of {name}.{found.note}"

    return run_job(session, work)


class _Found:
    """What a run has put into the project so far, and what is to be said of it."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.note = ""

    @property
    def count(self) -> int:
        return self.run.count if self.run else 0


def _stream(
    workspace: Workspace,
    session: Session,
    clip: Clip,
    person: int,
    sampling: SamplingConfig,
    found: _Found,
) -> None:
    estimator = clip.adapted or workspace.estimator
    provenance = Provenance(
        estimator.model_name, estimator.weights_hash, sampling.num_steps, sampling.num_hypotheses,
        sampling.seed, {"boxes": "given" if person in clip.drawn else "found"},
    )  # fmt: skip
    chunks = iter_poses(
        clip.video, [clip.tracks[person]], estimator, sampling,
        start=0, stop=clip.num_frames, cache=workspace.features,
        progress=lambda fraction, words: session.progress(fraction, f"Finding poses: {words}"),
        cancelled=session.cancelled,
    )  # fmt: skip
    for chunk in workspace.line.take_turns(chunks, **in_line(session)):
        if found.run is None:
            from_scratch, found.note = unsaved.list_project(workspace, session, clip)
            desk = session.require_desk()
            desk.renewed = True
            found.run = desk.review.start_run(
                person, video_id=clip.info.video_id, boxes=clip.tracks[person],
                provenance=provenance, from_scratch=from_scratch,
            )  # fmt: skip
        found.run.add(_sequence(chunk, person, workspace))
    if found.run is not None:
        found.run.finish()
        session.require_desk().renewed = True


def _sequence(chunk: PoseChunk, person: int, workspace: Workspace) -> PoseSequence:
    arrays = chunk.frames, chunk.keypoints, chunk.confidence, chunk.covariance
    return PoseSequence(workspace.estimator.skeleton, person, *arrays)


def _chosen(workspace: Workspace, session: Session, clip: Clip) -> int:
    """The chosen person; one drawn box is enough: the person is followed through the clip."""
    if not clip.tracks and not clip.searched:
        find_people(workspace, session, clip)
    person = session.person
    if person is None:
        raise NoPersonError("Nobody is chosen. Click a person, or press Draw box and draw one.")
    lone = clip.lone_box(person)
    if lone is None:
        return person
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
    return person
