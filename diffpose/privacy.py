"""Hiding heads: where they are, or may be, and pictures in which they cannot be recognised.

Every doubt is decided for more blur: an unsure keypoint widens the circle, an unknown head is
estimated from the shoulders or the rest of the body, and a frame without a pose takes the circles
of the poses around it. Only people with a track can be hidden; nobody else is known to be there.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.poses import FloatArray, PoseSequence, VideoInfo

_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head", "head_top")
_BELOW = ("neck", "head_bottom", "left_shoulder", "right_shoulder")
_SURE = 0.5  # stricter than for drawing: what is not sure is covered more widely
_BLOCKS = 6  # a blurred head is this many colours across: too few for a face
_HOLD_S = 1.0  # people are seldom found in the very frame in which they come or go

# Lengths as parts of a standing adult's height (Winter 2009, figure 4.1): head and neck 0.18,
# shoulders 0.26 apart, trunk from shoulder to hip 0.29. A head's radius is half of 0.13, and
# a child's is larger for the body: the factors below are about twice what an adult needs.
_OF_SHOULDERS = 0.6
_OF_TRUNK = 0.45
_OF_FACE = 1.6
_OF_NECK = 0.9
_OF_BODY = 0.16


def head_circles(sequence: PoseSequence, row: int, *, min_confidence: float = _SURE) -> FloatArray:
    """Circles (M, 3) of x, y, radius in video pixels that cover the head of one pose.

    With a sure head keypoint there is a circle around all of them; in any case the radius is that
    of the largest estimate the body allows, plus twice the uncertainty. Without one, the space
    above the shoulders is covered as well as the keypoints that are not sure; without shoulders,
    the whole upper half of what is known, in every direction, because nobody knows which way is
    up. With fewer than two known keypoints nothing tells the size: the circle is infinite.
    """
    points = np.asarray(sequence.keypoints[row], np.float64)
    known = np.asarray(np.isfinite(points).all(axis=-1))
    if known.sum() < 2:
        return np.array([[0.0, 0.0, np.inf]])
    names = np.array(sequence.skeleton.keypoints)
    sure = known & ~(sequence.confidence[row] < min_confidence)
    head = np.isin(names, _HEAD)
    spread = 2 * np.nan_to_num(np.asarray(sequence.radius[row], np.float64))
    radius = _head_radius(points, known, list(names))
    circles = []
    if (head & known).any():
        centre, reach = _around(points[head & known])
        circles.append([*centre, max(radius, reach + radius / 2) + spread[head & known].max()])
    if not (head & sure).any():
        circles += _guesses(points, known, names, radius, spread)
    return np.array(circles)


def heads_by_frame(
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    *,
    min_confidence: float = _SURE,
) -> dict[int, FloatArray]:
    """Circles (M, 3) to hide in every frame in which somebody may be seen.

    A frame takes the circles of its own pose and of the frames next to it, so that a keypoint that
    jumps uncovers no face. A gap is covered by one circle around those at both its ends, and
    before and after a track the outermost circles stay for a second.
    """
    found: dict[int, list[FloatArray]] = {}

    def cover(first: int, last: int, circles: FloatArray) -> None:
        for frame in range(max(first, 0), min(last, info.num_frames - 1) + 1):
            found.setdefault(frame, []).append(circles)

    for sequence in sequences:
        before: FloatArray | None = None
        frames = sequence.frames.tolist()
        for row, frame in enumerate(frames):
            circles = head_circles(sequence, row, min_confidence=min_confidence)
            cover(frame - 1, frame + 1, circles)
            if before is not None and frame - frames[row - 1] > 1:
                cover(frames[row - 1] + 1, frame - 1, _enclosing(before, circles))
            if before is None:
                cover(_frame_at(info, info.times_s[frame] - _HOLD_S), frame, circles)
            before = circles
        if before is not None:
            cover(frames[-1], _frame_at(info, info.times_s[frames[-1]] + _HOLD_S), before)
    return {frame: np.concatenate(parts) for frame, parts in found.items()}


def blur_circles(frame: NDArray[np.uint8], circles: FloatArray) -> NDArray[np.uint8]:
    """A copy of the (H, W, 3) u8 frame in which the circles (M, 3) are a few smooth colours.

    The picture's detail is averaged away before it is smoothed: nothing can be sharpened back.
    """
    result = np.array(frame, dtype=np.uint8, order="C")
    height, width = frame.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    for x, y, radius in circles:
        radius = min(max(float(radius), 1.0), 4.0 * max(height, width))
        x, y = np.clip([x, y], [-4.0 * width, -4.0 * height], [5.0 * width, 5.0 * height])
        x1, y1 = (max(0, int(np.floor(v - radius))) for v in (x, y))
        x2 = min(width, int(np.ceil(x + radius)) + 1)
        y2 = min(height, int(np.ceil(y + radius)) + 1)
        if x1 >= x2 or y1 >= y2:
            continue
        patch = result[y1:y2, x1:x2]
        few = cv2.resize(patch, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
        smooth = cv2.resize(few, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
        inside = (columns[:, x1:x2] - x) ** 2 + (rows[y1:y2] - y) ** 2 <= radius**2
        patch[inside] = smooth[inside]
    return result


def _head_radius(
    points: NDArray[np.float64], known: NDArray[np.bool_], names: Sequence[str]
) -> float:
    """The largest radius that any known measure of the body gives."""

    def distance(a: str, b: str) -> float:
        if (
            a not in names
            or b not in names
            or not (known[names.index(a)] and known[names.index(b)])
        ):
            return 0.0
        return float(np.hypot(*(points[names.index(a)] - points[names.index(b)])))

    trunk = max(distance(f"{side}_shoulder", f"{side}_hip") for side in ("left", "right"))
    sides = ("left", "right")
    face = max(
        distance("left_ear", "right_ear"),
        2.4 * distance("left_eye", "right_eye"),
        *(distance("nose", f"{side}_ear") for side in sides),
        *(1.5 * distance(f"{side}_eye", f"{side}_ear") for side in sides),
        *(3.0 * distance("nose", f"{side}_eye") for side in sides),
    )
    neck = max(
        distance(top, low) for top in ("head", "head_top") for low in ("neck", "head_bottom")
    )
    size = np.ptp(points[known], axis=0)
    return max(
        _OF_SHOULDERS * distance("left_shoulder", "right_shoulder"),
        _OF_TRUNK * trunk,
        _OF_FACE * face,
        _OF_NECK * neck,
        _OF_BODY * float(size.max()),
        4.0,
    )


def _around(points: FloatArray) -> tuple[FloatArray, float]:
    """Centre of the points' box and how far the furthest lies from it."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return centre, float(np.hypot(*(points - centre).T).max())


def _guesses(
    points: NDArray[np.float64],
    known: NDArray[np.bool_],
    names: NDArray[np.str_],
    radius: float,
    spread: NDArray[np.float64],
) -> list[list[float]]:
    """Where a head may be that was not surely seen."""
    below = np.isin(names, _BELOW) & known
    if not below.any():
        centre, reach = _around(points[known])
        return [[*centre, 1.5 * reach + 2 * radius]]
    base = points[below].mean(axis=0)
    rest = known & ~below & ~np.isin(names, _HEAD)
    wide = 2 * radius + spread[below].max()
    if not rest.any():
        return [[*base, wide + radius]]
    # Away from the rest of the body, whichever way the person is turned.
    away = base - points[rest].mean(axis=0)
    length = float(np.hypot(*away))
    up = away / length if length > 1 else np.array([0.0, -1.0])
    return [[*(base + up * radius), wide]]


def _enclosing(*circles: FloatArray) -> FloatArray:
    """One circle (1, 3) around all of several (M, 3)."""
    every = np.concatenate(circles)
    centre, reach = _around(every[:, :2])
    return np.array([[*centre, reach + every[:, 2].max()]])


def _frame_at(info: VideoInfo, time_s: float) -> int:
    return int(np.searchsorted(info.times_s, time_s, side="right"))
