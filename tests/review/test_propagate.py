"""Laws of propagation: what a correction says about other frames and keypoints."""

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.poses import Origin, PoseSequence
from diffpose.review.propagate import graph_distances, propagate, suggest
from diffpose.review.suggestions import ResampleRequest
from diffpose.skeleton import COCO17

WRIST, ELBOW, ANKLE = (COCO17.index(name) for name in ("left_wrist", "left_elbow", "right_ankle"))
TORSO = 100.0
STANDING = np.stack([np.linspace(0, 60, 17), np.linspace(0, 40, 17)], axis=1)
STANDING[[5, 6, 11, 12]] = [[-30, 0], [30, 0], [-30, 80], [30, 80]]  # torso diagonal 100


def poses_of(keypoints, *, spread=15.0, frames=None):
    count = len(keypoints)
    return PoseSequence(
        skeleton=COCO17,
        track_id=0,
        frames=np.arange(count) if frames is None else frames,
        keypoints=keypoints,
        confidence=np.full((count, 17), 0.5),
        covariance=np.full((count, 17, 1, 1), spread**2) * np.eye(2),
    )


def swinging(count):
    """A body that stands while its left wrist draws an arc."""
    truth = np.repeat(STANDING[None], count, axis=0)
    angle = np.linspace(0, np.pi, count)
    truth[:, WRIST] += 80 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return truth


def test_without_corrections_the_predictions_come_back_to_the_bit():
    poses = poses_of(swinging(20))

    np.testing.assert_array_equal(propagate(poses, {}).keypoints, poses.keypoints)


def test_placed_keypoints_are_exactly_where_they_were_placed():
    placed = {(3, WRIST): (1.1, 2.2), (4, WRIST): (77.7, -3.3), (4, ANKLE): (0.1, 0.2)}

    found = propagate(poses_of(swinging(20)), placed)

    for (frame, k), xy in placed.items():
        np.testing.assert_array_equal(found.keypoints[frame, k], np.array(xy, np.float32))
        assert found.origin[frame, k] == Origin.CORRECTED
        assert not found.covariance[frame, k].any()


def test_predictions_that_are_certain_do_not_move():
    poses = poses_of(swinging(20), spread=0.0)

    found = propagate(poses, {(10, WRIST): (500.0, 500.0)})

    others = np.ones((20, 17), bool)
    others[10, WRIST] = False
    np.testing.assert_allclose(found.keypoints[others], poses.keypoints[others], atol=0.1)


def test_a_constant_error_known_at_two_ends_is_taken_off_in_between():
    truth = swinging(15)
    offset = np.array([12.0, -9.0])
    poses = poses_of(truth + offset)
    placed = {(f, WRIST): truth[f, WRIST] for f in (2, 12)}

    found = propagate(poses, placed).keypoints[2:13, WRIST]

    left = np.linalg.norm(found - truth[2:13, WRIST], axis=-1)
    assert left.max() < 0.25 * np.linalg.norm(offset)


def test_a_curved_path_is_followed_closer_than_by_linear_interpolation():
    truth = swinging(15)
    poses = poses_of(truth + np.array([12.0, -9.0]))
    placed = {(f, WRIST): truth[f, WRIST] for f in (2, 12)}
    between = np.arange(3, 12)
    share = (between[:, None] - 2) / 10
    line = truth[2, WRIST] * (1 - share) + truth[12, WRIST] * share

    found = propagate(poses, placed).keypoints[between, WRIST]

    ours = np.linalg.norm(found - truth[between, WRIST], axis=-1).mean()
    linear = np.linalg.norm(line - truth[between, WRIST], axis=-1).mean()
    assert ours < linear / 4


def test_the_order_of_corrections_does_not_matter():
    poses = poses_of(swinging(12))
    placed = {(2, WRIST): (5.0, 5.0), (9, ELBOW): (6.0, 7.0), (9, ANKLE): (1.0, 1.0)}

    once = propagate(poses, placed)
    other = propagate(poses, dict(reversed(placed.items())))

    np.testing.assert_allclose(once.keypoints, other.keypoints, atol=1e-3)


def test_variance_falls_with_corrections_and_grows_with_the_distance_from_them():
    found = propagate(poses_of(swinging(30)), {(0, WRIST): tuple(swinging(30)[0, WRIST])})

    radius = found.radius[:, WRIST]
    assert radius[0] == 0
    assert (np.diff(radius) > -1e-4).all()
    assert (radius <= 15.0 + 1e-3).all()


def test_an_error_is_shared_by_what_is_joined_and_not_by_what_is_far():
    truth = np.repeat(STANDING[None], 9, axis=0)
    poses = poses_of(truth)

    found = propagate(poses, {(4, WRIST): truth[4, WRIST] + (30, 0)})

    step = (found.keypoints - poses.keypoints)[4, :, 0]
    assert 5 < step[ELBOW] < 25
    assert abs(step[ANKLE]) < step[ELBOW] / 2


def test_moving_everything_moves_the_answer_alike():
    poses, shift = poses_of(swinging(12)), np.array([300.0, -20.0])
    moved = poses_of(swinging(12) + shift)
    xy = np.array([10.0, 90.0])

    here = propagate(poses, {(5, WRIST): xy.tolist()}).keypoints
    there = propagate(moved, {(5, WRIST): (xy + shift).tolist()}).keypoints

    np.testing.assert_allclose(there - shift, here, atol=1e-2)


def test_what_sampling_again_found_pulls_in_the_measure_of_its_certainty():
    truth = np.repeat(STANDING[None], 9, axis=0)
    poses, there = poses_of(truth), tuple(truth[4, ELBOW] + (20, 0))
    placed = {(4, ANKLE): tuple(truth[4, ANKLE])}

    sure, vague = (
        propagate(poses, placed, resampled={(4, ELBOW): (there, variance)}).keypoints[4, ELBOW, 0]
        for variance in (1.0, 400.0)
    )

    start = truth[4, ELBOW, 0]
    assert start < vague < sure <= start + 20.1


def test_a_long_track_is_solved_in_windows_that_agree_where_they_meet():
    truth = np.repeat(STANDING[None], 200, axis=0)
    poses = poses_of(truth + np.array([8, 0]))

    found = propagate(poses, {(100, WRIST): tuple(truth[100, WRIST])}).keypoints[:, WRIST, 0]

    steps = np.abs(np.diff(np.delete(found, 100)))
    assert steps.max() < 3
    np.testing.assert_array_equal(found[:30], poses.keypoints[:30, WRIST, 0])


def test_gaps_and_unknown_keypoints_are_bridged():
    truth = np.repeat(STANDING[None], 8, axis=0)
    truth[3:5, WRIST] = np.nan
    poses = poses_of(truth, frames=[0, 1, 2, 6, 7, 8, 20, 21])

    found = propagate(poses, {(2, WRIST): (5.0, 5.0)})

    assert np.isfinite(found.keypoints[:, WRIST]).all()


def test_a_suggestion_holds_the_frames_within_the_radius():
    truth = swinging(40)
    poses = poses_of(truth + np.array([10, 0]))
    request = ResampleRequest(
        track_id=0, frame=20, radius=3, poses=poses, predictions=poses,
        placed={(20, WRIST): tuple(truth[20, WRIST])},
    )  # fmt: skip

    found = suggest(request)

    assert found.frames == tuple(range(17, 24))
    whole = propagate(poses, request.placed).keypoints[17:24]
    np.testing.assert_allclose(found.keypoints, whole, atol=1e-3)


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        ({(99, 0): (1.0, 1.0)}, "frame 99"),
        ({(0, 17): (1.0, 1.0)}, "keypoint 17"),
        ({(0, 0): (np.nan, 1.0)}, "finite"),
    ],
)
def test_a_correction_that_has_no_place_is_refused(placed, words):
    with pytest.raises(FormatError, match=words):
        propagate(poses_of(swinging(5)), placed)


def test_distances_count_edges():
    distance = graph_distances(COCO17)

    assert distance[WRIST, WRIST] == 0
    assert distance[WRIST, ELBOW] == 1
    assert distance[WRIST, COCO17.index("left_shoulder")] == 2
