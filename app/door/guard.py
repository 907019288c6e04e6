"""The first thing a request meets: host, origin, route, login, size, content, in this order."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.door.attempts import Attempts
from app.door.headers import answer_headers, policy_headers
from app.door.hosts import Reach
from app.door.request import Refused, Request
from app.door.routes import MOST_BODY, MOST_FORM, Route, find_route, parse_body
from app.door.uploads import Uploads
from diffpose.errors import InputError

logger = logging.getLogger(__name__)

USER = "diffpose.user"
"""Key of the scope: the name that a request is logged in with; empty without logins."""

_MOST_PAGES = 50_000
_FORM_ROOM = 1 << 16  # of a multipart body, next to the file


@dataclass(frozen=True)
class Rules:
    """What the guard asks for.

    Attributes:
        reach: Where the server may be reached from.
        most_upload: Bytes of one file.
        needs_login: Whether nothing but the login page is served to strangers.
        uploads: How much a visitor may upload; None for any amount.
        attempts: Of logins.
    """

    reach: Reach
    most_upload: int
    needs_login: bool = False
    uploads: Uploads | None = None
    attempts: Attempts | None = None


class Guard:
    """ASGI middleware around Gradio's app.

    Args:
        app: Gradio's.
        rules: See there.
        user_of: The name behind a request's cookies; None for a stranger.
        knows: Whether a route's body names parts that the page has.
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        *,
        user_of: Callable[[dict[str, str]], str | None],
        knows: Callable[[Any], bool],
    ) -> None:
        self._app, self._rules, self._user_of, self._knows = app, rules, user_of, knows
        self._attempts = rules.attempts or Attempts()
        self._headers = policy_headers(rules.reach)
        self._pages: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            request = Request(scope, receive, send, self._own_headers(scope))
            try:
                await self._serve(request)
            except Refused as refusal:
                await request.refuse(refusal)

    async def _serve(self, request: Request) -> None:
        self._check_host(request)
        if request.method == "OPTIONS":
            return await request.preflight()
        found = find_route(request.method, request.path)
        user = self._user_of(request.cookies) if self._rules.needs_login else ""
        if user is None and (found is None or not found[0].is_public):
            raise Refused(401, "Log in first.")
        if found is None:
            raise Refused(404, "There is nothing here.")
        route, page = found
        self._check_origin(request, route)
        request.scope[USER] = user or ""
        request.forget_origin()
        if route.page:
            page = request.query(route.page)
        if route.is_login:
            return await self._log_in(request)
        if route.is_upload:
            return await self._upload(request)
        if route.body is not None:
            page = await self._read(request, route)
        self._claim(page, user or "")
        return await self._app(request.scope, request.receive, request.send)

    def _own_headers(self, scope: Scope) -> Callable[[list[Any]], list[Any]]:
        headers, reach = Headers(scope=scope), self._rules.reach
        forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        is_https = "https" in (scope.get("scheme"), forwarded)
        own, origin = list(self._headers), headers.get("origin", "")
        own.append((b"vary", b"Origin"))
        if _is_allowed(origin, reach):
            own.append((b"access-control-allow-origin", origin.encode("latin-1")))
            own.append((b"access-control-allow-credentials", b"true"))

        return lambda given: answer_headers(
            given, own, is_https=is_https, is_embedded=reach.is_embedded
        )

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if not self._rules.reach.knows_host(host):
            raise Refused(
                403,
                "This server does not answer to this name; start it with "
                "--allow-origin and its address if it should.",
            )

    def _check_origin(self, request: Request, route: Route) -> None:
        """Refuse what another site makes a browser do."""
        if request.method in ("GET", "HEAD") and not route.changes:
            return
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if origin is not None:
            good = self._rules.reach.knows_origin(origin, host)
        else:
            # A browser says at least where a request comes from; other programs hold no cookie
            # that a site could abuse.
            good = request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if not good:
            raise Refused(
                403,
                "Another site may not do this; start the server with --allow-origin "
                "and the site's address if it may.",
            )

    async def _read(self, request: Request, route: Route) -> str:
        assert route.body is not None
        if not request.headers.get("content-type", "").lower().startswith("application/json"):
            raise Refused(415, "Expected JSON.")
        try:
            body = parse_body(await request.body(MOST_BODY), route.body)
        except InputError as error:
            raise Refused(422, str(error)) from None
        if not self._knows(body):
            raise Refused(404, "The page has no such part; reload it.")
        # What was checked is what is read: two readers of JSON may differ.
        request.replace_body(orjson.dumps(body.model_dump(exclude_unset=True)))
        return str(getattr(body, "session_hash", ""))

    def _claim(self, page: str, user: str) -> None:
        """A page belongs to who used it first."""
        if not self._rules.needs_login or not page:
            return
        if self._pages.setdefault(page, user) != user:
            raise Refused(403, "This page belongs to another login.")
        self._pages.move_to_end(page)
        while len(self._pages) > _MOST_PAGES:
            self._pages.popitem(last=False)

    async def _log_in(self, request: Request) -> None:
        body = await request.body(MOST_FORM)
        fields = parse_qs(body.decode("latin-1"), keep_blank_values=True)
        name, address = (fields.get("username") or [""])[0].strip()[:200], request.address
        if not name:
            multipart = re.search(rb'name="username"\r\n\r\n([^\r]{0,200})', body)
            name = multipart[1].decode("latin-1").strip() if multipart else ""
        wait_s = self._attempts.wait_s(address, name)
        if wait_s:
            raise Refused(429, f"Too many attempts; try again in {wait_s} seconds.", wait_s)
        # Counted before the answer, so that many at once are as many.
        self._attempts.begin(address, name)
        request.replace_body(body)
        await self._app(request.scope, request.receive, request.send)
        if request.status == 200:
            self._attempts.succeeded(address, name)

    async def _upload(self, request: Request) -> None:
        rules = self._rules
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise Refused(415, "Expected a file.")
        uploads, visitor = rules.uploads, request.scope[USER] or request.address
        room, files = uploads.room(visitor) if uploads else (None, None)
        too_much = Refused(
            413,
            "You have uploaded as much as this server takes within an hour; try again later.",
        )
        if files is not None and files < 1:
            raise too_much
        limit = rules.most_upload * (files or 1000) if room is None else room
        if request.length > limit + _FORM_ROOM:
            raise too_much
        request.count(limit + _FORM_ROOM, files, too_much)
        request.hold_failures()
        try:
            await self._app(request.scope, request.receive, request.send)
        except OSError as error:
            logger.error("An upload could not be written.", exc_info=error)
            raise Refused(507, "This server has no room for the upload.") from None
        except (AttributeError, KeyError, TypeError, ValueError, AssertionError):
            # What Gradio's reader of forms raises where a form is not one; it meets nothing else.
            raise Refused(400, "Expected files as a browser sends them.") from None
        finally:
            if uploads:
                uploads.add(visitor, num_bytes=request.num_bytes, files=request.num_files)


def _is_allowed(origin: str, reach: Reach) -> bool:
    return bool(origin) and reach.knows_origin(origin, host="")
