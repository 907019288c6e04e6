"""Predictions and the log of corrections -> the poses as reviewed.

The fold is a pure function of its two inputs. Events act in the order of the log; an undone event
acts as if it had never been, so that undoing restores every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import IntArray, Origin, PoseSequence
from diffpose.review.events import (
    AcceptSuggestion,
    Action,
    Confirm,
    CopyPrevious,
    Event,
    Hide,
    Move,
    MoveBody,
    OutOfFrame,
    Redo,
    SetPose,
    Show,
    Swap,
    Unconfirm,
    Undo,
    active,
)

UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2  # COCO's visibility


@dataclass(frozen=True, eq=False)
class ReviewedTrack:
    """One track as the reviewer has left it.

    Attributes:
        poses: N poses. Confidence is NaN and covariance 0 where a person placed the keypoint; a
            keypoint outside the picture is NaN. Frames without a prediction are in it once the
            reviewer has placed something there.
        visibility: (N, K) u8: 0 unknown or outside the picture, 1 occluded, 2 visible.
        confirmed: (N,) bool: the reviewer calls the pose right.
        corrected: (N, K) bool: the position, or that there is none, is the reviewer's word.
    """

    poses: PoseSequence
    visibility: IntArray
    confirmed: NDArray[np.bool_]
    corrected: NDArray[np.bool_]

    def row(self, frame: int) -> int | None:
        """Index of a frame in the arrays; None if the track has no pose there."""
        row = int(np.searchsorted(self.poses.frames, frame))
        there = row < len(self.poses) and int(self.poses.frames[row]) == frame
        return row if there else None


def fold(predictions: PoseSequence, events: Iterable[Event]) -> ReviewedTrack:
    """Apply a log to the predictions of one track; events of other tracks are passed over."""
    folding = Folding(predictions)
    folding.extend(events)
    return folding.result()


class Folding:
    """A fold that can be continued: ``extend`` in any batches gives what `fold` gives at once."""

    def __init__(self, predictions: PoseSequence) -> None:
        self._predictions = predictions
        self._events: list[Event] = []
        self._state = _State(predictions, ())

    def extend(self, events: Iterable[Event]) -> None:
        """Continue with later events."""
        new = [e for e in events if e.action.track_id == self._predictions.track_id]
        self._events += new
        again = any(
            isinstance(e.action, Undo | Redo) or not self._state.has(_placed_frames(e.action))
            for e in new
        )
        if again:
            log = active(self._events)
            frames = [frame for e in log for frame in _placed_frames(e.action)]
            self._state = _State(self._predictions, frames)
            new = log
        for event in new:
            self._state.apply(event.action)

    def result(self) -> ReviewedTrack:
        """The track after all events so far."""
        return self._state.result()


def with_sides_only(
    predictions: PoseSequence, events: Iterable[Event], *, frames: IntArray
) -> PoseSequence:
    """The predictions of ``frames`` (unknown where there are none) after the swaps alone."""
    state = _State(predictions, frames)
    for event in active(events):
        if isinstance(event.action, Swap) and event.action.track_id == predictions.track_id:
            state.apply(event.action)
    return state.result().poses


def _known(keypoints: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    # Several times faster than reducing over an axis of two.
    return np.asarray(np.isfinite(keypoints[..., 0]) & np.isfinite(keypoints[..., 1]))


def _placed_frames(action: Action) -> Sequence[int]:
    """Frames that an action settles something in, even if nothing was predicted there."""
    if isinstance(action, OutOfFrame):
        return action.frames
    if isinstance(action, Move | MoveBody | CopyPrevious | SetPose):
        return (action.frame,)
    return ()


class _State:
    """The arrays under way."""

    def __init__(self, predictions: PoseSequence, more_frames: Sequence[int] | IntArray) -> None:
        frames = np.union1d(predictions.frames, np.array(more_frames, np.int32))
        rows = np.searchsorted(frames, predictions.frames)
        count, num = len(frames), len(predictions.skeleton)

        def spread(values: NDArray[Any], empty: float) -> NDArray[Any]:
            whole = np.full((count, *values.shape[1:]), empty, values.dtype)
            whole[rows] = values
            return whole

        self.skeleton, self.track_id = predictions.skeleton, predictions.track_id
        self.frames = frames.astype(np.int32)
        self.keypoints = spread(predictions.keypoints, np.nan)
        self.confidence = spread(predictions.confidence, np.nan)
        self.covariance = spread(predictions.covariance, np.nan)
        self.origin = spread(predictions.origin, int(Origin.PREDICTED))
        # Poses imported from another tool bring what a person placed there.
        self.corrected = self.origin == Origin.CORRECTED
        self.hidden = np.zeros((count, num), bool)
        self.outside = np.zeros((count, num), bool)
        self.confirmed = np.zeros(count, bool)

    def has(self, frames: Sequence[int]) -> bool:
        """Is there a row for each of these frames?"""
        return all(self._row(frame) is not None for frame in frames)

    def apply(self, action: Action) -> None:
        """Change the arrays as one action says."""
        match action:
            case Move():
                self._move(action)
            case Hide() | OutOfFrame() | Show():
                rows = self._rows(action.frames)
                self.hidden[rows, action.keypoint] = isinstance(action, Hide)
                self.outside[rows, action.keypoint] = isinstance(action, OutOfFrame)
            case Confirm() | Unconfirm():
                self.confirmed[self._rows(action.frames)] = isinstance(action, Confirm)
            case Swap():
                self._swap(action)
            case MoveBody():
                self._move_body(action)
            case CopyPrevious():
                self._copy(action)
            case SetPose():
                self._set_pose(action)
            case AcceptSuggestion():
                self._accept(action)

    def result(self) -> ReviewedTrack:
        keypoints = self.keypoints.copy()
        confidence, covariance = self.confidence, self.covariance
        keypoints[self.outside] = np.nan
        if self.outside.any():
            confidence, covariance = confidence.copy(), covariance.copy()
            confidence[self.outside] = covariance[self.outside] = np.nan
        known = _known(keypoints)
        visibility = np.where(known, np.where(self.hidden, OCCLUDED, VISIBLE), UNLABELLED)
        poses = PoseSequence(
            skeleton=self.skeleton,
            track_id=self.track_id,
            frames=self.frames,
            keypoints=keypoints,
            confidence=confidence,
            covariance=covariance,
            origin=np.where(self.outside, np.uint8(Origin.CORRECTED), self.origin),
        )
        arrays = (
            visibility.astype(np.uint8),
            self.confirmed.copy(),
            self.corrected | self.outside,
        )
        for array in arrays:
            array.setflags(write=False)
        return ReviewedTrack(poses, *arrays)

    def _row(self, frame: int) -> int | None:
        row = int(np.searchsorted(self.frames, frame))
        there = row < len(self.frames) and int(self.frames[row]) == frame
        return row if there else None

    def _rows(self, frames: Sequence[int]) -> NDArray[np.intp]:
        return np.flatnonzero(np.isin(self.frames, np.asarray(frames, np.int64)))

    def _move(self, action: Move) -> None:
        row = self._row(action.frame)
        if row is not None:
            self._place(row, action.keypoint, np.asarray(action.xy, np.float32))
            self.outside[row, action.keypoint] = False

    def _place(self, row: int, keypoints: Any, xy: NDArray[np.float32]) -> None:
        """Set keypoints of a row (an index or a mask) as the reviewer's."""
        self.keypoints[row, keypoints] = xy
        self.confidence[row, keypoints] = np.nan
        self.covariance[row, keypoints] = 0
        self.origin[row, keypoints] = Origin.CORRECTED
        self.corrected[row, keypoints] = True

    def _swap(self, action: Swap) -> None:
        chosen = slice(*np.searchsorted(self.frames, [action.first, action.last + 1]))
        mirror = self.skeleton.mirror
        for array in (
            self.keypoints, self.confidence, self.covariance, self.origin,
            self.corrected, self.hidden, self.outside,
        ):  # fmt: skip
            array[chosen] = array[chosen][:, mirror]

    def _move_body(self, action: MoveBody) -> None:
        row = self._row(action.frame)
        if row is None:
            return
        target = action.keypoints
        if target is None:
            target = self.keypoints[row] + np.asarray(action.shift_xy, np.float32)
            target[self.outside[row]] = np.nan
        known = _known(target)
        self._place(row, known, target[known])

    def _copy(self, action: CopyPrevious) -> None:
        row, source = self._row(action.frame), self._row(action.from_frame)
        target = action.keypoints
        if target is None and source is not None:
            target = np.where(self.outside[source][:, None], np.nan, self.keypoints[source])
        if row is None or target is None:
            return
        known = _known(target)
        self._place(row, known, target[known])
        self.outside[row, known] = False
        if source is not None:
            self.hidden[row, known] = self.hidden[source, known]

    def _set_pose(self, action: SetPose) -> None:
        row = self._row(action.frame)
        if row is None:
            return
        chosen = _known(action.keypoints)
        if action.reason == "alternative":
            chosen &= ~(self.corrected[row] | self.outside[row])
        self._place(row, chosen, action.keypoints[chosen])
        self.outside[row, chosen] = False

    def _accept(self, action: AcceptSuggestion) -> None:
        if not len(self.frames):
            return
        frames = np.asarray(action.frames, np.int64)
        rows = np.searchsorted(self.frames, frames)
        there = self.frames[np.minimum(rows, len(self.frames) - 1)] == frames
        rows, keypoints = rows[there], action.keypoints[there]
        settled = self.corrected[rows] | self.outside[rows] | self.confirmed[rows][:, None]
        index, k = np.nonzero(_known(keypoints) & ~settled)
        places = rows[index], k
        self.keypoints[places] = keypoints[index, k]
        self.confidence[places] = action.confidence[there][index, k]
        self.covariance[places] = action.covariance[there][index, k]
        self.origin[places] = Origin.RESAMPLED
