import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from diffpose.errors import CorrectionError
from diffpose.review.checks import check_action
from diffpose.review.corrections import fold
from diffpose.review.events import Action, Confirm, Event, Move, OutOfFrame
from diffpose.review.predictions import RunState
from diffpose.review.tracks import LoadedTrack, carried_over, placed_near, resolved, settled
from tests.review.review_objects import (
    VIDEO,
    K,
    arrays,
    log_of,
    predictions,
    steadily,
    steps,
)


def accepted(steps: list[tuple[str, Action | str]]) -> list[Event]:
    """The log that a session would have written."""
    done: list[tuple[str, Action | str]] = []
    for author, step in steps:
        if not isinstance(step, str):
            before = fold(predictions(), log_of(done))
            try:
                check_action(step, before, VIDEO)
            except CorrectionError:
                continue
            step = resolved(step, before)
        done.append((author, step))
    return log_of(done)


def loaded(log: list[Event]) -> LoadedTrack:
    return LoadedTrack(predictions(), video=VIDEO, state=RunState(1, 1, 1), events=log)


@steadily
@given(steps, st.integers(1, 5), st.integers(0, 5))
@example([("a", OutOfFrame(0, (6,), 0))], 1, 0)  # nothing is predicted there any more
@example([("a", Move(0, 10, 0, (1, 2))), ("a", Confirm(0, (10,)))], 1, 5)  # nothing was, yet
def test_new_predictions_move_nothing_that_is_settled(steps, seed, first):
    log = accepted(steps)
    track = loaded(log)
    before = track.reviewed()

    after = fold(carried_over(predictions(seed=seed, first=first), track), log)

    frames = before.poses.frames[settled(before).any(axis=1)]
    old, new = (np.isin(t.poses.frames, frames) for t in (before, after))
    chosen = settled(before)[old]
    np.testing.assert_array_equal(settled(after)[new], chosen)
    for one, other in zip(arrays(before)[1:5], arrays(after)[1:5], strict=True):
        assert one[old][chosen].tobytes() == other[new][chosen].tobytes()


@steadily
@given(steps)
def test_replacing_predictions_by_themselves_changes_nothing(steps):
    log = accepted(steps)
    track = loaded(log)

    again = fold(carried_over(predictions(), track), log)

    for one, other in zip(arrays(track.reviewed()), arrays(again), strict=True):
        assert one.tobytes() == other.tobytes()


@steadily
@given(steps)
def test_a_log_that_was_followed_is_a_log_that_was_read(steps):
    log = accepted(steps)
    track = loaded(log[:3])
    track.reviewed()
    track.extend(log[3:])

    for one, other in zip(arrays(track.reviewed()), arrays(loaded(log).reviewed()), strict=True):
        assert one.tobytes() == other.tobytes()


@steadily
@given(steps, st.integers(0, 12), st.integers(0, 3))
def test_placed_keypoints_near_a_frame_are_where_they_were_placed(steps, frame, reach):
    reviewed = loaded(accepted(steps)).reviewed()

    near = placed_near(reviewed, frame, reach)

    for (f, k), xy in near.items():
        row = reviewed.row(f)
        assert row is not None
        assert abs(f - frame) <= reach
        assert tuple(reviewed.poses.keypoints[row, k]) == xy
    inside = [reviewed.row(f) for f in range(frame - reach, frame + reach + 1)]
    rows = [row for row in inside if row is not None]
    has_place = np.isfinite(reviewed.poses.keypoints[rows]).all(-1)
    assert len(near) == (settled(reviewed)[rows] & has_place).sum() <= len(rows) * K
