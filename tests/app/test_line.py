"""Laws of the line for the model: in order, in turns, and one may leave it."""

import threading

import pytest

from app.line import Line, words_for
from diffpose.errors import CancelledError


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def waits_until(line, length):
    while line.length < length:
        threading.Event().wait(0.005)


def test_whoever_comes_first_is_served_first_and_told_how_many_are_ahead():
    line, free = Line(), threading.Event()
    order: list[str] = []
    told: dict[str, list[int]] = {}

    def visit(name):
        told[name] = []
        with line.turn(waiting=told[name].append):
            order.append(name)
            free.wait(10)

    visitors = []
    for position, name in enumerate("abc", start=1):
        visitors.append(in_thread(lambda name=name: visit(name)))
        waits_until(line, position)
    free.set()
    for visitor in visitors:
        visitor.join(10)
    assert order == ["a", "b", "c"]
    assert told["a"] == []
    assert told["b"][0] == 1
    assert told["c"][0] == 2
    assert line.length == 0


def test_two_long_runs_advance_side_by_side():
    line, made, both = Line(), [], threading.Barrier(2, timeout=10)

    def parts(name):
        for _ in range(5):
            made.append(name)
            # Part of the model's work: the other asks for its turn meanwhile.
            if made.count("a") < 5 and made.count("b") < 5:
                waits_until(line, 2)
            yield name

    def run(name):
        both.wait()
        assert list(line.take_turns(parts(name))) == [name] * 5

    threads = [in_thread(lambda name=name: run(name)) for name in "ab"]
    for thread in threads:
        thread.join(10)
    assert sorted(made) == ["a"] * 5 + ["b"] * 5
    while_both = "".join(made)[:-1]
    assert "aa" not in while_both
    assert "bb" not in while_both


def test_who_waits_may_leave_and_holds_up_nobody():
    line, stop = Line(), threading.Event()
    with line.turn():
        with pytest.raises(CancelledError, match="waiting"), line.turn(cancelled=lambda: True):
            raise AssertionError("a turn that was not there")
        assert line.length == 1
    with line.turn(cancelled=stop.is_set):
        assert line.length == 1
    assert line.length == 0


def test_a_run_that_fails_gives_its_turn_back():
    line = Line()
    with pytest.raises(ZeroDivisionError), line.turn():
        1 / 0  # noqa: B018
    assert line.length == 0


def test_words():
    assert words_for(1) == "Waiting for the model: 1 run before yours"
    assert words_for(3) == "Waiting for the model: 3 runs before yours"
