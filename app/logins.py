"""Who may use a server: names and hashes of passwords from a file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffpose.errors import SettingsError
from diffpose.formats.atomic import atomic_write

KIND = "scrypt"
_COST, _BLOCK, _LANES = 1 << 14, 8, 1  # 16 MB and some 50 ms
_AT_ONCE = 2


@dataclass(frozen=True)
class _Hash:
    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    def matches(self, password: str) -> bool:
        found = _scrypt(password, self.salt, self.cost, self.block, self.lanes)
        return hmac.compare_digest(found, self.digest)


def hash_password(password: str) -> str:
    """What stands for a password in the file: ``scrypt$16384$8$1$salt$hash``."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _COST, _BLOCK, _LANES)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join([KIND, str(_COST), str(_BLOCK), str(_LANES), *parts])


def read_logins(path: Path) -> Callable[[str, str], Coroutine[Any, Any, bool]]:
    """A check of name and password against a file of ``name:hash`` lines.

    Empty lines and lines that begin with ``#`` are passed over.

    Raises:
        SettingsError: The file is missing, holds nobody, or a line has no name, a name that was
            there before, or a password in clear text.
    """
    known: dict[str, _Hash] = {}
    for number, (name, text) in _entries(path).items():
        entry = _parsed(text)
        if entry is None:
            raise SettingsError(
                f"Line {number} of {path.name} holds a password in clear text. Run "
                f"`python app.py --hash-logins {path.name}`, which puts hashes in their place."
            )
        known[name] = entry
    nobody = _parsed(hash_password(secrets.token_urlsafe()))
    assert nobody is not None
    turn = asyncio.Semaphore(_AT_ONCE)

    async def check(name: str, password: str) -> bool:
        # Computed even for a name that is not there: an answer takes as long either way.
        async with turn:
            good = await asyncio.to_thread(known.get(name, nobody).matches, password[:1024])
        return good and name in known

    return check


def hash_logins(path: Path) -> int:
    """Put hashes in the place of passwords in clear text.

    Returns:
        How many there were.

    Raises:
        SettingsError: The file is missing, holds nobody, or a line makes no sense.
    """
    entries, lines = _entries(path), path.read_text(encoding="utf-8").splitlines()
    plain = {number: entry for number, entry in entries.items() if _parsed(entry[1]) is None}
    for number, (name, password) in plain.items():
        lines[number - 1] = f"{name}:{hash_password(password)}"
    if plain:
        atomic_write(path, "\n".join([*lines, ""]))
        os.chmod(path, 0o600)
    return len(plain)


def _entries(path: Path) -> dict[int, tuple[str, str]]:
    """Name and what stands for the password, by the number of the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The file of logins {path.name} cannot be read ({error}); check --auth."
        ) from None
    entries: dict[int, tuple[str, str]] = {}
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, password = line.strip().partition(":")
        if not name or not password or name in names:
            raise SettingsError(
                f"Expected name:hash, each name once, got something else in line {number} of "
                f"{path.name}."
            )
        names.add(name)
        entries[number] = name, password
    if not entries:
        raise SettingsError(f"Expected name:hash lines in {path.name}, found none.")
    return entries


def _parsed(text: str) -> _Hash | None:
    kind, *parts = text.split("$")
    if kind != KIND or len(parts) != 5:
        return None
    try:
        cost, block, lanes = (int(part) for part in parts[:3])
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[3:])
    except (ValueError, binascii.Error):
        return None
    sound = cost in {1 << n for n in range(10, 21)} and 1 <= block <= 32 and 1 <= lanes <= 16
    return _Hash(cost, block, lanes, salt, digest) if sound and len(digest) == 32 else None


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    room = 256 * cost * block + (1 << 20)
    secret = password.encode("utf-8", "replace")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=room, dklen=32)
