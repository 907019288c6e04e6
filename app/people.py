"""Boxes corrected by hand: how one drag changes a detected track. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import Size
from diffpose.poses import Track

Boxes = Mapping[int, NDArray[np.float64]]
"""Hand-made boxes by frame, (4,) xyxy in video pixels."""

REACH = 15
"""Frames on either side over which the correction of a detected box fades out."""


def corrected_track(track: Track, drawn: Boxes, *, size: Size, reach: int = REACH) -> Track:
    """A detected track with some boxes replaced by drawn ones.

    Between two drawn boxes that are near each other the correction is interpolated; away from
    them it fades to nothing over ``reach`` frames. A drawn box at a frame without a detection is
    added.

    Args:
        track: As detected.
        drawn: Boxes by frame.
        size: (height, width) of the video.
        reach: Frames over which a correction fades.
    """
    frames = np.union1d(track.frames, list(drawn)).astype(int)
    base = _interpolated(frames, track.frames, track.boxes)
    scores = np.interp(frames, track.frames, track.scores)
    knots: dict[int, NDArray[np.float64]] = {}
    for frame in drawn:
        for edge in (frame - reach, frame + reach):
            if not any(abs(edge - other) < reach for other in drawn):
                knots[edge] = np.zeros(4)
    for frame, box in drawn.items():
        knots[frame] = box - base[np.searchsorted(frames, frame)]
        scores[np.searchsorted(frames, frame)] = 1.0
    known = sorted(knots)
    boxes = base + _interpolated(frames, known, np.stack([knots[frame] for frame in known]))
    return Track(track.track_id, frames, _repaired(boxes, base, size), scores)


def _interpolated(frames: object, known: object, values: NDArray[np.floating]) -> NDArray:
    columns = [np.interp(frames, known, values[:, c]) for c in range(values.shape[1])]  # type: ignore[call-overload]
    return np.stack(columns, axis=1)


def _repaired(
    boxes: NDArray[np.float64], base: NDArray[np.float64], size: Size
) -> NDArray[np.float64]:
    """Boxes that a fading correction has turned inside out are put back as they were."""
    bad = (boxes[:, 2] - boxes[:, 0] < 1) | (boxes[:, 3] - boxes[:, 1] < 1)
    result = np.where(bad[:, None], base, boxes)
    height, width = size
    limits = np.array([width, height, width, height]) - 0.5
    clipped = np.clip(result, -0.5, limits)
    empty = (clipped[:, 2] - clipped[:, 0] < 1) | (clipped[:, 3] - clipped[:, 1] < 1)
    return np.where(empty[:, None], result, clipped)
