import json
import os
import signal
import subprocess
import sys
import threading
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


def test_addresses_of_files_do_not_hold_the_session(workspace: Workspace) -> None:
    session = workspace.open_session("a")
    finish(handlers.open_example(workspace, session, "Two people"))
    assert session.clip is not None

    shown = session.view(workspace.estimator.skeleton)
    addresses = json.dumps([shown["clip"], shown["tracks"]])

    assert session.session_id not in addresses
    assert session.session_id not in str(session.folder)
    with pytest.raises(InputError):
        workspace.session(session.folder.name)


def test_a_session_is_its_login_s_only(workspace: Workspace) -> None:
    session = workspace.open_session("a", user="ada")
    workspace.identify = lambda: "ada"
    assert workspace.session(session.session_id) is session

    for other in ("eve", ""):
        workspace.identify = lambda other=other: other  # type: ignore[misc]
        with pytest.raises(InputError, match="reload the page"):
            workspace.session(session.session_id)


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
    workspace: Workspace, clip_path: Path
) -> None:
    workspace._stopped.set()  # only this test sweeps
    session = workspace.open_session("a")
    finish(handlers.open_upload(workspace, session, str(clip_path)))
    assert session.clip is not None
    first = session.clip.folder

    finish(handlers.open_upload(workspace, session, str(clip_path)))
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


@pytest.mark.parametrize(
    ("arguments", "environment", "shared", "at_home"),
    [
        ([], {}, True, True),
        (["--auth", "a"], {}, False, False),
        (["--auth", "a", "--shared-projects"], {}, True, False),
        (["--host", "127.0.0.1", "--auth", "a"], {}, False, False),
        (["--allow-origin", "https://poses.example.org"], {}, False, False),
        ([], {"SPACE_ID": "ada/poses"}, False, False),
        (["--host", "0.0.0.0"], {}, False, False),
        (["--host", "0.0.0.0", "--shared-projects"], {}, True, False),
    ],
)
def test_projects_are_private_wherever_there_may_be_others(
    arguments: list[str],
    environment: dict[str, str],
    shared: bool,
    at_home: bool,
) -> None:
    settings = read_settings(arguments, environment)

    assert (settings.shared_projects, settings.is_at_home) == (shared, at_home)
    assert (settings.quota_mb is None) == at_home


def test_a_quota_can_be_lifted() -> None:
    assert read_settings(["--host", "0.0.0.0", "--quota-mb", "inf"], {}).quota_mb is None
    with pytest.raises(SettingsError, match="quota_mb"):
        read_settings(["--quota-mb", "0"], {})
    with pytest.raises(SettingsError, match="--allow-origin"):
        read_settings(["--allow-origin", "poses.example.org"], {})


def test_a_visitor_s_files_have_a_bound(tmp_path: Path, clip_path: Path) -> None:
    settings = Settings(work=tmp_path, examples=clip_path.parent / "none", quota_mb=1)
    with Workspace(settings, load_estimator=lambda _: FigureEstimator()) as workspace:
        mine, others = (workspace.open_session(n, owner=n) for n in ("nobody", "other"))
        workspace.check_room(mine)
        folder = workspace.shelf("nobody").folder
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"{number}").write_bytes(bytes(300_000))

        with pytest.raises(InputError, match=r"1 MB in .*delete projects"):
            workspace.check_room(mine)
        with pytest.raises(InputError, match="delete projects"):
            handlers.open_upload(workspace, mine, str(clip_path))
        workspace.check_room(others)


def test_two_visitors_may_upload_the_same_file_at_once(
    workspace: Workspace, clip_path: Path
) -> None:
    upload = workspace.uploads / "0a1b" / "walk.mp4"  # Gradio names it by its content
    upload.parent.mkdir()
    upload.write_bytes(clip_path.read_bytes())
    sessions = [workspace.open_session(name) for name in "abcd"]
    start = threading.Barrier(len(sessions))

    def visit(number: int) -> None:
        start.wait()
        finish(handlers.open_upload(workspace, sessions[number], str(upload)))

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [session.status.kind for session in sessions] == ["done"] * len(sessions)


def test_an_upload_that_is_gone_is_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="upload the file again"):
        handlers.open_upload(workspace, workspace.open_session("a"), "/nowhere/walk.mp4")


KILLED = """
import sys, time
from pathlib import Path
from app.settings import Settings
from app.workspace import Workspace
with Workspace(Settings(work=Path(sys.argv[1]))) as workspace:
    (workspace.uploads / "private.mp4").write_bytes(b"x")
    print(workspace.public.parent, flush=True)
    time.sleep(600)
"""


def test_a_killed_server_s_files_go_and_a_running_one_s_stay(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    killed, left = start()
    running, kept = start()
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "uploads" / "private.mp4").exists()
        foreign = tmp_path / "diffpose-app-without-a-lock"
        foreign.mkdir()

        with Workspace(Settings(work=tmp_path)):
            assert not left.exists()
            assert (kept / "uploads" / "private.mp4").exists()
            assert foreign.exists()
    finally:
        running.kill()
        running.wait()
