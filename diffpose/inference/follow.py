"""Following a person from one drawn box: each pose says where to look in the next frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import CancelledError
from diffpose.geometry import box_of_points, check_box
from diffpose.inference.interfaces import Cancelled, FrameSource, Picture, PoseEstimator, Progress
from diffpose.inference.look import one_look
from diffpose.poses import FloatArray, Track

_SURE = 0.3  # confidence of a keypoint that says where the person is
_ENOUGH = 5  # such keypoints make a pose
_LOST_S = 0.5  # seconds without a pose after which the person has gone
_MARGIN = 0.08  # head and feet reach beyond the keypoints, in parts of their extent
_TRUST = 0.5  # share of the new box in the next; the rest is the old one
_BLOCK = 32  # frames held at once on the way backwards


def follow_person(
    video: FrameSource,
    estimator: PoseEstimator,
    *,
    track_id: int,
    frame: int,
    box: FloatArray,
    start: int = 0,
    stop: int | None = None,
    progress: Progress = lambda fraction, words: None,
    cancelled: Cancelled = lambda: False,
) -> Track:
    """The boxes of a person who was marked in one frame, forwards and backwards from there.

    In each frame one quick pose (K = E = 1, the frame alone) is taken in the box of the frame
    before; the extent of its sure keypoints moves the box. Where the person is lost for half a
    second, or the range ends, so does the track.

    Args:
        video: Where the frames come from.
        estimator: The network.
        track_id: Identity of the result.
        frame: Where the box was drawn.
        box: (4,) xyxy, video pixels.
        start: First frame of the range.
        stop: Frame after its last; None: the video's end.
        progress: Receives the finished fraction and words.
        cancelled: Asked in every frame.

    Raises:
        BoxError: The box is no part of the picture.
        CancelledError: ``cancelled`` said so.
    """
    info = video.info
    last = info.num_frames if stop is None else stop
    drawn = check_box(box, size=info.size)
    patience = max(1, round(_LOST_S * info.fps))
    boxes: dict[int, FloatArray] = {frame: drawn}
    for ahead in (True, False):
        current: FloatArray = drawn
        unseen: list[int] = []
        for index, picture in _walk(video, frame, start, last, ahead=ahead):
            if cancelled():
                raise CancelledError("Stopped while following the person.")
            seen = _seen(estimator, picture, current)
            if seen is not None:
                current, unseen = _moved(current, seen), []
            elif len(unseen) < patience:
                unseen.append(index)
            else:
                break
            boxes[index] = current
            progress(len(boxes) / max(last - start, 1), "following the person")
        for index in unseen:  # gone, not hidden: nobody came back
            del boxes[index]
    frames = sorted(boxes)
    scores = np.array([float(index == frame) for index in frames])
    return Track(track_id, np.array(frames), np.stack([boxes[i] for i in frames]), scores)


def _walk(
    video: FrameSource, frame: int, start: int, stop: int, *, ahead: bool
) -> Iterator[tuple[int, Picture]]:
    """Frames after ``frame`` in order, or those before it backwards, a block at a time."""
    if ahead:
        if frame + 1 < stop:
            yield from video.frames(frame + 1, stop)
        return
    for end in range(frame, start, -_BLOCK):
        yield from reversed(list(video.frames(max(start, end - _BLOCK), end)))


def _seen(estimator: PoseEstimator, picture: Picture, box: FloatArray) -> FloatArray | None:
    """The box around the person's sure keypoints; None if there are too few."""
    pose = one_look(estimator, picture, box[None])
    sure = pose.confidence[0] >= _SURE
    return box_of_points(pose.keypoints[0][sure]) if sure.sum() >= _ENOUGH else None


def _moved(box: FloatArray, seen: FloatArray) -> NDArray[np.float64]:
    """Half way to where the person is seen; the size changes by a tenth at most."""
    centre, side = _centre_and_side(box)
    new_centre, extent = _centre_and_side(seen)
    wanted = np.clip(extent * (1 + 2 * _MARGIN), 0.9 * side, 1.1 * side)
    centre = centre + _TRUST * (new_centre - centre)
    half = (side + _TRUST * (wanted - side)) / 2
    return np.concatenate([centre - half, centre + half])


def _centre_and_side(box: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.asarray(box, dtype=np.float64).reshape(2, 2)
    return corners.mean(axis=0), corners[1] - corners[0]
