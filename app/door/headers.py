"""Headers of every answer: what a browser may do with the page, and the cookie of a login."""

from __future__ import annotations

from collections.abc import Iterable

from app.door.hosts import Reach

Header = tuple[bytes, bytes]

# Gradio builds its components by ``new Function`` and has scripts in its page; handlers written
# into attributes it has not, and these are what injected HTML would run.
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "script-src-attr": "'none'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
_DROPPED = b"access-control-"


def policy_headers(reach: Reach) -> list[Header]:
    """Those that are the same for every answer."""
    frames = " ".join(["'self'", *sorted(reach.origins | reach.ancestors)])
    policy = "; ".join(f"{name} {value}" for name, value in _POLICY.items())
    headers = [
        ("content-security-policy", f"{policy}; frame-ancestors {frames}"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ]
    if not reach.is_embedded:
        headers.append(("x-frame-options", "SAMEORIGIN"))
    return [(name.encode(), value.encode()) for name, value in headers]


def answer_headers(
    given: Iterable[Header], own: Iterable[Header], *, is_https: bool, is_embedded: bool
) -> list[Header]:
    """Gradio's headers without what it allows other sites, with our own and a stricter cookie.

    Args:
        given: Of Gradio's answer.
        own: Added.
        is_https: How the browser speaks with the server.
        is_embedded: Whether the page may stand in another site's frame.
    """
    own = list(own)
    names = {name for name, _ in own}
    kept = [
        header
        for name, value in given
        if not (name.lower() in names or name.lower().startswith(_DROPPED))
        for header in _cookie(name, value, is_https=is_https, is_embedded=is_embedded)
    ]
    return kept + own


def _cookie(name: bytes, value: bytes, *, is_https: bool, is_embedded: bool) -> list[Header]:
    """A cookie as it should be; none for the twin that Gradio sets for the other scheme."""
    if name.lower() != b"set-cookie" or not value.startswith(b"access-token-"):
        return [(name, value)]
    if _expires(value):
        return [(name, value)]
    if value.startswith(b"access-token-unsecure-") == is_https:
        return []
    parts = [part.strip() for part in value.split(b";")]
    wanted = [p for p in parts if p.lower() != b"secure" and not p.lower().startswith(b"samesite")]
    if is_https:
        # In another site's frame a browser sends no other cookie; calls are checked by origin.
        wanted += [b"Secure", b"SameSite=None" if is_embedded else b"SameSite=Lax"]
    else:
        wanted.append(b"SameSite=Lax")
    return [(name, b"; ".join(wanted))]


def _expires(value: bytes) -> bool:
    return b"max-age=0" in value.lower()
