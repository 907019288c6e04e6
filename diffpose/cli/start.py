"""``diffpose app``: start the browser app that lies in the checkout or in the installed wheel."""

from __future__ import annotations

import importlib
import sys

import typer

from diffpose.errors import SettingsError
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
    try:
        main = importlib.import_module("app.main").main
    except ModuleNotFoundError as error:
        if error.name not in ("gradio", "plotly"):
            raise
        raise SettingsError(
            f"The app needs the package {error.name}, which is not installed; run pip install "
            "'gradio>=6.20,<7' 'plotly>=6.0'."
        ) from None
    sys.exit(main(context.args, program="diffpose app"))
