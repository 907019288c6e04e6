"""A visitor's actions without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import exporting, finding, handlers
from app.payloads import DrawnBox, parse_sampling
from app.session import Session
from diffpose.errors import InputError, ProjectError
from tests.app.figures import NUM_FRAMES, Served, figure_boxes, finish


@pytest.fixture
def session(figures: Served) -> Session:
    session = figures.workspace.open_session("page")
    finish(handlers.open_example(figures.workspace, session, "Two people"))
    assert session.status.kind == "done", session.status
    return session


def wish(of: Session, **changes: Any) -> dict[str, Any]:
    assert of.clip is not None
    base = {
        "session": of.session_id, "sequence": 1, "clip": of.clip.clip_id, "track": 0,
        "frame": 5, "keypoint": 0, "steps": 4, "hypotheses": 8,
    }  # fmt: skip
    return {**base, **changes}


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_example_has_a_picture_a_frame_and_its_people(session: Session) -> None:
    clip = session.clip
    assert clip is not None

    assert len(list(clip.frames_folder.glob("*.jpg"))) == clip.ready == NUM_FRAMES
    assert sorted(clip.tracks) == [0, 1]
    assert np.allclose(clip.tracks[0].boxes[20], figure_boxes(20)[0], atol=4)
    assert session.person == 0


def test_poses_are_in_the_project_and_told_while_others_are_being_found(
    figures: Served, session: Session
) -> None:
    figures.estimator.hold_after(1)
    job = finding.find_poses(figures.workspace, session, parse_sampling(4, 8))
    for _ in job:
        view = session.view(figures.estimator.skeleton)["project"]
        if view is not None:
            break
    desk = session.require_desk()
    first = desk.change("look", {}, busy=True)
    figures.estimator.gate.set()
    finish(job)

    rest = desk.change("look", {"revision": first["revision"]})

    (shown,), (new,) = first["changes"], rest["changes"]
    assert 0 < len(shown["frames"]) < NUM_FRAMES
    assert (shown["whole"], new["whole"], new["gone"]) == (True, False, [])
    assert shown["frames"] + new["frames"] == list(range(NUM_FRAMES))
    assert all(len(pose) == 26 for pose in new["poses"])
    assert "words" not in rest  # it was this page, nobody elsewhere


def test_a_clip_has_a_project_that_nobody_sees_before_there_are_poses(
    figures: Served, session: Session
) -> None:
    desk = session.require_desk()
    assert desk.store.path.is_relative_to(session.private)
    assert session.view(figures.estimator.skeleton)["project"] is None
    assert figures.workspace.shelf("").projects() == []

    finish(finding.find_poses(figures.workspace, session, parse_sampling(4, 8)))

    (listed,) = figures.workspace.shelf("").projects()
    assert session.require_desk().store.path == listed.path
    assert not desk.store.path.exists()


def test_poses_that_cannot_be_listed_are_kept_as_long_as_the_page(
    figures: Served, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise ProjectError("The disk is full.")

    monkeypatch.setattr("app.desk.shelf.copy_project", full)
    finish(finding.find_poses(figures.workspace, session, parse_sampling(4, 8)))

    assert session.status.words.endswith("as long as this page only: The disk is full.")
    assert [len(poses) for poses in session.sequences()] == [NUM_FRAMES]
    monkeypatch.undo()
    finish(finding.find_poses(figures.workspace, session, parse_sampling(4, 8)))
    assert len(figures.workspace.shelf("").projects()) == 1


def test_the_live_answer_is_the_pose_of_the_run(figures: Served, session: Session) -> None:
    finish(finding.find_poses(figures.workspace, session, parse_sampling(4, 8)))
    assert session.clip is not None

    answer = handlers.resample(figures.workspace, wish(session))

    assert answer["ok"], answer
    stored = session.sequences()[0].keypoints[5]
    assert np.allclose([row[:2] for row in answer["pose"]], stored, atol=0.01)


def test_another_setting_of_a_frame_runs_the_decoder_only(
    figures: Served, session: Session
) -> None:
    handlers.resample(figures.workspace, wish(session))
    encoded = figures.estimator.num_encoded

    answer = handlers.resample(figures.workspace, wish(session, steps=9, hypotheses=3, keypoint=4))

    assert answer["ok"]
    assert figures.estimator.num_encoded == encoded
    assert len(answer["ghosts"]) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"session": "nobody"}, {"clip": "another"}, {"track": 9}, {"frame": 40}, {"keypoint": 26},
        {"steps": 99}, {"hypotheses": 0},
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_granted_gets_a_sentence_and_its_number(
    figures: Served, session: Session, changes: dict[str, Any]
) -> None:
    answer = handlers.resample(figures.workspace, wish(session, sequence=12, **changes))

    assert not answer["ok"]
    assert answer["sequence"] == 12
    assert answer["error"].endswith(".")


def test_a_corrected_box_drops_the_poses_it_touches(figures: Served, session: Session) -> None:
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert session.clip is not None

    handlers.draw_box(session, DrawnBox(frame=5, track=0, box=(100.0, 50.0, 300.0, 350.0)))

    kept = session.sequences()[0].frames
    assert 5 not in kept
    assert NUM_FRAMES - 1 in kept
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert len(session.sequences()[0]) == NUM_FRAMES


def test_one_drawn_box_is_followed_through_the_clip(figures: Served, session: Session) -> None:
    handlers.draw_box(session, DrawnBox(frame=10, track=None, box=(100.0, 50.0, 220.0, 350.0)))
    assert session.clip is not None
    person = session.person
    assert person is not None
    before = session.clip.tracks[person].boxes

    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))

    after = session.clip.tracks[person]
    assert [len(poses) for poses in session.sequences()] == [len(after.frames)]
    np.testing.assert_allclose(after.boxes[after.frames == 10], [[100, 50, 220, 350]])
    # The stand-in's figure does not fill its box, so the box does not stay as drawn.
    assert np.abs(after.boxes[-1] - before[-1]).max() > 2


@pytest.mark.parametrize(
    "drawn",
    [
        DrawnBox(frame=400, track=None, box=(0, 0, 50, 50)),
        DrawnBox(frame=0, track=7, box=(0, 0, 50, 50)),
        DrawnBox(frame=0, track=None, box=(900, 900, 950, 950)),
    ],
)
def test_a_senseless_box_is_refused(session: Session, drawn: DrawnBox) -> None:
    with pytest.raises(InputError, match=r"[.]$"):
        handlers.draw_box(session, drawn)


def test_nothing_can_be_exported_before_poses_are_found(figures: Served, session: Session) -> None:
    finish(exporting.export(session, "csv"))

    assert session.status.kind == "error"
    assert session.status.words == "There are no poses yet; press Find poses first."


def test_an_upload_leaves_the_public_folders(
    figures: Served, session: Session, clip_path: Path
) -> None:
    upload = figures.workspace.uploads / "mine.mp4"
    upload.write_bytes(clip_path.read_bytes())

    finish(handlers.open_upload(figures.workspace, session, str(upload)))

    assert session.status.kind == "done"
    assert not [path for path in files_under(session.folder) if path.suffix == ".mp4"]


def test_a_bad_upload_keeps_the_clip_before(
    figures: Served, session: Session, tmp_path: Path
) -> None:
    before = session.clip
    upload = tmp_path / "notes.mp4"
    upload.write_text("no video")

    finish(handlers.open_upload(figures.workspace, session, str(upload)))

    assert session.status.kind == "error"
    assert "\n" not in session.status.words
    assert session.clip is before


def test_a_second_job_waits_its_turn(figures: Served, session: Session) -> None:
    figures.estimator.hold_after(0)
    first = finding.find_poses(figures.workspace, session, parse_sampling(1, 1))
    next(first)

    second = exporting.export(session, "csv")
    finish(second)

    assert "press Cancel first" in session.status.words
    handlers.cancel(session)
    figures.estimator.gate.set()
    finish(first)
    assert "Cancelled" in session.status.words


def test_a_failure_of_ours_is_one_sentence_too(
    figures: Served, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(figures.estimator, "sample", fail)
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))

    assert session.status.kind == "error"
    assert session.status.words.startswith("Something went wrong")
