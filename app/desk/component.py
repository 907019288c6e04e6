"""The review desk's two panels next to the picture: what to look at next, and the projects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent


def queue_panel(**options: Any) -> gr.HTML:
    """Where a correction helps most; it speaks with the canvas by window events."""
    return _component("queue", {}, **options)


def project_list(projects: Callable[[Any], dict[str, Any]], **options: Any) -> gr.HTML:
    """The visitor's projects; its events are ``project_chosen`` and ``project_gone``.

    Args:
        projects: Called by the page with what `app.desk.answers.projects` takes.
        options: Passed on to `gradio.HTML`.
    """
    return _component("projects", {}, first="asking.js", server_functions=[projects], **options)


def _component(name: str, value: dict[str, Any], *, first: str = "", **options: Any) -> gr.HTML:
    def read(ending: str) -> str:
        return (FOLDER / f"{name}.{ending}").read_text(encoding="utf-8")

    shared = (FOLDER.parent / "canvas" / first).read_text(encoding="utf-8") if first else ""
    return gr.HTML(
        value=value,
        html_template=read("html"),
        css_template=(FOLDER / "panels.css").read_text(encoding="utf-8"),
        js_on_load=shared + read("js"),
        apply_default_css=False,
        **options,
    )
