"""Measurements and trends as long tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from diffpose.cells import safe_name
from diffpose.kinematics.records import Measurements
from diffpose.kinematics.trends import Trend

COLUMNS = ("kind", "name", "unit", "time_s", "value", "low_90", "high_90", "filled")

TREND_COLUMNS = (
    "name", "unit", "date", "session", "value", "low_90", "high_90", "change", "change_low_90",
    "change_high_90", "probability",
)  # fmt: skip


def to_csv(measured: Measurements) -> str:
    """One line for each value of each curve, then numbers and events.

    Unknown values are empty cells; ``filled`` is 1 where a gap was interpolated.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for curve in measured.curves:
        columns = (curve.times_s, curve.values, curve.low, curve.high, curve.marked)
        for time_s, value, low, high, filled in zip(*columns, strict=True):
            cells = [_number(x) for x in (time_s, value, low, high)]
            writer.writerow(
                ["curve", safe_name(curve.name), safe_name(curve.unit), *cells, int(filled)]
            )
    for q in measured.quantities:
        cells = [_number(x) for x in (q.value, q.low, q.high)]
        writer.writerow(["number", safe_name(q.name), safe_name(q.unit), "", *cells, 0])
    for event in measured.events:
        cells = [_number(x) for x in (event.time_s, event.time_s, event.low, event.high)]
        writer.writerow(["event", safe_name(f"{event.kind} {event.side}".strip()), "s", *cells, 0])
    return lines.getvalue()


def trends_to_csv(trends: Sequence[Trend]) -> str:
    """One line for each number of each session; changes are from the first session that has it."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(TREND_COLUMNS)
    for trend in trends:
        for point in trend.points:
            q, c = point.quantity, point.change
            changed = [] if c is None else [c.difference, c.low, c.high, c.probability]
            cells = [_number(x) for x in (q.value, q.low, q.high, *changed)]
            about = (point.session.date.isoformat(), safe_name(point.session.name))
            row = [safe_name(trend.name), safe_name(trend.unit), *about, *cells]
            writer.writerow(row + [""] * (len(TREND_COLUMNS) - len(row)))
    return lines.getvalue()


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""
