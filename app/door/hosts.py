"""Under which names a server answers, and which sites may call it or show it in a frame."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from diffpose.errors import SettingsError

_LOCAL_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def parse_origin(text: str) -> str:
    """An origin such as ``https://poses.example.org``, in lower case, without a default port.

    Raises:
        SettingsError: It is something else.
    """
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    extra = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or extra:
        raise SettingsError(
            f"Expected an origin such as https://poses.example.org, got {text!r}; check "
            "--allow-origin."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port is not None else host
    return f"{parts.scheme}://{place.removesuffix(_DEFAULT_PORTS[parts.scheme])}"


@dataclass(frozen=True)
class Reach:
    """Where a server may be reached from.

    A site that makes a browser call this server by a name of its own (DNS rebinding) is known by
    that name; a site that calls it by the server's name is known by its origin.

    Attributes:
        origins: Sites it is reached under or called from, of `parse_origin`.
        ancestors: Further sites that may show it in a frame, but not call it.
        names: This machine's own.
    """

    origins: frozenset[str] = frozenset()
    ancestors: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, origins: Iterable[str], ancestors: Iterable[str] = (), *, host: str | None = None
    ) -> Self:
        """The reach of a server on this machine that listens at ``host``."""
        names = {socket.gethostname().lower(), socket.getfqdn().lower(), (host or "").lower()}
        return cls(frozenset(origins), frozenset(ancestors), frozenset(names))

    @property
    def is_embedded(self) -> bool:
        """Whether another site may show the page in a frame."""
        return bool(self.origins or self.ancestors)

    def knows_host(self, host: str) -> bool:
        """Whether a request's ``Host`` is a name of this server.

        Addresses, names that only a local network knows, this machine's own names, and those of
        the allowed origins are.
        """
        place = host.strip().lower()
        name = _host_name(place)
        if not name:
            return False
        if _is_address(name) or "." not in name or name.endswith(_LOCAL_ENDINGS):
            return True
        return name in self.names or any(_host_name(_place(o)) == name for o in self.origins)

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a request's ``Origin`` is the page itself or an allowed site."""
        try:
            known = parse_origin(origin)
        except SettingsError:  # "null", and what no browser sends
            return False
        scheme = known.partition(":")[0]
        return known in self.origins or _place(known) == host.strip().lower().removesuffix(
            _DEFAULT_PORTS[scheme]
        )


def _place(origin: str) -> str:
    return origin.partition("://")[2]


def _host_name(place: str) -> str:
    if place.startswith("["):
        return place.partition("]")[0].removeprefix("[")
    return place.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
