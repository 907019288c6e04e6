"""Whose poses are wanted: people found by the detector, or boxes that a person gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diffpose.errors import CancelledError, NoPersonError, SettingsError
from diffpose.geometry import check_box
from diffpose.inference.interfaces import Cancelled, FrameSource, PersonFinder, Picture, Progress
from diffpose.inference.jobs import Job, detection_key, tracks_from_arrays, tracks_to_arrays
from diffpose.poses import FloatArray, Track, VideoInfo
from diffpose.tracking.associate import (
    Detections,
    associate,
    fill_gaps,
    join_parts,
    prominence,
    smooth_boxes,
)

_UNSURE = 0.5  # share of the wanted score that may open a track
_BATCH = 4  # pictures a call of the detector
_DETECTIONS_PER_S = 10.0
_LONGEST_GAP_S = 1.0


def detect_tracks(
    video: FrameSource,
    detector: PersonFinder,
    *,
    start: int = 0,
    stop: int | None = None,
    stride: int | None = None,
    min_score: float = 0.5,
    job: Job | None = None,
    progress: Progress = lambda fraction, words: None,
    cancelled: Cancelled = lambda: False,
) -> list[Track]:
    """Find the people of a video and follow them, the most prominent first.

    Every ``stride``-th frame and the last are looked at; boxes between are interpolated and all
    are smoothed over time. In unrelated pictures track p holds the p-th person of each picture.

    Args:
        video: Frames to search.
        detector: Finds people in single frames.
        start: First frame.
        stop: Frame after the last one; None for all.
        stride: Frames from one look to the next; None for about ten looks a second.
        min_score: A weaker detection may continue a track but not begin one.
        job: Where the tracks are kept and looked for.
        progress: Receives the share of the frames looked at.
        cancelled: Asked once a batch of frames.

    Returns:
        Tracks numbered from 0 in order of prominence.

    Raises:
        NoPersonError: Nobody was found.
        CancelledError: ``cancelled`` said so.
        SettingsError: An empty range or one outside the video, or a stride below 1.
    """
    info = video.info
    frames = _frames_to_search(info, start=start, stop=stop, stride=stride)
    key = detection_key(info.video_id, detector.weights_hash, min_score, frames=frames)
    stored = job.load(key) if job is not None else None
    if stored is not None:
        return tracks_from_arrays(stored)
    found: list[Detections] = []
    for pictures in _batches(video, frames):
        if cancelled():
            raise CancelledError(
                f"Stopped on request while looking for people, {len(found)} of {len(frames)} "
                "frames searched."
            )
        found += detector.detect(pictures)
        progress(len(found) / len(frames), f"People: {len(found)} of {len(frames)} frames searched")
    if info.names:
        tracks = _tracks_of_pictures(found, frames, min_score=min_score)
    else:
        tracks = _follow(found, frames, info, min_score=min_score)
    if not tracks:
        raise NoPersonError(
            f"Nobody was found in {len(frames)} frames of {info.path.name}; "
            "give a box around the person, or choose other frames."
        )
    if job is not None:
        job.save(key, tracks_to_arrays(tracks))
    return tracks


def tracks_from_boxes(boxes: Sequence[tuple[int, FloatArray]], info: VideoInfo) -> list[Track]:
    """Tracks from boxes that a person gave as (frame, xyxy in video pixels).

    The p-th box of every frame belongs to track p. In a video its boxes are interpolated
    between the frames given and held before the first and after the last, through the whole
    video; one box alone therefore stands still. In unrelated pictures nothing is added. Scores
    are 1 where a box was given, else 0.

    Raises:
        BoxError: A box is not finite, empty or outside the picture.
        SettingsError: No boxes, or a frame that the video does not have.
    """
    if not boxes:
        raise SettingsError("Expected at least one box, got none; draw one around the person.")
    given: dict[int, list[tuple[int, FloatArray]]] = {}
    for (frame, box), (track_id, _) in zip(boxes, order_of_boxes(boxes), strict=True):
        if not 0 <= frame < info.num_frames:
            raise SettingsError(
                f"Expected boxes in frames 0 to {info.num_frames - 1}, got frame {frame}."
            )
        given.setdefault(track_id, []).append((frame, check_box(box, size=info.size)))
    return [_track_of_boxes(track_id, entries, info) for track_id, entries in given.items()]


def order_of_boxes(boxes: Sequence[tuple[int, FloatArray]]) -> list[tuple[int, int]]:
    """(track_id, frame) of every box in the order given: the p-th box of a frame is track p's."""
    count: dict[int, int] = {}
    order = []
    for frame, _ in boxes:
        order.append((count.get(frame, 0), frame))
        count[frame] = count.get(frame, 0) + 1
    return order


def _track_of_boxes(
    track_id: int, entries: Sequence[tuple[int, FloatArray]], info: VideoInfo
) -> Track:
    entries = sorted(entries, key=lambda entry: entry[0])
    frames = np.array([frame for frame, _ in entries])
    boxes = np.stack([box for _, box in entries])
    scores = np.ones(len(frames))
    if not info.names:
        every = np.arange(info.num_frames)
        scores = np.isin(every, frames).astype(np.float32)
        boxes = np.stack([np.interp(every, frames, column) for column in boxes.T], axis=1)
        frames = every
    return Track(track_id=track_id, frames=frames, boxes=boxes, scores=scores)


def _frames_to_search(
    info: VideoInfo, *, start: int, stop: int | None, stride: int | None
) -> list[int]:
    stop = info.num_frames if stop is None else stop
    if not 0 <= start < stop <= info.num_frames:
        raise SettingsError(
            f"Expected a range of frames within 0:{info.num_frames}, got {start}:{stop}."
        )
    if stride is None:
        stride = max(1, round(info.fps / _DETECTIONS_PER_S))
    if stride < 1:
        raise SettingsError(f"Expected a stride of at least 1 frame, got {stride}.")
    if info.names:
        stride = 1
    return sorted({*range(start, stop, stride), stop - 1})


def _batches(video: FrameSource, frames: Sequence[int]) -> Iterator[list[Picture]]:
    wanted = set(frames)
    batch: list[Picture] = []
    for index, picture in video.frames(frames[0], frames[-1] + 1):
        if index in wanted:
            batch.append(picture)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _follow(
    found: Sequence[Detections], frames: Sequence[int], info: VideoInfo, *, min_score: float
) -> list[Track]:
    gap = max(1, round(info.fps * _LONGEST_GAP_S))
    # One sure sighting makes a person; the unsure ones before it are hers too.
    sightings = [
        track
        for track in associate(found, frames, min_birth_score=_UNSURE * min_score, max_gap=gap)
        if track.scores.max() >= min_score
    ]
    tracks = [smooth_boxes(fill_gaps(track)) for track in join_parts(sightings)]
    tracks.sort(key=lambda track: -prominence(track))
    return [
        Track(track_id=i, frames=track.frames, boxes=track.boxes, scores=track.scores)
        for i, track in enumerate(tracks)
    ]


def _tracks_of_pictures(
    found: Sequence[Detections], frames: Sequence[int], *, min_score: float
) -> list[Track]:
    """Track p: the p-th most prominent person of every picture."""
    ranks: dict[int, list[tuple[int, FloatArray, float]]] = {}
    for people, frame in zip(found, frames, strict=True):
        sides = np.clip(people.boxes[:, 2:] - people.boxes[:, :2], 0, None)
        size = np.sqrt(sides.prod(axis=1)) * people.scores
        # Equal people are distinguished by their boxes, not by the detector's order.
        order = np.lexsort((*people.boxes.T[::-1], -size))
        kept = [i for i in order if people.scores[i] >= min_score]
        for rank, i in enumerate(kept):
            ranks.setdefault(rank, []).append((frame, people.boxes[i], people.scores[i]))
    return [
        Track(rank, *(np.array(column) for column in zip(*persons, strict=True)))
        for rank, persons in sorted(ranks.items())
    ]
