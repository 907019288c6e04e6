"""A visitor's actions without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import handlers
from app.payloads import DrawnBox, parse_sampling
from app.session import Session
from diffpose.errors import InputError
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


def test_found_poses_can_be_fetched_in_parts(figures: Served, session: Session) -> None:
    finish(handlers.find_poses(figures.workspace, session, parse_sampling(4, 8)))

    assert session.clip is not None
    listing = session.clip.poses_listing()["0"]
    parts = [
        json.loads(Path(f"{listing['base']}{part}.json").read_text())
        for part in range(listing["parts"])
    ]
    assert len(parts) > 1
    assert sorted(frame for part in parts for frame in part["frames"]) == list(range(NUM_FRAMES))
    assert all(len(pose) == 26 for part in parts for pose in part["poses"])


def test_the_live_answer_is_the_pose_of_the_run(figures: Served, session: Session) -> None:
    finish(handlers.find_poses(figures.workspace, session, parse_sampling(4, 8)))
    assert session.clip is not None

    answer = handlers.resample(figures.workspace, wish(session))

    assert answer["ok"], answer
    stored = session.clip.poses[0].by_frame[5][0]
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
    finish(handlers.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert session.clip is not None

    handlers.draw_box(session, DrawnBox(frame=5, track=0, box=(100.0, 50.0, 300.0, 350.0)))

    kept = session.clip.poses[0].by_frame
    assert 5 not in kept
    assert NUM_FRAMES - 1 in kept
    finish(handlers.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert len(session.clip.poses[0].by_frame) == NUM_FRAMES


def test_one_drawn_box_is_followed_through_the_clip(figures: Served, session: Session) -> None:
    handlers.draw_box(session, DrawnBox(frame=10, track=None, box=(100.0, 50.0, 220.0, 350.0)))
    assert session.clip is not None
    person = session.person
    assert person is not None
    before = session.clip.tracks[person].boxes

    finish(handlers.find_poses(figures.workspace, session, parse_sampling(1, 1)))

    after = session.clip.tracks[person]
    assert len(session.clip.poses[person].by_frame) == len(after.frames)
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
    finish(handlers.export(figures.workspace, session, "CSV"))

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
    first = handlers.find_poses(figures.workspace, session, parse_sampling(1, 1))
    next(first)

    second = handlers.export(figures.workspace, session, "CSV")
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
    finish(handlers.find_poses(figures.workspace, session, parse_sampling(1, 1)))

    assert session.status.kind == "error"
    assert session.status.words.startswith("Something went wrong")
