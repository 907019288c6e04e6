"""What a report says, before it is a page: plain records, and which moments to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.kinematics.angles import ANGLES
from diffpose.kinematics.compare import Comparison, QuantityDifference
from diffpose.kinematics.records import Curve, Measurements, Quantity
from diffpose.poses import Origin, PoseSequence, Provenance

_MOST_MOMENTS = 6


@dataclass(frozen=True)
class KeyFrame:
    """A picture of the report.

    Attributes:
        picture: (H, W, 3) RGB uint8, skeleton and blur already in it.
        caption: What it shows.
        time_s: When.
    """

    picture: NDArray[np.uint8]
    caption: str
    time_s: float


@dataclass(frozen=True)
class Moment:
    """A frame worth showing.

    Attributes:
        time_s: When.
        caption: Why.
    """

    time_s: float
    caption: str


@dataclass(frozen=True)
class ChangeRow:
    """One number of two sessions, as text.

    Attributes:
        label: What was measured.
        first: With its interval.
        second: With its interval.
        change: Second less first.
        interval: 90 % of the change, repeatability in it as far as it is known.
        real: How probably the change is real.
    """

    label: str
    first: str
    second: str
    change: str
    interval: str
    real: str


CHANGE_HEADER = ("Measure", "First", "Second", "Change", "90 % interval", "Probably real")


def change_words(change: QuantityDifference) -> tuple[str, str, str]:
    """A change, its interval and the probability that it is real, each for a cell."""
    half = (change.high - change.low) / 2
    size = half if np.isfinite(half) and half > 0 else abs(change.difference)
    digits = 1 if size >= 1 or size == 0 else 2 if size >= 0.05 else 3
    difference, low, high = (
        f"{value:{sign}.{digits}f}"
        for value, sign in ((change.difference, "+"), (change.low, ""), (change.high, ""))
    )
    if float(difference) == 0:
        difference = difference.replace("-", "+")
    words = f"{difference} {change.unit}".strip()
    if not np.isfinite(change.probability):
        return words, "not known", "–"
    sure = "> 99 %" if change.probability > 0.99 else f"{100 * change.probability:.0f} %"
    return words, f"{low} to {high}", sure


def change_rows(
    comparison: Comparison, first: Measurements, second: Measurements
) -> tuple[ChangeRow, ...]:
    """The numbers that both sessions know."""
    return tuple(
        ChangeRow(
            q.label, first.quantity(q.name).text, second.quantity(q.name).text, *change_words(q)
        )
        for q in comparison.quantities
        if np.isfinite([q.first, q.second]).all()
    )


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page.

    Attributes:
        title: The heading.
        person: Who, as the user names them; may be empty.
        made_on: Date and time, as text: the clock is the caller's.
        video: Name of the file.
        how: (name, value) lines: model, weights, K, E, seed, share of corrected keypoints.
        measurements: Numbers, curves, events, caveats.
        key_frames: Pictures.
        curves: Names of the curves drawn, in order; empty: every angle with values.
        remarks: The user's own text.
        comparison: What has changed in a second session; empty without one.
        comparison_notes: Caveats of the comparison.
        other: The second session's measurements, drawn next to it.
    """

    title: str
    person: str
    made_on: str
    video: str
    how: tuple[tuple[str, str], ...]
    measurements: Measurements
    key_frames: tuple[KeyFrame, ...] = ()
    curves: tuple[str, ...] = ()
    remarks: str = ""
    comparison: tuple[ChangeRow, ...] = ()
    comparison_notes: tuple[str, ...] = ()
    other: Measurements | None = None

    def drawn(self) -> list[Curve]:
        """The curves to draw: those asked for, else every angle that has values."""
        if self.curves:
            return [self.measurements.curve(name) for name in self.curves]
        angles = [c for c in self.measurements.curves if c.unit == "deg" and c.known]
        joints = list(dict.fromkeys(joint_of(c.name) for c in angles))
        return sorted(angles, key=lambda c: (joints.index(joint_of(c.name)), c.name))


_PARTS = ("minimum", "maximum", "range_of_motion")


@dataclass(frozen=True)
class AngleRow:
    """One joint angle's line: label and the three numbers as text."""

    label: str
    smallest: str
    largest: str
    range_of_motion: str


def angle_rows(measurements: Measurements) -> list[AngleRow]:
    """The angles' smallest, largest and range, left and right of a joint after each other."""
    known = {q.name: q for q in measurements.quantities if q.known}
    names = [name.rsplit(".", 1)[0] for name in known if name.endswith(f".{_PARTS[0]}")]
    joints = list(dict.fromkeys(joint_of(name) for name in names))
    rows = []
    for name in sorted(names, key=lambda name: (joints.index(joint_of(name)), name)):
        values = [known[f"{name}.{part}"].text for part in _PARTS if f"{name}.{part}" in known]
        if len(values) == len(_PARTS):
            label = known[f"{name}.{_PARTS[0]}"].label.rsplit(",", 1)[0]
            rows.append(AngleRow(label, *values))
    return rows


def other_quantities(measurements: Measurements) -> list[Quantity]:
    """The known numbers that `angle_rows` does not hold."""
    return [
        q for q in measurements.quantities if q.known and q.name.rsplit(".", 1)[-1] not in _PARTS
    ]


def missing_lines(quantities: Sequence[Quantity] | Sequence[QuantityDifference]) -> list[str]:
    """What could not be measured: one line a reason, with the names it holds for."""
    names: dict[str, list[str]] = {}
    for quantity in quantities:
        value = quantity.value if isinstance(quantity, Quantity) else quantity.difference
        if not np.isfinite(value):
            names.setdefault(quantity.reason or "no values", []).append(quantity.label)
    return [f"{', '.join(labels)}: {reason}" for reason, labels in names.items()]


def convention_lines(measurements: Measurements) -> list[str]:
    """How each measured angle is read: its zero and what is positive, both sides in one line."""
    side_view = measurements.facing in ("right", "left")
    lines: dict[str, None] = {}
    for curve in measurements.curves:
        angle = ANGLES.get(curve.name)
        if angle is not None and curve.known:
            label = angle.label.removeprefix("Left ").removeprefix("Right ")
            positive = angle.positive if side_view else angle.opposite
            lines[f"{label[:1].upper()}{label[1:]}: 0 is {angle.zero}; positive is {positive}."] = (
                None
            )
    return list(lines)


def joint_of(name: str) -> str:
    """A curve's name without its side."""
    return name.removeprefix("left_").removeprefix("right_")


def view_of_person(
    picture: NDArray[np.uint8], keypoints: NDArray[np.floating], *, margin: float = 0.35
) -> NDArray[np.uint8]:
    """The part of a picture around a person, as upright as she is; the picture if unknown.

    Args:
        picture: (H, W, 3).
        keypoints: (K, 2) pixels, NaN where not known.
        margin: Around the keypoints, in parts of their larger side.
    """
    known = keypoints[np.isfinite(keypoints).all(axis=-1)]
    if len(known) < 2:
        return picture
    low, high = known.min(axis=0), known.max(axis=0)
    centre, reach = (low + high) / 2, (high - low).max() * (0.5 + margin)
    away = np.array([0.8 * reach, reach])
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(centre - away), 0, (width - 2, height - 2))
    right, bottom = np.clip(np.ceil(centre + away), (left + 2, top + 2), (width, height))
    return np.ascontiguousarray(picture[int(top) : int(bottom), int(left) : int(right)])


def describe_making(
    provenance: Provenance, sequence: PoseSequence, frame_rate: float
) -> tuple[tuple[str, str], ...]:
    """How the numbers came about, as (name, value) lines."""
    placed = np.isfinite(sequence.keypoints).all(axis=-1)
    by_hand = (sequence.origin == Origin.CORRECTED) & placed
    frames = by_hand.any(axis=1).mean() if len(sequence) else 0.0
    share = by_hand.sum() / max(placed.sum(), 1)
    return (
        ("Model", provenance.model),
        ("Weights", provenance.weights[:16]),
        ("Denoising steps K", str(provenance.num_steps)),
        ("Hypotheses E", str(provenance.num_hypotheses)),
        ("Seed", str(provenance.seed)),
        ("Person", f"track {sequence.track_id}, {len(sequence)} frames"),
        ("Frame rate", f"{frame_rate:.2f} frames/s"),
        ("Corrected by hand", f"{share:.1%} of the keypoints, in {frames:.1%} of the frames"),
    )


def choose_moments(curves: Sequence[Curve], measurements: Measurements) -> list[Moment]:
    """The moments a reader wants to see: events first, then where the curves are extreme."""
    moments = [
        Moment(e.time_s, f"{e.kind.replace('_', ' ')} {e.side}".strip())
        for e in measurements.events[:_MOST_MOMENTS]
    ]
    for curve in curves:
        known = np.flatnonzero(np.isfinite(curve.values) & ~curve.marked)
        if len(moments) >= _MOST_MOMENTS or not len(known):
            continue
        for find, word in ((np.argmax, "largest"), (np.argmin, "smallest")):
            at = known[int(find(curve.values[known]))]
            half = curve.half_width[at]
            error = f" ± {half:.0f}" if np.isfinite(half) else ""
            value = f"{curve.values[at]:.0f}{error} {curve.unit}"
            moments.append(Moment(float(curve.times_s[at]), f"{curve.label}: {word}, {value}"))
    return sorted(moments[:_MOST_MOMENTS], key=lambda moment: moment.time_s)
