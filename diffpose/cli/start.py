"""``diffpose app``: start the browser app that lies in the checkout or in the installed wheel."""

from __future__ import annotations

import importlib
import sys

import typer

from diffpose.cli.console import needs
from diffpose.shipped import ROOT


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "app",
        add_help_option=False,  # the app's own parser answers --help
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(start_app)


def start_app(context: typer.Context) -> None:
    """Start the browser app; `diffpose app --help` lists its options."""
    # The library knows nothing of the app, which is imported by name, as `app.py` does it.
    sys.path.insert(0, str(ROOT))
    with needs("The app", "gradio>=6.20,<7", "plotly>=6.0"):
        main = importlib.import_module("app.main").main
    sys.exit(main(context.args, program="diffpose app"))
