"""What a re-sampling is asked and what it answers; the model behind it is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import FloatArray, Hypotheses, PoseSequence
from diffpose.review.corrections import ReviewedTrack

LEAST_PX = 0.5
"""A keypoint that would move by less stays for the eye where it is."""


@dataclass(frozen=True)
class ResampleRequest:
    """Which poses to sample again, given what the reviewer has placed.

    Attributes:
        track_id: Whose poses.
        frame: The frame the reviewer works on.
        radius: Frames on either side that may change with it.
        placed: (frame, keypoint) -> (x, y) px of everything the reviewer placed or confirmed,
            in those frames and `diffpose.review.session.REACH_FRAMES` beyond them.
        poses: The track as it stands, corrections included.
        predictions: The same frames as the model alone had them, with left and right as the
            reviewer has them.
    """

    track_id: int
    frame: int
    radius: int
    placed: Mapping[tuple[int, int], tuple[float, float]]
    poses: PoseSequence
    predictions: PoseSequence


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Poses that agree with what the reviewer placed; nothing changes until it is accepted.

    Attributes:
        track_id: Whose poses.
        frames: M frame indices.
        keypoints: (M, K, 2) f32 px; NaN for those to leave as they are.
        covariance: (M, K, 2, 2) f32 px^2.
        confidence: (M, K) f32, 0 to 1.
        revision: The project's revision it was made from; filled in by the session.
    """

    track_id: int
    frames: tuple[int, ...]
    keypoints: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    revision: int | None = None


def moves(suggestion: Suggestion, reviewed: ReviewedTrack) -> NDArray[np.bool_]:
    """(M, K) which keypoints a suggestion would visibly move, or give a position."""
    result = np.zeros(suggestion.keypoints.shape[:2], bool)
    for index, frame in enumerate(suggestion.frames):
        row = reviewed.row(frame)
        if row is not None:
            new, old = suggestion.keypoints[index], reviewed.poses.keypoints[row]
            near = np.linalg.norm(new - old, axis=-1) < LEAST_PX  # not where unknown
            result[index] = np.isfinite(new).all(axis=-1) & ~near
    return result


Resampler = Callable[[ResampleRequest], Suggestion]
HypothesesProvider = Callable[[int, int], Hypotheses]  # (track_id, frame) -> its hypotheses
