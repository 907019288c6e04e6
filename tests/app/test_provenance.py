"""What made the poses: the project says it, track by track, whatever model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import exporting, handlers
from app.desk import answers
from app.desk.handlers import open_project
from app.finding import find_poses
from app.measure.handlers import Choices, measure_person, write_report
from app.payloads import parse_sampling
from app.session import Session
from diffpose.formats.native import read_native
from diffpose.poses import Provenance
from tests.app.figures import Served, finish

OLD, NEW = "old-weights", "new-weights"
NOTICE = "were found with other weights (old-weights); press Find poses to find them again."


def found_with(figures: Served, weights: str) -> Session:
    """A session whose first person has poses by a model of these weights."""
    figures.estimator.weights_hash = weights
    session = figures.workspace.open_session(weights, owner="me")
    finish(handlers.open_example(figures.workspace, session, "Two people"))
    finish(find_poses(figures.workspace, session, parse_sampling(3, 5)))
    assert session.desk is not None, session.status
    return session


@pytest.fixture
def reopened(figures: Served) -> Session:
    """A project of the old weights, open in an app that has loaded the new ones."""
    first = found_with(figures, OLD)
    assert first.desk is not None
    project = first.desk.project
    first.remove()
    figures.estimator.weights_hash = NEW
    session = figures.workspace.open_session("later", owner="me")
    finish(open_project(figures.workspace, session, project))
    assert session.desk is not None, session.status
    return session


def exported(session: Session) -> Provenance:
    finish(exporting.export(session, "json"))
    assert session.download is not None, session.status
    return read_native(Path(session.download["path"])).provenance


def ask(figures: Served, session: Session, what: str, **fields: Any) -> dict[str, Any]:
    return answers.review(figures.workspace, {"session": session.session_id, "do": what, **fields})


def live(figures: Served, session: Session) -> dict[str, Any]:
    assert session.clip is not None
    return handlers.resample(figures.workspace, {
        "session": session.session_id, "sequence": 1, "clip": session.clip.clip_id, "track": 0,
        "frame": 5, "keypoint": 0, "steps": 4, "hypotheses": 8,
    })  # fmt: skip


def test_opening_says_that_the_poses_are_of_other_weights(reopened: Session) -> None:
    assert f"Poses of person 1 {NOTICE}" in reopened.status.words


def test_a_project_of_the_loaded_weights_opens_without_a_notice(figures: Served) -> None:
    session = found_with(figures, OLD)
    assert session.desk is not None

    finish(open_project(figures.workspace, session, session.desk.project))

    assert "other weights" not in session.status.words


def test_an_export_names_the_weights_that_made_the_poses(
    figures: Served, reopened: Session
) -> None:
    made = exported(reopened)

    assert (made.weights, made.num_steps, made.num_hypotheses) == (OLD, 3, 5)


def test_a_report_names_the_weights_that_made_the_poses(figures: Served, reopened: Session) -> None:
    taken = measure_person(figures.workspace, reopened, Choices(["knee"], [], "auto", "none", 6.0))

    report = write_report(
        figures.workspace, reopened, taken, kind="html", title="", person="", remarks="", blur=False
    )

    assert OLD in report.read_text()
    assert NEW not in report.read_text()


def test_no_model_speaks_of_poses_that_another_has_found(
    figures: Served, reopened: Session
) -> None:
    said = [
        live(figures, reopened).get("error"),
        ask(figures, reopened, "suggest", track=0, frame=5).get("words"),
        ask(figures, reopened, "alternatives", track=0, frame=5).get("words"),
    ]

    assert said == [f"Poses of person 1 {NOTICE}"] * 3


def test_finding_poses_again_is_the_way_out(figures: Served, reopened: Session) -> None:
    finish(find_poses(figures.workspace, reopened, parse_sampling(4, 8)))

    assert live(figures, reopened)["ok"]
    assert ask(figures, reopened, "alternatives", track=0, frame=5)["ok"]
    assert exported(reopened).weights == NEW


def test_an_export_of_two_models_names_both_and_who_is_whose(
    figures: Served, reopened: Session
) -> None:
    assert reopened.clip is not None
    box = handlers.DrawnBox(frame=0, track=None, box=(480.0, 130.0, 590.0, 340.0))
    handlers.draw_box(reopened, box)
    finish(find_poses(figures.workspace, reopened, parse_sampling(4, 8)))

    made = exported(reopened)

    assert made.weights == f"{OLD}, {NEW}"
    assert {track: said["weights"] for track, said in made.extra["tracks"].items()} == {
        "0": OLD, "1": NEW,
    }  # fmt: skip
