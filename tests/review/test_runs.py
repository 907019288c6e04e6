"""Poses that go into the project as they are found: nothing acknowledged is ever lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffpose.errors import ProjectError
from diffpose.poses import Provenance
from diffpose.review.events import Action, Confirm, Move, Swap
from diffpose.review.foreign import import_project
from diffpose.review.provenance import other_weights, provenance_of
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from tests.review.review_objects import COUNT, FIRST, VIDEO_ID, clock, predictions, project, same

OLD, NEW = (Provenance("m", weights, 4, 8, 0) for weights in ("old", "new"))
FRAMES = range(FIRST, FIRST + COUNT)


def parts(poses, size=2):
    return [poses.rows(slice(i, i + size)) for i in range(0, len(poses), size)]


@pytest.fixture
def session(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.add_predictions(predictions(), video_id=VIDEO_ID, provenance=OLD)
        yield ReviewSession(store)


def start(session, **more):
    return session.start_run(0, video_id=VIDEO_ID, provenance=NEW, **more)


def test_every_part_is_there_for_others_when_it_was_added(session):
    new, other = predictions(seed=1), ReviewSession(session.store)
    run = start(session)

    for number, part in enumerate(parts(new), start=1):
        before = session.store.revision
        run.add(part)
        done = 2 * number
        shown = other.reviewed(0).poses
        assert session.store.revision > before
        assert np.array_equal(shown.keypoints[:done], new.keypoints[:done])
        assert np.array_equal(shown.keypoints[done:], predictions().keypoints[done:])
    assert run.count == len(new)


def test_a_run_in_parts_is_the_run_as_a_whole(tmp_path):
    log: list[Action] = [
        Move(0, 3, 1, (5, 5)),
        Confirm(0, (4, 7)),
        Swap(0, 5, 6),
        Move(0, 5, 2, (9, 1)),
    ]
    results = []
    for name in ("parts", "whole"):
        with project(tmp_path / f"{name}.diffpose") as store:
            session = ReviewSession(store)
            for action in log:
                session.apply(action)
            new = predictions(seed=3).rows(slice(0, COUNT - 2))  # the last frames lose their poses
            if name == "whole":
                session.replace_predictions(new)
            else:
                run = start(session)
                for part in parts(new):
                    run.add(part)
                run.finish()
            results.append(session.reviewed(0))
    assert same(*results)
    assert results[0].poses.frames.tolist() == [2, 3, 4, 5, 7]  # 7 is confirmed


def test_a_stopped_run_leaves_no_gap_and_says_what_is_whose(session):
    new = predictions(seed=1)
    start(session).add(new.rows(slice(0, 2)))

    poses, made = session.store.predictions(0), session.store.provenance(0)

    assert poses.frames.tolist() == list(FRAMES)
    assert np.array_equal(poses.keypoints[:2], new.keypoints[:2])
    assert made.weights == "new"
    (earlier,) = made.extra["earlier"]
    assert (earlier["after_frame"], earlier["weights"]) == (FIRST + 1, "old")
    assert other_weights(session.store, 0, "new") == ("old",)
    assert other_weights(session.store, 0, "old") == ("new",)


def test_a_finished_run_is_nobody_elses(session):
    run = start(session)
    run.add(predictions(seed=1))
    run.finish()

    assert session.store.provenance(0) == NEW
    assert other_weights(session.store, 0, "new") == ()


def test_a_run_begun_anew_shows_nothing_from_before(session):
    start(session, from_scratch=True).add(predictions(seed=1).rows(slice(0, 2)))

    assert session.store.predictions(0).frames.tolist() == [FIRST, FIRST + 1]


def test_a_correction_made_during_a_run_stays(session):
    new = predictions(seed=1)
    run = start(session)
    run.add(new.rows(slice(0, 2)))
    ReviewSession(session.store, author="bob").apply(Confirm(0, (FIRST + 2,)))

    run.add(new.rows(slice(2, COUNT)))
    run.finish()

    shown = session.reviewed(0)
    assert shown.confirmed.tolist() == [False, False, True, False, False, False]
    assert np.array_equal(shown.poses.keypoints[2], predictions().keypoints[2])


def test_of_two_runs_the_later_one_goes_on(session):
    first, second = start(session), start(session)
    first.add(predictions(seed=1).rows(slice(0, 2)))
    second.add(predictions(seed=2).rows(slice(0, 2)))

    with pytest.raises(ProjectError, match="changed elsewhere"):
        first.add(predictions(seed=1).rows(slice(2, 4)))
    second.add(predictions(seed=2).rows(slice(2, 4)))


def test_tracks_of_different_models_are_named_one_by_one(session):
    session.store.add_predictions(predictions(1), video_id=VIDEO_ID, provenance=NEW)
    session.store.add_predictions(predictions(2), video_id=VIDEO_ID)

    made = provenance_of(session.store, [0, 1])

    assert (made.model, made.weights, made.num_steps) == ("m", "old, new", 4)
    assert made.extra["tracks"]["1"]["weights"] == "new"
    assert provenance_of(session.store, [0]) == OLD
    assert provenance_of(session.store, [0, 2]).num_steps == 0


def test_a_stopped_run_goes_along_into_another_folder(session, tmp_path):
    start(session).add(predictions(seed=1).rows(slice(0, 2)))
    session.store.checkpoint()

    with Store(import_project(session.store.path, tmp_path), read_only=True) as copy:
        assert copy.predictions(0).frames.tolist() == list(FRAMES)
        assert copy.provenance(0) == session.store.provenance(0)


_KILLED = """
import os, signal, sys
from pathlib import Path
from diffpose.review.session import ReviewSession
from tests.review.review_objects import VIDEO_ID, predictions, project
from tests.review.test_runs import parts

with project(Path(sys.argv[1])) as store:
    run = ReviewSession(store).start_run(7, video_id=VIDEO_ID)
    for part in parts(predictions(7))[:2]:
        run.add(part)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_keeps_its_finished_parts(tmp_path):
    root, path = Path(__file__).parents[2], tmp_path / "a.diffpose"
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path)], cwd=root, timeout=500,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL

    with Store(path, clock=clock) as store:
        assert store.predictions(7).frames.tolist() == list(FRAMES)[:4]
