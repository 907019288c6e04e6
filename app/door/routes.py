"""The routes of Gradio that the page needs, and what a request to each may hold.

Gradio has many more, some of them open without a login; they are not served.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from diffpose.errors import InputError

MOST_BODY = 1 << 20
"""Bytes of a request that is no upload."""

MOST_FORM = 1 << 13
"""Bytes of a login."""

_DEEPEST = 32
_LONGEST_TARGET = 4096
_HASH = r"[A-Za-z0-9_-]{1,64}"
_API = "/gradio_api"

Hash = Annotated[str, Field(pattern=f"^{_HASH}$")]
Number = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]


class Join(BaseModel):
    """An event of the page."""

    session_hash: Hash
    fn_index: Number
    data: Annotated[list[Any], Field(max_length=64)]
    event_data: Any = None
    trigger_id: Number | None = None
    event_id: Hash | None = None


class ServerCall(BaseModel):
    """A component of the page calls its function."""

    session_hash: Hash
    component_id: Number
    fn_name: Annotated[str, Field(pattern=r"^\w{1,64}$")]
    data: Any


class Cancel(BaseModel):
    """The page stops an event."""

    session_hash: Hash
    fn_index: Number
    event_id: Hash


class Reset(BaseModel):
    """The page forgets an event."""

    event_id: Hash


@dataclass(frozen=True)
class Route:
    """One kind of request.

    Attributes:
        methods: Separated by spaces.
        path: Regular expression; a group ``session`` names the page.
        is_public: Whether it is served without a login.
        body: What a JSON body holds.
        page: The parameter of the query that names the page.
        is_upload: Whether its body is a file, which has limits of its own.
        is_login: Whether its body is a form with a name and a password.
        changes: Whether it changes something although it is a GET.
    """

    methods: str
    path: str
    is_public: bool = False
    body: type[BaseModel] | None = None
    page: str = ""
    is_upload: bool = False
    is_login: bool = False
    changes: bool = False


ROUTES = (
    Route("GET HEAD", r"/", is_public=True),
    Route("GET HEAD", r"/(assets|static|svelte)/[\w./@+-]*", is_public=True),
    Route("GET HEAD", r"/(favicon\.ico|robots\.txt|manifest\.json|theme\.css)", is_public=True),
    Route("GET HEAD", r"/pwa_icon(/\d{1,4})?", is_public=True),
    Route("GET HEAD", rf"{_API}/(theme\.css|startup-events)", is_public=True),
    Route("POST", r"/login/?", is_public=True, is_login=True),
    Route("GET", r"/logout/?", is_public=True, changes=True),
    Route("GET", r"/config/?"),
    Route("GET", rf"{_API}/(info/?|app_id/?|queue/status)"),
    Route("GET HEAD", rf"{_API}/file=/.+"),
    Route("GET", rf"{_API}/heartbeat/(?P<session>{_HASH})"),
    Route("GET", rf"{_API}/queue/data", page="session_hash"),
    Route("GET", rf"{_API}/upload_progress"),
    Route("POST", rf"{_API}/upload/?", is_upload=True),
    Route("POST", rf"{_API}/queue/join/?", body=Join),
    Route("POST", rf"{_API}/component_server/?", body=ServerCall),
    Route("POST", rf"{_API}/cancel/?", body=Cancel),
    Route("POST", rf"{_API}/reset/?", body=Reset),
)
_COMPILED = tuple((route, re.compile(route.path, re.DOTALL)) for route in ROUTES)


def find_route(method: str, path: str) -> tuple[Route, str] | None:
    """The route of a request and the page it names in its path; None if it is not served."""
    if len(path) > _LONGEST_TARGET or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in path):
        return None
    for route, pattern in _COMPILED:
        match = pattern.fullmatch(path)
        if match and method in route.methods.split():
            return route, match.groupdict().get("session") or ""
    return None


def parse_body(text: bytes, model: type[BaseModel]) -> BaseModel:
    """A JSON body.

    Numbers are finite and letters whole: orjson takes neither NaN nor half of a surrogate pair.

    Raises:
        InputError: It is no JSON, nested too deeply, or not what the model says.
    """
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InputError("Expected JSON from the page, got something else.") from None
    if _is_deeper(content, _DEEPEST):
        raise InputError(f"Expected JSON nested {_DEEPEST} times at most, got more.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"][:1])) or "the request"
        raise InputError(f"Expected {where} as the page sends it: {first['msg']}.") from None


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(item, levels - 1) for item in inner)
