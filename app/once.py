"""Work that several ask for and that is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from diffpose.errors import CancelledError

Made = TypeVar("Made")
Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]

_LOOK_S = 0.1


class Once(Generic[Made]):
    """A value that is made when first asked for, in a thread of its own.

    It belongs to nobody who waits for it: who leaves does not stop it for the others. When all
    have left, it stops, and the next request starts it again, as it does after a failure.

    Args:
        make: Called with a progress callback and a function that says whether to stop.
    """

    def __init__(self, make: Callable[[Progress, Cancelled], Made]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._made: list[Made] = []
        self._error: BaseException | None = None
        self._runs = False
        self._waiting = 0
        self._reported = (0.0, "")

    def get(self, *, progress: Progress, cancelled: Cancelled) -> Made:
        """Wait for the value.

        Args:
            progress: Called with how far the work is.
            cancelled: Asked while waiting.

        Raises:
            CancelledError: ``cancelled`` said so.
            BaseException: What the work raised.
        """
        with self._changed:
            self._waiting += 1
            try:
                return self._wait(progress, cancelled)
            finally:
                self._waiting -= 1

    def _wait(self, progress: Progress, cancelled: Cancelled) -> Made:
        reported = (0.0, "")
        mine = False
        while not self._made:
            if mine and not self._runs and self._error is not None:
                if not isinstance(self._error, CancelledError):
                    raise self._error
                mine = False  # stopped for want of anybody who waited, just before
            if not self._runs:
                self._start()
            mine = True
            if cancelled():
                raise CancelledError("Cancelled while waiting for the pictures.")
            if self._reported != reported:
                reported = self._reported
                progress(*reported)
            self._changed.wait(_LOOK_S)
        return self._made[0]

    def _start(self) -> None:
        self._runs, self._error, self._reported = True, None, (0.0, "")
        threading.Thread(target=self._work, name="once", daemon=True).start()

    def _work(self) -> None:
        made: list[Made] = []
        error: BaseException | None = None
        try:
            made.append(self._make(self._report, self._is_unwanted))
        except BaseException as raised:
            error = raised
        with self._changed:
            self._made, self._error, self._runs = made, error, False
            self._changed.notify_all()

    def _report(self, fraction: float, words: str) -> None:
        with self._changed:
            self._reported = fraction, words

    def _is_unwanted(self) -> bool:
        return self._waiting == 0
