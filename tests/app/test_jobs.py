"""Whether a job runs is never said wrongly: the page waits for what it believes to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.jobs import run_job
from app.session import Session, Status


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(folder=tmp_path / "public", private=tmp_path / "private")


def test_a_job_that_is_refused_while_another_ends_leaves_nothing_running(session: Session) -> None:
    class JustEnding:
        """The lock of a job that says its outcome while somebody else waits for it."""

        def acquire(self, timeout: float) -> bool:
            session.status = Status("3 frames", "done")
            return False

    session.status = Status("Frame 2 of 3", "info", True)
    session.job_lock = JustEnding()  # type: ignore[assignment]

    list(run_job(session, lambda: "never"))

    assert "Still at work" in session.status.words
    assert not session.status.running


def test_a_job_that_is_refused_says_that_the_other_runs(session: Session) -> None:
    other = run_job(session, lambda: f"cancelled: {session.cancel.wait(60)}")
    next(other)

    list(run_job(session, lambda: "never", wait_s=0))

    assert session.status.running
    other.close()


def test_a_page_that_goes_leaves_nothing_running(session: Session) -> None:
    def work() -> str:
        assert session.cancel.wait(60)
        return "stopped"

    job = run_job(session, work)
    next(job)
    assert session.status.running

    job.close()

    assert session.status == Status("stopped", "done")
    assert list(run_job(session, lambda: "another"))
    assert session.status.words == "another"
