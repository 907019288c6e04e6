"""One request on its way in: what is read of it here, and the answer or refusal it gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Message, Receive, Scope, Send

_FILE = b"filename="
_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")


class Refused(Exception):  # noqa: N818
    """An answer instead of what was asked for.

    Args:
        status: HTTP status.
        words: One sentence.
        retry_s: After how many seconds it makes sense to ask again; 0 says nothing.
    """

    def __init__(self, status: int, words: str, retry_s: int = 0) -> None:
        super().__init__(words)
        self.status, self.words, self.retry_s = status, words, retry_s


class Request:
    """One request: its headers, its body as far as it is read here, and its answer."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        own_headers: Callable[[list[Any]], list[Any]],
    ) -> None:
        self.scope = dict(scope)
        self.headers = Headers(scope=scope)
        self.method, self.path = scope["method"], scope["path"]
        self.status = 0
        self.num_bytes = self.num_files = 0
        self._given, self._answer, self._own_headers = receive, send, own_headers
        self._body: bytes | None = None
        self._most: tuple[int, int | None, Refused] | None = None
        self._over: Refused | None = None
        self._holds_failures = self._holds = False
        self._tail = b""

    @property
    def address(self) -> str:
        """Of the client, or of who asks for it."""
        return str((self.scope.get("client") or ("",))[0])

    @property
    def cookies(self) -> dict[str, str]:
        """As Starlette reads them."""
        return cookie_parser(self.headers.get("cookie", ""))

    @property
    def length(self) -> int:
        """Bytes of the body as announced; 0 if they are not."""
        text = self.headers.get("content-length", "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

    def query(self, name: str) -> str:
        """A parameter of the query.

        Raises:
            Refused: It is missing, or no short word.
        """
        value = (parse_qs(self.scope["query_string"].decode("latin-1")).get(name) or [""])[-1]
        if not re.fullmatch(r"[\w-]{1,64}", value):
            raise Refused(422, f"Expected a short word as {name}.")
        return value

    def forget_origin(self) -> None:
        """Let Gradio answer as to its own page, and not see a range that it cannot read."""
        kept = []
        for name, value in self.scope["headers"]:
            if name == b"origin":
                continue
            if name == b"range" and not _RANGE.fullmatch(value.decode("latin-1")):
                continue
            kept.append((name, value))
        self.scope["headers"] = kept

    async def body(self, most: int) -> bytes:
        """The whole body.

        Raises:
            Refused: It is longer than ``most`` bytes.
        """
        too_much = Refused(413, f"Expected at most {most >> 10} kB.")
        if self.length > most:
            raise too_much
        parts, size, more = [], 0, True
        while more:
            message = await self._given()
            if message["type"] != "http.request":
                raise Refused(400, "The request was broken off.")
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > most:
                raise too_much
        return b"".join(parts)

    def replace_body(self, body: bytes) -> None:
        """What Gradio reads."""
        self._body = body
        headers = [h for h in self.scope["headers"] if h[0] not in (b"content-length",)]
        self.scope["headers"] = [*headers, (b"content-length", str(len(body)).encode())]

    def count(self, most_bytes: int, most_files: int | None, refusal: Refused) -> None:
        """Break the request off where its body passes a limit."""
        self._most = most_bytes, most_files, refusal

    def hold_failures(self) -> None:
        """Send no failure of Gradio's: what it raises says more."""
        self._holds_failures = True

    async def receive(self) -> Message:
        """For Gradio."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._given()
        if self._most is not None and message["type"] == "http.request":
            most_bytes, most_files, refusal = self._most
            body = message.get("body", b"")
            self.num_bytes += len(body)
            text = self._tail + body
            self.num_files += text.count(_FILE)
            self._tail = text[1 - len(_FILE) :]
            if self.num_bytes > most_bytes or (
                most_files is not None and self.num_files > most_files
            ):
                self._over = refusal
                raise refusal
        return message

    async def send(self, message: Message) -> None:
        """For Gradio."""
        if self._over is not None:
            return
        if message["type"] == "http.response.start" and message["status"] >= 500:
            self._holds = self._holds_failures
        if self._holds:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = self._own_headers(list(message.get("headers", [])))
            message = {**message, "headers": headers}
        await self._answer(message)

    async def preflight(self) -> None:
        """Answer what a browser asks before another site's call."""
        allowed = any(n == b"access-control-allow-origin" for n, _ in self._own_headers([]))
        if not allowed:
            raise Refused(403, "Another site may not call this server.")
        more = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"content-type"),
            (b"access-control-max-age", b"600"),
        ]
        await self._start(204, more)
        await self._answer({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refused) -> None:
        """Answer with a sentence; nothing of Gradio's answer has gone out."""
        if self.status and self._over is None:
            return
        content = orjson.dumps({"detail": refusal.words, "error": refusal.words})
        more = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        if refusal.retry_s:
            more.append((b"retry-after", str(refusal.retry_s).encode()))
        await self._start(refusal.status, more)
        body = content if self.method != "HEAD" else b""
        await self._answer({"type": "http.response.body", "body": body})

    async def _start(self, status: int, more: list[tuple[bytes, bytes]]) -> None:
        headers = [*more, *self._own_headers([])]
        await self._answer({"type": "http.response.start", "status": status, "headers": headers})
