"""Measurements to what the page shows: JSON for the chart, HTML tables; pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from app.views import Json
from diffpose.kinematics.compare import Comparison, QuantityDifference
from diffpose.kinematics.records import Curve, Event, Measurements, Quantity
from diffpose.report.content import angle_rows, joint_of, other_quantities

MOST_POINTS = 1200
"""A curve longer than this is thinned for the page; exports and numbers never are."""


def _numbers(values: NDArray[np.floating], digits: int) -> list[float | None]:
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def curve_view(curve: Curve, *, row: int, dashed: bool = False) -> Json:
    """One curve with its band."""
    step = max(1, -(-len(curve.times_s) // MOST_POINTS))
    thin = slice(None, None, step)
    side = curve.name.split("_")[0]
    return {
        "label": curve.label + (" (second)" if dashed else ""),
        "unit": curve.unit,
        "row": row,
        "colour": side if side in ("left", "right") else "centre",
        "dashed": dashed,
        "t": _numbers(curve.times_s[thin], 4),
        "v": _numbers(curve.values[thin], 2),
        "low": _numbers(curve.low[thin], 2),
        "high": _numbers(curve.high[thin], 2),
        "half": _numbers(curve.half_width[thin], 2),
        "filled": [bool(x) for x in curve.marked[thin]],
    }


def chart_view(
    curves: Sequence[Curve],
    *,
    plotly: str,
    events: Sequence[Event] = (),
    others: Sequence[Curve] = (),
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
        "curves": drawn,
        "rows": [{"unit": unit} for _, unit in rows],
        "events": [
            {"t": e.time_s, "label": f"{e.kind} {e.side}".replace("_", " ")} for e in events
        ],
        "frames": [] if frames is None else [int(f) for f in frames],
        "times": [] if times_s is None else _numbers(times_s, 4),
    }


def empty_chart(plotly: str, words: str) -> Json:
    """A chart with a sentence instead of curves."""
    return {"plotly": plotly, "curves": [], "words": words}


def numbers_table(measured: Measurements) -> str:
    """HTML: angles with smallest, largest and range; other numbers; what was not measured."""
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
    parts.append(_list([*measured.notes, *_grouped(measured.quantities)]))
    return f'<div class="dp-numbers">{"".join(parts)}</div>'


def comparison_table(comparison: Comparison, first: Measurements, second: Measurements) -> str:
    """HTML: every number of both sessions with its change and how sure that change is."""
    known = [q for q in comparison.quantities if np.isfinite([q.first, q.second]).all()]
    rows = [
        (q.label, first.quantity(q.name).text, second.quantity(q.name).text, *change_words(q))
        for q in known
    ]
    missing = _grouped([q for q in comparison.quantities if q not in known])
    header = ("Measure", "First", "Second", "Change", "90 % interval", "Probably real")
    table = _table(header, rows) if rows else ""
    return f'<div class="dp-numbers">{table}{_list([*comparison.notes, *missing])}</div>'


def change_words(change: QuantityDifference) -> tuple[str, str, str]:
    """A change, its interval and the probability that it is real, each for a cell."""
    difference = f"{change.difference:+.1f} {change.unit}"
    if not np.isfinite(change.probability):
        return difference, "error not known", "–"
    sure = "> 99 %" if change.probability > 0.99 else f"{100 * change.probability:.0f} %"
    return difference, f"{change.low:.1f} to {change.high:.1f}", sure


def _grouped(quantities: Sequence[Quantity] | Sequence[QuantityDifference]) -> list[str]:
    """What could not be measured: one line a reason, with the names it holds for."""
    names: dict[str, list[str]] = {}
    for quantity in quantities:
        if not np.isfinite(getattr(quantity, "value", np.nan)):
            names.setdefault(quantity.reason, []).append(quantity.label)
    return [f"{', '.join(labels)}: {reason}" for reason, labels in names.items()]


def _list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="dp-notes">{items}</ul>' if lines else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def moved(curve: Curve, offset_s: float) -> Curve:
    """The same curve, later by an offset."""
    return Curve(**{**vars(curve), "times_s": curve.times_s + offset_s})
