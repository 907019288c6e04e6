"""Check stated uncertainties: coverage of the ellipses, reliability of the confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.statements import (
    LEVEL,
    Predictions,
    group_columns,
    log_miss,
    within,
)


@dataclass(frozen=True)
class Reliability:
    """Stated against observed shares, in bins of equal width that hold any statement.

    Attributes:
        stated: (B,) mean confidence of each bin.
        observed: (B,) share of its keypoints that are correct.
        counts: (B,) keypoints in it.
    """

    stated: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of stated and observed, over keypoints."""
        total = self.counts.sum()
        if not total:
            return float("nan")
        return float(self.counts @ np.abs(self.stated - self.observed) / total)


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.floating], *, bins: int = 10
) -> Reliability:
    """The reliability curve of any number of statements.

    Args:
        confidence: 0..1, any shape.
        correct: 0 or 1, the same shape; NaN where not known.
        bins: Of equal width; empty ones are left out.
    """
    known = np.isfinite(confidence) & np.isfinite(correct)
    stated, came_true = np.asarray(confidence[known], np.float64), correct[known]
    which = np.minimum((stated * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    held = counts > 0
    sums = (np.bincount(which, values, minlength=bins)[held] for values in (stated, came_true))
    mean_stated, mean_true = (total / counts[held] for total in sums)
    return Reliability(mean_stated, mean_true, counts[held])


def coverage(
    predictions: Predictions, truths: NDArray[np.floating]
) -> dict[str, tuple[float, int]]:
    """Share of the truths that the 90 % ellipses hold, and how many truths, by joint group."""
    miss = log_miss(predictions, truths)
    found = {}
    for name, columns in group_columns(predictions.skeleton).items():
        known = miss[:, columns][np.isfinite(miss[:, columns])]
        if len(known):
            found[name] = (float((known <= 0).mean()), len(known))
    return found


def measure(predictions: Predictions, truths: NDArray[np.floating]) -> dict[str, Any]:
    """Both promises on one set of poses, as JSON values.

    Returns:
        ``stated``, ``observed``, ``counts`` and ``error`` of the confidence over all keypoints;
        ``groups``: for each joint group its ``coverage``, ``error`` and ``truths`` (how many).
    """
    correct = within(predictions, truths)
    curve = reliability(predictions.confidence, correct)
    columns_of = group_columns(predictions.skeleton)
    groups = {}
    for name, (share, count) in coverage(predictions, truths).items():
        columns = columns_of[name]
        of_group = reliability(predictions.confidence[:, columns], correct[:, columns])
        groups[name] = {
            "coverage": round(share, 4),
            "truths": count,
            "error": _number(of_group.error),
        }
    return {
        "stated": np.round(curve.stated, 4).tolist(),
        "observed": np.round(curve.observed, 4).tolist(),
        "counts": curve.counts.tolist(),
        "error": _number(curve.error),
        "groups": groups,
    }


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def reliability_figure(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A Plotly figure of the confidence's reliability, as a dict.

    Args:
        measured: `measure`'s result by name, such as ``Calibration.measured``; may be empty.

    Returns:
        ``data`` and ``layout``: one line for each name on the diagonal of perfect honesty.
    """
    diagonal = {
        "type": "scatter", "mode": "lines", "name": "as stated", "x": [0, 1], "y": [0, 1],
        "line": {"dash": "dot", "color": "#888888"}, "hoverinfo": "skip",
    }  # fmt: skip
    lines = [
        {
            "type": "scatter", "mode": "lines+markers", "x": part["stated"], "y": part["observed"],
            "name": _curve_name(name, part), "customdata": part["counts"],
            "hovertemplate": "stated %{x:.0%}, came true %{y:.0%} of %{customdata}",
        }
        for name, part in measured.items()
    ]  # fmt: skip
    axis = {"range": [0, 1], "tickformat": ".0%", "constrain": "domain"}
    layout = {
        "xaxis": axis | {"title": {"text": "stated confidence"}},
        "yaxis": axis | {"title": {"text": "within a tenth of the torso"}, "scaleanchor": "x"},
        "legend": {"orientation": "h", "y": -0.2},
    }
    return {"data": [diagonal, *lines], "layout": layout}


def _curve_name(name: str, part: Mapping[str, Any]) -> str:
    return name if part["error"] is None else f"{name} (error {part['error']:.3f})"


def coverage_table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table: what the ellipses hold by joint group, and the confidence's error.

    Args:
        measured: `measure`'s result by the name of its column.
    """
    names = list(measured)
    groups: Sequence[str] = list(
        dict.fromkeys(group for part in measured.values() for group in part["groups"])
    )
    lines = [
        f"| {LEVEL:.0%} ellipses hold | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for group in groups:
        found = [measured[name]["groups"].get(group) for name in names]
        cells = ["-" if part is None else f"{part['coverage']:.1%}" for part in found]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    errors = [measured[name]["error"] for name in names]
    cells = ["-" if error is None else f"{error:.3f}" for error in errors]
    lines.append(f"| **confidence: calibration error** | {' | '.join(cells)} |")
    return "\n".join(lines)
