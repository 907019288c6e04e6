"""Stick figures whose angles, events and speeds are known by construction."""

import numpy as np

from diffpose.poses import PoseSequence
from diffpose.skeleton import HALPE26, Skeleton, convert

THIGH, SHANK, TRUNK, ARM, FOREARM = 40.0, 40.0, 50.0, 25.0, 25.0


def figure(times, *, hip=(0.0, 0.0), trunk=0.0, **angles):
    """(N, 26, 2) of somebody who faces right, joints bent by (N,) or single degrees.

    Args:
        times: (N,) only its length counts.
        hip: x and y of the hips, each (N,) or one number.
        trunk: Forward lean, degrees.
        angles: ``left_hip``, ``right_knee`` and so on, as `diffpose.kinematics.angles` has them.
    """
    count = len(times)
    spread = lambda value: np.broadcast_to(np.asarray(value, float), (count,))  # noqa: E731
    points = {name: np.zeros((count, 2)) for name in HALPE26.keypoints}
    middle = np.stack([spread(hip[0]), spread(hip[1])], axis=1)
    lean = spread(trunk)
    neck = middle + TRUNK * _direction(90 - lean)
    points["hip"], points["neck"] = middle, neck
    points["head"], points["nose"] = neck + np.array([0, -25]), neck + np.array([9, -14])
    for side in ("left", "right"):
        for part in ("eye", "ear"):
            points[f"{side}_{part}"] = neck + np.array([4, -16])
        bend = {k: spread(angles.get(f"{side}_{k}", 0.0)) for k in
                ("hip", "knee", "ankle", "shoulder", "elbow")}  # fmt: skip
        thigh = -90 - lean + bend["hip"]
        shank = thigh - bend["knee"]
        foot = shank + 90 + bend["ankle"]
        knee = middle + THIGH * _direction(thigh)
        ankle = knee + SHANK * _direction(shank)
        arm = -90 - lean + bend["shoulder"]
        elbow = neck + ARM * _direction(arm)
        points[f"{side}_hip"], points[f"{side}_shoulder"] = middle, neck
        points[f"{side}_knee"], points[f"{side}_ankle"] = knee, ankle
        points[f"{side}_heel"] = ankle - 5 * _direction(foot) + 5 * _direction(foot - 90)
        points[f"{side}_big_toe"] = points[f"{side}_heel"] + 20 * _direction(foot)
        points[f"{side}_small_toe"] = points[f"{side}_big_toe"]
        points[f"{side}_elbow"] = elbow
        points[f"{side}_wrist"] = elbow + FOREARM * _direction(arm + bend["elbow"])
    return np.stack([points[name] for name in HALPE26.keypoints], axis=1)


def _direction(degrees):
    """Anticlockwise from rightwards, in a picture with y down."""
    a = np.radians(degrees)
    return np.stack([np.cos(a), -np.sin(a)], axis=-1)


def sequence_of(points, *, sd=0.0, skeleton: Skeleton = HALPE26, frames=None, origin=None):
    """A sequence with a stated error of ``sd`` pixels."""
    points = points if skeleton is HALPE26 else convert(points, HALPE26, skeleton)
    count = len(points)
    covariance = np.broadcast_to(np.eye(2) * sd**2, (count, len(skeleton), 2, 2))
    extra = {} if origin is None else {"origin": origin}
    return PoseSequence(
        skeleton=skeleton,
        track_id=0,
        frames=np.arange(count) if frames is None else frames,
        keypoints=points,
        confidence=np.ones((count, len(skeleton))),
        covariance=covariance,
        **extra,
    )


def squats(times, *, depth=100.0, period=2.0):
    """Both knees bend to ``depth`` and back once a period, hips half as far, feet flat."""
    bend = depth * (1 - np.cos(2 * np.pi * times / period)) / 2
    joints = {f"{side}_{part}": bend * share for side in ("left", "right")
              for part, share in (("hip", 0.5), ("knee", 1.0))}  # fmt: skip
    return figure(times, **joints)


STANCE = 0.6


def walk(times, *, stride=1.1, speed=60.0):
    """Straight legs that swing back for 60 % of a stride and forwards for 40 %.

    Left heel strikes are at whole strides, left toe-offs 0.6 strides later; the right leg does
    the same half a stride later. The hips move at ``speed`` pixels a second.
    """

    def swing(phase):
        phase = np.mod(phase, 1.0)
        back = np.cos(np.pi * phase / STANCE)
        forth = -np.cos(np.pi * (phase - STANCE) / (1 - STANCE))
        return 25 * np.where(phase < STANCE, back, forth)

    left, right = swing(times / stride), swing(times / stride - 0.5)
    return figure(times, hip=(speed * times, 0.0), left_hip=left, right_hip=right)
