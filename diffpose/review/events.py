"""What a reviewer can do to a track: one frozen record per action, and its JSON.

Actions are never edited: undoing one is another action that names it. Keypoints are indices into
the track's skeleton; positions are video pixels, pixel centres at integers.
"""

from __future__ import annotations

import base64
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import CorrectionError
from diffpose.review.limits import MAX_FRAMES
from diffpose.skeleton import Skeleton

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Move:
    """Place one keypoint."""

    track_id: int
    frame: int
    keypoint: int
    xy: tuple[float, float]


@dataclass(frozen=True)
class Hide:
    """Call one keypoint occluded in some frames; its positions are kept."""

    track_id: int
    frames: tuple[int, ...]
    keypoint: int


@dataclass(frozen=True)
class OutOfFrame:
    """Call one keypoint outside the picture in some frames; no position until shown again."""

    track_id: int
    frames: tuple[int, ...]
    keypoint: int


@dataclass(frozen=True)
class Show:
    """Call one keypoint visible in some frames; its positions are those it had."""

    track_id: int
    frames: tuple[int, ...]
    keypoint: int


@dataclass(frozen=True)
class Confirm:
    """Call the poses of some frames right as they are."""

    track_id: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Unconfirm:
    """Take a confirmation back."""

    track_id: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Swap:
    """Exchange left and right from frame ``first`` to frame ``last``, both included."""

    track_id: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class MoveBody:
    """Shift a whole pose.

    ``keypoints`` (K, 2) is where that put it, filled in when the action is accepted: later
    predictions then cannot move what the reviewer placed.
    """

    track_id: int
    frame: int
    shift_xy: tuple[float, float]
    keypoints: Array | None = None


@dataclass(frozen=True, eq=False)
class CopyPrevious:
    """Place a pose where another frame has it; ``keypoints`` as in `MoveBody`."""

    track_id: int
    frame: int
    from_frame: int
    keypoints: Array | None = None


@dataclass(frozen=True, eq=False)
class SetPose:
    """Place several keypoints at once.

    Attributes:
        track_id: Whose pose.
        frame: Frame index.
        keypoints: (K, 2) px; NaN for those to leave as they are.
        reason: 'alternative' (a hypothesis taken: keypoints placed earlier stay), 'copy' or
            'import' (those move too).
    """

    track_id: int
    frame: int
    keypoints: Array
    reason: str = "alternative"


@dataclass(frozen=True, eq=False)
class AcceptSuggestion:
    """Take re-sampled poses; keypoints the reviewer placed and confirmed frames are not touched.

    Attributes:
        track_id: Whose poses.
        frames: M frame indices.
        keypoints: (M, K, 2) px; NaN for those to leave as they are.
        covariance: (M, K, 2, 2) px^2.
        confidence: (M, K), 0 to 1.
    """

    track_id: int
    frames: tuple[int, ...]
    keypoints: Array
    covariance: Array
    confidence: Array


@dataclass(frozen=True)
class Undo:
    """Take back the event of this id."""

    track_id: int
    event_id: int


@dataclass(frozen=True)
class Redo:
    """Bring back the undone event of this id."""

    track_id: int
    event_id: int


Visibility = Hide | OutOfFrame | Show
Action = Union[  # noqa: UP007 - one readable line per group
    Move, Visibility, Confirm, Unconfirm, Swap,
    MoveBody, CopyPrevious, SetPose, AcceptSuggestion, Undo, Redo,
]  # fmt: skip
_KINDS: dict[str, type] = {
    "move": Move,
    "hide": Hide,
    "out_of_frame": OutOfFrame,
    "show": Show,
    "confirm": Confirm,
    "unconfirm": Unconfirm,
    "swap": Swap,
    "move_body": MoveBody,
    "copy_previous": CopyPrevious,
    "set_pose": SetPose,
    "accept_suggestion": AcceptSuggestion,
    "undo": Undo,
    "redo": Redo,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in _NAMES}
_VISIBILITY = ("hide", "out_of_frame", "show")
_ARRAYS = ("keypoints", "covariance", "confidence")
REASONS = ("alternative", "copy", "import")
"""Why a `SetPose` was made."""
_LONGEST_REASON = 300  # of letters about what is wrong


@dataclass(frozen=True)
class Event:
    """An action as the store keeps it.

    Attributes:
        event_id: Increases with time; never used twice.
        revision: The project's revision that this event made.
        author: Who.
        made_at: When, with its time zone.
        action: What.
        tab: Which open page wrote it; empty if unknown.
    """

    event_id: int
    revision: int
    author: str
    made_at: datetime
    action: Action
    tab: str = ""


def kind_of(action: Action) -> str:
    """The action's name in the log: 'move', 'set_pose', ..."""
    return _NAMES[type(action)]


def to_dict(action: Action) -> dict[str, Any]:
    """JSON values, with 'kind'; `from_dict` gives every number back bit for bit."""
    result: dict[str, Any] = {"kind": kind_of(action)}
    for name in _FIELDS[type(action)]:
        value = getattr(action, name)
        if name in _ARRAYS:
            value = None if value is None else _pack(value)
        elif isinstance(value, tuple):
            value = [_plain(number) for number in value]
        result[name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def from_dict(data: Mapping[str, Any], skeleton: Skeleton | None = None) -> Action:
    """The action that `to_dict` wrote, or one written by hand.

    Args:
        data: 'kind' and the fields of that action. Arrays are nested lists with null for
            unknown, or packed as by `to_dict`. Visibility may have one 'frame' instead of
            'frames', as it had in older files.
        skeleton: Lets 'keypoint' be a name.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise CorrectionError(
            f"Expected a correction of kind {', '.join(_KINDS)}, got {reprlib.repr(kind)}; "
            "correct its 'kind'."
        )
    known = _FIELDS[_KINDS[kind]]
    given = {name: value for name, value in data.items() if name != "kind"}
    if kind in _VISIBILITY and "frame" in given and "frames" not in given:
        given["frames"] = [given.pop("frame")]
    if unknown := [reprlib.repr(name)[1:-1] for name in given if name not in known]:
        raise CorrectionError(
            f"A correction of kind {kind!r} has {', '.join(sorted(known))}; "
            f"it does not have {', '.join(sorted(unknown)[:5])}."
        )
    try:
        values = {name: _parse(name, value, skeleton) for name, value in given.items()}
        return _KINDS[kind](**values)
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise CorrectionError(
            f"A correction of kind {kind!r} cannot be read: {str(error)[:_LONGEST_REASON]}."
        ) from error


def _parse(name: str, value: Any, skeleton: Skeleton | None) -> Any:
    if name in _ARRAYS:
        return None if value is None else _unpack(value)
    if name in ("xy", "shift_xy"):
        x, y = (_finite(name, number) for number in _list(name, value, most=2))
        return x, y
    if name == "frames":
        return tuple(_integer(name, frame) for frame in _list(name, value, most=MAX_FRAMES))
    if name == "reason":
        if not isinstance(value, str) or value not in REASONS:
            raise ValueError(f"expected a reason among {', '.join(REASONS)}")
        return value
    if name == "keypoint" and isinstance(value, str) and skeleton is not None:
        return skeleton.index(value)
    return _integer(name, value)


def _list(name: str, value: Any, *, most: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise ValueError(f"expected a list as {name!r}, got {reprlib.repr(value)}")
    return value


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool | str) or not math.isfinite(number := float(value)):
        raise ValueError(f"expected finite numbers as {name!r}, got {reprlib.repr(value)}")
    return number


def _integer(name: str, value: Any) -> int:
    whole = not isinstance(value, bool | str) and abs(value) < 2**63 and int(value) == value
    if not whole:
        raise ValueError(f"expected a whole number for {name!r}, got {reprlib.repr(value)}")
    return int(value)


def _pack(array: Array) -> dict[str, Any]:
    data = np.ascontiguousarray(array, "<f4")
    return {"shape": list(data.shape), "f4": base64.b64encode(data.tobytes()).decode()}


def _unpack(value: Any) -> Array:
    if isinstance(value, Mapping):
        raw = base64.b64decode(value["f4"], validate=True)
        array = np.frombuffer(raw, "<f4").reshape(value["shape"]).astype(np.float32)
    else:
        array = np.array(_list("arrays", value, most=MAX_FRAMES), dtype=np.float64)
        if (np.abs(array) > np.finfo(np.float32).max).any():  # infinite, too; null becomes NaN
            raise ValueError("expected finite numbers or null in arrays")
        array = array.astype(np.float32)
    array.setflags(write=False)
    return array


def frames_of(action: Action) -> range | tuple[int, ...]:
    """The frames whose poses an action changes; none for Undo and Redo."""
    if isinstance(action, Undo | Redo):
        return ()
    if isinstance(action, Swap):
        return range(action.first, action.last + 1)
    if isinstance(action, Visibility | Confirm | Unconfirm | AcceptSuggestion):
        return action.frames
    return (action.frame,)


def needs_the_prediction(action: Action) -> bool:
    """Does the action mean something else once the prediction it was made on is replaced?"""
    return isinstance(action, Confirm | Swap | MoveBody | CopyPrevious | AcceptSuggestion)


def active(events: Iterable[Event]) -> list[Event]:
    """The active events: no undos, redos, or events last named by an undo."""
    done = list(events)
    undone = set()
    for event in done:
        if isinstance(event.action, Undo):
            undone.add(event.action.event_id)
        elif isinstance(event.action, Redo):
            undone.discard(event.action.event_id)
    return [
        event
        for event in done
        if not isinstance(event.action, Undo | Redo) and event.event_id not in undone
    ]


def undo_stacks(events: Iterable[Event], author: str) -> tuple[list[Event], list[Event]]:
    """What an author can undo and can redo, next one last; a new action empties the second."""
    undoable: list[Event] = []
    redoable: list[Event] = []
    for event in events:
        if event.author != author:
            continue
        action = event.action
        if isinstance(action, Undo | Redo):
            source, target = (
                (undoable, redoable) if isinstance(action, Undo) else (redoable, undoable)
            )
            # Nearly always the last one: looked for from the end.
            for index in reversed(range(len(source))):
                if source[index].event_id == action.event_id:
                    target.append(source.pop(index))
                    break
        else:
            undoable.append(event)
            redoable.clear()
    return undoable, redoable


def touched_since(
    action: Action, log: Sequence[Event], *, seen_revision: int, tab: str = ""
) -> bool:
    """Has another page changed a frame of this action after ``seen_revision``?

    Args:
        action: About to be written.
        log: All events of its track; an undo changes the frames of what it undoes.
        seen_revision: What the author looked at.
        tab: The author's page, whose own events do not count; empty counts all.
    """
    named = {event.event_id: event.action for event in log}

    def touched(one: Action) -> range | tuple[int, ...]:
        if isinstance(one, Undo | Redo) and one.event_id in named:
            return frames_of(named[one.event_id])
        return frames_of(one)

    mine = set(touched(action))
    return any(
        event.revision > seen_revision
        and not (tab and event.tab == tab)
        and not mine.isdisjoint(touched(event.action))
        for event in log
    )
