"""Joint and segment angles in the picture plane: one table of conventions, one function.

Pictures have x to the right and y down. The picture is first turned so that the person faces
right (`diffpose.kinematics.facing`), then an angle is read between two directions u and v:

    two keypoints a, b            u horizontally forwards, v = a - b
    three keypoints a, b, c       u = a - b, v = c - b
    four keypoints a, b, c, d     u = b - a, v = d - c

and ``angle = scale * (offset - atan2(u x v, u . v))``. The definitions are those of Sports2D
(github.com/davidpagnon/Sports2D, angle_dict), but the side is decided once for a track, left
and right are mirror images of each other, the shoulder runs on to 180 degrees overhead, and 0 is
a value like any other. Signs follow ISB (flexion and dorsiflexion are positive); the joint
coordinate systems of ISB are three-dimensional and are not claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.kinematics.records import Array, MeasureError
from diffpose.skeleton import Skeleton

FACINGS = ("right", "left", "front", "back")
SIDES = ("left", "right")


@dataclass(frozen=True)
class Angle:
    """How one angle is read.

    Attributes:
        name: Identifier, with its side in front: ``left_knee``.
        label: For people.
        side: ``left``, ``right`` or empty.
        keypoints: Two, three or four names; ``mid_hip`` and ``mid_shoulder`` may be among them.
        offset: Degrees.
        scale: 1 or -1.
        lowest: The angle is given in [lowest, lowest + 360) where a track starts; from there it
            runs on without jumps.
        zero: What 0 means, in words.
        positive: What positive means, in words.
        opposite: What positive means in a front or back view, in words.
    """

    name: str
    label: str
    side: str
    keypoints: tuple[str, ...]
    offset: float
    scale: float
    lowest: float
    zero: str
    positive: str
    opposite: str

    @property
    def turns(self) -> bool:
        """Whether it may go round and round: segments and shoulders do, other joints cannot."""
        return len(self.keypoints) == 2 or self.name.endswith("shoulder")


_FORWARD = "towards the front of the body"
_OUT = "outwards, away from the midline of the body"
_IN = "the far end inwards, towards the midline of the body"


def _joints(side: str) -> tuple[Angle, ...]:
    s, word = f"{side}_", side.capitalize()
    hip, knee, ankle, shoulder, elbow = (
        s + part for part in ("hip", "knee", "ankle", "shoulder", "elbow")
    )
    return (
        Angle(s + "ankle", f"{word} ankle dorsiflexion", side,
              (knee, ankle, s + "big_toe", s + "heel"), 90, 1, -180,
              "foot at a right angle to the shank", "toes towards the shin (dorsiflexion)",
              "no meaning: the foot points at the camera"),
        Angle(s + "knee", f"{word} knee flexion", side, (ankle, knee, hip), -180, 1, -90,
              "thigh and shank in one line", "shank backwards (flexion)", _IN),
        Angle(s + "hip", f"{word} hip flexion", side, (knee, hip, "mid_hip", "mid_shoulder"),
              0, -1, -120, "thigh in line with the trunk", f"thigh {_FORWARD} (flexion)", _OUT),
        Angle(s + "shoulder", f"{word} shoulder flexion", side,
              (elbow, shoulder, "mid_hip", "mid_shoulder"), 0, -1, -90,
              "upper arm hanging along the trunk",
              "upper arm forwards (flexion), 90 horizontal, 180 overhead", _OUT),
        Angle(s + "elbow", f"{word} elbow flexion", side, (s + "wrist", elbow, shoulder),
              180, -1, -90, "upper arm and forearm in one line", "forearm forwards (flexion)",
              _OUT),
    )  # fmt: skip


def _segments(side: str) -> tuple[Angle, ...]:
    s, word = f"{side}_", side.capitalize()
    pairs = {
        "foot": ("big_toe", "heel"),
        "shank": ("ankle", "knee"),
        "thigh": ("knee", "hip"),
        "upper_arm": ("elbow", "shoulder"),
        "forearm": ("wrist", "elbow"),
    }
    return tuple(
        _segment(f"{s}{name}", f"{word} {name.replace('_', ' ')}", side, (s + a, s + b))
        for name, (a, b) in pairs.items()
    )


def _segment(name: str, label: str, side: str, keypoints: tuple[str, str]) -> Angle:
    return Angle(
        f"{name}_segment", f"{label} to horizontal", side, keypoints, 0, 1, -180,
        "from the second keypoint to the first horizontally forwards",
        "anticlockwise when the person faces right: 90 points up, -90 down",
        "the same with outwards for forwards",
    )  # fmt: skip


ANGLES: dict[str, Angle] = {
    angle.name: angle
    for angle in (
        *_joints("left"),
        *_joints("right"),
        *_segments("left"),
        *_segments("right"),
        _segment("trunk", "Trunk", "", ("mid_shoulder", "mid_hip")),
        _segment("head", "Head", "", ("head", "neck")),
    )
}
"""Every angle that can be measured, by name."""

JOINT_ANGLES = tuple(name for name in ANGLES if not name.endswith("_segment"))


def find_angle(name: str) -> Angle:
    """The angle of that name.

    Raises:
        MeasureError: There is none.
    """
    if name not in ANGLES:
        raise MeasureError(f"Expected an angle, got {name!r}; there are: {', '.join(ANGLES)}.")
    return ANGLES[name]


_SAME = {"head": "head_top", "neck": "head_bottom"}
_MIDDLES = {
    "mid_hip": ("left_hip", "right_hip"),
    "mid_shoulder": ("left_shoulder", "right_shoulder"),
    "hip": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
}


def sources_of(keypoint: str, skeleton: Skeleton) -> tuple[int, ...]:
    """Which keypoints of the skeleton a name stands for: one, or two to take the middle of.

    Empty if the skeleton does not have it. ``mid_hip`` and ``mid_shoulder`` are always the
    middle of left and right, so that a trunk angle means the same for every skeleton.
    """
    for name in (keypoint, _SAME.get(keypoint, "")):
        if name in skeleton.keypoints:
            return (skeleton.index(name),)
    pair = _MIDDLES.get(keypoint, ())
    if pair and all(name in skeleton.keypoints for name in pair):
        return tuple(skeleton.index(name) for name in pair)
    return ()


def missing_keypoints(angle: Angle, skeleton: Skeleton) -> tuple[str, ...]:
    """Which keypoints an angle lacks in a skeleton: empty if it can be measured."""
    return tuple(name for name in angle.keypoints if not sources_of(name, skeleton))


def pick(points: NDArray[np.floating], keypoint: str, skeleton: Skeleton) -> Array:
    """One named keypoint (..., N, 2) of (..., N, K, 2), middles computed.

    Raises:
        MeasureError: The skeleton does not have it.
    """
    sources = sources_of(keypoint, skeleton)
    if not sources:
        raise MeasureError(f"Skeleton {skeleton.name!r} has no keypoint {keypoint!r}.")
    return np.asarray(points[..., list(sources), :].mean(axis=-2), dtype=np.float64)


def flip_sign(facing: str, side: str) -> float:
    """1, or -1 where x is turned round before an angle of that side is read.

    In a front view the left limbs lie to the right in the picture: outwards is then to the right
    for the left side and to the left for the right side, and the other way about from behind.
    """
    if facing not in FACINGS:
        raise MeasureError(f"Expected facing {', '.join(FACINGS)}, got {facing!r}.")
    if facing in ("right", "left"):
        return 1.0 if facing == "right" else -1.0
    mirrored_side = "right" if facing == "front" else "left"
    return -1.0 if side == mirrored_side else 1.0


def measure_angle(
    points: NDArray[np.floating], angle: Angle, skeleton: Skeleton, *, facing: str
) -> Array:
    """One angle in degrees, each frame by itself, in [lowest, lowest + 360).

    Args:
        points: (..., N, K, 2) video pixels, NaN where unknown.
        angle: Of `ANGLES`.
        skeleton: Names the K keypoints.
        facing: Of `FACINGS`; the same for the whole track.

    Returns:
        (..., N), NaN where a keypoint is unknown or two of them coincide.

    Raises:
        MeasureError: The skeleton lacks a keypoint.
    """
    missing = missing_keypoints(angle, skeleton)
    if missing:
        raise MeasureError(
            f"{angle.label} needs {', '.join(missing)}, which skeleton {skeleton.name!r} lacks."
        )
    flip = np.array([flip_sign(facing, angle.side), 1.0])
    found = [pick(points, name, skeleton) * flip for name in angle.keypoints]
    u, v = _directions(found)
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    dot = (u * v).sum(axis=-1)
    raw = -np.degrees(np.arctan2(cross, dot))
    raw = np.where((np.abs(u).max(-1) > 0) & (np.abs(v).max(-1) > 0), raw, np.nan)
    return _wrap((raw + angle.offset) * angle.scale, angle.lowest)


def _directions(found: list[Array]) -> tuple[Array, Array]:
    if len(found) == 2:
        return np.broadcast_to(np.array([1.0, 0.0]), found[0].shape), -(found[1] - found[0])
    if len(found) == 3:
        return found[0] - found[1], found[2] - found[1]
    return found[1] - found[0], found[3] - found[2]


def _wrap(degrees: Array, lowest: float) -> Array:
    return np.asarray(np.mod(degrees - lowest, 360.0) + lowest)


def unwrap(degrees: Array, *, lowest: float) -> Array:
    """An angle over time (N,) without jumps of whole turns; NaN stays and does not break it.

    The median of the result lies in [lowest, lowest + 360).
    """
    result = np.array(degrees, dtype=np.float64)
    known = np.isfinite(result)
    if not known.any():
        return result
    values = np.unwrap(result[known], period=360.0)
    values -= 360.0 * np.floor((np.median(values) - lowest) / 360.0)
    result[known] = values
    return result


def settle(degrees: Array, *, lowest: float) -> Array:
    """An angle of a joint that cannot turn round, (N,): within half a turn of its median.

    Where noise carries such a joint once round, it has not turned: `unwrap` would keep counting.
    """
    known = np.isfinite(degrees)
    if not known.any():
        return np.array(degrees, dtype=np.float64)
    # The median of directions has the least sum of distances to all; a few degrees do not matter.
    directions = np.arange(lowest, lowest + 360.0, 5.0)
    apart = np.abs(_wrap(degrees[known][:, None] - directions, -180.0)).sum(axis=0)
    return unwrap_near(degrees, directions[int(np.argmin(apart))])


def unwrap_near(degrees: Array, reference: Array) -> Array:
    """Each of (..., N) moved by whole turns to within half a turn of the reference (N,)."""
    return np.asarray(reference + _wrap(degrees - reference, -180.0))
