"""The chart of measured curves as a Gradio component, drawn by the ``plotly`` package's script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent


def chart(value: dict[str, Any], **options: Any) -> gr.HTML:
    """A chart that seeks the video when pressed and follows it by a cursor.

    Args:
        value: Of `app.measure.views.chart_view`.
        options: Passed on to `gradio.HTML`.
    """
    return gr.HTML(
        value=value,
        html_template=(FOLDER / "chart.html").read_text(encoding="utf-8"),
        css_template=(FOLDER / "chart.css").read_text(encoding="utf-8"),
        js_on_load=(FOLDER / "chart.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )


def players(**options: Any) -> gr.HTML:
    """Two sessions side by side: its value is of `app.measure.sessions.players_view`."""
    canvas = FOLDER.parent / "canvas"
    shared = (canvas / name for name in ("asking.js", "frames.js", "draw.js"))
    scripts = (*shared, FOLDER / "players.js")
    styles = (canvas / "canvas.css", FOLDER / "players.css")
    return gr.HTML(
        value={},
        html_template=(FOLDER / "players.html").read_text(encoding="utf-8"),
        css_template="\n".join(path.read_text(encoding="utf-8") for path in styles),
        js_on_load="\n".join(path.read_text(encoding="utf-8") for path in scripts),
        apply_default_css=False,
        **options,
    )


def tables(**options: Any) -> gr.HTML:
    """Tables of numbers: its value is the HTML of `app.measure.views`."""
    css = (FOLDER / "panel.css").read_text(encoding="utf-8")
    return gr.HTML("", css_template=css, apply_default_css=False, **options)
