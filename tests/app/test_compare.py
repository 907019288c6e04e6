"""Two sessions compared on the page: players that follow the alignment, and where sessions are."""

import errno
import json
import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import exporting, finding
from app.handlers import open_example, open_upload
from app.measure import handlers, sessions
from app.measure.handlers import Choices
from diffpose.errors import InputError, ProjectError
from diffpose.formats.exporting import EXPORT_FORMATS
from diffpose.kinematics import Event, Measurements
from diffpose.poses import SamplingConfig
from tests.app.figures import NUM_FRAMES, finish, write_clip
from tests.app.test_measure import curve

CHOICES = Choices(["knee"], [], "auto", "none", 6.0)
PLAYERS = "window.diffposePlayers.state"


def with_poses(figures: Any, owner: str = "me") -> Any:
    """A session whose example has poses of the first person, kept in a project."""
    session = figures.workspace.open_session("page", owner=owner)
    finish(open_example(figures.workspace, session, "Two people"))
    finish(finding.find_poses(figures.workspace, session, SamplingConfig(2, 4, 0)))
    return session


def read_side(side: Any) -> Any:
    return json.loads(Path(side["data"]).read_text())


def test_another_person_of_the_clip_is_shown_with_the_clip_s_own_pictures(figures: Any):
    session = with_poses(figures)
    session.choose(1)
    assert [key for _, key in sessions.second_choices(figures.workspace, session)] == [
        "person:0", sessions.FILE,
    ]  # fmt: skip
    second = sessions.find_second(figures.workspace, session, "person:0", None, CHOICES)
    assert second.player is not None
    assert second.player.folder == session.clip.frames_folder
    assert second.measured.track_id == 0


def test_a_project_of_another_video_brings_its_pictures_and_poses(figures: Any, tmp_path: Path):
    with_poses(figures).close_desk()
    session = figures.workspace.open_session("other", owner="me")
    finish(open_upload(figures.workspace, session, str(write_clip(tmp_path / "a.mp4", 12))))
    finish(finding.find_poses(figures.workspace, session, SamplingConfig(2, 4, 0)))

    choices = dict(sessions.second_choices(figures.workspace, session))
    key = choices["Project Two people"]
    second = sessions.find_second(figures.workspace, session, key, None, CHOICES)
    first = sessions.first_player(figures.workspace, session)
    view = sessions.players_view(session, [first, second.player], 0.5)

    assert [side["count"] for side in view["sides"]] == [12, NUM_FRAMES]
    assert len(list(Path(view["sides"][1]["url"]).glob("0*.jpg"))) == NUM_FRAMES
    data = read_side(view["sides"][1])
    assert len(data["times"]) == len(data["poses"]) == NUM_FRAMES
    assert len(data["poses"][0]) == len(data["skeleton"]["keypoints"]) == 26
    # The next comparison leaves no files behind.
    sessions.players_view(session, [first, None], 0.0)
    assert len(list((session.folder / "compared").glob("*.json"))) == 1


def compared_with(figures: Any, tmp_path: Path, change: str) -> Any:
    """A session with another clip, compared with a project that somebody has changed."""
    with_poses(figures).close_desk()
    (file,) = figures.workspace.shelf("me").folder.glob("*.diffpose")
    raw = sqlite3.connect(file, isolation_level=None)
    raw.executescript(f"PRAGMA foreign_keys = OFF; {change}")
    raw.close()
    session = figures.workspace.open_session("other", owner="me")
    finish(open_upload(figures.workspace, session, str(write_clip(tmp_path / "a.mp4", 12))))
    finish(finding.find_poses(figures.workspace, session, SamplingConfig(2, 4, 0)))
    return session, f"project:{file.stem}:0"


@pytest.mark.parametrize("evil", ["/nowhere/x", "../../../x", ".."])
def test_a_project_deletes_nothing_outside_its_folder(
    figures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: str
):
    change = f"UPDATE videos SET video_id = '{evil}'; UPDATE tracks SET video_id = '{evil}'"
    session, key = compared_with(figures, tmp_path, change)
    touched: list[Path] = []  # recorded, not done: this test must do no harm where it fails
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: touched.append(Path(path)))
    monkeypatch.setattr(sessions, "write_frames", lambda _, folder, **__: touched.append(folder))

    with pytest.raises(ProjectError, match="64 hexadecimal"):
        sessions.find_second(figures.workspace, session, key, None, CHOICES)

    assert touched == []


@pytest.mark.parametrize("place", ["*", "../*", "Two people.mp4"])
def test_a_video_of_other_content_is_not_shown(figures: Any, tmp_path: Path, place: str):
    claimed = "c" * 64  # no video has it
    change = f"UPDATE videos SET video_id = '{claimed}', path = '{place}'; "
    session, key = compared_with(
        figures, tmp_path, f"{change} UPDATE tracks SET video_id = '{claimed}'"
    )

    second = sessions.find_second(figures.workspace, session, key, None, CHOICES)

    assert second.player is not None
    assert second.player.folder is None


def test_a_choice_that_is_gone_is_said(figures: Any):
    session = with_poses(figures)
    for key in ("person:7", "project:none:0", sessions.FILE, "", "nonsense"):
        with pytest.raises(InputError):
            sessions.find_second(figures.workspace, session, key, None, CHOICES)


def test_saved_measurements_are_a_second_session_without_pictures(figures: Any, tmp_path: Path):
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(Measurements(0, "right", (curve(),)).to_dict()))
    session = figures.workspace.open_session("page")
    second = sessions.find_second(figures.workspace, session, sessions.FILE, saved, CHOICES)
    assert second.player is None
    assert second.measured.curves[0].name == "left_knee"
    assert sessions.players_view(session, [None, None], 0.0)["sides"] == [None, None]


def test_measurements_are_not_used_after_the_person_or_the_poses_changed(figures: Any):
    session = with_poses(figures)
    taken = handlers.measure_person(figures.workspace, session, CHOICES)
    marked = handlers.Marked((Event("a", "", 1.0, 0.9, 1.1, 20),), handlers.state_of(session)[:2])
    assert handlers.still_true(session, taken) is taken.measurements
    assert len(handlers.marked_in(session, marked)) == 1
    session.choose(1)
    with pytest.raises(InputError, match="Measure again"):
        handlers.still_true(session, taken)
    assert handlers.marked_in(session, marked) == ()
    with pytest.raises(InputError, match="Nothing is measured"):
        handlers.still_true(session, None)


def test_sessions_are_aligned_by_an_event_that_both_have():
    def session(*events: Event) -> Measurements:
        return Measurements(0, "right", (curve(),), events=events)

    first = session(Event("hop", "", 1.0, 1, 1, 1), Event("heel_strike", "left", 2.5, 2, 3, 2))
    second = session(
        Event("heel_strike", "right", 0.1, 0, 1, 1), Event("heel_strike", "left", 0.75, 0, 1, 1)
    )
    assert handlers.shared_events(first, second) == [("heel strike left", "heel_strike:left")]
    found = handlers.compare_sessions(first, second, alignment="event", event="", offset_s=9)
    assert found.offset_s == 1.75
    with pytest.raises(InputError, match="align by hand"):
        handlers.compare_sessions(first, session(), alignment="event", event="", offset_s=0)


def exported(session: Any, name: str) -> Path:
    finish(exporting.export(session, name))
    assert session.status.kind == "done", session.status
    return Path(session.download["path"])


def test_every_format_has_a_preview_of_the_files_it_writes(figures: Any):
    session = figures.workspace.open_session("page", owner="me")
    assert "press Find poses" in exporting.preview(session, "json")
    session = with_poses(figures)
    for name in EXPORT_FORMATS:
        words = exporting.preview(session, name)
        assert f"{NUM_FRAMES} poses of 1 person" in words
        assert f"{NUM_FRAMES * 26} predicted, 0 unknown" in words
        written = exported(session, name)
        names = [written.name]
        if written.suffix == ".zip":
            with zipfile.ZipFile(written) as packed:
                names = packed.namelist()
        assert f"Files: {', '.join(f'`{file}`' for file in names)}" in words, name


def test_a_disk_without_room_is_one_sentence_without_folders(
    figures: Any, monkeypatch: pytest.MonkeyPatch
):
    session = with_poses(figures)
    exported(session, "trc")
    before = sorted(path.name for path in (session.folder / "exports").iterdir())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "mkdir", full)
    for name in ("json", "trc"):
        finish(exporting.export(session, name))
        assert session.status.kind == "error"
        assert "No space left on device on the computer" in session.status.words
        assert str(session.folder) not in session.status.words
    assert sorted(path.name for path in (session.folder / "exports").iterdir()) == before


@pytest.mark.browser
def test_both_players_follow_the_alignment(served: Any, page: Any, monkeypatch: pytest.MonkeyPatch):
    # Another test may have built a page since: Gradio knows one folder of uploads a process.
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(served.workspace.uploads))
    page.goto(served.url)
    page.wait_for_function(
        "window.diffpose?.state.tracks.length > 1 && !window.diffpose.state.busy"
    )
    for person in (1, 0):
        page.locator("#canvas .dp-canvas").press("p")  # the next person
        page.wait_for_function(f"window.diffpose.state.person === {person}")
        page.click("#run")
        page.wait_for_function(
            f"window.diffpose.state.poses.get({person})?.byFrame.size === {NUM_FRAMES}"
            " && !window.diffpose.state.busy"
        )
    page.click("#measure-go")
    page.wait_for_selector('#measure-chart .dp-chart[data-drawn="1"]')

    page.click('role=tab[name="Compare"]')
    page.wait_for_function(
        "document.querySelector('#compare-source input').value.startsWith('Person 2')"
    )
    page.click("role=radio[name='By hand']")
    set_offset(page, 0.3)
    page.click("#compare-go")
    page.wait_for_selector('#compare-chart .dp-chart[data-drawn="1"]')
    page.wait_for_function(f"{PLAYERS}.sides.length === 2 && {PLAYERS}.sides[0].frame === 0")

    times = np.array(page.evaluate(f"{PLAYERS}.sides[0].times"))
    assert len(times) == NUM_FRAMES
    for frame in (20, 3, NUM_FRAMES - 1):
        page.fill("#compare-players .dp-pair-seek", str(frame))
        assert shown(page) == expected(times, times[frame], 0.3)

    set_offset(page, -0.4)  # the players move at once, the chart follows
    page.wait_for_function(f"{PLAYERS}.offset === -0.4")
    assert shown(page) == expected(times, times[NUM_FRAMES - 1], -0.4)
    page.wait_for_selector('#compare-chart .dp-chart:not([data-drawn="1"])')

    plot = page.locator("#compare-chart .dp-chart-plot")
    plot.scroll_into_view_if_needed()
    plot.click(position={"x": plot.bounding_box()["width"] / 2, "y": 110})
    time_s = page.evaluate(f"{PLAYERS}.ticks[{PLAYERS}.tick]")
    assert 0.5 < time_s < 1.5
    assert shown(page) == expected(times, time_s, -0.4)

    page.click("#compare-players [data-act=on]")
    assert shown(page)[0] == expected(times, time_s, -0.4)[0] + 1
    page.click("#compare-players [data-act=play]")
    page.wait_for_function(f"!{PLAYERS}.playing && {PLAYERS}.tick === {PLAYERS}.ticks.length - 1")
    # The video above keeps its own frame.
    assert page.evaluate("window.diffpose.state.frame") == 0


def set_offset(page: Any, seconds: float) -> None:
    number = page.locator("#compare-offset input[type=number]")
    number.fill(str(seconds))
    number.press("Enter")


def expected(times: np.ndarray, time_s: float, offset_s: float) -> list[int]:
    """Frames of both at a time on the first one's clock; -1 where a session was not recorded."""
    half, found = np.median(np.diff(times)) / 2, []
    for later in (0.0, offset_s):
        local = time_s - later
        inside = times[0] - half <= local <= times[-1] + half
        found.append(int(np.argmin(np.abs(times - local))) if inside else -1)
    return found


def shown(page: Any) -> list[int]:
    """The frames that are painted, once both players have what they were asked for."""
    page.wait_for_function(
        f"{PLAYERS}.sides.every((side) => side.frame === Math.max(-1, side.wanted))"
    )
    frames: list[int] = page.evaluate(f"{PLAYERS}.sides.map((side) => side.frame)")
    return frames
