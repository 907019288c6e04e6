"""Events as the project file keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffpose.review.events import Action, Event, from_dict
from diffpose.review.rows import damaged, from_json, moment, text, whole


def event_from_row(row: Sequence[Any], action: Action | None = None) -> Event:
    """The event of a row: id, revision, author, time, action, tab.

    Args:
        row: Of the file.
        action: What the row's action is, if that was read before.

    Raises:
        InputError: Something of it is no part of an event.
    """
    event_id, revision, author, made_at, content, tab = row
    if action is None:
        action = from_dict(from_json(content, "an action"))
    return Event(
        event_id=whole(event_id, "an event's id"),
        revision=whole(revision, "an event's revision"),
        author=text(author, "an author"),
        made_at=moment(made_at, "an event's date"),
        action=action,
        tab=text(tab, "a page"),
    )


def check_order(event: Event, before: Event | None) -> None:
    """Refuse a log that does not increase.

    Raises:
        DamagedError: The event has no later id and revision than the one before it.
    """
    if before is not None and not (
        event.event_id > before.event_id and event.revision > before.revision
    ):
        raise damaged("an event's id and revision", "later ones", (event.event_id, event.revision))
