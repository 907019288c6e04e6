"""JSON from strangers: parsed within limits, and taken apart by a model of what it must hold.

A file's shape is written down once, as a pydantic model of the field types below; what does not
fit is one sentence that names the place. Nothing that passed holds an infinite number, a text
that cannot be written as UTF-8, or lists nested without end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, TypeVar, cast, overload

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from diffpose.errors import DiffPoseError, FormatError, said

MOST_BYTES = 2**28
MOST_VALUES = 60_000_000
MOST_DEPTH = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATES = re.compile("[\ud800-\udfff\n\r]")

T = TypeVar("T")


class Stored(BaseModel):
    """Base of the models of files: keys that are not ours are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def _writable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text with half a character in it") from None
    return text


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("a name with a control character in it")
    return text


def _plain(value: Any) -> Any:
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("an infinite number")
        level = [x for item in level for x in _inside(item)]
        if not level:
            return value
    raise ValueError(f"values nested more than {MOST_DEPTH} deep")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
"""A finite number whose square is one, too."""
Known = Number | None
"""A number, or null for unknown."""
Single = Annotated[float, Field(ge=-3.4028236e38, le=3.4028236e38, allow_inf_nan=False)]
"""A number that float32 holds."""
Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_one_line),
    AfterValidator(_writable),
]  # fmt: skip
"""What people and keypoints are called: one line."""
Text = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_writable)]
Identifier = Annotated[int, Field(ge=-(2**63), lt=2**63)] | Name
"""What other programs number or name pictures and people with."""
Plain = Annotated[Any, AfterValidator(_plain)]
"""Any JSON value of finite numbers that is not nested too deep."""


def parse_json(content: bytes, what: str, *, error: type[DiffPoseError] = FormatError) -> Any:
    """A JSON text as Python values.

    Args:
        content: UTF-8, with or without a byte order mark.
        what: What to call it in messages.
        error: What to raise.

    Raises:
        DiffPoseError: As ``error``: it is no JSON, too long, nested too deep, or has texts that
            cannot be written.
    """
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    if len(content) > MOST_BYTES or values > MOST_VALUES:
        raise error(
            f"{what} has {len(content) // 2**20} MB and {values} values, expected at most "
            f"{MOST_BYTES // 2**20} MB and {MOST_VALUES}; split it."
        )
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_constant=_constant)
        if _SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise error(f"{what} is nested too deep to be a file of poses or numbers.") from None
    except UnicodeEncodeError:
        raise error(f"{what} has a text with half a character in it; export it again.") from None
    except ValueError as failure:
        raise error(f"{what} is no JSON file ({said(failure)}).") from failure
    return value


def _constant(word: str) -> float | None:
    """Python's programs write NaN for unknown, which is null; infinity fits no type above."""
    return None if word == "NaN" else float(word)


@overload
def validate(kind: type[T], value: Any, what: str, *, error: type[DiffPoseError] = ...) -> T: ...


@overload
def validate(kind: object, value: Any, what: str, *, error: type[DiffPoseError] = ...) -> Any: ...


def validate(
    kind: object, value: Any, what: str, *, error: type[DiffPoseError] = FormatError
) -> Any:
    """A value that was parsed, as a model or another type says it must be.

    Args:
        kind: A `Stored` model, or any type pydantic knows.
        value: JSON values.
        what: What to call it in messages.
        error: What to raise.

    Raises:
        DiffPoseError: As ``error``: it is something else; the message names the first place.
    """
    try:
        return _adapter(cast(Any, kind)).validate_python(value)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
        parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]]
        place = _SURROGATES.sub("?", "".join(parts).lstrip(".")[:120])
        words = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        raise error(
            f"{what} does not follow its format{' at ' if place else ''}{place} "
            f"({words[:1].lower()}{words[1:]}); export it again."
        ) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
