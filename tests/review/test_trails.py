"""Laws of the seen motion: exact trails carry a correction along, and nothing goes beyond them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from diffpose.poses import PoseSequence
from diffpose.review.motion import PropagationConfig, body_size
from diffpose.review.propagate import propagate
from diffpose.review.trails import Follow, seen_motion
from diffpose.skeleton import HALPE26
from diffpose.tracking.flow import Trails

Array = NDArray[np.float64]
WRIST, KNEE = HALPE26.index("left_wrist"), HALPE26.index("right_knee")


def standing(count: int, *, frames: NDArray[np.int64] | None = None) -> PoseSequence:
    """Poses that do not move, 10 px uncertain: a body about 100 px tall."""
    pose = np.zeros((len(HALPE26), 2))
    pose[HALPE26.index("neck")] = 0, -50
    for side, x in (("left", 20), ("right", -20)):
        for part, y in (("shoulder", -50), ("hip", 0), ("knee", 50), ("ankle", 100)):
            pose[HALPE26.index(f"{side}_{part}")] = x, y
    return PoseSequence(
        HALPE26,
        0,
        np.arange(count) if frames is None else frames,
        np.tile(pose, (count, 1, 1)),
        np.full((count, len(pose)), 0.5),
        np.tile(np.eye(2) * 100.0, (count, len(pose), 1, 1)),
    )


def drifting(velocity: Array, miss: float = 0.0) -> Follow:
    """A picture in which everything moves alike."""

    def walk(frame: int, points: Array, direction: int, most: int) -> Trails:
        steps = np.tile(direction * velocity, (most, len(points), 1))
        return Trails(steps, np.full((most, len(points)), miss))

    return walk


def test_steps_are_of_time_whichever_way_the_point_was_followed() -> None:
    poses, velocity = standing(9), np.array([3.0, -1.0])

    seen = seen_motion(poses, {(4, WRIST): (10.0, 10.0)}, drifting(velocity))

    np.testing.assert_allclose(seen.step[:, WRIST], np.tile(velocity, (8, 1)))
    assert (seen.precision[:, WRIST] > 0).all()
    assert not seen.precision[:, KNEE].any()


def test_precision_is_best_beside_the_correction_and_falls_away_from_it() -> None:
    config = PropagationConfig(flow_reach=5)
    poses = standing(15)

    precision = seen_motion(
        poses, {(7, WRIST): (1.0, 1.0)}, drifting(np.zeros(2)), config=config
    ).precision[:, WRIST]

    best = 1 / (config.flow * body_size(poses)) ** 2
    np.testing.assert_allclose(precision[[6, 7]], best)
    assert (np.diff(precision[7:12]) < 0).all()
    assert (np.diff(precision[2:7]) > 0).all()
    assert not precision[12:].any()
    assert not precision[:2].any()


def test_a_trail_that_misses_its_way_back_weighs_less() -> None:
    poses, placed = standing(5), {(2, WRIST): (1.0, 1.0)}
    sure = seen_motion(poses, placed, drifting(np.zeros(2)))
    unsure = seen_motion(poses, placed, drifting(np.zeros(2), miss=8.0))
    assert (unsure.precision[:, WRIST] < 0.2 * sure.precision[:, WRIST]).all()


def test_trails_that_miss_the_next_correction_weigh_less() -> None:
    poses, still = standing(7), drifting(np.zeros(2))
    met = seen_motion(poses, {(1, WRIST): (0, 0), (5, WRIST): (0, 0)}, still)
    missed = seen_motion(poses, {(1, WRIST): (0, 0), (5, WRIST): (30, 0)}, still)
    assert (missed.precision[1:5, WRIST] < 0.5 * met.precision[1:5, WRIST]).all()


def test_a_missing_frame_ends_the_trail() -> None:
    poses = standing(8, frames=np.array([0, 1, 2, 3, 10, 11, 12, 13]))
    seen = seen_motion(poses, {(2, WRIST): (0.0, 0.0)}, drifting(np.ones(2)))
    assert (seen.precision[:3, WRIST] > 0).all()
    assert not seen.precision[3:, WRIST].any()


def test_lost_points_say_nothing() -> None:
    def lost(frame: int, points: Array, direction: int, most: int) -> Trails:
        nowhere = np.full((most, len(points), 2), np.nan)
        return Trails(nowhere, nowhere[..., 0])

    seen = seen_motion(standing(5), {(2, WRIST): (0.0, 0.0)}, lost)
    assert not seen.precision.any()
    assert np.isfinite(seen.step).all()


def test_neighbours_follow_the_picture_and_not_the_prediction() -> None:
    poses, velocity = standing(9), np.array([4.0, 0.0])
    start = poses.keypoints[4, WRIST] + [0.0, 25.0]
    placed = {(4, WRIST): tuple(start.tolist())}

    blind = propagate(poses, placed).keypoints[:, WRIST]
    seeing = propagate(
        poses, placed, seen=seen_motion(poses, placed, drifting(velocity))
    ).keypoints[:, WRIST]

    truth = start + velocity * (np.arange(9)[:, None] - 4)
    error = [np.linalg.norm(found - truth, axis=-1)[[2, 3, 5, 6]] for found in (seeing, blind)]
    assert (error[0] < 0.5 * error[1]).all()
    np.testing.assert_array_equal(seeing[4], start)


def test_motion_in_other_units_gives_the_same_poses() -> None:
    poses = standing(9)
    bigger = PoseSequence(
        HALPE26, 0, poses.frames, poses.keypoints * 3, poses.confidence, poses.covariance * 9
    )
    velocity, xy = np.array([2.0, 1.0]), np.array([12.0, 8.0])

    small, large = (
        propagate(p, placed, seen=seen_motion(p, placed, drifting(velocity * scale)))
        for p, scale in ((poses, 1.0), (bigger, 3.0))
        for placed in ({(3, WRIST): tuple((xy * scale).tolist())},)
    )

    np.testing.assert_allclose(small.keypoints * 3, large.keypoints, rtol=1e-4, atol=1e-3)


def test_no_poses_have_no_motion() -> None:
    seen = seen_motion(standing(0), {}, drifting(np.zeros(2)))
    assert seen.step.shape == (0, len(HALPE26), 2)


@pytest.mark.parametrize("frame", [0, 8])
def test_a_correction_at_an_end_is_followed_inwards_only(frame: int) -> None:
    seen = seen_motion(standing(9), {(frame, WRIST): (0.0, 0.0)}, drifting(np.ones(2)))
    assert (seen.precision[:, WRIST] > 0).all()
