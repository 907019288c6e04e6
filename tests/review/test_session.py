from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from diffpose.errors import CorrectionError, ProjectError, StaleRevisionError
from diffpose.poses import Hypotheses, Origin, VideoInfo
from diffpose.review.corrections import fold
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
    Undo,
)
from diffpose.review.session import ReviewSession, Suggestion
from diffpose.review.store import Store
from diffpose.skeleton import COCO17, HALPE26
from tests.review.review_objects import (
    ARM,
    COUNT,
    FIRST,
    VIDEO,
    K,
    clock,
    predictions,
    project,
    same,
    shifted,
    steadily,
    steps,
)

MOVE = Move(0, 4, 1, (10.25, 20.5))


@pytest.fixture
def store(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        yield store


def test_an_action_says_what_it_did(store):
    session = ReviewSession(store)

    change = session.apply(MOVE)

    assert (change.revision, change.track_id, change.frames) == (2, 0, (4,))
    assert change.summary == "moved left wrist in frame 5"
    assert tuple(session.reviewed(0).poses.keypoints[2, 1]) == MOVE.xy
    assert session.apply(Swap(0, 3, 6)).summary == "exchanged left and right in frames 4 to 7"
    assert session.apply(Confirm(0, (3, 6))).summary == "confirmed 2 frames"
    assert session.apply(CopyPrevious(0, 5, 4)).summary == "copied the pose of frame 5 to frame 6"
    undone = session.undo()
    assert undone is not None
    assert undone.summary == "undid: copied the pose of frame 5 to frame 6"
    assert undone.frames == (5,)
    assert (session.track_ids, session.skeleton) == ([0], ARM)


@settings(
    steadily,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps)
def test_a_session_a_restart_and_the_fold_agree(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("project")
    with project(folder / "a.diffpose") as store:
        sessions = {name: ReviewSession(store, author=name) for name in "ab"}
        for author, step in steps:
            session = sessions[author]
            if isinstance(step, str):
                possible = getattr(session, f"can_{step}")
                assert (getattr(session, step)() is not None) == possible
            else:
                with suppress(CorrectionError):  # such as copying a pose that is unknown
                    session.apply(step)
        reviewed = [session.reviewed(0) for session in sessions.values()]
        again = fold(store.predictions(0), store.events())

    with Store(folder / "a.diffpose") as store:
        restarted = ReviewSession(store).reviewed(0)
    assert all(same(track, again) for track in [*reviewed, restarted])


@pytest.mark.parametrize("kind", [Hide, OutOfFrame])
def test_a_keypoint_is_called_hidden_or_outside_in_several_frames_in_one_step(store, kind):
    session = ReviewSession(store)
    before = session.reviewed(0)

    change = session.apply(kind(0, (2, 4, 5), 1))

    after = session.reviewed(0)
    assert change.frames == (2, 4, 5)
    assert change.summary.endswith("in 3 frames")
    assert after.visibility[:, 1].tolist() == [
        {Hide: 1, OutOfFrame: 0}[kind] if frame in (2, 4, 5) else 2 for frame in range(2, 8)
    ]
    session.apply(Show(0, (2, 3, 4, 5), 1))
    assert same(session.reviewed(0), before)
    session.undo()
    assert same(session.reviewed(0), after)
    session.undo()
    assert same(session.reviewed(0), before)
    with pytest.raises(CorrectionError, match="no pose in frame 9"):
        session.apply(kind(0, (7, 8), 1))
    assert same(session.reviewed(0), before)


def test_undo_and_redo_go_on_after_a_restart(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as store:
        session = ReviewSession(store)
        states = [session.reviewed(0)]
        for action in (MOVE, Swap(0, 3, 5), Hide(0, (5,), 0)):
            session.apply(action)
            states.append(session.reviewed(0))
        session.undo()

    with Store(path, clock=clock) as store:
        session = ReviewSession(store)
        assert (session.can_undo, session.can_redo) == (True, True)
        session.undo()
        assert same(session.reviewed(0), states[1])
        session.redo()
        session.redo()
        assert same(session.reviewed(0), states[3])
        assert session.redo() is None
        for _ in range(3):
            session.undo()
        assert same(session.reviewed(0), states[0])
        assert session.undo() is None
        assert (session.can_undo, session.can_redo) == (False, True)


def test_each_author_undoes_only_their_own(store):
    ada, bob = (ReviewSession(store, author=name) for name in ("ada", "bob"))
    ada.apply(MOVE)
    bob.apply(Move(0, 4, 1, (99, 98)))

    ada.undo()

    assert tuple(ada.reviewed(0).poses.keypoints[2, 1]) == (99, 98)
    assert not ada.can_undo
    assert bob.can_undo
    bob.undo()
    assert same(ada.reviewed(0), fold(predictions(), []))


def test_two_sessions_on_one_file_see_each_other_and_never_overwrite(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as here, Store(path, clock=clock) as there:
        one, other = ReviewSession(here), ReviewSession(there, author="bob")
        seen = other.store.revision
        one.apply(MOVE, one.store.revision)

        with pytest.raises(StaleRevisionError):
            other.apply(Hide(0, (4,), 0), seen)
        other.apply(Hide(0, (5,), 0), seen)

        assert same(one.reviewed(0), other.reviewed(0))
        assert one.store.revision == other.store.revision == 3


def test_a_whole_pose_is_not_moved_from_where_it_was_a_moment_ago(store):
    bob = ReviewSession(store, author="bob")

    def bob_is_faster():
        bob.apply(MOVE)
        return clock()

    with pytest.raises(StaleRevisionError):
        ReviewSession(store, clock=bob_is_faster).apply(MoveBody(0, 4, (1, 1)))

    assert [e.action for e in store.events()] == [MOVE]


def test_reviewed_is_the_same_object_until_something_changes(store):
    session = ReviewSession(store)
    first = session.reviewed(0)

    assert session.reviewed(0) is first
    ReviewSession(store).apply(MOVE)
    assert session.reviewed(0) is not first


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Move(0, 4, 1, (640, 5)), "inside the picture of 640 x 480"),
        (Move(0, 4, 1, (float("nan"), 5)), "inside the picture"),
        (Move(0, 4, K, (5, 5)), "keypoints 0 to 2, got 3"),
        (Move(0, 4, -1, (5, 5)), "keypoints 0 to 2, got -1"),
        (Move(0, 20, 1, (5, 5)), "has 20 frames, got index 20"),
        (Move(0, -1, 1, (5, 5)), "has 20 frames"),
        (Hide(0, (15,), 1), "no pose in frame 16"),
        (Confirm(0, ()), "at least one frame"),
        (Swap(0, 5, 4), "at least one frame"),
        (Swap(0, 5, 40), "has 20 frames"),
        (MoveBody(0, 4, (np.nan, 0)), "shift of no more than"),
        (MoveBody(0, 4, (1e300, 0)), "shift of no more than"),
        (Move(0, 10**30, 1, (5, 5)), "has 20 frames"),
        (CopyPrevious(0, 4, 15), "no pose in frame 16"),
        (SetPose(0, 4, np.zeros((2, 2), np.float32)), r"shape \(3, 2\)"),
        (SetPose(0, 4, np.full((K, 2), np.nan, np.float32)), "at least one keypoint"),
        (SetPose(0, 4, np.zeros((K, 2), np.float32), "whim"), "Expected a reason"),
        (Undo(0, 1), r"use undo\(\)"),
    ],
)
def test_actions_that_mean_nothing_are_refused_and_leave_no_trace(store, action, message):
    session = ReviewSession(store)

    with pytest.raises(CorrectionError, match=message):
        session.apply(action)

    assert store.events() == []
    with pytest.raises(ProjectError, match=r"no track 3; it has \[0\]"):
        session.apply(replace(MOVE, track_id=3))
    with pytest.raises(ProjectError, match="too large"):
        session.apply(replace(MOVE, track_id=10**30))


def test_what_the_reviewer_placed_never_moves(store):
    session = ReviewSession(store, resampler=shifted, radius=2)
    session.apply(MOVE)
    session.apply(OutOfFrame(0, (5,), 0))
    session.apply(Confirm(0, (6,)))
    before = session.reviewed(0).poses

    suggestion = session.suggest(0, 4)
    assert suggestion is not None
    session.accept(suggestion)

    after = session.reviewed(0).poses
    assert suggestion.frames == (2, 3, 4, 5, 6)
    for row, k in ((2, 1), (3, 0), (4, 0), (4, 1), (4, 2)):
        for name in ("keypoints", "covariance", "confidence"):
            old, new = getattr(before, name)[row, k], getattr(after, name)[row, k]
            assert old.tobytes() == new.tobytes()
            assert getattr(suggestion, name)[row, k].tobytes() == old.tobytes()
    given = predictions()
    np.testing.assert_array_equal(after.keypoints[2, [0, 2]], given.keypoints[2, [0, 2]] + 100)
    np.testing.assert_array_equal(after.covariance[0], given.covariance[0] * 4)
    assert (after.origin[0] == Origin.RESAMPLED).all()
    session.undo()
    assert same(session.reviewed(0), fold(predictions(), store.events()))
    assert session.reviewed(0).poses.keypoints.tobytes() == before.keypoints.tobytes()


def test_a_resampler_is_told_what_is_settled_near_the_frame(store):
    asked = []

    def resampler(request):
        asked.append(request)
        return shifted(request)

    session = ReviewSession(store, resampler=resampler, radius=1)
    assert ReviewSession(store).suggest(0, 4) is None
    session.apply(MOVE)
    session.apply(Confirm(0, (7,)))
    session.apply(Swap(0, 3, 3))
    session.suggest(0, 4)

    (request,) = asked
    assert (request.track_id, request.frame, request.radius) == (0, 4, 1)
    assert request.placed[4, 1] == MOVE.xy
    assert set(request.placed) == {(4, 1), *((7, k) for k in range(K))}
    assert request.poses is session.reviewed(0).poses
    given = predictions().keypoints
    np.testing.assert_array_equal(request.predictions.keypoints[2], given[2])
    np.testing.assert_array_equal(request.predictions.keypoints[1], given[1][[0, 2, 1]])
    with pytest.raises(CorrectionError, match="no pose in frame 16"):
        session.suggest(0, 15)


def test_a_suggestion_of_yesterdays_pose_is_stale(store):
    session = ReviewSession(store, resampler=shifted, author="ada")
    suggestion = session.suggest(0, 4)
    assert suggestion is not None

    ReviewSession(store, author="bob").apply(Hide(0, (5,), 0))

    with pytest.raises(StaleRevisionError):
        session.accept(suggestion)
    assert len(store.events()) == 1


def test_suggestions_of_another_shape_or_place_are_refused(store):
    def answer(**changes):
        session = ReviewSession(store, resampler=lambda r: replace(shifted(r), **changes))
        return session.suggest(0, 4)

    for changes in (
        {"track_id": 1},
        {"frames": (2, 3)},
        {"frames": (2,) * COUNT},
        {"frames": tuple(range(14, 14 + COUNT))},
        {"keypoints": np.full((COUNT, K, 2), np.inf)},
    ):
        with pytest.raises(CorrectionError, match="Expected"):
            answer(**changes)


def test_whole_poses_stay_where_they_were_put_when_predictions_change(store):
    session = ReviewSession(store)
    session.apply(MOVE)
    session.apply(MoveBody(0, 5, (3, 4)))
    session.apply(CopyPrevious(0, 6, 5))
    session.apply(Confirm(0, (3,)))
    before = session.reviewed(0).poses

    session.replace_predictions(predictions(seed=5))

    after = session.reviewed(0)
    new = predictions(seed=5).keypoints
    assert after.poses.keypoints[2, 1].tobytes() == before.keypoints[2, 1].tobytes()
    assert after.poses.keypoints[[1, 3, 4]].tobytes() == before.keypoints[[1, 3, 4]].tobytes()
    np.testing.assert_array_equal(after.poses.keypoints[2, [0, 2]], new[2, [0, 2]])
    np.testing.assert_array_equal(after.poses.keypoints[0], new[0])
    assert after.confirmed.sum() == 1
    assert session.can_undo
    assert same(ReviewSession(store).reviewed(0), after)


def test_a_swap_is_not_repeated_on_predictions_that_have_the_sides_right(store):
    session = ReviewSession(store)
    session.apply(Swap(0, 3, 5))
    right = session.reviewed(0).poses.keypoints
    old = predictions()

    session.replace_predictions(replace(old, keypoints=right + 1))
    np.testing.assert_array_equal(session.reviewed(0).poses.keypoints, right + 1)

    session.replace_predictions(replace(old, keypoints=old.keypoints + 2))
    np.testing.assert_array_equal(session.reviewed(0).poses.keypoints, right + 2)


def test_new_predictions_may_cover_other_frames(store):
    session = ReviewSession(store)
    session.apply(Confirm(0, (2,)))
    session.apply(MOVE)

    session.replace_predictions(predictions(seed=1, first=5, count=4))

    reviewed = session.reviewed(0)
    assert reviewed.poses.frames.tolist() == [2, 4, 5, 6, 7, 8]
    assert reviewed.poses.keypoints[0].tobytes() == predictions().keypoints[0].tobytes()
    assert np.isnan(reviewed.poses.keypoints[1, 0]).all()
    assert tuple(reviewed.poses.keypoints[1, 1]) == MOVE.xy


def test_predictions_of_another_skeleton_are_refused(store):
    other = replace(
        predictions(),
        skeleton=COCO17,
        keypoints=np.zeros((COUNT, 17, 2)),
        confidence=np.zeros((COUNT, 17)),
        covariance=np.zeros((COUNT, 17, 2, 2)),
        origin=np.zeros((COUNT, 17), np.uint8),
    )
    with pytest.raises(ProjectError, match="put them into a new project"):
        ReviewSession(store).replace_predictions(other)


def test_the_queue_leaves_out_what_is_settled_and_what_is_skipped(tmp_path):
    frames = tuple(range(FIRST, FIRST + COUNT))
    with project(tmp_path / "a.diffpose", predictions(skeleton=HALPE26)) as store:
        session = ReviewSession(store)
        first = session.next_item(target_px=0.5)
        assert first is not None
        assert first == session.queue(target_px=0.5)[0]

        second = session.next_item(target_px=0.5, skip={(first.track_id, first.frame)})
        assert second is not None
        assert second.frame != first.frame
        clicks = session.clicks_left(target_px=0.5)
        session.apply(Confirm(0, (first.frame,)))
        assert first.frame not in [item.frame for item in session.queue(target_px=0.5)]
        assert session.clicks_left(target_px=0.5) <= clicks
        session.apply(Confirm(0, frames))
        assert session.next_item(target_px=0.5) is None


def test_exported_sequences_are_folded(tmp_path):
    with project(tmp_path / "a.diffpose", predictions(), predictions(3)) as store:
        session = ReviewSession(store)
        session.apply(MOVE)

        first, second = session.export_sequences()

    assert tuple(first.keypoints[2, 1]) == MOVE.xy
    assert second.keypoints.tobytes() == predictions().keypoints.tobytes()


def test_an_empty_project_says_that_it_has_no_poses(tmp_path):
    with Store(tmp_path / "a.diffpose", clock=clock) as store:
        store.add_video(VideoInfo(VIDEO.path, VIDEO.video_id, 4, 4, np.zeros(1)))

        with pytest.raises(ProjectError, match="no poses yet"):
            _ = ReviewSession(store).skeleton


def test_the_clock_of_a_session_dates_its_actions(store):
    later = datetime(2027, 1, 1, tzinfo=UTC)

    ReviewSession(store, clock=lambda: later, author="ada").apply(MOVE)

    (event,) = store.events()
    assert (event.made_at, event.author) == (later, "ada")


def test_an_accepted_suggestion_leaves_settled_keypoints_open_in_the_log(store):
    session = ReviewSession(store, resampler=shifted, radius=1)
    session.apply(MOVE)
    suggestion = session.suggest(0, 4)
    assert isinstance(suggestion, Suggestion)

    session.accept(suggestion)

    action = store.events()[-1].action
    assert isinstance(action, AcceptSuggestion)
    assert np.isnan(action.keypoints[1, 1]).all()


def test_an_alternative_is_taken_where_it_differs_and_knows_the_reviewers_sides(tmp_path):
    given = predictions(skeleton=HALPE26)
    left, right = HALPE26.index("left_wrist"), HALPE26.index("right_wrist")
    usual = given.keypoints[2]
    other = usual.copy()
    other[left] += 300
    several = np.stack([usual] * 6 + [other] * 2)

    def hypotheses(track_id, frame):
        return Hypotheses(frame, several, np.ones(several.shape[:2]))

    with project(tmp_path / "a.diffpose", given) as store:
        assert ReviewSession(store).alternatives(0, 4) == []
        session = ReviewSession(store, hypotheses=hypotheses)
        (found,) = session.alternatives(0, 4)
        assert found.share == pytest.approx(0.25)
        session.apply(Swap(0, 4, 4))
        (mirrored,) = session.alternatives(0, 4)
        session.take(mirrored, track_id=0, frame=4)

        poses = session.reviewed(0).poses
        assert left in found.keypoints_changed
        assert right in mirrored.keypoints_changed
        np.testing.assert_allclose(poses.keypoints[2, right], other[left])
        np.testing.assert_array_equal(poses.keypoints[2, 0], usual[0])
        assert session.reviewed(0).corrected.sum() == len(mirrored.keypoints_changed)


def test_changes_made_together_are_all_there_or_none(store):
    session, before = ReviewSession(store), ReviewSession(store).reviewed(0)
    with suppress(InterruptedError), session.together():
        session.apply(Move(0, 3, 1, (50.0, 60.0)))
        assert session.reviewed(0).corrected.sum() == 1
        raise InterruptedError
    assert same(session.reviewed(0), before)

    with session.together():
        session.apply(Move(0, 4, 2, (70.0, 80.0)))
        session.apply(Move(0, 5, 2, (71.0, 81.0)))

    # Not the positions of the event that had the same number and was never written.
    assert session.reviewed(0).poses.keypoints[2:4, 2].tolist() == [[70, 80], [71, 81]]
    assert np.argwhere(session.reviewed(0).corrected).tolist() == [[2, 2], [3, 2]]
