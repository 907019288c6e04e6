"""One track of an open project: its predictions, its part of the log, what follows from both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import ProjectError
from diffpose.poses import PoseSequence, VideoInfo
from diffpose.review.blobs import check_in_video
from diffpose.review.checks import check_stored
from diffpose.review.corrections import Folding, ReviewedTrack, with_sides_only
from diffpose.review.events import (
    Action,
    Confirm,
    CopyPrevious,
    Event,
    MoveBody,
    Swap,
    Unconfirm,
    active,
)
from diffpose.review.predictions import RunState
from diffpose.review.rows import DamagedError


class LoadedTrack:
    """A fold that follows the log.

    Args:
        predictions: What the model said last.
        video: Where.
        state: Of the predictions, as the store has them.
        events: The project's log so far.
        models: The weights of all predictions of the track, by revision.
    """

    def __init__(
        self,
        predictions: PoseSequence,
        *,
        video: VideoInfo,
        state: RunState,
        events: Iterable[Event],
        models: Mapping[int, str] | None = None,
    ) -> None:
        self._models = dict(models or {})
        self.predictions = predictions
        self.video = video
        self.state = state
        self._events: list[Event] = []
        self._folding = Folding(predictions)
        self._reviewed: ReviewedTrack | None = None
        self._check(())
        self.extend(events)

    def extend(self, events: Iterable[Event]) -> None:
        """Follow later events; those of other tracks change nothing."""
        mine = [e for e in events if e.action.track_id == self.predictions.track_id]
        if mine:
            self._check(mine)
            self._events += mine
            self._folding.extend(mine)
            self._reviewed = None

    def _check(self, events: Iterable[Event]) -> None:
        """Refuse what a file holds that is not of this track and its video."""
        skeleton, count = self.predictions.skeleton, self.video.num_frames
        try:
            check_in_video(self.predictions.frames, count)
            for event in events:
                check_stored(event.action, skeleton, count)
        except DamagedError as error:
            raise ProjectError(
                f"The project is damaged: track {self.predictions.track_id} cannot be read "
                f"({error}); use a copy of it."
            ) from error

    def reviewed(self) -> ReviewedTrack:
        """The track as it stands; the same object until an event changes it."""
        if self._reviewed is None:
            self._reviewed = self._folding.result()
        return self._reviewed

    def without_corrections(self) -> PoseSequence:
        """The same frames as the model had them, left and right as the reviewer has them."""
        frames = self.reviewed().poses.frames
        if np.array_equal(frames, self.predictions.frames) and not self.swapped(frames).any():
            return self.predictions
        return with_sides_only(self.predictions, self._events, frames=frames)

    def judged(self) -> NDArray[np.bool_]:
        """(N,) rows of `reviewed` that were confirmed on what the present model says there.

        A confirmed pose keeps its prediction when the model changes, and then tells of the old one.
        """
        model: dict[int, str | None] = {}
        for event in active(self._events):
            if isinstance(event.action, Confirm | Unconfirm):
                confirmed = isinstance(event.action, Confirm)
                model |= dict.fromkeys(
                    event.action.frames, self._model_at(event.revision) if confirmed else None
                )
        present = self._model_at(self.state.revision)
        frames = [frame for frame, made_by in model.items() if made_by == present]
        return np.asarray(np.isin(self.reviewed().poses.frames, frames))

    def _model_at(self, revision: int) -> str:
        known = [r for r in self._models if r <= revision]
        return self._models[max(known)] if known else ""

    def swapped(self, frames: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(N,) frames whose sides the reviewer has exchanged, an odd number of times."""
        odd = np.zeros(len(frames), bool)
        for event in active(self._events):
            if isinstance(event.action, Swap):
                odd ^= (frames >= event.action.first) & (frames <= event.action.last)
        return odd


def settled(reviewed: ReviewedTrack) -> NDArray[np.bool_]:
    """(N, K) keypoints that no suggestion may move: placed, out of the picture, or confirmed."""
    return reviewed.corrected | reviewed.confirmed[:, None]


def placed_near(
    reviewed: ReviewedTrack, frame: int, reach: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """(frame, keypoint) -> (x, y) of what is settled within ``reach`` frames and has a place."""
    poses = reviewed.poses
    near = np.abs(poses.frames.astype(np.int64) - frame) <= reach
    known = np.isfinite(poses.keypoints).all(-1)
    chosen = np.argwhere(settled(reviewed) & known & near[:, None])
    return {
        (int(poses.frames[row]), int(k)): (
            float(poses.keypoints[row, k, 0]),
            float(poses.keypoints[row, k, 1]),
        )
        for row, k in chosen
    }


def resolved(action: Action, reviewed: ReviewedTrack) -> Action:
    """The action with positions instead of relations, so that nothing later can move them."""
    points = reviewed.poses.keypoints
    if isinstance(action, MoveBody):
        moved = points[reviewed.row(action.frame)] + np.asarray(action.shift_xy, np.float32)
        return replace(action, keypoints=moved)
    if isinstance(action, CopyPrevious):
        return replace(action, keypoints=points[reviewed.row(action.from_frame)])
    return action


def carried_over(
    new: PoseSequence, track: LoadedTrack, *, after: int = -1, until: int | None = None
) -> PoseSequence:
    """New predictions fitted under the corrections made on the old ones.

    Confirmed frames keep the prediction they were confirmed with. Where the reviewer exchanged
    left and right of the old prediction, the new one is stored with the old one's sides, so that
    the exchange still means the same.

    Args:
        new: What the model says now, of frames after ``after``.
        track: The old predictions and their corrections.
        after: Frame after which the new predictions begin.
        until: Last frame that they cover; None for all.

    Raises:
        ProjectError: The new predictions have another skeleton.
    """
    old, reviewed = track.predictions, track.reviewed()
    if new.skeleton != old.skeleton:
        raise ProjectError(
            f"Track {old.track_id} was corrected with skeleton {old.skeleton.name!r}, the new "
            f"poses have {new.skeleton.name!r}; put them into a new project."
        )
    confirmed = reviewed.poses.frames[reviewed.confirmed]
    last = old.frames.max(initial=0) if until is None else until
    kept = np.isin(old.frames, confirmed) & (old.frames > after) & (old.frames <= last)
    free = ~np.isin(new.frames, confirmed)
    frames = np.concatenate([old.frames[kept], new.frames[free]])
    order = np.argsort(frames)

    def merged(name: str) -> NDArray[Any]:
        both = getattr(old, name)[kept], _on_old_sides(new, name, track)[free]
        return np.concatenate(both)[order]

    return replace(
        new,
        frames=frames[order],
        keypoints=merged("keypoints"),
        confidence=merged("confidence"),
        covariance=merged("covariance"),
        origin=merged("origin"),
    )


def _on_old_sides(new: PoseSequence, name: str, track: LoadedTrack) -> NDArray[Any]:
    """An array of the new poses, mirrored in swapped frames that the model now has right."""
    old, mirror = track.predictions, new.skeleton.mirror
    rows = np.flatnonzero(track.swapped(new.frames) & np.isin(new.frames, old.frames))
    before = old.keypoints[np.searchsorted(old.frames, new.frames[rows])]
    as_is = _distance(new.keypoints[rows], before)
    mirrored = _distance(new.keypoints[rows][:, mirror], before)
    turn = rows[mirrored < as_is]
    values: NDArray[Any] = getattr(new, name).copy()
    values[turn] = values[turn][:, mirror]
    return values


def _distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N,) sum of squared distances over the keypoints known in both, px^2."""
    return np.nansum((a - b) ** 2, axis=(1, 2))
