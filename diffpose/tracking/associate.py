"""Boxes to tracks: who is the same person in the next frame, decided by motion and overlap.

Pure functions. Frames are indices of the video; time between detections is counted in frames,
so a detector may look at every n-th frame only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.signal import savgol_filter

from diffpose.errors import FormatError
from diffpose.geometry import box_iou, union_box
from diffpose.poses import FloatArray, Track

_HISTORY = 5  # sightings that a track's velocity is measured over
_MARGIN = 1.5  # boxes are enlarged before overlap is taken: a runner leaves his box in one step


@dataclass(frozen=True)
class Detections:
    """What the person detector found in one frame.

    Attributes:
        boxes: (N, 4) f32 xyxy, video pixels.
        scores: (N,) f32, 0 to 1.
    """

    boxes: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, dtype=np.float32)
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
        scores = np.array(self.scores, dtype=np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
            raise FormatError(
                f"Expected boxes (N, 4) and scores (N,), got {boxes.shape} and {scores.shape}."
            )
        for name, value in (("boxes", boxes), ("scores", scores)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass
class _OpenTrack:
    """A track that may still grow."""

    frames: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, frame: int, box: NDArray[np.float64], score: float) -> None:
        self.frames.append(frame)
        self.boxes.append(box)
        self.scores.append(score)

    def predict(self, frame: int) -> NDArray[np.float64]:
        """The last box, carried on with the velocity of the last sightings."""
        last = self.boxes[-1]
        if len(self.frames) < 2:
            return last
        times = np.array(self.frames[-_HISTORY:], dtype=np.float64)
        boxes = np.stack(self.boxes[-_HISTORY:])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        times -= times.mean()
        velocity = times @ centres / (times @ times)
        return last + np.tile(velocity, 2) * (frame - self.frames[-1])


def associate(
    detections: Sequence[Detections],
    frames: Sequence[int],
    *,
    min_iou: float = 0.2,
    min_birth_score: float = 0.5,
    min_length: int = 3,
    max_gap: int = 30,
) -> list[Track]:
    """Join detections to tracks: one optimal assignment a frame (Hungarian method).

    A detection may continue a track when it overlaps the box that the track's own motion
    predicts, so two people who cross keep their identities. The order of the detections within
    a frame has no influence.

    Args:
        detections: One entry a frame looked at.
        frames: Increasing frame indices, as many as ``detections``.
        min_iou: Least overlap of the enlarged boxes, predicted and seen.
        min_birth_score: A weaker detection may continue a track but not begin one.
        min_length: A track of fewer sightings is dropped; frames looked at, if those are fewer.
        max_gap: A track that was not seen for more frames has ended.

    Returns:
        Tracks in order of appearance, from the left within a frame; ``track_id`` counts them.
        Their frames are the sightings: `fill_gaps` adds those between.
    """
    if len(detections) != len(frames) or np.any(np.diff(frames) <= 0):
        raise FormatError(
            f"Expected one increasing frame index per detection record, got {len(frames)} "
            f"for {len(detections)} records."
        )
    tracks: list[_OpenTrack] = []
    for frame, found in zip(frames, detections, strict=True):
        boxes, scores = _sorted(found)
        alive = [track for track in tracks if frame - track.frames[-1] <= max_gap]
        matches = _match(alive, boxes, frame=frame, min_iou=min_iou)
        for index, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            if index in matches:
                alive[matches[index]].add(frame, box, score)
            elif score >= min_birth_score:
                tracks.append(_OpenTrack([frame], [box], [score]))
    kept = [track for track in tracks if len(track.frames) >= min(min_length, len(frames))]
    return [
        Track(
            track_id=i,
            frames=np.array(track.frames),
            boxes=np.stack(track.boxes),
            scores=np.array(track.scores),
        )
        for i, track in enumerate(kept)
    ]


def fill_gaps(track: Track) -> Track:
    """The track with a box for every frame from its first to its last.

    Boxes between sightings are interpolated linearly and have score 0: nobody saw them.
    """
    if not len(track.frames):
        return track
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    columns = [np.interp(frames, track.frames, column) for column in track.boxes.T]
    scores = np.zeros(len(frames))
    scores[track.frames - track.frames[0]] = track.scores
    return Track(
        track_id=track.track_id, frames=frames, boxes=np.stack(columns, axis=1), scores=scores
    )


def smooth_boxes(track: Track, *, radius: int = 5) -> Track:
    """The track with its boxes smoothed over 2 radius + 1 frames, without delay.

    Savitzky-Golay, quadratic: centre and logarithm of the size each, so a box that moves with
    constant acceleration at constant size is left as it is, and no box turns inside out.

    Args:
        track: Boxes for consecutive frames (`fill_gaps`).
        radius: Frames on either side; fewer where the track is shorter.
    """
    if np.any(np.diff(track.frames) != 1):
        raise FormatError(
            f"Expected consecutive frames in track {track.track_id}; fill its gaps first."
        )
    radius = min(radius, (len(track.frames) - 1) // 2)
    if radius < 1:
        return track
    boxes = track.boxes.astype(np.float64)
    size = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3))
    state = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, size], axis=1)
    order = min(2, 2 * radius - 1)
    state = savgol_filter(state, 2 * radius + 1, order, axis=0, mode="interp")
    half = np.exp(state[:, 2:]) / 2
    smooth = np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1)
    return Track(track_id=track.track_id, frames=track.frames, boxes=smooth, scores=track.scores)


def join_parts(
    tracks: Sequence[Track], *, min_inside: float = 0.6, min_share: float = 0.7
) -> list[Track]:
    """Tracks of parts of one person (legs here, trunk there) joined to one with their union.

    Two people lie in each other's box while they pass; parts of one person do so nearly always.

    Args:
        tracks: As associated; gaps may be open.
        min_inside: Share of the smaller box's area that lies in the larger box.
        min_share: Share of the shorter track's frames in which it does.

    Returns:
        Fewer or as many tracks; a joined one has the identity of the more prominent.
    """
    ranked = sorted(tracks, key=prominence, reverse=True)
    joined: list[Track] = []
    for track in ranked:
        for number, other in enumerate(joined):
            if _share_inside(other, track, min_inside) >= min_share:
                joined[number] = _united(other, track)
                break
        else:
            joined.append(track)
    return joined


def _share_inside(one: Track, other: Track, min_inside: float) -> float:
    """Share of the shorter track's frames in which the smaller box lies in the larger."""
    _, rows, columns = np.intersect1d(one.frames, other.frames, return_indices=True)
    if not len(rows):
        return 0.0
    a, b = one.boxes[rows].astype(np.float64), other.boxes[columns].astype(np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    overlap = np.clip(sides, 0, None).prod(axis=1)
    smaller = np.minimum((a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1))
    inside = overlap >= min_inside * np.maximum(smaller, 1e-9)
    return float(inside.sum()) / min(len(one.frames), len(other.frames))


def _united(one: Track, other: Track) -> Track:
    frames = np.union1d(one.frames, other.frames)
    boxes = np.empty((len(frames), 4))
    scores = np.empty(len(frames))
    for row, frame in enumerate(frames):
        parts = [
            (track.boxes[track.frames == frame][0], track.scores[track.frames == frame][0])
            for track in (one, other)
            if frame in track.frames
        ]
        boxes[row] = union_box(np.stack([box for box, _ in parts]))
        scores[row] = max(score for _, score in parts)
    return Track(one.track_id, frames, boxes, scores)


def prominence(track: Track) -> float:
    """How much of the video a person takes up: the sum of score times box side, for ordering."""
    sides = np.clip(track.boxes[:, 2:] - track.boxes[:, :2], 0, None).astype(np.float64)
    return float((np.sqrt(sides.prod(axis=1)) * track.scores).sum())


def _sorted(found: Detections) -> tuple[NDArray[np.float64], list[float]]:
    """Boxes and scores from the left to the right, whatever order the detector gave them in."""
    keys = (found.scores, *found.boxes.T[::-1])
    order = np.lexsort(keys)
    return found.boxes[order].astype(np.float64), [float(s) for s in found.scores[order]]


def _match(
    tracks: Sequence[_OpenTrack], boxes: NDArray[np.float64], *, frame: int, min_iou: float
) -> dict[int, int]:
    """Index of a box to index of the track it continues."""
    if not tracks or not len(boxes):
        return {}
    predicted = np.stack([track.predict(frame) for track in tracks])
    overlap = box_iou(_enlarged(predicted), _enlarged(boxes))
    # A forbidden pair gains nothing, so the assignment never gives up a real match for one.
    gain = np.where(overlap >= min_iou, overlap, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return {int(c): int(r) for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0}


def _enlarged(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * (_MARGIN / 2)
    return np.concatenate([centre - half, centre + half], axis=1)
