"""Laws of the examples: made ready once for all, by whoever asks, and given back."""

import threading
from pathlib import Path

import pytest

from app import finding, handlers
from app.once import Once
from app.payloads import parse_sampling
from app.settings import Settings
from app.workspace import Workspace
from diffpose.errors import CancelledError, InputError
from tests.app.figures import NUM_FRAMES, FigureDetector, FigureEstimator, Served, finish


def unheard(fraction, words):
    pass


class CountingDetector(FigureDetector):
    seen = 0

    def detect(self, frames):
        self.seen += len(frames)
        return super().detect(frames)


def test_many_visitors_of_an_example_make_one_search_and_one_set_of_pictures(
    tmp_path: Path, clip_path: Path
) -> None:
    detector = CountingDetector()
    settings = Settings(work=tmp_path, examples=clip_path.parent)
    with Workspace(
        settings, load_estimator=lambda _: FigureEstimator(), load_finder=lambda _: detector
    ) as workspace:
        finish(handlers.open_example(workspace, workspace.open_session("first"), "Two people"))
        once = detector.seen
        sessions = [workspace.open_session(str(n)) for n in range(6)]
        threads = [
            threading.Thread(
                target=lambda s=s: finish(handlers.open_example(workspace, s, "Two people"))
            )
            for s in sessions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert once > 0
        assert detector.seen == once
        clips = [session.clip for session in sessions]
        assert len({clip.frames_folder for clip in clips if clip}) == 1
        assert len({clip.clip_id for clip in clips if clip}) == len(sessions)
        assert len(list(workspace.public.rglob("*.jpg"))) == NUM_FRAMES


def test_all_at_once_is_once_too(tmp_path: Path, clip_path: Path) -> None:
    detector = CountingDetector()
    settings = Settings(work=tmp_path, examples=clip_path.parent)
    with Workspace(
        settings, load_estimator=lambda _: FigureEstimator(), load_finder=lambda _: detector
    ) as workspace:
        sessions = [workspace.open_session(str(n)) for n in range(5)]
        jobs = [handlers.open_example(workspace, s, "Two people") for s in sessions]
        for job in jobs:
            next(job)
        for job in jobs:
            finish(job)

        assert [s.status.kind for s in sessions] == ["done"] * 5
        assert len(list(workspace.public.rglob("*.jpg"))) == NUM_FRAMES
        alone = CountingDetector()
        settings = Settings(work=tmp_path / "alone", examples=clip_path.parent)
    with Workspace(
        settings, load_estimator=lambda _: FigureEstimator(), load_finder=lambda _: alone
    ) as workspace:
        finish(handlers.open_example(workspace, workspace.open_session("a"), "Two people"))
    assert detector.seen == alone.seen


def test_who_leaves_takes_nothing_from_the_others(figures: Served) -> None:
    workspace = figures.workspace
    one, other = workspace.open_session("a"), workspace.open_session("b")
    for session in (one, other):
        finish(handlers.open_example(workspace, session, "Two people"))
    handlers.draw_box(one, handlers.DrawnBox(frame=3, track=0, box=(10.0, 10.0, 90.0, 200.0)))
    one.remove()

    assert other.clip is not None
    assert 3 not in other.clip.drawn.get(0, {})
    assert (other.clip.frames_folder / "000000.jpg").exists()
    finish(finding.find_poses(workspace, other, parse_sampling(1, 1)))
    assert other.status.kind == "done"


def test_memory_is_given_back_when_the_last_has_left(figures: Served) -> None:
    workspace = figures.workspace
    session = workspace.open_session("a")
    finish(handlers.open_example(workspace, session, "Two people"))
    finish(finding.find_poses(workspace, session, parse_sampling(1, 1)))
    assert session.clip is not None
    video = session.clip.video
    video.frame(0)
    assert workspace.features.num_bytes > 0

    session.touched_s = -1e9
    workspace.sweep()

    assert workspace.features.num_bytes == 0
    assert not video._cache


def test_work_is_done_once_for_all_who_wait() -> None:
    go, made = threading.Event(), []

    def make(progress, cancelled):
        go.wait(10)
        made.append(1)
        return "value"

    once = Once(make)
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(once.get(progress=unheard, cancelled=lambda: False))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert answers == ["value"] * 8
    assert made == [1]


def test_work_goes_on_for_those_who_stay_and_stops_when_all_have_left() -> None:
    begun, leave, stopped = threading.Event(), threading.Event(), threading.Event()

    def make(progress, cancelled):
        begun.set()
        while not cancelled():
            if leave.wait(0.01) and stay.is_set():
                return "value"
        stopped.set()
        raise CancelledError("Nobody waits.")

    stay = threading.Event()
    once = Once(make)
    with pytest.raises(CancelledError):
        once.get(progress=unheard, cancelled=begun.is_set)
    assert stopped.wait(10)

    stay.set()
    leave.set()
    assert once.get(progress=unheard, cancelled=lambda: False) == "value"


def test_a_failure_is_everybody_s_and_the_next_tries_anew() -> None:
    tries = []

    def make(progress, cancelled):
        tries.append(1)
        if len(tries) == 1:
            raise InputError("This file is damaged.")
        return "value"

    once = Once(make)
    with pytest.raises(InputError, match="damaged"):
        once.get(progress=unheard, cancelled=lambda: False)
    assert once.get(progress=unheard, cancelled=lambda: False) == "value"
