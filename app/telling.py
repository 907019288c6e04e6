"""Sentences for the visitor. Gradio's toasts are HTML, and sentences hold names from files."""

from __future__ import annotations

from html import escape

import gradio as gr


def warn(words: str) -> None:
    """Show a sentence in a toast, as text."""
    gr.Warning(escape(words))


def failure(words: str) -> gr.Error:
    """An error to raise, whose sentence is shown in a toast as text."""
    return gr.Error(escape(words), print_exception=False)
