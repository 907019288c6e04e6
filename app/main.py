"""Start the app: settings to workspace to page, and the files removed at the end."""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from app.layout import build_app, launch
from app.logins import hash_logins, hash_password
from app.settings import read_settings
from app.workspace import Workspace
from diffpose.errors import DiffPoseError

LOGIN_COMMANDS = {"--hash-logins": "a file of logins", "--hash-password": "a name"}
"""``--hash-logins FILE`` puts hashes in the place of passwords; ``--hash-password NAME`` asks for
a password and prints the line of the file."""


def main(arguments: Sequence[str], *, program: str = "app.py") -> str | None:
    """Serve until the process is asked to stop.

    Args:
        arguments: Flags of `app.settings.read_settings`, or one of `LOGIN_COMMANDS`.
        program: What the help calls the command.

    Returns:
        One sentence if the app cannot start, for `sys.exit`.
    """
    # A host stops its apps with SIGTERM: leave the ``with`` block, so that the files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        if arguments and arguments[0] in LOGIN_COMMANDS:
            return _change_logins(arguments)
        with Workspace(read_settings(arguments, program=program)) as workspace:
            launch(build_app(workspace), workspace)
    except DiffPoseError as error:
        return str(error)
    return None


def _change_logins(arguments: Sequence[str]) -> str | None:
    if len(arguments) != 2:
        return f"Expected {arguments[0]} and {LOGIN_COMMANDS[arguments[0]]}."
    if arguments[0] == "--hash-logins":
        count = hash_logins(Path(arguments[1]))
        print(f"{count} {'password' if count == 1 else 'passwords'} hashed.")
        return None
    name = arguments[1].strip()
    if not name or ":" in name or name.startswith("#"):
        return f"Expected a name without a colon, got {name!r}."
    password = getpass.getpass(f"Password of {name}: ")
    if not password or getpass.getpass("Once more: ") != password:
        return "Expected the same password twice; nothing was made."
    print(f"{name}:{hash_password(password)}")
    return None
