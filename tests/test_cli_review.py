"""``diffpose review``: the desk without a browser."""

import json

import pytest
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.review.adapting import take_up
from diffpose.review.events import Hide
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.skeleton import HALPE26
from tests.review.review_objects import predictions, project, same


def run(*arguments):
    return CliRunner().invoke(app, ["review", *[str(argument) for argument in arguments]])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.diffpose"
    project(path, predictions()).close()
    return path


def corrections(tmp_path, *actions):
    file = tmp_path / "actions.json"
    file.write_text(json.dumps(actions))
    return file


HIDE_ACTION = Hide(0, (3, 4, 5), 1)
HIDE = {"kind": "hide", "track_id": 0, "frames": [3, 4, 5], "keypoint": "left_wrist"}


def test_a_keypoint_is_hidden_in_several_frames_and_comes_back_in_one_step(tmp_path, path):
    with Store(path) as store:
        before = ReviewSession(store).reviewed(0)

    done = run("apply", path, corrections(tmp_path, HIDE), "--author", "ada")

    assert done.exit_code == 0, done.output
    assert "called left wrist occluded in frames 4 to 6" in done.output
    with Store(path) as store:
        assert ReviewSession(store).reviewed(0).visibility[:, 1].tolist() == [2, 1, 1, 1, 2, 2]
    assert "nothing to undo" in run("undo", path).output  # not ada's
    assert "undid: called left wrist occluded" in run("undo", path, "--author", "ada").output
    with Store(path) as store:
        assert same(ReviewSession(store).reviewed(0), before)
    assert "redid" in run("redo", path, "--author", "ada").output
    with Store(path) as store:
        assert len(store.events()) == 3


def test_the_queue_is_json(tmp_path):
    path = tmp_path / "people.diffpose"
    project(path, predictions(skeleton=HALPE26)).close()

    answer = json.loads(run("queue", path, "--target-px", "0.5", "--most", "2").stdout)

    assert answer["frames"] == 6
    assert answer["clicks_left"] > 0
    assert {item["track_id"] for item in answer["items"]} == {0}
    assert len(answer["items"]) == 2


def test_a_wrong_correction_is_named_and_those_before_it_are_kept(tmp_path, path):
    done = run("apply", path, corrections(tmp_path, HIDE, {**HIDE, "frames": [15]}))

    assert done.exit_code == 2
    assert "Correction 2 of 2: Track 0 has no pose in frame 16" in done.output
    with Store(path) as store:
        assert len(store.events()) == 1


def test_a_copy_holds_what_is_not_yet_in_the_file(tmp_path, path):
    with Store(path) as store:
        ReviewSession(store).apply(HIDE_ACTION)  # in the log beside the file, not yet in it
        assert run("copy", path, "-o", tmp_path / "b.diffpose").exit_code == 0

    with Store(tmp_path / "b.diffpose", read_only=True) as copied:
        assert [e.action for e in copied.events()] == [HIDE_ACTION]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("{}", "a list of actions"), (None, "Cannot read")],
)
def test_what_is_no_list_of_corrections_is_one_line(tmp_path, path, text, message):
    file = tmp_path / "x.json"
    if text is not None:
        file.write_text(text)

    done = run("apply", path, file)

    assert done.exit_code == 2
    assert message in done.output
    assert run("queue", tmp_path / "none.diffpose").exit_code == 2


def test_adapting_needs_the_video_and_can_be_taken_back(path):
    with Store(path) as store:
        session = ReviewSession(store)
        before = session.reviewed(0)
        take_up(session, AdaptedModel("x", "base", b""), [predictions(seed=3)], provenances={})

    done = run("adapt", path)
    assert done.exit_code == 2
    assert "name it with --video" in done.output

    assert run("adapt", path, "--undo").exit_code == 0
    with Store(path) as store:
        assert same(ReviewSession(store).reviewed(0), before)
    assert "already" in run("adapt", path, "--undo").output
