"""Laws of the review queue."""

import numpy as np
import pytest

from diffpose.poses import PoseSequence
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.queue import clicks_left, expected_error, order
from diffpose.skeleton import COCO17

WRIST, KNEE = COCO17.index("left_wrist"), COCO17.index("right_knee")
STANDING = np.stack([np.linspace(0, 60, 17), np.linspace(0, 40, 17)], axis=1)
STANDING[[5, 6, 11, 12]] = [[-30, 0], [30, 0], [-30, 80], [30, 80]]
STANDING[[13, 14, 15, 16]] = [[-32, 130], [32, 130], [-34, 180], [34, 180]]


def reviewed(spread, *, keypoints=None, confirmed=None, corrected=None):
    count = len(spread)
    nothing = np.zeros((count, 17), bool)
    poses = PoseSequence(
        skeleton=COCO17,
        track_id=3,
        frames=np.arange(count) + 100,
        keypoints=np.repeat(STANDING[None], count, axis=0) if keypoints is None else keypoints,
        confidence=np.full((count, 17), 0.5),
        covariance=np.asarray(spread)[..., None, None] ** 2 * np.eye(2),
    )
    return ReviewedTrack(
        poses,
        np.full((count, 17), 2, np.uint8),
        np.zeros(count, bool) if confirmed is None else confirmed,
        nothing if corrected is None else corrected,
    )


def even(count, spread=10.0):
    return np.full((count, 17), spread)


def test_where_a_keypoint_is_uncertain_for_long_comes_first():
    spread = even(60, 3.0)
    spread[30:50, WRIST] = 30.0

    first = order(reviewed(spread), target_px=1.0)[0]

    assert first.frame in range(130, 150)
    assert first.keypoint == WRIST
    assert first.track_id == 3
    assert first.gain_px > 0
    assert "left wrist" in first.reason


def two_places():
    spread = even(120, 0.5)
    spread[20:30, WRIST] = 31.0
    spread[80:90, WRIST] = 30.0
    return spread


def test_the_first_frames_are_different_places():
    first, second, *rest = order(reviewed(two_places()), target_px=1.0)

    assert first.frame in range(120, 130)
    assert second.frame in range(180, 190)
    assert {item.frame for item in rest} >= {*range(120, 130), *range(180, 190)} - {
        first.frame,
        second.frame,
    }  # nothing is left out
    assert second.gain_px > 3 * max(i.gain_px for i in rest if abs(i.frame - first.frame) <= 2)


def test_what_comes_second_comes_first_once_the_first_frame_is_settled():
    for spread in (two_places(), even(80) * np.random.default_rng(2).uniform(0.5, 2, (80, 17))):
        confirmed = np.zeros(len(spread), bool)
        foretold = [item.frame for item in order(reviewed(spread), target_px=1.0)[:4]]
        for frame in foretold:
            now = order(reviewed(spread, confirmed=confirmed), target_px=1.0)[0]
            assert abs(now.frame - frame) <= 2  # it also tells of joined keypoints
            confirmed[frame - 100] = True


def test_a_jump_beside_a_proposed_frame_is_not_explained_by_it():
    keypoints = np.repeat(STANDING[None], 60, axis=0)
    keypoints[31, KNEE] += 150
    spread = even(60, 3.0)
    spread[26:36, WRIST] = 30.0

    items = order(reviewed(spread, keypoints=keypoints), target_px=1.0)

    assert 131 in [item.frame for item in items[:2]]


def test_gains_fall_along_the_queue():
    spread = even(30) * np.random.default_rng(0).uniform(0.5, 2, (30, 17))

    gains = [item.gain_px for item in order(reviewed(spread), target_px=0.5)]

    assert len(gains) == 30
    assert gains == sorted(gains, reverse=True)


def test_nothing_is_left_once_everything_is_confirmed():
    done = reviewed(even(12), confirmed=np.ones(12, bool))

    assert order(done, target_px=1.0) == []
    assert clicks_left(done, target_px=1.0) == 0
    assert not expected_error(done).any()


def test_a_confirmed_frame_is_not_asked_for_again_and_vouches_for_its_neighbours():
    confirmed = np.zeros(31, bool)
    confirmed[15] = True

    items = order(reviewed(even(31), confirmed=confirmed), target_px=1.0)
    error = expected_error(reviewed(even(31), confirmed=confirmed))

    assert 115 not in {item.frame for item in items}
    assert error[14, WRIST] < error[3, WRIST]


def test_what_is_good_enough_is_left_out():
    assert order(reviewed(even(10, 2.0)), target_px=5.0) == []
    assert clicks_left(reviewed(even(10, 2.0)), target_px=5.0) == 0


def test_a_time_reversed_track_has_the_reversed_queue():
    spread = even(21) * np.random.default_rng(1).uniform(0.5, 2, (21, 17))

    there = {item.frame: item.gain_px for item in order(reviewed(spread), target_px=0.5)}
    back = {item.frame: item.gain_px for item in order(reviewed(spread[::-1]), target_px=0.5)}

    for frame, gain in there.items():
        assert back[220 - frame] == pytest.approx(gain, rel=0.05)


def test_a_correction_lowers_the_gain_around_it_and_in_what_errs_alike():
    corrected = np.zeros((41, 17), bool)
    corrected[20, WRIST] = True

    before, after = (
        expected_error(reviewed(even(41), corrected=c))
        for c in (np.zeros_like(corrected), corrected)
    )

    assert after[20, WRIST] == 0
    assert after[21, WRIST] < 0.8 * before[21, WRIST]
    assert after[20, COCO17.index("left_elbow")] < before[20, COCO17.index("left_elbow")]
    assert after[0, KNEE] == pytest.approx(before[0, KNEE], rel=1e-3)


def test_a_jump_is_suspected_although_its_covariance_says_nothing():
    keypoints = np.repeat(STANDING[None], 31, axis=0)
    keypoints[15, WRIST] += 60

    calm = expected_error(reviewed(even(31, 4.0)))
    jumping = reviewed(even(31, 4.0), keypoints=keypoints)

    assert expected_error(jumping)[15, WRIST] > 3 * calm[15, WRIST]
    (item,) = [item for item in order(jumping, target_px=1.0) if item.frame == 115]
    assert item.keypoint == WRIST
    assert "jumps" in item.reason


def test_exchanged_sides_are_suspected_and_named():
    keypoints = np.repeat(STANDING[None], 31, axis=0)
    keypoints[15] = keypoints[15][COCO17.mirror]

    first = order(reviewed(even(31, 4.0), keypoints=keypoints), target_px=1.0)[0]

    assert first.frame == 115
    assert "left and right" in first.reason


def test_fewer_clicks_are_left_after_a_correction_and_for_a_looser_target():
    corrected = np.zeros((20, 17), bool)
    corrected[10] = True

    tight = clicks_left(reviewed(even(20)), target_px=4.0)

    assert 0 < clicks_left(reviewed(even(20), corrected=corrected), target_px=4.0) < tight
    assert clicks_left(reviewed(even(20)), target_px=8.0) < tight
    assert clicks_left(reviewed(even(20)), target_px=4.0, most=5) == 5


def test_a_track_without_frames_has_no_queue():
    assert order(reviewed(np.zeros((0, 17))), target_px=1.0) == []
    assert clicks_left(reviewed(np.zeros((0, 17))), target_px=1.0) == 0
