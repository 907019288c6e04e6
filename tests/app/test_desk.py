"""The review desk without a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import finding
from app.desk import answers, handlers, views
from app.desk.shelf import words_for
from app.payloads import parse_sampling, parse_visitor
from app.session import Session
from app.settings import read_settings
from diffpose.errors import InputError, ProjectError
from diffpose.review.store import Store
from tests.app.figures import ANKLE, NUM_FRAMES, Served, finish

WRIST = 10


def opened(figures: Served, page: str = "page", owner: str = "me") -> Session:
    from app.handlers import open_example

    session = figures.workspace.open_session(page, owner=owner)
    finish(open_example(figures.workspace, session, "Two people"))
    return session


@pytest.fixture
def session(figures: Served) -> Session:
    session = opened(figures)
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 4)))
    assert session.desk is not None, session.status
    return session


def ask(figures: Served, session: Session, what: str, **fields: Any) -> dict[str, Any]:
    return answers.review(figures.workspace, {"session": session.session_id, "do": what, **fields})


def look(figures: Served, session: Session) -> dict[str, Any]:
    return ask(figures, session, "look")


def move(figures: Served, session: Session, seen: dict[str, Any], **fields: Any) -> dict[str, Any]:
    action = {"kind": "move", "track_id": 0, "frame": 5, "keypoint": WRIST, "xy": [50.0, 60.0]}
    usual = {"action": action, "revision": seen["revision"]}
    return ask(figures, session, "act", **{**usual, **fields})


def test_a_run_goes_into_a_project_by_itself(figures: Served, session: Session) -> None:
    everything = look(figures, session)["changes"]

    assert session.desk is not None
    assert session.desk.name == "Two people"
    assert [(part["track"], len(part["frames"])) for part in everything] == [(0, NUM_FRAMES)]


def test_an_answer_holds_what_changed_and_no_more(figures: Served, session: Session) -> None:
    seen = look(figures, session)

    reply = move(figures, session, seen)

    assert reply["ok"]
    assert reply["words"] == "Saved: moved right wrist in frame 6."
    (part,) = reply["changes"]
    assert part["frames"] == [5]
    assert part["poses"][0][WRIST][:2] == [50.0, 60.0]
    assert part["marks"][0][WRIST] == views.CORRECTED
    assert (reply["undo"], reply["redo"]) == (True, False)


def test_a_request_sent_twice_is_done_once(figures: Served, session: Session) -> None:
    seen = look(figures, session)

    first = move(figures, session, seen, ident="a-1")
    again = move(figures, session, seen, ident="a-1")

    assert again == first
    assert session.desk is not None
    assert len(session.desk.store.events()) == 1


def test_a_page_that_lost_an_answer_gets_everything(figures: Served, session: Session) -> None:
    seen = look(figures, session)
    move(figures, session, seen)

    reply = ask(figures, session, "undo", revision=seen["revision"])

    assert [part["whole"] for part in reply["changes"]] == [True]


def test_nobody_is_overwritten(figures: Served, session: Session) -> None:
    other = figures.workspace.open_session("other", owner="me")
    assert session.desk is not None
    finish(handlers.open_project(figures.workspace, other, session.desk.project))
    seen = look(figures, other)
    move(figures, session, look(figures, session))

    reply = move(figures, other, seen)

    assert (reply["ok"], reply["stale"]) == (False, True)
    assert reply["changes"][0]["frames"] == [5]
    assert move(figures, other, reply)["ok"]


def test_a_suggestion_and_an_alternative_are_shown_and_taken(
    figures: Served, session: Session
) -> None:
    seen = move(figures, session, look(figures, session))

    shown = ask(figures, session, "suggest", track=0, frame=5)["suggestion"]
    taken = ask(figures, session, "accept", revision=seen["revision"])

    assert taken["changes"][0]["frames"] == shown["frames"] == [3, 4, 5, 6, 7]
    (other,) = ask(figures, session, "alternatives", track=0, frame=9)["alternatives"]
    assert (other["words"], other["share"]) == ("left foot", 0.25)
    where = {"revision": taken["revision"]}
    reply = ask(figures, session, "take", track=0, frame=9, number=0, **where)
    assert reply["changes"][0]["marks"][0][ANKLE] == views.CORRECTED


@pytest.mark.parametrize(
    "action",
    [
        None, {}, {"kind": "undo", "track_id": 0, "event_id": 1},
        {"kind": "move", "track_id": 0, "frame": 5, "keypoint": 99, "xy": [1, 1]},
        {"kind": "move", "track_id": 0, "frame": 999, "keypoint": 1, "xy": [1, 1]},
        {"kind": "move", "track_id": 7, "frame": 5, "keypoint": 1, "xy": [1, 1]},
        {"kind": "move", "track_id": 0, "frame": 5, "keypoint": 1, "xy": [float("nan"), 1]},
        {"kind": "move", "track_id": 0, "frame": 5, "keypoint": 1, "xy": [-900, 1]},
        {"kind": "swap", "track_id": 0, "first": 9, "last": 3},
    ],
)  # fmt: skip
def test_a_senseless_correction_gets_a_sentence(
    figures: Served, session: Session, action: Any
) -> None:
    look(figures, session)

    reply = ask(figures, session, "act", action=action, revision=None)

    assert not reply["ok"]
    assert reply["words"].endswith((".", "it."))
    assert session.desk is not None
    assert session.desk.store.events() == []


def test_the_queue_shrinks_with_a_confirmation(figures: Served, session: Session) -> None:
    seen = look(figures, session)
    before = ask(figures, session, "queue", target=2)

    frames = [item["frame"] for item in before["items"]]
    confirm = {"kind": "confirm", "track_id": 0, "frames": frames[:3]}
    move(figures, session, seen, action=confirm)

    after = ask(figures, session, "queue", target=2)
    assert not set(frames[:3]) & {item["frame"] for item in after["items"]}
    assert after["left"] <= before["left"]


def test_a_project_opens_as_it_was_left(figures: Served, session: Session) -> None:
    assert session.desk is not None
    project = session.desk.project
    move(figures, session, look(figures, session))
    session.remove()

    later = figures.workspace.open_session("later", owner="me")
    finish(handlers.open_project(figures.workspace, later, project))

    assert later.status.kind == "done", later.status
    assert later.clip is not None
    assert sorted(later.clip.tracks) == [0]
    reply = look(figures, later)
    assert reply["undo"]
    assert reply["changes"][0]["poses"][5][WRIST][:2] == [50.0, 60.0]
    sequences = later.sequences()
    assert np.allclose(sequences[0].keypoints[5, WRIST], (50, 60))


def test_a_second_run_keeps_the_corrections(figures: Served, session: Session) -> None:
    move(figures, session, look(figures, session))

    finish(finding.find_poses(figures.workspace, session, parse_sampling(8, 4)))

    assert len(figures.workspace.shelf("me").projects()) == 1
    assert look(figures, session)["changes"][0]["poses"][5][WRIST][:2] == [50.0, 60.0]


def test_another_owner_sees_nothing(figures: Served, session: Session) -> None:
    stranger = opened(figures, "stranger", owner="someone-else")
    assert session.desk is not None

    finish(handlers.open_project(figures.workspace, stranger, session.desk.project))

    assert stranger.status.words.startswith("There is no such project")
    listed = answers.projects(figures.workspace, {"session": stranger.session_id, "do": "list"})
    assert listed == {"ok": True, "projects": []}


def test_an_upload_stays_with_its_project_and_is_asked_for_when_gone(
    figures: Served, clip_path: Path
) -> None:
    session = figures.workspace.open_session("page", owner="me")
    upload = figures.workspace.uploads / "mine.mp4"
    shutil.copyfile(clip_path, upload)
    finish(handlers.open_upload(figures.workspace, session, str(upload)))
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert session.desk is not None
    project = session.desk.project
    video = session.desk.store.videos()[0].path
    session.remove()
    assert video.exists()

    video.unlink()
    later = figures.workspace.open_session("later", owner="me")
    finish(handlers.open_project(figures.workspace, later, project))
    assert "Upload it, and the project opens." in later.status.words
    shutil.copyfile(clip_path, upload)
    finish(handlers.open_upload(figures.workspace, later, str(upload)))

    assert later.desk is not None, later.status
    assert later.desk.project == project


def wanted(figures: Served, session: Session, **fields: Any) -> dict[str, Any]:
    return answers.projects(figures.workspace, {"session": session.session_id, **fields})


def test_a_downloaded_project_opens_in_another_browser(
    figures: Served, session: Session, tmp_path: Path
) -> None:
    assert session.desk is not None
    move(figures, session, look(figures, session))  # in the log beside the file, not yet in it

    reply = wanted(figures, session, do="download", project=session.desk.project)

    assert reply["name"] == "Two people.diffpose"
    file = Path(reply["path"])
    assert file.is_relative_to(session.folder)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert str(figures.workspace.settings.examples).encode() not in file.read_bytes()
    upload = figures.workspace.uploads / file.name
    shutil.copyfile(file, upload)
    other = figures.workspace.open_session("other", owner="someone-else")
    finish(handlers.open_upload(figures.workspace, other, str(upload)))
    assert other.status.kind == "done", other.status
    assert look(figures, other)["changes"][0]["poses"][5][WRIST][:2] == [50.0, 60.0]
    session.remove()
    assert not file.exists()


def test_nobody_downloads_the_project_of_another(figures: Served, session: Session) -> None:
    stranger = opened(figures, "stranger", owner="someone-else")
    assert session.desk is not None

    reply = wanted(figures, stranger, do="download", project=session.desk.project)

    assert (reply["ok"], "path" in reply) == (False, False)
    assert not list(stranger.folder.rglob("*.diffpose"))


def test_a_strangers_project_file_opens_no_file_of_this_machine(
    figures: Served, session: Session, clip_path: Path, tmp_path: Path
) -> None:
    secret = Path(shutil.copyfile(clip_path, tmp_path / "secret.mp4"))
    assert session.desk is not None
    reply = wanted(figures, session, do="download", project=session.desk.project)
    upload = Path(shutil.copyfile(reply["path"], figures.workspace.uploads / "a.diffpose"))
    with Store(upload) as store:
        store.add_video(replace(store.videos()[0], path=secret))
    other = figures.workspace.open_session("other", owner="someone-else")

    finish(handlers.open_upload(figures.workspace, other, str(upload)))

    assert other.clip is None
    assert other.status.words.endswith("Upload it, and the project opens.")
    assert str(tmp_path) not in other.status.words


def test_a_video_that_changed_is_not_taken_for_the_old_one(
    figures: Served, clip_path: Path
) -> None:
    session = figures.workspace.open_session("page", owner="me")
    upload = shutil.copyfile(clip_path, figures.workspace.uploads / "mine.mp4")
    finish(handlers.open_upload(figures.workspace, session, str(upload)))
    finish(finding.find_poses(figures.workspace, session, parse_sampling(1, 1)))
    assert session.desk is not None
    project, video = session.desk.project, session.desk.store.videos()[0].path
    session.remove()
    with video.open("ab") as file:
        file.write(b"other")

    later = figures.workspace.open_session("later", owner="me")
    finish(handlers.open_project(figures.workspace, later, project))

    assert later.desk is None
    assert "has changed" in later.status.words


def test_names_of_projects_cannot_leave_their_folder(figures: Served, session: Session) -> None:
    shelf = figures.workspace.shelf("me")
    for name in ("../../etc/passwd", "", "x" * 500):
        with pytest.raises(InputError):
            shelf.path(name)


def test_words_never_name_the_servers_folders() -> None:
    error = ProjectError("/srv/p/walk.diffpose was deleted.")

    assert words_for(error, [Path("/srv/p")]) == "walk.diffpose was deleted."


@pytest.mark.parametrize("text", ["", "[]", "{", '{"key": "short"}', None])
def test_a_browser_that_remembers_nothing_is_nobody(text: Any) -> None:
    assert parse_visitor(text).key == ""


def test_projects_are_shared_only_on_ones_own_machine() -> None:
    assert read_settings([], {}).shared_projects
    assert not read_settings(["--host", "0.0.0.0"], {}).shared_projects
    assert not read_settings([], {"GRADIO_SERVER_NAME": "0.0.0.0"}).shared_projects
    assert read_settings(["--host", "0.0.0.0", "--shared-projects"], {}).shared_projects
