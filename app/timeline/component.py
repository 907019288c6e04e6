"""The timeline as a Gradio component; it draws with the Plotly of the ``plotly`` package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

FOLDER = Path(__file__).parent


def copy_plotly(folder: Path) -> Path:
    """Put Plotly's script where the browser may fetch it; nothing comes from the network."""
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return Path(shutil.copy(source, folder))


def timeline(plotly_script: Path, **options: Any) -> gr.HTML:
    """A component that hears of poses by window events and sends seeks back the same way.

    Args:
        plotly_script: Plotly's script in a folder that is served.
        options: Passed on to `gradio.HTML`.
    """
    return gr.HTML(
        value={"plotly": str(plotly_script)},
        html_template=(FOLDER / "timeline.html").read_text(encoding="utf-8"),
        css_template=(FOLDER / "timeline.css").read_text(encoding="utf-8"),
        js_on_load=(FOLDER / "timeline.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )
