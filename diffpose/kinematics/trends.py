"""Numbers over more than two sessions: each with its interval and its change from the first."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffpose.checked import validate
from diffpose.kinematics.compare import QuantityDifference, change, pooled, repeatability
from diffpose.kinematics.records import MeasureError, Measurements, Quantity
from diffpose.kinematics.stored import StoredSession

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class DatedSession:
    """Measurements and when the person was recorded.

    Attributes:
        date: Of the recording.
        name: For people.
        measurements: What was measured.
    """

    date: datetime.date
    name: str
    measurements: Measurements

    def to_dict(self) -> dict[str, Any]:
        """The measurements' JSON values, and ``session`` with them."""
        about = {"date": self.date.isoformat(), "name": self.name}
        return {**self.measurements.to_dict(), "session": about}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, file_name: str) -> DatedSession:
        """What `to_dict` wrote; a file without a date may carry one in its name.

        Raises:
            FormatError: It holds no measurements.
            MeasureError: There is no date.
        """
        measurements = Measurements.from_dict(content)
        about: StoredSession = validate(StoredSession, content.get("session") or {}, file_name)
        in_name = _DATE.search(file_name)
        date = parse_date(about.date or (in_name[0] if in_name else ""), file_name)
        return cls(date, about.name or file_name, measurements)


def parse_date(text: str, whose: str) -> datetime.date:
    """A date written 2026-03-31.

    Raises:
        MeasureError: It is something else.
    """
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        got = repr(text) if text.strip() else "none"
        raise MeasureError(
            f"Expected the date of {whose} as 2026-03-31, got {got}; measure again with a date, "
            "or put it into the file's name."
        ) from None


@dataclass(frozen=True)
class TrendPoint:
    """One number of one session.

    Attributes:
        session: Which.
        quantity: Its value there.
        change: From the first session that has the number; None in that one, and where there is
            no value.
    """

    session: DatedSession
    quantity: Quantity
    change: QuantityDifference | None


@dataclass(frozen=True)
class Trend:
    """One number over the sessions.

    Attributes:
        name: Of the number.
        label: For people.
        unit: Of the number.
        points: In order of time; sessions without the number are left out.
    """

    name: str
    label: str
    unit: str
    points: tuple[TrendPoint, ...]


def find_trends(
    sessions: Sequence[DatedSession], *, repeatability_sd: Mapping[str, float] | None = None
) -> tuple[Trend, ...]:
    """Every number that at least two sessions know.

    Args:
        sessions: In any order.
        repeatability_sd: As of `diffpose.kinematics.compare.compare`.

    Raises:
        MeasureError: There are fewer than two sessions, or they have no number in common.
    """
    if len(sessions) < 2:
        raise MeasureError(
            f"Expected measurements of at least two sessions, got {len(sessions)}; add others."
        )
    ordered = sorted(sessions, key=lambda session: (session.date, session.name))
    stated = repeatability_sd
    if stated is None:
        stated = pooled([repeatability(session.measurements) for session in ordered])
    names = dict.fromkeys(q.name for s in ordered for q in s.measurements.quantities)
    found = [_trend(name, ordered, stated.get(name, 0.0)) for name in names]
    trends = tuple(trend for trend in found if len(trend.points) > 1)
    if not trends:
        raise MeasureError(
            "The sessions have no number in common; measure the same joints and tasks in all."
        )
    return trends


def _trend(name: str, sessions: Sequence[DatedSession], sd: float) -> Trend:
    points: list[TrendPoint] = []
    for session in sessions:
        quantity = next((q for q in session.measurements.quantities if q.name == name), None)
        if quantity is not None and quantity.known:
            since = change(points[0].quantity, quantity, sd) if points else None
            points.append(TrendPoint(session, quantity, since))
    if not points:
        return Trend(name, name, "", ())
    newest = points[-1].quantity
    return Trend(name, newest.label, newest.unit, tuple(points))
