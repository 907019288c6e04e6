"""Values of a project file, parsed: each has the type and range it must have, or is damaged.

SQLite keeps any type in any column, and a project may come from a stranger. Everything read from
one goes through these functions; a value that fails raises `DamagedError`, one sentence.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from diffpose.errors import FormatError
from diffpose.poses import Provenance
from diffpose.review.limits import MAX_NAME

T = TypeVar("T")
_PERHAPS_INFINITE = re.compile(r"[eE]\+?\d{3}|\d{300}")


class DamagedError(FormatError):
    """A value that no project has."""


def damaged(what: str, expected: str, value: object) -> DamagedError:
    """The error about one value."""
    return DamagedError(f"expected {expected} as {what}, got {reprlib.repr(value)}")


def whole(value: object, what: str, *, least: int = 0, most: int = 2**63 - 1) -> int:
    """An integer within limits."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise damaged(what, f"a whole number from {least} to {most}", value)
    return value


def number(value: object, what: str, *, least: float = -1e12, most: float = 1e12) -> float:
    """A finite number within limits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise damaged(what, f"a number from {least:g} to {most:g}", value)
    return float(value)


def text(value: object, what: str, *, longest: int = MAX_NAME, empty: bool = True) -> str:
    """A text that can be written anywhere: no lone surrogates, no NUL."""
    if not isinstance(value, str) or len(value) > longest or not (value or empty):
        raise damaged(what, f"a text of at most {longest} letters", value)
    if "\0" in value or not _is_unicode(value):
        raise damaged(what, "a text without broken letters", value)
    return value


def data(value: object, what: str, *, unit: int) -> bytes:
    """Bytes, a multiple of ``unit``."""
    if not isinstance(value, bytes) or len(value) % unit:
        raise damaged(what, f"bytes in units of {unit}", value)
    return value


def moment(value: object, what: str) -> datetime:
    """A point in time, as ISO 8601 has it."""
    try:
        return datetime.fromisoformat(text(value, what))
    except ValueError:
        raise damaged(what, "a date and time", value) from None


def items(value: object, what: str, parse: Callable[[Any, str], T], *, most: int) -> tuple[T, ...]:
    """A list of which every item is parsed."""
    if not isinstance(value, list | tuple) or len(value) > most:
        raise damaged(what, f"a list of at most {most}", value)
    return tuple(parse(item, what) for item in value)


def fields(value: object, what: str, names: Sequence[str] = ()) -> Mapping[str, Any]:
    """A JSON object that has at least the named fields."""
    if not isinstance(value, Mapping) or any(name not in value for name in names):
        wanted = f"an object with {', '.join(names)}" if names else "an object"
        raise damaged(what, wanted, value)
    return value


def from_json(value: object, what: str, *, finite: bool = True) -> Any:
    """The value of a JSON text.

    Args:
        value: The text.
        what: What it is called.
        finite: Refuse NaN and infinity; otherwise they become None.
    """
    if not isinstance(value, str):
        raise damaged(what, "JSON", value)
    try:
        result = (_FINITE if finite else _LENIENT).decode(value)
        if "\\u" in value and not _is_unicode(json.dumps(result, ensure_ascii=False)):
            raise damaged(what, "text without broken letters", value)
        if _PERHAPS_INFINITE.search(value):
            json.dumps(result, allow_nan=False)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DamagedError):
            raise
        raise damaged(what, "JSON", value) from None
    return result


def provenance_from_json(value: object) -> Provenance | None:
    """How poses were made; None where nobody knows."""
    content = from_json(value, "the origin of the poses", finite=False)
    if content is None:
        return None
    names = ("model", "weights", "num_steps", "num_hypotheses", "seed")
    found = fields(content, "the origin of the poses", names)
    return Provenance(
        model=text(found["model"], "a model"),
        weights=text(found["weights"], "a model's weights"),
        num_steps=whole(found["num_steps"], "steps", most=2**31),
        num_hypotheses=whole(found["num_hypotheses"], "hypotheses", most=2**31),
        seed=whole(found["seed"], "a seed", most=2**63 - 1),
        extra=dict(fields(found.get("extra", {}), "the origin of the poses")),
    )


def _refuse_constant(name: str) -> None:
    raise damaged("JSON", "finite numbers", name)


def _forget_constant(name: str) -> None:
    return None


_FINITE = json.JSONDecoder(parse_constant=_refuse_constant)
_LENIENT = json.JSONDecoder(parse_constant=_forget_constant)


def _is_unicode(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
