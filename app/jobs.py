"""Long work of a session, in a thread, with its outcome in words."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator

from app.failures import words_of
from app.session import Session, Status
from diffpose.errors import CancelledError

_TICK_S = 0.25


def run_job(
    session: Session, work: Callable[[], str], *, wait_s: float = 0.2
) -> Generator[None, None, None]:
    """Do long work in a thread; yield whenever the page should look again.

    The words ``work`` returns are the final status; so is the message of what it raises. If the
    page goes away the work is cancelled. A job that still runs is waited for ``wait_s`` seconds.
    """
    if not session.job_lock.acquire(timeout=wait_s):
        session.say("Still at work; press Cancel first.", "error")
        yield
        return
    session.cancel.clear()
    session.status = Status("Starting", "info", True)
    finished: queue.Queue[Status] = queue.Queue()
    thread = threading.Thread(target=lambda: finished.put(_outcome(work)), daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            yield
            thread.join(_TICK_S)
    finally:
        session.cancel.set()
        thread.join()
        session.end_job(finished.get())
        session.job_lock.release()
    yield


def _outcome(work: Callable[[], str]) -> Status:
    try:
        return Status(work(), "done")
    except CancelledError as error:
        return Status(str(error), "info")
    except Exception as error:
        return Status(words_of(error), "error")
