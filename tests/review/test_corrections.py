from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.poses import Origin
from diffpose.review.corrections import Folding, fold, with_sides_only
from diffpose.review.events import (
    AcceptSuggestion,
    Confirm,
    CopyPrevious,
    Hide,
    Move,
    MoveBody,
    OutOfFrame,
    SetPose,
    Show,
    Swap,
    Unconfirm,
)
from tests.review.review_objects import (
    COUNT,
    FIRST,
    K,
    actions,
    elsewhere,
    log_of,
    predictions,
    same,
    steadily,
    steps,
)

FRAMES = tuple(range(FIRST, FIRST + COUNT))


def do(*steps):
    return fold(predictions(), log_of([("a", step) for step in steps]))


def accept_all(offset=100.0):
    given = predictions()
    return AcceptSuggestion(0, FRAMES, given.keypoints + offset, given.covariance, given.confidence)


def test_no_events_leave_the_predictions():
    reviewed = do()

    assert reviewed.poses.keypoints.tobytes() == predictions().keypoints.tobytes()
    assert not reviewed.corrected.any()
    assert not reviewed.confirmed.any()
    assert (reviewed.visibility == 2).all()


@steadily
@given(steps, st.lists(st.integers(0, 12), max_size=4))
def test_batches_do_not_matter(steps, cuts):
    log = log_of(steps)
    folding = Folding(predictions())

    edges = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    for first, last in pairwise(edges):
        folding.extend(log[first:last])
        folding.result()

    assert same(folding.result(), fold(predictions(), log))


@steadily
@given(steps, actions)
def test_undo_restores_every_bit_and_redo_does_it_again(steps, action):
    before = fold(predictions(), log_of(steps))
    done = fold(predictions(), log_of([*steps, ("c", action)]))
    undone = fold(predictions(), log_of([*steps, ("c", action), ("c", "undo")]))
    redone = fold(predictions(), log_of([*steps, ("c", action), ("c", "undo"), ("c", "redo")]))

    assert same(undone, before)
    assert same(redone, done)


@steadily
@given(steps)
def test_a_suggestion_moves_nothing_that_is_settled(steps):
    before = fold(predictions(), log_of(steps))
    after = fold(predictions(), log_of([*steps, ("c", accept_all())]))

    settled = before.corrected | before.confirmed[:, None]
    for name in ("keypoints", "confidence", "covariance", "origin"):
        one, other = getattr(before.poses, name), getattr(after.poses, name)
        assert one[settled].tobytes() == other[settled].tobytes()
    rows = np.isin(after.poses.frames, FRAMES)
    free = ~settled & rows[:, None]
    assert (after.poses.origin[free] == Origin.RESAMPLED).all()


@steadily
@given(steps)
def test_other_tracks_are_passed_over(steps):
    log = log_of([(author, step) for author, step in steps if not isinstance(step, str)])
    others = log_of([(e.author, elsewhere(e.action, 7)) for e in log])

    assert same(fold(predictions(), others), do())


@steadily
@given(st.integers(FIRST, FIRST + COUNT - 1), st.integers(0, COUNT - 1))
def test_swapping_twice_is_nothing(first, length):
    swap = Swap(0, first, first + length)

    assert same(do(swap, swap), do())


def test_a_swap_exchanges_sides_within_its_interval_only():
    reviewed, given = do(Swap(0, 3, 4)), predictions()

    np.testing.assert_array_equal(reviewed.poses.keypoints[1:3], given.keypoints[1:3][:, [0, 2, 1]])
    np.testing.assert_array_equal(reviewed.poses.keypoints[3:], given.keypoints[3:])
    np.testing.assert_array_equal(reviewed.poses.confidence[1], given.confidence[1][[0, 2, 1]])


def test_a_moved_keypoint_is_certain_and_the_reviewers():
    reviewed = do(Move(0, 4, 1, (10.25, 20.5)))

    poses = reviewed.poses
    assert tuple(poses.keypoints[2, 1]) == (10.25, 20.5)
    assert np.isnan(poses.confidence[2, 1])
    assert not poses.covariance[2, 1].any()
    assert poses.origin[2, 1] == Origin.CORRECTED
    assert reviewed.corrected.sum() == 1


def test_a_moved_keypoint_follows_a_swap():
    reviewed = do(Move(0, 4, 1, (10, 20)), Swap(0, 4, 4))

    assert tuple(reviewed.poses.keypoints[2, 2]) == (10, 20)
    assert reviewed.corrected[2].tolist() == [False, False, True]


def test_hidden_keypoints_keep_their_place_and_can_be_shown():
    hidden = do(Hide(0, (4,), 1))

    assert hidden.visibility[2].tolist() == [2, 1, 2]
    assert hidden.poses.keypoints.tobytes() == predictions().keypoints.tobytes()
    assert same(do(Hide(0, (4,), 1), Show(0, (4,), 1)), do())


def test_a_keypoint_out_of_frame_has_no_place_until_shown_or_moved():
    outside = do(OutOfFrame(0, (4,), 1))

    assert np.isnan(outside.poses.keypoints[2, 1]).all()
    assert np.isnan(outside.poses.covariance[2, 1]).all()
    assert outside.visibility[2, 1] == 0
    assert outside.corrected[2, 1]
    assert same(do(OutOfFrame(0, (4,), 1), Show(0, (4,), 1)), do())
    assert same(do(OutOfFrame(0, (4,), 1), Move(0, 4, 1, (1, 2))), do(Move(0, 4, 1, (1, 2))))


def test_confirmation_marks_and_protects_frames():
    reviewed = do(Confirm(0, (3, 5)), Unconfirm(0, (5,)), accept_all())

    assert reviewed.confirmed.tolist() == [False, True, False, False, False, False]
    given = predictions().keypoints
    np.testing.assert_array_equal(reviewed.poses.keypoints[1], given[1])
    np.testing.assert_array_equal(reviewed.poses.keypoints[3], given[3] + 100)


def test_a_whole_pose_moves_and_is_copied_with_its_visibility():
    reviewed = do(Hide(0, (3,), 2), MoveBody(0, 3, (5, -5)), CopyPrevious(0, 4, 3))

    np.testing.assert_array_equal(
        reviewed.poses.keypoints[1], predictions().keypoints[1] + np.array([5, -5], np.float32)
    )
    np.testing.assert_array_equal(reviewed.poses.keypoints[2], reviewed.poses.keypoints[1])
    assert reviewed.visibility[2].tolist() == [2, 2, 1]
    assert reviewed.corrected[1:3].all()


@pytest.mark.parametrize(("reason", "kept"), [("alternative", True), ("import", False)])
def test_an_alternative_leaves_placed_keypoints_an_import_does_not(reason, kept):
    pose = np.full((K, 2), 7, np.float32)
    pose[2] = np.nan

    reviewed = do(Move(0, 4, 1, (10, 20)), SetPose(0, 4, pose, reason))

    assert tuple(reviewed.poses.keypoints[2, 1]) == ((10, 20) if kept else (7, 7))
    assert tuple(reviewed.poses.keypoints[2, 0]) == (7, 7)
    np.testing.assert_array_equal(reviewed.poses.keypoints[2, 2], predictions().keypoints[2, 2])


def test_placing_a_point_where_nobody_was_found_makes_a_pose():
    reviewed = do(Move(0, 15, 1, (10, 20)))

    assert reviewed.poses.frames.tolist() == [*FRAMES, 15]
    assert reviewed.visibility[-1].tolist() == [0, 2, 0]
    assert reviewed.row(15) == COUNT
    assert reviewed.row(14) is None


def test_sides_alone_are_the_predictions_after_the_swaps():
    log = log_of([("a", Move(0, 4, 1, (10, 20))), ("a", Swap(0, 4, 5)), ("a", accept_all())])

    sides = with_sides_only(predictions(), log, frames=np.array(FRAMES))

    np.testing.assert_array_equal(sides.keypoints, do(Swap(0, 4, 5)).poses.keypoints)
