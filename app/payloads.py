"""What the browser says, checked: JSON objects to dataclasses, or one sentence what is wrong."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from app.settings import MAX_HYPOTHESES, MAX_STEPS
from diffpose.errors import BoxError, InputError, SettingsError
from diffpose.poses import SamplingConfig

MOST_INDEX = 2**31 - 1
"""Frames, people and numbers of requests are 32-bit integers."""

FARTHEST = 1e6
"""Coordinates lie within so many pixels of the picture's corner."""

LONGEST_TEXT = 200

SEED = 0
"""All the page's poses come from one seed: equal settings give equal poses."""


@dataclass(frozen=True)
class ResampleRequest:
    """A wish for the pose of one frame with certain settings.

    Attributes:
        session: Which session asks.
        sequence: Number of the wish; the answer carries it back.
        clip: Which clip of the session.
        track: Whose pose.
        frame: Which frame.
        keypoint: Whose heatmap.
        sampling: K and E.
    """

    session: str
    sequence: int
    clip: str
    track: int
    frame: int
    keypoint: int
    sampling: SamplingConfig


@dataclass(frozen=True)
class DrawnBox:
    """A box drawn or corrected by hand.

    Attributes:
        frame: Where it was drawn.
        track: Whose box it corrects; None for a new person.
        box: x1, y1, x2, y2 in video pixels.
    """

    frame: int
    track: int | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Visitor:
    """What a browser remembers between two visits.

    Attributes:
        key: A secret of the browser's own, by which it finds its projects again; "" if none.
        project: The project that this tab had open.
    """

    key: str
    project: str | None


def parse_visitor(text: Any) -> Visitor:
    """What the page remembered; whatever makes no sense counts as forgotten."""
    if not isinstance(text, str) or len(text) > 2000:
        return Visitor("", None)
    try:
        fields = mapping(json.loads(text))
    except (InputError, ValueError, RecursionError):
        return Visitor("", None)
    key, project = fields.get("key"), fields.get("project")
    known = is_text(key) and 16 <= len(key) <= 64
    named = is_text(project) and 0 < len(project) <= LONGEST_TEXT
    return Visitor(str(key) if known else "", str(project) if named else None)


def parse_sampling(steps: Any, hypotheses: Any) -> SamplingConfig:
    """K and E from the sliders.

    Raises:
        SettingsError: One of them is no whole number within what the page offers.
    """
    return SamplingConfig(
        num_steps=_within(steps, "Denoising steps", MAX_STEPS),
        num_hypotheses=_within(hypotheses, "Ensemble size", MAX_HYPOTHESES),
        seed=SEED,
    )


def parse_resample(payload: Any) -> ResampleRequest:
    """The canvas's wish for a live pose.

    Raises:
        InputError: A field is missing or makes no sense.
    """
    fields = mapping(payload)
    return ResampleRequest(
        session=_text(fields, "session"),
        sequence=_index(fields, "sequence"),
        clip=_text(fields, "clip"),
        track=_index(fields, "track"),
        frame=_index(fields, "frame"),
        keypoint=_index(fields, "keypoint"),
        sampling=parse_sampling(fields.get("steps"), fields.get("hypotheses")),
    )


def parse_box(payload: Any) -> DrawnBox:
    """The canvas's box.

    Raises:
        InputError: A field is missing, or the box is not four finite numbers.
    """
    fields = mapping(payload)
    track = None if fields.get("track") is None else _index(fields, "track")
    box = fields.get("box")
    good = (
        isinstance(box, list)
        and len(box) == 4
        and all(_is_number(v) and abs(v) <= FARTHEST for v in box)
    )
    if not good:
        raise BoxError(f"Expected a box of four finite numbers (x1, y1, x2, y2), got {shown(box)}.")
    assert isinstance(box, list)
    x1, y1, x2, y2 = (float(value) for value in box)
    return DrawnBox(frame=_index(fields, "frame"), track=track, box=(x1, y1, x2, y2))


def parse_index(payload: Any, name: str) -> int:
    """One whole number, 0 or more, of an object from the browser.

    Raises:
        InputError: It is missing or something else.
    """
    return _index(mapping(payload), name)


def parse_text(payload: Any, name: str) -> str:
    """A text of 1 to 200 letters of an object from the browser.

    Raises:
        InputError: It is missing or something else.
    """
    return _text(mapping(payload), name)


def parse_number(payload: Any, name: str, *, least: float, most: float) -> float:
    """A finite number within limits of an object from the browser.

    Raises:
        InputError: It is missing or something else.
    """
    value = mapping(payload).get(name)
    if not _is_number(value) or not least <= value <= most:
        raise InputError(f"Expected {least:g} to {most:g} as {name}, got {shown(value)}.")
    return float(value)


def mapping(payload: Any) -> Mapping[str, Any]:
    """A JSON object from the browser.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(payload, Mapping):
        raise InputError(f"Expected a JSON object from the page, got {type(payload).__name__}.")
    return payload


def parse_choice(value: Any, what: str) -> int | None:
    """A number of a list, or nothing.

    Raises:
        InputError: It is something else.
    """
    return None if value is None else _whole(value, what)


def sequence_of(payload: Any) -> int | None:
    """The number of a request, to be answered with it; None if it has none."""
    value = payload.get("sequence") if isinstance(payload, Mapping) else None
    return value if _is_index(value) else None


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a value is text that can be written: no half of a surrogate pair, nothing unseen."""
    if not isinstance(value, str):
        return False
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in value[: LONGEST_TEXT + 1])


def shown(value: Any) -> str:
    """A value from the browser as a sentence may quote it: short, and of letters that exist."""
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} values" if len(value) > 4 else f"a {type(value).__name__}"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a huge number"
    text = repr(value)[:60]
    return text.encode("ascii", "backslashreplace").decode() if not is_text(text) else text


def _whole(value: Any, what: str) -> int:
    if not _is_index(value):
        raise InputError(
            f"Expected a whole number of at least 0 and below {MOST_INDEX + 1} as {what}, "
            f"got {shown(value)}."
        )
    return int(value)


def _index(fields: Mapping[str, Any], name: str) -> int:
    return _whole(fields.get(name), name)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_INDEX


def _is_number(value: Any) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not is_text(value) or not 0 < len(value) <= LONGEST_TEXT:
        raise InputError(
            f"Expected a text of 1 to {LONGEST_TEXT} letters as {name}, got {shown(value)}."
        )
    return value


def _within(value: Any, what: str, most: int) -> int:
    if not _is_number(value) or not 1 <= value <= most or value != int(value):
        raise SettingsError(f"{what} must be 1 to {most}, got {shown(value)}.")
    return int(value)
