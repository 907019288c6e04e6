"""Start the app: settings to workspace to page, and the files removed at the end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from app.layout import build_app, launch
from app.settings import read_settings
from app.workspace import Workspace
from diffpose.errors import DiffPoseError


def main(arguments: Sequence[str]) -> str | None:
    """Serve until the process is asked to stop.

    Returns:
        One sentence if the app cannot start, for `sys.exit`.
    """
    # A host stops its apps with SIGTERM: leave the ``with`` block, so that the files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with Workspace(read_settings(arguments)) as workspace:
            launch(build_app(workspace), workspace)
    except DiffPoseError as error:
        return str(error)
    return None
