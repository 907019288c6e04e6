"""Answers that are lost, refused or late: what the page shows is true in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.desk import adapting, answers
from diffpose.inference.adapt import Adapted
from tests.app.figures import Served, moved_by_ten
from tests.app.test_browser import open_example
from tests.app.test_desk_browser import edit, found

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2] / "app" / "canvas"
BACK = ".dp-back:not([hidden])"
RENEWED = "(stamp) => window.diffpose.state.stamp !== stamp && !window.diffpose.state.busy"


class Between:
    """Stands between the page and what answers it about a project."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rules: list[tuple[str, Callable[[Any], Any]]] = []
        self.answer = answers.review
        monkeypatch.setattr(answers, "review", self)

    def __call__(self, workspace: Any, payload: Any) -> Any:
        reply = self.answer(workspace, payload)
        for rule in list(self.rules):
            if payload["do"] == rule[0]:
                self.rules.remove(rule)
                return rule[1](reply)
        return reply

    def next(self, what: str, rule: Callable[[Any], Any]) -> None:
        """What becomes of the next answer to a question; after that of the one after it."""
        self.rules.append((what, rule))

    def hold(self, what: str) -> tuple[threading.Event, threading.Event]:
        """Keep back the next answer; events: it is kept, it may go."""
        kept, go = threading.Event(), threading.Event()

        def rule(reply: Any) -> Any:
            kept.set()
            go.wait(120)
            return reply

        self.next(what, rule)
        return kept, go


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    learnt = Adapted({}, frames=9, steps=30, before_px=9.1, after_px=7.4, change_px=(-2.0, -1.0))
    monkeypatch.setattr(adapting, "_learn", lambda workspace, session: learnt)
    monkeypatch.setattr(adapting, "_put_in_force", moved_by_ten)
    return Between(monkeypatch)


def lost(reply: Any) -> Any:
    raise ConnectionError("lost")


def refused(reply: Any) -> Any:
    return {"ok": False, "words": "database is locked"}


def adapt(page: Any) -> None:
    """Adapt, and wait for the page to hear that this is done."""
    stamp = page.evaluate("window.diffpose.state.stamp")
    page.dispatch_event(".dp-adapt", "click")  # out of sight unless poses are being corrected
    page.wait_for_function(RENEWED, arg=stamp)


def test_a_question_is_asked_again_until_it_is_answered(
    page: Any, served: Served, between: Between
) -> None:
    open_example(page, served)
    found(page)
    page.wait_for_function("window.diffpose.editing.queue")
    between.next("queue", lost)
    between.next("queue", refused)

    adapt(page)

    page.wait_for_selector(BACK, state="attached")
    assert not between.rules


def test_poses_are_read_anew_although_an_older_answer_comes_first(
    page: Any, served: Served, between: Between
) -> None:
    open_example(page, served)
    found(page)
    page.wait_for_function("window.diffpose.editing.queue")
    kept, go = between.hold("look")
    page.evaluate("void window.diffpose.desk.post('look')")
    assert kept.wait(60)

    adapt(page)
    go.set()

    page.wait_for_selector(BACK, state="attached")


def test_an_older_answer_does_not_replace_a_newer_one(
    page: Any, served: Served, between: Between
) -> None:
    open_example(page, served)
    found(page)
    page.wait_for_function("window.diffpose.editing.queue")
    kept, go = between.hold("queue")
    edit(page)
    assert kept.wait(60)
    adapt(page)
    page.wait_for_selector(BACK, state="attached")

    with page.expect_response(lambda r: '"queue"' in (r.request.post_data or "")) as answer:
        go.set()
    answer.value.finished()
    page.evaluate("new Promise((done) => setTimeout(done, 200))")

    assert page.locator(BACK).count() == 1


def test_a_file_is_fetched_again_unless_the_server_refuses_it(page: Any) -> None:
    script = (ROOT / "asking.js").read_text(encoding="utf-8")
    page.evaluate(f"() => {{ {script}\nwindow.fetchFile = fetchFile; }}")
    page.evaluate("""() => {
        const answers = [() => Promise.reject(new TypeError('lost')),
            () => Promise.resolve(new Response('', { status: 503 })),
            () => Promise.resolve(new Response('{"a": 1}'))];
        window.asked = 0;
        window.fetch = () => { window.asked++; return answers.shift()(); };
    }""")

    assert page.evaluate("fetchFile('poses')") == {"a": 1}
    assert page.evaluate("asked") == 3

    page.evaluate("() => { window.fetch = async () => new Response('', { status: 404 }); }")
    assert page.evaluate("fetchFile('poses').catch(String)") == "Error: poses: 404"
