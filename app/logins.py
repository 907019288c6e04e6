"""Who may use a server: names and passwords from a file."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

from diffpose.errors import SettingsError


def read_logins(path: Path) -> Callable[[str, str], bool]:
    """A check of name and password against a file of ``name:password`` lines.

    Empty lines and lines that begin with ``#`` are passed over; a password may hold colons.

    Raises:
        SettingsError: The file is missing, holds nobody, or a line has no name or password, or a
            name twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The file of logins {path.name} cannot be read ({error}); check --auth."
        ) from None
    passwords: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, password = line.strip().partition(":")
        if not name or not password or name in passwords:
            raise SettingsError(
                f"Expected name:password, each name once, got something else in line {number} of "
                f"{path.name}."
            )
        passwords[name] = password.encode()
    if not passwords:
        raise SettingsError(f"Expected name:password lines in {path.name}, found none.")

    def check(name: str, password: str) -> bool:
        # Compared even for a name that is not there: an answer takes as long either way.
        known = passwords.get(name, b"")
        return hmac.compare_digest(known, password.encode()) and bool(known)

    return check
