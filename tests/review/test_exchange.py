"""Laws of exchanged legs: one correction repairs them over the frames in which they are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.poses import Origin, PoseSequence
from diffpose.review.exchange import exchanged
from diffpose.review.propagate import propagate
from diffpose.skeleton import COCO17

TORSO = 100.0
COUNT = 30
LEGS = [COCO17.index(f"{side}_{part}") for part in ("knee", "ankle") for side in ("left", "right")]
ANKLE, WRIST = COCO17.index("left_ankle"), COCO17.index("left_wrist")


def walking():
    """Two legs that swing against each other and meet in frames 0, 10, 20 and 30."""
    truth = np.repeat(np.stack([np.zeros(17), np.zeros(17)], axis=1)[None], COUNT, axis=0)
    truth[:, [5, 6, 11, 12]] = [[-30, 0], [30, 0], [-30, 80], [30, 80]]
    swing = np.sin(np.arange(COUNT) * np.pi / 10)
    for k, (reach, height) in zip(
        LEGS, [(30, 120), (-30, 120), (60, 160), (-60, 160)], strict=True
    ):
        truth[:, k] = np.stack([reach * swing, np.full(COUNT, height)], axis=1)
    return truth


def poses_of(keypoints, spread=10.0):
    return PoseSequence(
        skeleton=COCO17,
        track_id=0,
        frames=np.arange(COUNT),
        keypoints=keypoints,
        confidence=np.full((COUNT, 17), 0.5),
        covariance=np.full((COUNT, 17, 1, 1), spread**2) * np.eye(2),
    )


def exchanged_in(truth, frames):
    predicted = truth.copy()
    predicted[np.ix_(frames, LEGS)] = truth[:, COCO17.mirror][np.ix_(frames, LEGS)]
    return predicted


def errors(poses, truth):
    return np.linalg.norm(poses.keypoints - truth, axis=-1) / TORSO


def test_one_correction_repairs_both_legs_over_the_frames_between_two_jumps():
    truth = walking()
    poses = poses_of(exchanged_in(truth, range(12, 18)))
    placed = {(15, ANKLE): truth[15, ANKLE].tolist()}

    found = propagate(poses, placed)

    assert errors(poses, truth)[12:18, LEGS].min() > 0.3
    assert errors(found, truth).max() < 0.1
    assert (found.origin[12:18, LEGS[0]] == Origin.INTERPOLATED).all()


def test_one_correction_repairs_legs_that_came_out_of_their_meeting_exchanged():
    truth = walking()
    poses = poses_of(exchanged_in(truth, range(10, 20)))

    found = propagate(poses, {(14, ANKLE): truth[14, ANKLE].tolist()})

    assert errors(poses, truth)[12:19, LEGS].min() > 0.15
    assert errors(found, truth).max() < 0.1


def test_a_correction_of_a_frame_that_is_right_ends_the_exchange():
    truth = walking()
    poses = poses_of(exchanged_in(truth, range(10, 20)))
    placed = {(f, ANKLE): truth[f, ANKLE].tolist() for f in (5, 14, 25)}

    assert errors(propagate(poses, placed), truth).max() < 0.1


def test_corrections_that_agree_with_the_predictions_exchange_nothing():
    truth = walking()
    placed = {(f, k): truth[f, k].tolist() for f in (3, 15, 27) for k in LEGS}

    assert not exchanged(poses_of(truth), placed, TORSO).any()


def test_a_point_placed_far_from_both_legs_exchanges_nothing():
    truth = walking()
    far = (truth[15, ANKLE] + (0, 90)).tolist()

    assert not exchanged(poses_of(truth), {(15, ANKLE): far}, TORSO).any()


def test_nothing_is_exchanged_without_corrections_or_without_legs():
    truth = walking()
    poses = poses_of(exchanged_in(truth, range(12, 18)))

    assert not exchanged(poses, {}, TORSO).any()
    assert not exchanged(poses, {(15, WRIST): truth[15, ANKLE].tolist()}, TORSO).any()


@settings(max_examples=20, deadline=None)
@given(st.permutations([(4, 15), (12, 16), (15, 15), (17, 13), (26, 14)]))
def test_the_order_of_corrections_does_not_matter(order):
    truth = walking()
    poses = poses_of(exchanged_in(truth, range(12, 18)))
    once = propagate(poses, {(f, k): truth[f, k].tolist() for f, k in sorted(order)})

    found = propagate(poses, {(f, k): truth[f, k].tolist() for f, k in order})

    np.testing.assert_allclose(found.keypoints, once.keypoints, atol=1e-3)
    for f, k in order:
        np.testing.assert_array_equal(found.keypoints[f, k], truth[f, k].astype(np.float32))
