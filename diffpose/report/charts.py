"""Curves with their 90 % bands as pictures: SVG for a web page, PNG for print."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffpose.kinematics.records import Curve, Event
from diffpose.report.content import joint_of

# Okabe and Ito, as everywhere in DiffPose: left, right, centre.
_COLOURS = {"left": "#d55e00", "right": "#0072b2", "centre": "#444444"}
_WIDTH_IN, _ROW_IN = 7.2, 1.85


def colour_of(curve: Curve) -> str:
    """By the side that the curve's name speaks of."""
    side = curve.name.split("_")[0]
    return _COLOURS.get(side, _COLOURS["centre"])


def draw_curves(
    curves: Sequence[Curve],
    *,
    events: Sequence[Event] = (),
    others: Sequence[Curve] = (),
    cursor_s: float | None = None,
) -> Figure:
    """One row for each joint: left and right of a joint share it.

    Args:
        curves: In order; those of one joint on both sides are drawn together.
        events: Thin vertical lines.
        others: A second session's curves of the same names, dashed.
        cursor_s: A line at this time.

    Returns:
        A figure without any window.
    """
    rows: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        rows.setdefault((joint_of(curve.name), curve.unit), []).append(curve)
    figure = Figure(figsize=(_WIDTH_IN, max(1, len(rows)) * _ROW_IN + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(np.asarray(figure.subplots(max(1, len(rows)), 1, sharex=True)))
    beside = {curve.name: curve for curve in others}
    for axis, ((_, unit), members) in zip(axes, rows.items(), strict=False):
        for curve in members:
            _draw(axis, curve, colour_of(curve), "-")
            if curve.name in beside:
                _draw(axis, beside[curve.name], colour_of(curve), "--", suffix=", second session")
        for event in events:
            axis.axvline(event.time_s, color="#999999", linewidth=0.6)
        if cursor_s is not None:
            axis.axvline(cursor_s, color="#000000", linewidth=0.8)
        axis.set_ylabel(unit, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25, linewidth=0.5)
        title = members[0].label.removeprefix("Left ").removeprefix("Right ")
        axis.set_title(title[:1].upper() + title[1:], fontsize=9, loc="left", weight="bold")
        axis.legend(
            fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=4,
            borderaxespad=0.2, columnspacing=1.2, handlelength=1.8,
        )  # fmt: skip
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].set_xlabel("time (s)", fontsize=8)
    return figure


def _draw(axis: Axes, curve: Curve, colour: str, style: str, *, suffix: str = "") -> None:
    side = curve.name.split("_")[0]
    word = side if side in ("left", "right") else curve.label
    axis.plot(curve.times_s, curve.values, style, color=colour, linewidth=1.2, label=word + suffix)
    known = np.isfinite(curve.low) & np.isfinite(curve.high)
    axis.fill_between(
        curve.times_s, curve.low, curve.high, where=list(known), color=colour, alpha=0.18, lw=0
    )
    if curve.marked.any():
        filled: NDArray[np.float64] = np.where(curve.marked, curve.values, np.nan)
        axis.plot(curve.times_s, filled, ":", color="#000000", linewidth=1.4)


def to_svg(figure: Figure) -> str:
    """The ``<svg>`` element alone, with its text as text, the same for equal figures."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "diffpose"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def to_png(figure: Figure, *, dpi: int = 200) -> bytes:
    """PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
