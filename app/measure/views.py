"""Measurements to what the page shows: JSON for the chart, HTML tables; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from html import escape

import numpy as np
from numpy.typing import NDArray

from app.views import Json
from diffpose.kinematics.compare import Comparison, CurveDifference
from diffpose.kinematics.records import Curve, Event, Measurements
from diffpose.kinematics.trends import Trend, TrendPoint
from diffpose.report.content import (
    CHANGE_HEADER,
    angle_rows,
    change_rows,
    change_words,
    convention_lines,
    joint_of,
    missing_lines,
    other_quantities,
)

MOST_POINTS = 1200
"""A curve longer than this is thinned for the page; exports and numbers never are."""

SURE = 0.95
"""Where a difference is at least so probable the chart says so."""

BARS = "Bars at the foot of a chart: there the two sessions differ with a probability of 95 %."


def _numbers(values: NDArray[np.floating], digits: int) -> list[float | None]:
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def curve_view(curve: Curve, *, row: int, dashed: bool = False) -> Json:
    """One curve with its band."""
    step = max(1, -(-len(curve.times_s) // MOST_POINTS))
    thin = slice(None, None, step)
    return {
        "label": curve.label + (" (second)" if dashed else ""),
        "unit": curve.unit,
        "row": row,
        "colour": _side_of(curve.name),
        "dashed": dashed,
        "t": _numbers(curve.times_s[thin], 4),
        "v": _numbers(curve.values[thin], 2),
        "low": _numbers(curve.low[thin], 2),
        "high": _numbers(curve.high[thin], 2),
        "half": _numbers(curve.half_width[thin], 2),
        "filled": [bool(x) for x in curve.marked[thin]],
    }


def _real_bars(difference: CurveDifference, rows: Mapping[tuple[str, str], int]) -> list[Json]:
    """Stretches of time over which a difference is real with a probability of 95 %."""
    row = rows.get((joint_of(difference.name), difference.unit))
    if row is None:
        return []
    real = np.concatenate([[False], difference.probability >= SURE, [False]]).astype(np.int8)
    turns = np.diff(real)
    starts, ends = np.flatnonzero(turns == 1), np.flatnonzero(turns == -1) - 1
    t, colour = difference.times_s, _side_of(difference.name)
    return [
        {"row": row, "colour": colour, "from": round(float(t[a]), 4), "to": round(float(t[b]), 4)}
        for a, b in zip(starts, ends, strict=True)
    ]


def _side_of(name: str) -> str:
    side = name.split("_")[0]
    return side if side in ("left", "right") else "centre"


def chart_view(
    curves: Sequence[Curve],
    *,
    plotly: str,
    events: Sequence[Event] = (),
    others: Sequence[Curve] = (),
    differences: Sequence[CurveDifference] = (),
    frames: NDArray[np.integer] | None = None,
    times_s: NDArray[np.floating] | None = None,
) -> Json:
    """Everything the chart draws: a joint's two sides share a row.

    Args:
        curves: In the order of the rows.
        plotly: Address of the chart library.
        events: Vertical lines.
        others: A second session's curves, moved to the first one's times; presses then seek the
            two players, not the video.
        differences: Between the two; where they are probably real a bar says so.
        frames: (N,) video frames that presses seek to.
        times_s: (N,) their times.
    """
    rows: dict[tuple[str, str], int] = {}
    drawn = []
    for curve in curves:
        row = rows.setdefault((joint_of(curve.name), curve.unit), len(rows))
        drawn.append(curve_view(curve, row=row))
    for curve in others:
        row_of = rows.get((joint_of(curve.name), curve.unit))
        if row_of is not None:
            drawn.append(curve_view(curve, row=row_of, dashed=True))
    return {
        "plotly": plotly,
        "pair": bool(others),
        "real": [bar for d in differences for bar in _real_bars(d, rows)],
        "curves": drawn,
        "rows": [{"unit": unit, "title": _title_of(curves, key)} for key, unit in rows],
        "events": [
            {"t": e.time_s, "label": f"{e.kind} {e.side}".replace("_", " ")} for e in events
        ],
        "frames": [] if frames is None else [int(f) for f in frames],
        "times": [] if times_s is None else _numbers(times_s, 4),
    }


def _title_of(curves: Sequence[Curve], key: str) -> str:
    return _without_side(next(curve.label for curve in curves if joint_of(curve.name) == key))


def _without_side(label: str) -> str:
    joint = label.removeprefix("Left ").removeprefix("Right ")
    return joint[:1].upper() + joint[1:]


def empty_chart(plotly: str, words: str) -> Json:
    """A chart with a sentence instead of curves."""
    return {"plotly": plotly, "curves": [], "words": words}


def numbers_table(measured: Measurements) -> str:
    """HTML: angles, other numbers, events; what was not measured; how the angles are read."""
    parts = []
    rows = [(a.label, a.smallest, a.largest, a.range_of_motion) for a in angle_rows(measured)]
    if rows:
        parts.append(_table(("Joint angle", "Smallest", "Largest", "Range of motion"), rows))
    others = [
        (q.label + (f" ({q.reason})" if q.reason else ""), q.text)
        for q in other_quantities(measured)
    ]
    if others:
        parts.append(_table(("Measure", "Value"), others))
    if measured.events:
        parts.append(_table(("Event", "Time", "90 % interval"), map(_event_row, measured.events)))
    parts.append(_list([*measured.notes, *missing_lines(measured.quantities)]))
    if how := convention_lines(measured):
        parts.append(f"<details><summary>How the angles are read</summary>{_list(how)}</details>")
    return f'<div class="dp-numbers dp-wide-table">{"".join(parts)}</div>'


def _event_row(event: Event) -> tuple[str, str, str]:
    known = np.isfinite([event.low, event.high]).all()
    interval = f"{event.low:.2f} to {event.high:.2f} s" if known else "not known"
    kind = f"{event.kind.replace('_', ' ')} {event.side}".strip()
    return kind[:1].upper() + kind[1:], f"{event.time_s:.2f} s", interval


def comparison_table(comparison: Comparison, first: Measurements, second: Measurements) -> str:
    """HTML: every number of both sessions with its change and the change's probability."""
    rows = [astuple(row) for row in change_rows(comparison, first, second)]
    missing = missing_lines(comparison.quantities)
    table = _table(CHANGE_HEADER, rows) if rows else ""
    notes = [BARS, *comparison.notes, *missing]
    return f'<div class="dp-numbers dp-wide-table">{table}{_list(notes)}</div>'


def trend_choices(trends: Sequence[Trend]) -> list[tuple[str, str]]:
    """Words and keys of what the chart can show: both sides of a joint are one choice."""
    groups: dict[str, str] = {}
    for trend in trends:
        groups.setdefault(joint_of(trend.name), _without_side(trend.label))
    return [(label, key) for key, label in groups.items()]


def trend_view(trends: Sequence[Trend], groups: Sequence[str], *, plotly: str) -> Json:
    """What the chart draws of the chosen groups: a row each, points with intervals over dates."""
    chosen = [trend for trend in trends if joint_of(trend.name) in groups]
    rows = {key: i for i, key in enumerate(dict.fromkeys(joint_of(t.name) for t in chosen))}
    titles = {key: label for label, key in trend_choices(chosen)}
    return {
        "plotly": plotly,
        "pair": False,
        "dates": sorted({p.session.date.isoformat() for t in chosen for p in t.points}),
        "curves": [_trend_curve(trend, rows[joint_of(trend.name)]) for trend in chosen],
        "rows": [
            {"unit": next(t.unit for t in chosen if joint_of(t.name) == key), "title": titles[key]}
            for key in rows
        ],
        "events": [],
    }


def _trend_curve(trend: Trend, row: int) -> Json:
    numbers = [point.quantity for point in trend.points]
    return {
        "label": trend.label,
        "unit": trend.unit,
        "row": row,
        "colour": _side_of(trend.name),
        "t": [point.session.date.isoformat() for point in trend.points],
        "v": [q.value for q in numbers],
        "low": [q.low if np.isfinite(q.low) else q.value for q in numbers],
        "high": [q.high if np.isfinite(q.high) else q.value for q in numbers],
        "words": [q.text for q in numbers],
        "filled": [],
    }


def trend_table(trends: Sequence[Trend]) -> str:
    """HTML: a line for each number, a column for each session, changes from the first."""
    sessions = {id(p.session): p.session for t in trends for p in t.points}
    ordered = sorted(sessions.values(), key=lambda s: (s.date, s.name))
    rows = []
    for trend in trends:
        cells = {id(p.session): _point_words(p) for p in trend.points}
        rows.append((trend.label, *(cells.get(id(s), "–") for s in ordered)))
    header = ("Measure", *(f"{s.date.isoformat()} {s.name}" for s in ordered))
    note = (
        "Change: from the first session that has the number, with the probability that it is "
        "real. ± is half of the 90 % interval."
    )
    return f'<div class="dp-numbers dp-wide-table">{_table(header, rows)}{_list([note])}</div>'


def _point_words(point: TrendPoint) -> str:
    if point.change is None:
        return point.quantity.text
    difference, _, sure = change_words(point.change)
    return f"{point.quantity.text} ({difference}; {sure} real)"


def _list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="dp-notes">{items}</ul>' if lines else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def moved(curve: Curve, offset_s: float) -> Curve:
    """The same curve, later by an offset."""
    return Curve(**{**vars(curve), "times_s": curve.times_s + offset_s})
