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


def as_markdown(text: str) -> str:
    """A name or sentence that stands in Markdown as it is.

    >>> as_markdown("a_b <i>")
    'a\\\\_b &lt;i&gt;'
    """
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|~" else escape(c) for c in text)
