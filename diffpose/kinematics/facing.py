"""Which way a person faces: decided once for a track, so that no angle flips in the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffpose.kinematics.angles import pick, sources_of
from diffpose.kinematics.records import Array
from diffpose.poses import PoseSequence

# Lengths in torsos of a foot seen from the side, of the nose before the neck, and of the
# shoulders seen from the front (anthropometric means; only their ratios matter).
_FOOT, _NOSE, _SHOULDERS = 0.4, 0.2, 0.65
_CLEAR, _SIDE_VIEW = 0.35, 0.7
_AGREEMENT = 0.8


@dataclass(frozen=True)
class Facing:
    """The decision and what it rests on.

    Attributes:
        direction: ``right``, ``left``, ``front`` or ``back``, as seen in the picture.
        certain: False where the keypoints did not decide it.
        reason: In words.
    """

    direction: str
    certain: bool
    reason: str


def decide_facing(sequence: PoseSequence) -> Facing:
    """One direction for the whole track, from toes before heels, or the nose before the neck.

    A track in which the person turns round still gets one direction; the reason says so.
    """
    points = np.asarray(sequence.keypoints, dtype=np.float64)
    torso = _torso(points, sequence)
    if not np.isfinite(torso):
        return Facing("right", False, "Hips or shoulders are unknown: taken as facing right.")
    ahead, word = _ahead(points, sequence)
    shoulders = _across(points, sequence)
    side = float(np.nanmedian(ahead)) / torso if np.isfinite(ahead).any() else 0.0
    front = float(np.nanmedian(shoulders)) / torso if np.isfinite(shoulders).any() else 0.0
    if abs(front) / _SHOULDERS > max(abs(side), _SIDE_VIEW):
        direction = "front" if front > 0 else "back"
        return Facing(direction, True, "Shoulders are seen at nearly their full width.")
    if abs(side) > _CLEAR:
        direction = "right" if side > 0 else "left"
        known = ahead[np.isfinite(ahead)]
        agree = float((np.sign(known) == np.sign(side)).mean())
        if agree >= _AGREEMENT:
            return Facing(direction, True, f"The {word}.")
        return Facing(
            direction,
            False,
            f"The {word} in {agree:.0%} of the frames only: the person turns, or sides are "
            "confused; measure shorter parts or set the facing by hand.",
        )
    if abs(front) / _SHOULDERS > _CLEAR:
        direction = "front" if front > 0 else "back"
        return Facing(direction, False, "A view from the front or back, but not a clear one.")
    direction = "left" if side < 0 else "right"
    return Facing(
        direction, False, f"The view does not show it: taken as facing {direction}; set it by hand."
    )


def _torso(points: Array, sequence: PoseSequence) -> float:
    skeleton = sequence.skeleton
    if not sources_of("mid_hip", skeleton) or not sources_of("mid_shoulder", skeleton):
        return np.nan
    along = pick(points, "mid_shoulder", skeleton) - pick(points, "mid_hip", skeleton)
    lengths = np.linalg.norm(along, axis=-1)
    return float(np.nanmedian(lengths)) if np.isfinite(lengths).any() else np.nan


def _ahead(points: Array, sequence: PoseSequence) -> tuple[Array, str]:
    """How far the front of the body lies to the right of its back (N,), in side-view units."""
    skeleton = sequence.skeleton
    if "left_heel" in skeleton.keypoints:
        feet = [
            (pick(points, f"{s}_big_toe", skeleton) - pick(points, f"{s}_heel", skeleton))[..., 0]
            for s in ("left", "right")
        ]
        return np.asarray(sum(feet) / 2 / _FOOT), "toes lie before the heels"
    if "nose" in skeleton.keypoints:
        offset = pick(points, "nose", skeleton) - pick(points, "neck", skeleton)
        return np.asarray(offset[..., 0] / _NOSE), "nose lies before the neck"
    return np.full(len(points), np.nan), "nothing"


def _across(points: Array, sequence: PoseSequence) -> Array:
    """Left shoulder's x less the right one's (N,): positive from the front."""
    skeleton = sequence.skeleton
    across = pick(points, "left_shoulder", skeleton) - pick(points, "right_shoulder", skeleton)
    return np.asarray(across[..., 0])
