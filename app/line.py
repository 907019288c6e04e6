"""One model, several visitors: long runs take turns, and each sees how many are before it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from diffpose.errors import CancelledError

Made = TypeVar("Made")

_LOOK_S = 0.1


class Line:
    """First come, first served; one at a time.

    A long run asks for a new turn for every part of it (`take_turns`), so that several runs
    advance side by side, each by one part, whoever came first. Live answers of the sliders and
    of the review desk are short and do not queue: they slip in between two calls of the network.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tickets: deque[object] = deque()

    @property
    def length(self) -> int:
        """How many wait or are at work."""
        with self._changed:
            return len(self._tickets)

    @contextmanager
    def turn(
        self,
        *,
        waiting: Callable[[int], None] = lambda ahead: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Wait for the model, and hold it.

        Args:
            waiting: Receives how many are ahead whenever that changes, and not at all if none is.
            cancelled: Asked while waiting.

        Raises:
            CancelledError: ``cancelled`` said so before the turn came.
        """
        ticket = object()
        with self._changed:
            self._tickets.append(ticket)
        try:
            told = 0
            while ahead := self._ahead(ticket):
                if cancelled():
                    raise CancelledError("Cancelled while waiting for the model.")
                if ahead != told:
                    waiting(ahead)
                    told = ahead
                with self._changed:
                    self._changed.wait(_LOOK_S)
            yield
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def take_turns(
        self,
        parts: Iterator[Made],
        *,
        waiting: Callable[[int], None] = lambda ahead: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Made]:
        """The parts of a run, each made in a turn of its own."""
        end = object()
        while True:
            with self.turn(waiting=waiting, cancelled=cancelled):
                part = next(parts, end)
            if part is end:
                return
            yield part  # type: ignore[misc]

    def _ahead(self, ticket: object) -> int:
        with self._changed:
            return self._tickets.index(ticket)


def words_for(ahead: int) -> str:
    """What a visitor who waits sees."""
    return f"Waiting for the model: {ahead} {'run' if ahead == 1 else 'runs'} before yours"
