"""What a visitor leaves behind goes after a while, where that is wanted."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import finding
from app.desk import handlers
from app.payloads import parse_sampling
from app.session import Session
from app.settings import SPACE_KEEP_DAYS, Settings, read_settings
from app.workspace import Workspace
from diffpose.errors import SettingsError
from tests.app.figures import FigureDetector, FigureEstimator, figure_models, finish

DAY_S = 86400.0
ADA, BOB = "a" * 24, "b" * 24


class Days:
    """A clock that a test turns on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + DAY_S * self.passed


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def workspace(tmp_path: Path, clip_path: Path, days: Days) -> Iterator[Workspace]:
    projects = tmp_path / "projects"
    projects.mkdir()
    settings = Settings(
        work=tmp_path / "w", examples=clip_path.parent, projects=projects, keep_days=2
    )
    with Workspace(
        settings,
        load_estimator=lambda _: FigureEstimator(),
        load_finder=lambda *_: FigureDetector(),
        desk_models=figure_models,
        wall_clock=days,
    ) as workspace:
        yield workspace


def kept_upload(workspace: Workspace, clip_path: Path, owner: str) -> tuple[Session, list[Path]]:
    """A visitor uploads a video and finds poses; what lies on the disk then."""
    session = workspace.open_session(owner, owner=owner)
    upload = shutil.copyfile(clip_path, workspace.uploads / "mine.mp4")
    finish(handlers.open_upload(workspace, session, str(upload)))
    finish(finding.find_poses(workspace, session, parse_sampling(1, 1)))
    assert session.desk is not None, session.status
    return session, [session.desk.store.path, session.desk.store.videos()[0].path]


def test_what_nobody_uses_goes_and_what_is_open_stays(
    workspace: Workspace, clip_path: Path, days: Days
) -> None:
    ada, of_ada = kept_upload(workspace, clip_path, ADA)
    bob, of_bob = kept_upload(workspace, clip_path, BOB)
    beside = of_ada[0].parent.parent / "my own thesis"
    beside.mkdir()
    (beside / "a.diffpose").touch()
    os.utime(beside / "a.diffpose", (0, 0))
    ada.close_desk()
    ada.replace_clip(None)

    days.passed = 1.9
    workspace.sweep()
    assert all(path.exists() for path in of_ada + of_bob)

    days.passed = 2.1
    workspace.sweep()
    assert not of_ada[0].parent.exists()  # project, video and folder
    assert all(path.exists() for path in of_bob)
    assert (beside / "a.diffpose").exists()  # not of this app's making

    bob.close_desk()
    bob.replace_clip(None)
    days.passed = 4.0  # two days after it was open last
    workspace.sweep()
    assert all(path.exists() for path in of_bob)
    days.passed = 4.2
    workspace.sweep()
    assert not of_bob[0].parent.exists()


def test_opening_a_project_is_using_it(workspace: Workspace, clip_path: Path, days: Days) -> None:
    session, files = kept_upload(workspace, clip_path, ADA)
    project = files[0].stem
    session.replace_clip(None)
    days.passed = 1.5
    finish(handlers.open_project(workspace, session, project))
    session.replace_clip(None)

    days.passed = 3.4
    workspace.sweep()

    assert all(path.exists() for path in files)


def test_what_was_deleted_by_hand_leaves_the_trash_too(
    workspace: Workspace, clip_path: Path, days: Days
) -> None:
    session, files = kept_upload(workspace, clip_path, ADA)
    session.replace_clip(None)
    workspace.shelf(ADA).delete(files[0].stem)
    days.passed = 2.1

    workspace.sweep()

    assert not files[0].parent.exists()


def test_on_ones_own_machine_nothing_is_ever_deleted() -> None:
    assert read_settings([], {}).keep_days is None
    assert read_settings(["--host", "0.0.0.0"], {}).keep_days is None


def test_a_space_keeps_for_a_day_unless_told_otherwise() -> None:
    space = {"SPACE_ID": "me/pose"}

    assert read_settings([], space).keep_days == SPACE_KEEP_DAYS
    assert read_settings([], {**space, "DIFFPOSE_KEEP_DAYS": "0.5"}).keep_days == 0.5
    assert read_settings(["--keep-days", "inf"], space).keep_days is None
    for wrong in ("-1", "0", "nan", "soon"):
        with pytest.raises(SettingsError):
            read_settings([], {"DIFFPOSE_KEEP_DAYS": wrong})
