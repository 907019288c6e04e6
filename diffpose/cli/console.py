"""What commands say on stderr, and how Ctrl-C reaches them."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from diffpose.errors import SettingsError


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the work to stop at the next chance; a second one stops it at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()
        say("Stopping after this part; press Ctrl-C again to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def needs(what: str, *requirements: str) -> Iterator[None]:
    """Name the packages to install where importing one of them fails.

    Args:
        what: What needs them.
        requirements: As pip takes them; each begins with the name of its module.

    Raises:
        SettingsError: One of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not any(re.match(rf"{error.name}(?!\w)", each) for each in requirements):
            raise
        install = " ".join(f"'{each}'" for each in requirements)
        raise SettingsError(
            f"{what} needs the package {error.name}, which is not installed; "
            f"run pip install {install}."
        ) from None


def show_progress() -> Callable[[float, str], None]:
    """Progress on stderr: one line that changes, or a line every tenth where it is no terminal."""
    shown = -1

    def show(fraction: float, words: str) -> None:
        nonlocal shown
        if sys.stderr.isatty():
            end = "\n" if fraction >= 1 else ""
            typer.echo(f"\r\x1b[K{fraction:4.0%}  {words}{end}", err=True, nl=False)
        elif int(fraction * 10) != shown:
            shown = int(fraction * 10)
            say(f"{fraction:4.0%}  {words}")

    return show


def say(text: str) -> None:
    """One line on stderr."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # the progress line
    typer.echo(clear + text, err=True)
