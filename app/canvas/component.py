"""The canvas as a Gradio component: a static template, its scripts, and two server functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent
SCRIPTS = (
    "asking.js", "frames.js", "draw.js", "trails.js", "live.js", "desk.js", "canvas.js", "paint.js",
    "edit.js", "input.js",
)  # fmt: skip


def pose_canvas(
    start: dict[str, Any], answers: Sequence[Callable[[Any], dict[str, Any]]], **options: Any
) -> gr.HTML:
    """A component that shows `app.session.Session.view`.

    Its events are ``person_picked``, ``box_drawn`` and ``joint_picked``. The template holds no
    placeholders, because Gradio would evaluate them as code: all text from outside reaches the
    page through ``textContent``. It is no subclass, because Gradio writes a ``.pyi`` file next to
    the module of every subclass of its components.

    Args:
        start: Initial settings: ``steps``, ``hypotheses``, ``joint``, ``layers``.
        answers: Called by the page: ``resample`` with an `app.payloads.ResampleRequest` as JSON,
            ``review`` with what `app.desk.answers.review` takes.
        options: Passed on to `gradio.HTML`.
    """
    return gr.HTML(
        value={"start": start},
        html_template=(FOLDER / "canvas.html").read_text(encoding="utf-8"),
        css_template=(FOLDER / "canvas.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        server_functions=list(answers),
        **options,
    )
