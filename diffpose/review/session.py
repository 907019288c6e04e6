"""The review desk without a browser: correct, undo, take suggestions, ask what is next, export."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from diffpose.errors import CorrectionError, ProjectError
from diffpose.poses import PoseSequence, Provenance, Track, VideoInfo
from diffpose.review.alternatives import Alternative, cluster
from diffpose.review.checks import check_action, check_suggestion, describe
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.events import (
    AcceptSuggestion,
    Action,
    Event,
    Redo,
    SetPose,
    Undo,
    frames_of,
    undo_stacks,
)
from diffpose.review.learning import Learned, learn, restated
from diffpose.review.migrations import Clock
from diffpose.review.queue import ReviewItem, clicks_left, order
from diffpose.review.runs import Run
from diffpose.review.store import Store
from diffpose.review.suggestions import (
    HypothesesProvider,
    Resampler,
    ResampleRequest,
    Suggestion,
)
from diffpose.review.tracks import LoadedTrack, carried_over, placed_near, resolved, settled
from diffpose.skeleton import Skeleton

__all__ = ["Change", "ResampleRequest", "ReviewSession", "Suggestion"]

REACH_FRAMES = 64  # corrections farther than this say nothing about a pose


@dataclass(frozen=True)
class Change:
    """What an action did.

    Attributes:
        revision: The project's revision with it.
        track_id: Whose poses changed.
        frames: Frames whose poses may look different now; some may have no pose.
        summary: One line for the reviewer; frames count from 1, as on the page.
    """

    revision: int
    track_id: int
    frames: tuple[int, ...]
    summary: str


class ReviewSession:
    """One reviewer at one project. Other sessions' changes are seen at the next call.

    Args:
        store: The project; several sessions may share it.
        resampler: Samples poses again given corrections; without it there are no suggestions.
        hypotheses: Gives the hypotheses of a frame; without it there are no alternatives.
        author: Whose actions these are; undo takes back this author's only.
        clock: When they are made; None uses the store's.
        radius: Frames on either side that a suggestion may change.
    """

    def __init__(
        self,
        store: Store,
        *,
        resampler: Resampler | None = None,
        hypotheses: HypothesesProvider | None = None,
        author: str = "me",
        clock: Clock | None = None,
        radius: int = 8,
    ) -> None:
        self.store = store
        self.author = author
        self._resampler = resampler
        self._hypotheses = hypotheses
        self._clock = clock
        self._radius = radius
        self._lock = threading.RLock()
        self._events: list[Event] = []
        self._loaded = -1
        self._tracks: dict[int, LoadedTrack] = {}
        self._queues: dict[tuple[int, float], tuple[ReviewedTrack, list[ReviewItem]]] = {}
        self._learned: tuple[list[ReviewedTrack], Learned] = ([], Learned())
        self._stated: dict[int, tuple[ReviewedTrack, Learned, ReviewedTrack]] = {}

    @property
    def track_ids(self) -> list[int]:
        """The tracks that can be reviewed."""
        return self.store.track_ids()

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the first track."""
        ids = self.track_ids
        if not ids:
            raise ProjectError("The project has no poses yet; run the model on a video first.")
        return self._track(ids[0]).predictions.skeleton

    def video(self, track_id: int) -> VideoInfo:
        """The video of a track."""
        return self.store.video_of(track_id)

    def reviewed(self, track_id: int) -> ReviewedTrack:
        """A track with all corrections; the same object until something changes it.

        What is still predicted states the uncertainty that `learned` has found.
        """
        with self._lock:
            track, learned = self._track(track_id), self.learned()
            raw, known = track.reviewed(), self._stated.get(track_id)
            if known is None or known[0] is not raw or known[1].calibration != learned.calibration:
                stated = restated(raw, learned.calibration)
                known = self._stated[track_id] = raw, learned, stated
            return known[2]

    def learned(self) -> Learned:
        """What confirmed frames say of the stated uncertainty; it follows from the log alone."""
        with self._lock:
            tracks = [self._track(track_id) for track_id in self.track_ids]
            raw = [track.reviewed() for track in tracks]
            before, learned = self._learned
            if len(raw) != len(before) or any(a is not b for a, b in zip(raw, before, strict=True)):
                learned = learn(tracks)
                self._learned = raw, learned
            return learned

    def apply(self, action: Action, seen_revision: int | None = None, *, tab: str = "") -> Change:
        """Do one action; it is on the disk when this returns.

        Args:
            action: Not an undo or redo: those are methods.
            seen_revision: The revision the reviewer looked at; None means the newest.
            tab: Which open page; its own earlier actions never make it stale.

        Raises:
            CorrectionError: The action names no keypoint, frame or place of the track.
            StaleRevisionError: Somebody else has changed the same frames meanwhile.
        """
        if isinstance(action, Undo | Redo):
            raise CorrectionError("Expected an action; use undo() and redo() for these two.")
        with self._lock:
            track = self._track(action.track_id)
            reviewed = track.reviewed()
            check_action(action, reviewed, track.video)
            absolute = resolved(action, reviewed)
            if seen_revision is None and absolute is not action:
                seen_revision = self._loaded
            event = self.store.append(
                absolute, seen_revision, author=self.author, tab=tab, made_at=self._now()
            )
            return self._changed_by(event)

    def undo(self, *, tab: str = "") -> Change | None:
        """Take back the author's last action, also one of an earlier session; None if none."""
        with self._lock:
            event = self.store.undo(self.author, tab=tab, made_at=self._now())
            return None if event is None else self._changed_by(event)

    def redo(self, *, tab: str = "") -> Change | None:
        """Bring back what was undone last; None if nothing was, or an action came after it."""
        with self._lock:
            event = self.store.redo(self.author, tab=tab, made_at=self._now())
            return None if event is None else self._changed_by(event)

    @property
    def can_undo(self) -> bool:
        """Is an action of this author active?"""
        with self._lock:
            self._refresh()
            return bool(undo_stacks(self._events, self.author)[0])

    @property
    def can_redo(self) -> bool:
        """Is there an undone action of this author to bring back?"""
        with self._lock:
            self._refresh()
            return bool(undo_stacks(self._events, self.author)[1])

    def suggest(self, track_id: int, frame: int) -> Suggestion | None:
        """Poses around a frame, sampled again given everything placed; None without a resampler.

        Nothing changes until `accept`. Placed keypoints, those out of the picture and confirmed
        frames are in it exactly as they stand, whatever the resampler says.
        """
        if self._resampler is None:
            return None
        with self._lock:
            track = self._track(track_id)
            reviewed, revision = track.reviewed(), self._loaded
            if reviewed.row(frame) is None:
                raise CorrectionError(
                    f"Track {track_id} has no pose in frame {frame + 1}, counted from 1."
                )
            request = ResampleRequest(
                track_id=track_id,
                frame=frame,
                radius=self._radius,
                placed=placed_near(reviewed, frame, self._radius + REACH_FRAMES),
                poses=reviewed.poses,
                predictions=track.without_corrections(),
            )
        answer = self._resampler(request)  # may take long: others continue meanwhile
        rows = check_suggestion(answer, reviewed, track_id)
        kept = settled(reviewed)[rows]
        return replace(
            answer,
            frames=tuple(int(frame) for frame in answer.frames),
            keypoints=np.where(kept[..., None], reviewed.poses.keypoints[rows], answer.keypoints),
            covariance=np.where(
                kept[..., None, None], reviewed.poses.covariance[rows], answer.covariance
            ),
            confidence=np.where(kept, reviewed.poses.confidence[rows], answer.confidence),
            revision=revision,
        )

    def accept(self, suggestion: Suggestion, *, tab: str = "") -> Change:
        """Take a suggestion; stale if somebody else has changed its frames since it was made."""
        with self._lock:
            reviewed = self._track(suggestion.track_id).reviewed()
            rows = check_suggestion(suggestion, reviewed, suggestion.track_id)
            kept = settled(reviewed)[rows]
            action = AcceptSuggestion(
                track_id=suggestion.track_id,
                frames=suggestion.frames,
                keypoints=np.where(kept[..., None], np.nan, suggestion.keypoints),
                covariance=np.asarray(suggestion.covariance, np.float32),
                confidence=np.asarray(suggestion.confidence, np.float32),
            )
            return self.apply(action, suggestion.revision, tab=tab)

    def alternatives(self, track_id: int, frame: int) -> list[Alternative]:
        """Other poses that the model holds to be possible; none without hypotheses."""
        if self._hypotheses is None:
            return []
        with self._lock:
            track = self._track(track_id)
            placed = placed_near(track.reviewed(), frame, 0)
            swapped = bool(track.swapped(np.array([frame]))[0])
            skeleton = track.predictions.skeleton
        hypotheses = self._hypotheses(track_id, frame)
        if swapped:
            hypotheses = replace(
                hypotheses,
                keypoints=hypotheses.keypoints[:, skeleton.mirror],
                confidence=hypotheses.confidence[:, skeleton.mirror],
            )
        return cluster(hypotheses, skeleton, {k: xy for (_, k), xy in placed.items()})

    def take(
        self,
        alternative: Alternative,
        *,
        track_id: int,
        frame: int,
        seen_revision: int | None = None,
        tab: str = "",
    ) -> Change:
        """Put the keypoints in which an alternative differs where it has them."""
        keypoints = np.full(alternative.keypoints.shape, np.nan, np.float32)
        changed = list(alternative.keypoints_changed)
        keypoints[changed] = alternative.keypoints[changed]
        return self.apply(SetPose(track_id, frame, keypoints), seen_revision, tab=tab)

    def queue(self, *, target_px: float, track_id: int | None = None) -> list[ReviewItem]:
        """Frames worth a click, best first, over all tracks or one."""
        ids = self.track_ids if track_id is None else [track_id]
        items = [item for chosen in ids for item in self._queue_of(chosen, target_px)]
        return sorted(items, key=lambda item: -item.gain_px)

    def next_item(
        self,
        *,
        target_px: float,
        track_id: int | None = None,
        skip: Collection[tuple[int, int]] = (),
    ) -> ReviewItem | None:
        """The best frame that is not among ``skip``, pairs (track_id, frame)."""
        for item in self.queue(target_px=target_px, track_id=track_id):
            if (item.track_id, item.frame) not in skip:
                return item
        return None

    def clicks_left(self, *, target_px: float) -> int:
        """About how many clicks are still worth it, over all tracks."""
        return sum(
            clicks_left(self.reviewed(track_id), target_px=target_px) for track_id in self.track_ids
        )

    def replace_predictions(
        self,
        sequence: PoseSequence,
        *,
        boxes: Track | None = None,
        provenance: Provenance | None = None,
    ) -> Change:
        """Put new predictions under the corrections, which stay; see `carried_over`."""
        with self._lock:
            track = self._track(sequence.track_id)
            carried = carried_over(sequence, track)
            revision = self.store.add_predictions(
                carried, video_id=track.video.video_id, boxes=boxes, provenance=provenance
            )
            frames = tuple(int(frame) for frame in carried.frames)
            return Change(revision, sequence.track_id, frames, "new predictions")

    def start_run(
        self,
        track_id: int,
        *,
        video_id: str,
        boxes: Track | None = None,
        provenance: Provenance | None = None,
        from_scratch: bool = False,
    ) -> Run:
        """A run whose poses go under the corrections part by part; see `Run` for the arguments."""
        with self._lock:
            self._refresh()
            old = self._load(track_id) if track_id in self.track_ids else None
            return Run(
                self.store, old, self._loaded, video_id=video_id, boxes=boxes,
                provenance=provenance, from_scratch=from_scratch,
            )  # fmt: skip

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block of changes that are written together when it ends, or not at all."""
        with self._lock:
            try:
                with self.store.transaction():
                    yield
            except BaseException:
                # What was read within the block may never have been written.
                self._events, self._loaded, self._tracks = [], -1, {}
                raise

    def export_sequences(self) -> list[PoseSequence]:
        """The poses of every track as reviewed."""
        return [self.reviewed(track_id).poses for track_id in self.track_ids]

    def _queue_of(self, track_id: int, target_px: float) -> list[ReviewItem]:
        with self._lock:
            reviewed, key = self.reviewed(track_id), (track_id, target_px)
            known = self._queues.get(key)
            if known is None or known[0] is not reviewed:
                known = reviewed, order(reviewed, target_px=target_px)
                self._queues[key] = known
            return known[1]

    def _track(self, track_id: int) -> LoadedTrack:
        self._refresh()
        if track_id not in self._tracks:
            self._tracks[track_id] = self._load(track_id)
        return self._tracks[track_id]

    def _load(self, track_id: int) -> LoadedTrack:
        state = self.store.run_state(track_id)  # first: what comes after it is read again
        return LoadedTrack(
            self.store.predictions(track_id),
            video=self.store.video_of(track_id),
            state=state,
            events=self._events,
            models=self.store.models.made(track_id),
        )

    def _refresh(self) -> None:
        """Read what was written since, here or elsewhere."""
        revision = self.store.revision
        if revision == self._loaded:
            return
        new = [e for e in self.store.events(after=self._loaded) if e.revision <= revision]
        self._events += new
        self._loaded = revision
        for track_id, track in list(self._tracks.items()):
            if self.store.run_state(track_id) != track.state:
                del self._tracks[track_id]
            else:
                track.extend(new)

    def _changed_by(self, event: Event) -> Change:
        action, done = event.action, ""
        track = self._track(action.track_id)
        if isinstance(action, Undo | Redo):
            done = "undid: " if isinstance(action, Undo) else "redid: "
            named = action.event_id
            action = next(e.action for e in self._events if e.event_id == named)
        summary = done + describe(action, track.predictions.skeleton)
        return Change(event.revision, action.track_id, tuple(frames_of(action)), summary)

    def _now(self) -> datetime | None:
        return None if self._clock is None else self._clock()
