"""Hostile requests to every endpoint of the app, from a seed; and the page as a client sees it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import httpx

from app.workspace import Workspace
from tests.app.figures import Served

API = "/gradio_api"
JSON = {"content-type": "application/json"}

NUMBERS = [
    "0", "-1", "1", "3", "1.5", "NaN", "Infinity", "-Infinity", "1e999", "-0.0", "1e-320",
    "2147483648", "9223372036854775808", "1" + "0" * 400, "1" * 5000, "true",
]  # fmt: skip
TEXTS = [
    '""', '"x"', '"\\ud800"', '"\\u0000"', '"\\u202egpj.exe"', '"../../etc/passwd"',
    '"<img src=x>"',
    '"${alert(1)}"', '"' + "a" * 5000 + '"', '"\U0001f4a9"', '"=HYPERLINK(1)"', '"list"',
    '"rename"',
    '"act"', '"queue"', '"download"', '"/dev/zero"', '"file:///etc/passwd"', '"*"', '"me\\n"',
]  # fmt: skip
OTHERS = ["null", "[]", "{}", "[[]]", '{"kind": "move"}', "[" * 50 + "]" * 50, "[1, 2, 3, NaN]"]
FIELDS = [
    "session", "sequence", "clip", "track", "frame", "keypoint", "steps", "hypotheses", "do",
    "project", "name", "target", "ident", "revision", "number", "action", "box", "what",
    "joint", "__proto__",
]  # fmt: skip
ACTIONS = ["act", "undo", "redo", "accept", "take", "look", "suggest", "alternatives", "queue"]
LISTING = ["list", "rename", "copy", "download", "delete", "restore"]


@dataclass(frozen=True)
class Page:
    """A served app, as a client of its HTTP endpoints uses it."""

    url: str
    blocks: gr.Blocks
    workspace: Workspace
    app: Any

    @classmethod
    def of(cls, served: Served) -> Page:
        """The page of an app that the tests serve."""
        return cls(served.url.rstrip("/"), served.blocks, served.workspace, served.app)

    def open(self, client: httpx.Client, page: str, example: str | None = None) -> str:
        """Load the page; the id of its session."""
        load = self.event("load")
        self.run(client, page, load, [example, ""])
        return self.workspace._pages[page]

    def event(self, name: str) -> int:
        """The first event of a name."""
        fns = self.blocks.fns.items()
        return next(i for i, fn in fns if any(name == event for _, event in fn.targets))

    def run(self, client: httpx.Client, page: str, fn_index: int, data: list[Any]) -> str:
        """An event from join to end; what the server said."""
        body = {"session_hash": page, "fn_index": fn_index, "data": data}
        client.post(f"{API}/queue/join", json=body).raise_for_status()
        said = []
        with client.stream("GET", f"{API}/queue/data", params={"session_hash": page}) as stream:
            for line in stream.iter_lines():
                said.append(line)
                if "process_completed" in line:
                    break
        return "\n".join(said)

    def functions(self) -> dict[str, int]:
        """Component by the name of a function that it has for the page."""
        return {
            name: number
            for number, block in self.blocks.blocks.items()
            for name in ("resample", "review", "projects")
            if getattr(getattr(block, name, None), "_is_server_fn", False)
        }

    def call(self, client: httpx.Client, page: str, name: str, data: Any) -> httpx.Response:
        """A component's function."""
        body = {
            "session_hash": page, "component_id": self.functions()[name], "fn_name": name,
            "data": data,
        }  # fmt: skip
        return client.post(f"{API}/component_server", json=body)


@dataclass(frozen=True)
class Request:
    """One request; ``content`` is bytes that need not be JSON."""

    method: str
    path: str
    content: bytes | None
    headers: dict[str, str]


class Hostile:
    """A seeded source of requests, most of them nearly right: those get farthest.

    Args:
        seed: Equal seeds give equal requests.
        page: Whose parts they name.
        session: A session's id that exists.
        clip: Its clip.
    """

    def __init__(self, seed: int, page: Page, *, session: str, clip: str) -> None:
        self._random = random.Random(seed)
        self._page, self._session, self._clip = page, session, clip
        self._functions = page.functions()
        self._events = sorted(page.blocks.fns)

    def requests(self, count: int) -> Iterator[Request]:
        """So many."""
        makers = [self._call] * 6 + [self._join] * 3 + [self._other, self._file, self._upload]
        for _ in range(count):
            yield self._random.choice(makers)()

    def _value(self) -> str:
        kind = self._random.choice([NUMBERS, TEXTS, OTHERS])
        return self._random.choice(kind)

    def _call(self) -> Request:
        name = self._random.choice(list(self._functions))
        good = {
            "resample": self._wish(),
            "review": self._about_project(ACTIONS),
            "projects": self._about_project(LISTING),
        }[name]
        fields = self._spoiled(good)
        envelope = {
            "session_hash": '"fuzz"', "component_id": str(self._functions[name]),
            "fn_name": json.dumps(name), "data": fields,
        }  # fmt: skip
        return self._json("component_server", self._perhaps_spoiled(envelope))

    def _wish(self) -> dict[str, str]:
        return {
            "session": json.dumps(self._session), "sequence": "1", "clip": json.dumps(self._clip),
            "track": "0", "frame": "5", "keypoint": "0", "steps": "1", "hypotheses": "1",
        }  # fmt: skip

    def _about_project(self, what: list[str]) -> dict[str, str]:
        return {
            "session": json.dumps(self._session), "do": json.dumps(self._random.choice(what)),
            "track": "0", "frame": "5", "project": '"Two people"', "name": '"x"', "number": "0",
            "target": "5", "revision": "0", "ident": '"a-1"',
            "action": '{"kind": "move", "track_id": 0, "frames": [5], "joint": 0, "x": 1, "y": 2}',
        }  # fmt: skip

    def _join(self) -> Request:
        number = self._random.choice(self._events)
        inputs = len(self._page.blocks.fns[number].inputs)
        count = inputs if self._random.random() < 0.8 else self._random.randrange(12)
        values = ", ".join(self._value() for _ in range(count))
        envelope = {
            "session_hash": '"fuzz"', "fn_index": str(number), "data": f"[{values}]",
            "event_data": self._spoiled({"track": "0", "joint": "1", "frame": "2", "box": "[1]"}),
        }  # fmt: skip
        return self._json("queue/join", self._perhaps_spoiled(envelope))

    def _other(self) -> Request:
        name = self._random.choice(["cancel", "reset", "queue/join", "component_server", "none"])
        envelope = {"session_hash": '"fuzz"', "fn_index": "0", "event_id": '"x"'}
        return self._json(name, self._spoiled(envelope))

    def _file(self) -> Request:
        names = [
            "/etc/passwd", "../../x", "%00", "%ff%fe", "a" * 3000, str(self._page.workspace.static),
            f"{self._page.workspace.static}/plotly.min.js", "https://example.com/x", "C:%5Cx",
            "//x", "%2e%2e/%2e%2e", "/proc/self/mem", "/dev/zero", "~root",
        ]  # fmt: skip
        path = f"{API}/file={self._random.choice(names)}"
        ranges = [
            "bytes=0-1",
            "bytes=5-2",
            "bytes=1-2-3",
            "bytes=a-",
            "bytes=9999999999999999-",
            "x",
        ]
        others = [
            f"{API}/heartbeat/%00", f"{API}/queue/data?session_hash=", f"{API}/upload_progress",
            f"{API}/info?all_endpoints=x", "/config?deep_link=../../x", "/?deep_link=%00", "/%ff",
            "/static/../../x", "/assets/%2e%2e/x", "/svelte/a", "/pwa_icon/9999", "/logout",
            f"{API}/stream/x/y/z/playlist.m3u8", f"{API}/custom_component/x/y/z/w", "/theme.css",
        ]  # fmt: skip
        where = path if self._random.random() < 0.5 else self._random.choice(others)
        method = self._random.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
        return Request(method, where, None, {"range": self._random.choice(ranges)})

    def _upload(self) -> Request:
        names = ["a.mp4", "../x", "\u202e", "a" * 400, "", ".", "..", "x/y", "CON", "a\\b", "%00"]
        name = self._random.choice(names)
        field = self._random.choice(["files", "files", "x"])
        file = self._random.choice([f'; filename="{name}"', "", "; filename=", "; filename*=x"])
        ending = self._random.choice(["\r\n--b--\r\n", "\r\n", "", "\r\n--c--"])
        text = f'--b\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\nx{ending}'
        types = ["multipart/form-data; boundary=b"] * 4 + ["multipart/form-data", "text/x", "x;="]
        headers = {"content-type": self._random.choice(types)}
        query = self._random.choice(["", "?upload_id=x", "?upload_id=%00"])
        where = self._random.choice([f"{API}/upload", f"{API}/upload", "/login"])
        return Request("POST", f"{where}{query}", text.encode(), headers)

    def _json(self, name: str, text: str) -> Request:
        content = text.encode("utf-8", "surrogatepass")
        if self._random.random() < 0.05:
            place = self._random.randrange(len(content))
            content = content[:place] + self._random.randbytes(3) + content[place + 1 :]
        return Request("POST", f"{API}/{name}", content, JSON)

    def _perhaps_spoiled(self, fields: dict[str, str]) -> str:
        return _object(fields) if self._random.random() < 0.8 else self._spoiled(fields)

    def _spoiled(self, fields: dict[str, str]) -> str:
        """An object with some values replaced, missing, or more of them."""
        fields = dict(fields)
        for _ in range(self._random.randrange(3)):
            fields[self._random.choice([*fields, *FIELDS])] = self._value()
        if self._random.random() < 0.1:
            del fields[self._random.choice(list(fields))]
        return _object(fields) if self._random.random() < 0.97 else self._value()


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"


def send(client: httpx.Client, request: Request) -> int:
    """The status; only that much is read of an answer that has no end."""
    with client.stream(
        request.method, request.path, content=request.content, headers=request.headers
    ) as answer:
        if "text/event-stream" not in answer.headers.get("content-type", ""):
            answer.read()
        return answer.status_code
