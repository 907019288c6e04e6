"""Adapting in the app, with a stand-in for the training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app import finding
from app.desk import adapting, answers, handlers
from app.handlers import open_example
from app.payloads import parse_sampling
from app.session import Session
from diffpose.inference.adapt import Adapted
from diffpose.review.events import Move
from diffpose.skeleton import HALPE26
from tests.app.figures import STEP, Served, finish, moved_by_ten

GOOD = Adapted({}, frames=9, steps=30, before_px=9.1, after_px=7.4, change_px=(-2.0, -1.0))
BAD = replace(GOOD, after_px=9.3, change_px=(-0.5, 0.9))


@pytest.fixture
def session(figures: Served) -> Session:
    session = figures.workspace.open_session("page", owner="me")
    finish(open_example(figures.workspace, session, "Two people"))
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 4)))
    return session


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Adapted]:
    """What training gives, settable; the adapted model says everything 10 px further right."""
    answer = [GOOD]
    monkeypatch.setattr(adapting, "_learn", lambda workspace, session: answer[0])

    monkeypatch.setattr(adapting, "_put_in_force", moved_by_ten)
    return answer


def queue(figures: Served, session: Session) -> dict[str, Any]:
    fields = {"session": session.session_id, "do": "queue", "target": 5}
    return answers.review(figures.workspace, fields)


def model(session: Session) -> Any:
    return session.view(HALPE26)["model"]


def points(session: Session) -> Any:
    assert session.desk is not None
    return session.desk.review.reviewed(0).poses.keypoints


def test_adapting_renews_the_poses_and_one_click_brings_the_old_ones_back(
    figures: Served, session: Session, taught: list[Adapted]
) -> None:
    assert session.desk is not None
    assert session.clip is not None
    session.desk.review.apply(Move(0, 5, 9, (50.0, 60.0)))
    before, seen = points(session), session.desk.store.revision
    session.desk.change("look", {})
    assert queue(figures, session)["adapted"] is None
    assert model(session) == {"words": "Shipped model", "adapted": False}

    finish(adapting.adapt(figures.workspace, session))

    assert model(session) == {
        "words": "Adapted to this project: held-out error 9.1 → 7.4 px", "adapted": True,
    }  # fmt: skip
    looked = session.desk.change("look", {"revision": seen})
    assert looked["changes"]
    assert "words" not in looked  # it was this page, nobody elsewhere
    assert "9.1 → 7.4 px (9 frames" in session.status.words
    assert queue(figures, session)["adapted"] == GOOD.words
    assert np.array_equal(points(session)[0], before[0] + STEP)
    assert points(session)[5, 9].tolist() == [50, 60]
    assert session.clip.adapted is not None
    assert looked["revision"] > seen

    finish(adapting.go_back(session))

    assert np.array_equal(points(session), before)
    assert session.clip.adapted is None
    assert not model(session)["adapted"]
    assert queue(figures, session)["adapted"] is None


def test_what_does_not_help_is_not_used_unless_somebody_insists(
    figures: Served, session: Session, taught: list[Adapted]
) -> None:
    before, taught[0] = points(session), BAD

    finish(adapting.adapt(figures.workspace, session))

    assert "does not help" in session.status.words
    assert "The shipped model stays." in session.status.words
    assert queue(figures, session)["offered"]
    assert np.array_equal(points(session), before)

    finish(adapting.adapt(figures.workspace, session, anyway=True))

    assert not queue(figures, session)["offered"]
    assert np.array_equal(points(session), before + STEP)
    assert "no gain beyond chance: held-out error 9.1 → 9.3 px" in model(session)["words"]


def test_a_second_page_follows_the_model_that_the_first_has_put_in_force(
    figures: Served, session: Session, taught: list[Adapted], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.desk is not None
    other = figures.workspace.open_session("other", owner="me")
    finish(handlers.open_project(figures.workspace, other, session.desk.project))
    assert other.clip is not None
    look = {"session": other.session_id, "do": "look"}
    monkeypatch.setattr(adapting, "_shipped", lambda workspace: "shipped")
    monkeypatch.setattr("diffpose.workflow.adapting.model_of", lambda review, shipped: "adapted")

    finish(adapting.adapt(figures.workspace, session))
    reply = answers.review(figures.workspace, look)

    assert reply["model"] == model(session) == model(other)
    assert reply["model"]["adapted"]
    assert other.clip.adapted == "adapted"

    finish(adapting.go_back(session))

    assert answers.review(figures.workspace, look)["model"]["words"] == "Shipped model"
    assert other.clip.adapted is None


def test_a_model_that_cannot_be_adapted_is_refused(figures: Served, session: Session) -> None:
    finish(adapting.adapt(figures.workspace, session))

    assert session.status.kind == "error"
    assert "cannot be adapted" in session.status.words


def test_a_project_adapted_to_other_weights_opens_with_the_shipped_model(
    figures: Served, session: Session, taught: list[Adapted]
) -> None:
    finish(adapting.adapt(figures.workspace, session))
    assert session.desk is not None

    finish(handlers.open_project(figures.workspace, session, session.desk.project))

    assert "the shipped model is used" in session.status.words
    assert session.clip is not None
    assert session.clip.adapted is None
    assert model(session) == {"words": "Shipped model", "adapted": False}
    assert queue(figures, session)["adapted"] == GOOD.words
