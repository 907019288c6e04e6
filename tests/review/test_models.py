"""Adapted tensors in a project: in force, after a restart, and taken back to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from diffpose.errors import ProjectError
from diffpose.poses import Provenance
from diffpose.review.adapting import return_to_shipped, take_up
from diffpose.review.database import Database
from diffpose.review.events import Confirm, Move
from diffpose.review.learning import lessons_of
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.skeleton import HALPE26
from tests.review.review_objects import predictions, project, same

MODEL = AdaptedModel("abc", "shipped", b"\x00tensors", {"before_px": 9.1})
MADE = {0: Provenance("small", "shipped-adapted-abc", 4, 8, 0)}


def test_returning_to_the_shipped_model_brings_its_predictions_back_bit_for_bit(tmp_path):
    path = tmp_path / "a.diffpose"
    session = ReviewSession(project(path))
    session.apply(Move(0, 3, 1, (50.0, 60.0)))
    before = session.reviewed(0)
    better = [predictions(seed=1), predictions(seed=2)]

    for sequence in better:  # adapting twice leads back to the same place
        take_up(session, MODEL, [sequence], provenances=MADE)
    assert np.array_equal(session.reviewed(0).poses.keypoints[0], better[1].keypoints[0])
    assert session.reviewed(0).poses.keypoints[1, 1].tolist() == [50, 60]
    session.store.close()

    with Store(path) as store:
        assert store.models.adapted() == replace(MODEL, earlier={0: 1})
        assert list(store.models.made(0).values()) == ["", MADE[0].weights, MADE[0].weights]
        session = ReviewSession(store)
        return_to_shipped(session)
        assert same(session.reviewed(0), before)
        assert store.models.adapted() is None
        with pytest.raises(ProjectError, match="already"):
            return_to_shipped(session)


@pytest.mark.parametrize("step", [take_up, return_to_shipped])
def test_a_failure_before_any_write_leaves_file_and_session_as_they_were(
    tmp_path, monkeypatch, step
):
    session = ReviewSession(project(tmp_path / "a.diffpose", predictions(0), predictions(1)))
    arguments = ([predictions(0, seed=1), predictions(1, seed=1)],)
    if step is return_to_shipped:
        take_up(session, MODEL, *arguments, provenances=MADE)
    before = [session.reviewed(track_id) for track_id in (0, 1)]
    model, revision = session.store.models.adapted(), session.store.revision
    real, left = Database.execute, 0

    def failing(database, *statement):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("the disk went away")
        return real(database, *statement)

    monkeypatch.setattr(Database, "execute", failing)
    for number in range(100):
        left = number
        try:
            if step is take_up:
                take_up(session, MODEL, *arguments, provenances=MADE)
            else:
                return_to_shipped(session)
            break
        except OSError:
            after = [session.reviewed(track_id) for track_id in (0, 1)]
            assert all(same(a, b) for a, b in zip(after, before, strict=True))
            assert (session.store.models.adapted(), session.store.revision) == (model, revision)

    assert number > 4
    assert session.store.revision == revision + 2
    left = 100
    session.apply(Move(1, 3, 1, (50.0, 60.0)))
    assert session.reviewed(1).poses.keypoints[1, 1].tolist() == [50, 60]


def test_lessons_are_what_was_placed_and_what_was_confirmed(tmp_path):
    session = ReviewSession(project(tmp_path / "a.diffpose", predictions(skeleton=HALPE26)))
    session.apply(Move(0, 3, 9, (50.0, 60.0)))
    session.apply(Move(0, 5, 9, (70.0, 60.0)))
    session.apply(Confirm(0, (5,)))

    lessons = lessons_of(session.reviewed(0))

    assert lessons.frames.tolist() == [3, 5]
    assert np.isfinite(lessons.truths).all(-1).sum(1).tolist() == [1, 26]
    assert lessons.truths[0, 9].tolist() == [50, 60]
    assert lessons.tolerances[:, 9].tolist() == [0, 0]
    assert (np.delete(lessons.tolerances[1], 9) > 0).all()
