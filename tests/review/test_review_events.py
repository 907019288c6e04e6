import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from diffpose.errors import CorrectionError
from diffpose.review.events import (
    Hide,
    Move,
    Redo,
    SetPose,
    Undo,
    active,
    from_dict,
    kind_of,
    to_dict,
    undo_stacks,
)
from tests.review.review_objects import ARM, actions, log_of, steadily, steps


@steadily
@given(actions)
def test_json_gives_every_action_back(action):
    text = json.dumps(to_dict(action), allow_nan=False)

    again = from_dict(json.loads(text))

    assert type(again) is type(action)
    assert to_dict(again) == to_dict(action)


def test_actions_can_be_written_by_hand():
    move = {"kind": "move", "track_id": 0, "frame": 3, "keypoint": "left_wrist", "xy": [1, 2.5]}
    pose = {"kind": "set_pose", "track_id": 0, "frame": 3, "keypoints": [[1, 2], [None, None]]}

    assert from_dict(move, ARM) == Move(0, 3, 1, (1.0, 2.5))
    hide = {"kind": "hide", "track_id": 0, "keypoint": 1}
    assert from_dict({**hide, "frames": [3, 5]}) == Hide(0, (3, 5), 1)
    assert from_dict({**hide, "frame": 3}) == Hide(0, (3,), 1)  # as older files have it
    read = from_dict(pose)
    assert isinstance(read, SetPose)
    np.testing.assert_array_equal(read.keypoints, [[1, 2], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "jump"}, "Expected a correction of kind"),
        ([], "Expected a correction of kind"),
        ({"kind": "hide", "track_id": 0, "frame": 1, "keypoint": 2, "xy": 3}, "does not have xy"),
        ({"kind": "hide", "track_id": 0, "frame": 1}, "keypoint"),
        ({"kind": "hide", "track_id": 0, "frame": 1.5, "keypoint": 2}, "whole number"),
        ({"kind": "move", "track_id": 0, "frame": 1, "keypoint": 2, "xy": [1]}, "cannot be read"),
        ({"kind": "hide", "track_id": 0, "frame": 1, "keypoint": "tail"}, "no keypoint 'tail'"),
    ],
)
def test_what_is_no_action_is_named(data, message):
    with pytest.raises(CorrectionError, match=message):
        from_dict(data, ARM)


def test_numpy_numbers_are_written_like_others():
    numbers: Any = (np.int64(0), np.int32(4), np.int64(1), (np.float32(0.1), np.float64(2)))
    action = Move(*numbers)

    assert from_dict(json.loads(json.dumps(to_dict(action)))) == action
    assert kind_of(action) == "move"


@steadily
@given(steps)
def test_undoing_everything_leaves_nothing_active_and_redoing_brings_it_back(steps):
    done = log_of(steps)

    back = log_of([*steps, *[(author, "undo") for author in "ab" for _ in steps]])
    forth = log_of(
        [
            *steps,
            *[(author, "undo") for author in "ab" for _ in steps],
            *[(author, "redo") for author in "ab" for _ in steps],
        ]
    )

    assert active(back) == []
    undoable = {e.event_id for author in "ab" for e in undo_stacks(done, author)[0]}
    assert undoable == {e.event_id for e in active(done)}
    assert undoable <= {e.event_id for e in active(forth)}


def test_a_new_action_ends_redo_of_its_author_only():
    move = Move(0, 3, 1, (1, 2))
    log = log_of([("a", move), ("b", move), ("a", "undo"), ("b", "undo"), ("a", move)])

    assert undo_stacks(log, "a")[1] == []
    assert [e.event_id for e in undo_stacks(log, "b")[1]] == [2]
    assert [type(e.action) for e in log] == [Move, Move, Undo, Undo, Move]
    assert isinstance(log_of([("a", move), ("a", "undo"), ("a", "redo")])[-1].action, Redo)


@pytest.mark.parametrize(
    "data",
    [
        {"kind": ["move"]}, {"kind": {}}, {"kind": "\ud800"},
        {"kind": "move", "track_id": 0, "frame": 1, "keypoint": 1, "xy": [float("nan"), 1]},
        {"kind": "move", "track_id": 0, "frame": 1, "keypoint": 1, "xy": [10**400, 1]},
        {"kind": "move", "track_id": 0, "frame": 1, "keypoint": 1, "xy": "12"},
        {"kind": "move", "track_id": float("inf"), "frame": 1, "keypoint": 1, "xy": [1, 1]},
        {"kind": "move", "track_id": 0, "frame": 2**70, "keypoint": 1, "xy": [1, 1]},
        {"kind": "hide", "track_id": 0, "frames": "12", "keypoint": 1},
        {"kind": "set_pose", "track_id": 0, "frame": 1, "keypoints": [[10**400, 1]]},
        {"kind": "set_pose", "track_id": 0, "frame": 1, "keypoints": [[1e300, 1]]},
        {"kind": "set_pose", "track_id": 0, "frame": 1, "keypoints": {"shape": [9], "f4": "AA"}},
        {"kind": "set_pose", "track_id": 0, "frame": 1, "keypoints": [], "reason": ["import"]},
    ],
)  # fmt: skip
def test_values_that_no_action_has_end_in_a_sentence(data):
    with pytest.raises(CorrectionError) as caught:
        from_dict(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
