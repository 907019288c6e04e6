"""Angles: the vectors of the conventions table, mirror laws, wrapping, facing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.kinematics.angles import (
    ANGLES,
    JOINT_ANGLES,
    measure_angle,
    missing_keypoints,
    settle,
    unwrap,
    unwrap_near,
)
from diffpose.kinematics.facing import decide_facing
from diffpose.kinematics.records import MeasureError
from diffpose.poses import PoseSequence
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15

# Standing, facing right, arms down, feet flat; pixels, y down.
STANDING = {
    "nose": (8, 10), "eye": (7, 8), "ear": (0, 9), "head": (0, 0), "neck": (0, 25),
    "shoulder": (0, 25), "elbow": (0, 50), "wrist": (0, 75), "hip": (0, 75), "knee": (0, 115),
    "ankle": (0, 155), "heel": (-5, 160), "big_toe": (15, 160), "small_toe": (13, 160),
}  # fmt: skip


def pose(**moved: tuple[float, float]) -> np.ndarray:
    """(1, 26, 2): standing, with some keypoints moved; a bare name moves both sides."""
    rows = []
    for name in HALPE26.keypoints:
        bare = name.removeprefix("left_").removeprefix("right_")
        rows.append(moved.get(name, moved.get(bare, STANDING[bare])))
    return np.array([rows], dtype=np.float64)


def angle(name: str, points: np.ndarray, facing: str = "right") -> float:
    return float(measure_angle(points, ANGLES[name], HALPE26, facing=facing)[0])


def turned(centre: tuple[float, float], tip: tuple[float, float], degrees: float):
    """The tip turned about the centre, anticlockwise on the screen."""
    a = np.radians(degrees)
    dx, dy = tip[0] - centre[0], tip[1] - centre[1]
    return (
        centre[0] + np.cos(a) * dx + np.sin(a) * dy,
        centre[1] - np.sin(a) * dx + np.cos(a) * dy,
    )


def test_every_joint_is_at_zero_when_standing():
    for name in JOINT_ANGLES:
        assert angle(name, pose()) == pytest.approx(0, abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "moved", "expected"),
    [
        ("left_ankle", {"big_toe": turned((-5, 160), (15, 160), 20)}, 20),
        ("left_ankle", {"heel": (0, 155), "big_toe": (0, 175)}, -90),
        ("right_knee", {"ankle": (-40, 115)}, 90),
        ("left_hip", {"knee": (40, 75)}, 90),
        ("left_hip", {"shoulder": (10, 25)}, 11.30993247),
        ("left_shoulder", {"elbow": (25, 25)}, 90),
        ("left_shoulder", {"elbow": (0, 0)}, 180),
        ("left_elbow", {"wrist": (25, 50)}, 90),
        ("left_thigh_segment", {}, -90),
        ("trunk_segment", {}, 90),
        ("left_foot_segment", {}, 0),
    ],
)
def test_numeric_vectors_of_the_conventions_table(name, moved, expected):
    assert angle(name, pose(**moved)) == pytest.approx(expected, abs=1e-6)


def test_the_shoulder_runs_on_overhead_without_a_jump():
    raised = [
        angle("left_shoulder", pose(elbow=turned((0, 25), (0, 50), a))) for a in range(0, 241, 5)
    ]

    np.testing.assert_allclose(raised, range(0, 241, 5), atol=1e-9)


def test_segments_are_in_line_with_their_pictures():
    leaning = pose(shoulder=turned((0, 75), (0, 25), -20))

    assert angle("trunk_segment", leaning) == pytest.approx(70)


coordinates = st.floats(-100, 100).map(lambda v: round(v, 2))


@settings(deadline=None, max_examples=40)
@given(st.lists(coordinates, min_size=52, max_size=52), st.sampled_from(["right", "front"]))
def test_a_mirrored_picture_exchanges_left_and_right_and_nothing_else(numbers, facing):
    points = np.array(numbers).reshape(1, 26, 2)
    mirrored = (points * [-1, 1])[:, HALPE26.mirror]
    opposite = {"right": "left", "front": "front"}[facing]
    for name, definition in ANGLES.items():
        other = name
        if definition.side:
            other = name.replace(
                definition.side, {"left": "right", "right": "left"}[definition.side], 1
            )
        elif facing == "front":
            continue  # a tilt of trunk or head is to the other side in a mirror
        before = angle(name, points, facing)
        after = angle(other, mirrored, opposite)
        difference = (before - after + 180) % 360 - 180
        assert np.isnan(before) == np.isnan(after)
        assert np.isnan(before) or abs(difference) < 1e-6


def test_zero_is_a_value_and_an_unknown_keypoint_gives_an_unknown_angle():
    at_origin = pose()
    at_origin[0] -= at_origin[0, HALPE26.index("left_knee")]

    assert angle("left_knee", at_origin) == pytest.approx(0, abs=1e-9)
    at_origin[0, HALPE26.index("left_knee")] = np.nan
    assert np.isnan(angle("left_knee", at_origin))


def test_skeletons_without_feet_say_which_keypoints_an_ankle_lacks():
    assert missing_keypoints(ANGLES["left_ankle"], COCO17) == ("left_big_toe", "left_heel")
    assert missing_keypoints(ANGLES["left_hip"], COCO17) == ()
    assert missing_keypoints(ANGLES["head_segment"], POSETRACK15) == ()
    with pytest.raises(MeasureError, match="left_heel, which skeleton 'coco17' lacks"):
        measure_angle(np.zeros((1, 17, 2)), ANGLES["left_ankle"], COCO17, facing="right")


@settings(deadline=None, max_examples=40)
@given(st.floats(-170, 170), st.floats(-30, 30))
def test_unwrapping_gives_back_a_steady_turn(start, step):
    true = start + step * np.arange(30)
    shifted = unwrap((true + 180) % 360 - 180, lowest=float(np.median(true)) - 180)

    np.testing.assert_allclose(shifted, true, atol=1e-6)


def test_unwrapping_keeps_gaps_and_draws_stay_near_the_measured_angle():
    values = np.array([170, np.nan, -170, -150.0])
    reference = unwrap(values, lowest=-180)

    np.testing.assert_allclose(np.diff(reference[[0, 2, 3]]), [20, 20])
    assert np.isnan(reference[1])
    near = unwrap_near(values[None] + 360 * 3, reference)
    np.testing.assert_allclose(near[0], reference)


def sequence(points: np.ndarray, skeleton=HALPE26) -> PoseSequence:
    count = len(points)
    return PoseSequence(
        skeleton=skeleton,
        track_id=0,
        frames=np.arange(count),
        keypoints=points,
        confidence=np.ones((count, len(skeleton))),
        covariance=np.zeros((count, len(skeleton), 2, 2)),
    )


def test_facing_is_decided_for_the_track_and_not_by_one_frame():
    right = np.repeat(pose(), 10, axis=0)
    noisy = right.copy()
    noisy[4, :, 0] *= -1

    assert decide_facing(sequence(noisy)).direction == "right"
    assert decide_facing(sequence(-right * [1, -1])).direction == "left"
    assert decide_facing(sequence(right[:, :17], COCO17)).direction == "right"


def test_front_and_back_are_told_by_the_shoulders():
    front = pose(
        left_shoulder=(18, 25),
        right_shoulder=(-18, 25),
        big_toe=(0, 165),
        heel=(0, 160),
        nose=(0, 10),
    )

    assert decide_facing(sequence(front)).direction == "front"
    assert decide_facing(sequence(front * [-1, 1])).direction == "back"


def test_someone_who_turns_round_gets_one_direction_and_a_warning():
    turning = np.concatenate([np.repeat(pose(), 6, 0), np.repeat(pose() * [-1, 1], 4, 0)])

    facing = decide_facing(sequence(turning))

    assert facing.direction == "right"
    assert not facing.certain
    assert "60%" in facing.reason


def test_nobody_known_faces_right_and_says_so():
    facing = decide_facing(sequence(np.full((3, 26, 2), np.nan)))

    assert (facing.direction, facing.certain) == ("right", False)
    assert "unknown" in facing.reason


def test_a_joint_that_cannot_turn_round_is_not_carried_round_by_noise():
    true = 30 + 20 * np.sin(np.linspace(0, 12, 200))
    noisy = true.copy()
    noisy[50:53] += [120, 240, 360]  # once round, as a foot's direction does when it is lost
    noisy[20] = np.nan
    found = settle((noisy + 180) % 360 - 180, lowest=-180)
    assert np.isnan(found[20])
    rest = np.setdiff1d(np.arange(200), [20, 50, 51])
    np.testing.assert_allclose(found[rest], true[rest], atol=1e-9)
    assert np.nanmax(np.abs(found - np.nanmedian(found))) <= 200
    counted = unwrap((noisy[30:] + 180) % 360 - 180, lowest=-180)  # as is right for a segment
    assert counted[40] - counted[10] > 300


@pytest.mark.parametrize("middle", [-170.0, 0.0, 95.0, 179.0])
def test_settling_changes_nothing_but_whole_turns(middle):
    true = middle + np.linspace(-80, 80, 41)
    found = settle((true + 180) % 360 - 180, lowest=-180)
    np.testing.assert_allclose(np.mod(found - true, 360), 0, atol=1e-9)
    np.testing.assert_allclose(np.ptp(found), 160, atol=1e-9)
