from pathlib import Path

import pytest

from app import handlers
from app.main import main
from app.settings import Settings, read_settings
from app.workspace import GRACE_S, Workspace
from diffpose.errors import InputError, SettingsError
from tests.app.figures import FigureDetector, FigureEstimator, Served, finish


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, clip_path: Path, clock: Clock):
    settings = Settings(work=tmp_path, examples=clip_path.parent, session_ttl_s=600)
    with Workspace(
        settings,
        load_estimator=lambda _: FigureEstimator(),
        load_finder=lambda *_: FigureDetector(),
        clock=clock,
    ) as workspace:
        yield workspace


def test_sessions_cannot_be_guessed_and_do_not_meet(workspace: Workspace) -> None:
    one, other = workspace.open_session("a"), workspace.open_session("b")

    assert len(one.session_id) >= 32
    assert one.session_id != other.session_id
    assert workspace.session(one.session_id) is one
    with pytest.raises(InputError, match="reload the page"):
        workspace.session("a")


def test_an_idle_session_goes_with_its_files(workspace: Workspace, clock: Clock) -> None:
    session = workspace.open_session("a")
    finish(handlers.open_example(workspace, session, "Two people"))
    clock.now_s += 599
    workspace.sweep()
    assert workspace.session(session.session_id) is session

    clock.now_s += 601
    workspace.sweep()

    assert not session.folder.exists()
    assert not session.private.exists()
    with pytest.raises(InputError):
        workspace.session(session.session_id)


def test_a_page_can_read_the_clip_before_until_it_has_heard_of_the_new_one(
    workspace: Workspace,
) -> None:
    workspace._stopped.set()  # only this test sweeps
    session = workspace.open_session("a")
    finish(handlers.open_example(workspace, session, "Two people"))
    assert session.clip is not None
    first = session.clip.folder

    finish(handlers.open_example(workspace, session, "Two people"))
    second = session.clip.folder
    workspace.sweep()
    assert (first / "times.json").exists()

    workspace.sweep()
    assert not first.exists()
    assert (second / "times.json").exists()


def test_a_closed_page_is_kept_for_a_moment_only(workspace: Workspace, clock: Clock) -> None:
    session = workspace.open_session("a")
    workspace.page_closed("a")
    workspace.sweep()
    assert session.folder.exists()

    clock.now_s += GRACE_S + 1
    workspace.sweep()

    assert not session.folder.exists()


def test_nothing_is_left_behind(figures: Served, tmp_path: Path) -> None:
    with Workspace(Settings(work=tmp_path / "w")) as workspace:
        workspace.open_session("a")
        assert list((tmp_path / "w").iterdir())

    assert not list((tmp_path / "w").iterdir())


def test_models_are_loaded_once_and_late(tmp_path: Path) -> None:
    made: list[FigureEstimator] = []

    def load(settings: Settings) -> FigureEstimator:
        made.append(FigureEstimator())
        return made[-1]

    with Workspace(Settings(work=tmp_path), load_estimator=load) as workspace:
        assert made == []
        assert workspace.estimator is workspace.estimator

    assert len(made) == 1


def test_examples_are_named_for_people(workspace: Workspace, clip_path: Path) -> None:
    assert workspace.examples() == {"Two people": clip_path}


def test_flags_win_over_the_environment() -> None:
    environment = {"DIFFPOSE_PORT": "9000", "DIFFPOSE_DEVICE": "cuda"}

    settings = read_settings(["--port", "9001"], environment)

    assert (settings.port, settings.device) == (9001, "cuda")


def test_a_port_that_is_no_number_is_named() -> None:
    with pytest.raises(SettingsError, match="DIFFPOSE_PORT"):
        read_settings([], {"DIFFPOSE_PORT": "many"})


def test_without_weights_the_app_says_so_in_one_sentence(tmp_path: Path) -> None:
    words = main(["--weights", str(tmp_path / "none.safetensors"), "--work", str(tmp_path / "w")])

    assert words is not None
    assert words.endswith(".")
    assert not list((tmp_path / "w").iterdir())
