"""What an event of the tabs does, or a sentence for the visitor instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from app.failures import words_of
from app.telling import warn

Done = TypeVar("Done")

QUIET: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}


def told(act: Callable[[], Done], outputs: int) -> Any:
    """What ``act`` returns, or a sentence for the visitor and nothing changed."""
    try:
        return act()
    except Exception as error:
        warn(words_of(error))
    return gr.skip() if outputs == 1 else (gr.skip(),) * outputs
