"""What measuring yields: curves, numbers and events, each with its 90 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.checked import validate
from diffpose.errors import FormatError, InputError
from diffpose.kinematics.stored import (
    StoredCurve,
    StoredEvent,
    StoredMeasurements,
    StoredQuantity,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
VERSION = 1


class MeasureError(InputError):
    """Something that cannot be measured in this clip with these settings."""


def _plain(value: Any) -> Any:
    """JSON values only: NaN becomes None."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


@dataclass(frozen=True)
class Curve:
    """One measured quantity over time.

    Attributes:
        name: Identifier, e.g. ``left_knee``.
        label: For people, e.g. ``Left knee flexion``.
        unit: ``deg``, ``deg/s``, ``px``, ``m`` and so on.
        times_s: (N,) seconds from the start of the video.
        values: (N,), NaN where nothing was measured.
        low: (N,) lower end of the 90 % interval; NaN where the error is not known.
        high: (N,) upper end.
        marked: (N,) True where a gap was filled: the value is interpolated, not measured.
        reason: Why values are missing, in words; empty if none is.
    """

    name: str
    label: str
    unit: str
    times_s: Array
    values: Array
    low: Array
    high: Array
    marked: Mask
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is at least one value."""
        return bool(np.isfinite(self.values).any())

    @property
    def half_width(self) -> Array:
        """(N,) half the width of the interval: the number behind plus-minus."""
        return np.asarray((self.high - self.low) / 2)

    def at(self, time_s: float) -> float:
        """The value at the nearest time; NaN for an empty curve."""
        if not len(self.times_s):
            return math.nan
        return float(self.values[np.argmin(np.abs(self.times_s - time_s))])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN is None."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Curve:
        """What `to_dict` wrote.

        Raises:
            FormatError: It is something else.
        """
        return _curve(validate(StoredCurve, content, "The curve"))


@dataclass(frozen=True)
class Quantity:
    """One number with its 90 % interval.

    Attributes:
        name: Identifier, e.g. ``left_knee.range_of_motion``.
        label: For people.
        value: NaN if it could not be measured; then ``reason`` says why.
        low: Lower end of the 90 % interval; NaN where the error is not known.
        high: Upper end.
        unit: ``deg``, ``s``, ``1/min``, ``m``, ``%``.
        reason: Why there is no value, or what to beware of; empty if all is well.
    """

    name: str
    label: str
    value: float
    low: float
    high: float
    unit: str
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)

    @property
    def text(self) -> str:
        """Value and error as people write them: ``62.1 ± 3.8 deg``."""
        if not self.known:
            return f"not measured: {self.reason}"
        if not math.isfinite(self.high - self.low):
            return f"{_round(self.value, self.value)} {self.unit} (error not known)"
        half = (self.high - self.low) / 2
        return f"{_round(self.value, half)} ± {_round(half, half)} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN is None."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Quantity:
        """What `to_dict` wrote.

        Raises:
            FormatError: It is something else.
        """
        return _quantity(validate(StoredQuantity, content, "The number"))


def _round(value: float, scale: float) -> str:
    size = abs(scale) or 1.0
    return f"{value:.1f}" if size >= 1 else f"{value:.2f}" if size >= 0.05 else f"{value:.3f}"


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass(frozen=True)
class Event:
    """A moment with its 90 % interval.

    Attributes:
        kind: ``heel_strike``, ``toe_off``, ``take_off``, ``landing``, ``repetition`` or a
            reviewer's own word.
        side: ``left``, ``right`` or empty.
        time_s: Seconds, finer than a frame.
        low: Earliest, seconds; NaN where the error is not known.
        high: Latest.
        frame: Nearest frame of the sequence (its frame index in the video).
    """

    kind: str
    side: str
    time_s: float
    low: float
    high: float
    frame: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN is None."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Event:
        """What `to_dict` wrote.

        Raises:
            FormatError: It is something else.
        """
        return _event(validate(StoredEvent, content, "The event"))


@dataclass(frozen=True)
class Measurements:
    """Everything measured in one sequence.

    Attributes:
        track_id: Whose.
        facing: ``right``, ``left``, ``front`` or ``back``: how the angles were read.
        curves: Angles, then what follows from them.
        quantities: Numbers.
        events: In order of time.
        notes: Caveats in whole sentences; a report prints them all.
        settings: JSON values that say how it was measured.
    """

    track_id: int
    facing: str
    curves: tuple[Curve, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, name: str) -> Curve:
        """The curve of that name.

        Raises:
            MeasureError: It was not measured.
        """
        for curve in self.curves:
            if curve.name == name:
                return curve
        names = ", ".join(curve.name for curve in self.curves)
        raise MeasureError(f"Expected a measured curve, got {name!r}; there are: {names}.")

    def quantity(self, name: str) -> Quantity:
        """The number of that name.

        Raises:
            MeasureError: It was not measured.
        """
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        names = ", ".join(quantity.name for quantity in self.quantities)
        raise MeasureError(f"Expected a measured number, got {name!r}; there are: {names}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN is None."""
        return {
            "version": VERSION,
            "track_id": self.track_id,
            "facing": self.facing,
            "curves": [curve.to_dict() for curve in self.curves],
            "quantities": [quantity.to_dict() for quantity in self.quantities],
            "events": [event.to_dict() for event in self.events],
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measurements:
        """What `to_dict` wrote.

        Raises:
            FormatError: It is something else.
        """
        version = content.get("version") if isinstance(content, Mapping) else None
        if version != VERSION:
            raise FormatError(
                f"Expected measurements of version {VERSION}, got {str(version)[:40]!r}; "
                "measure again."
            )
        stored = validate(StoredMeasurements, content, "The file of measurements")
        return cls(
            track_id=stored.track_id,
            facing=stored.facing,
            curves=tuple(map(_curve, stored.curves)),
            quantities=tuple(map(_quantity, stored.quantities)),
            events=tuple(map(_event, stored.events)),
            notes=stored.notes,
            settings=stored.settings,
        )


def _curve(stored: StoredCurve) -> Curve:
    def array(values: Sequence[float | None]) -> Array:
        return np.array(values, np.float64)  # None becomes NaN

    return Curve(
        name=stored.name,
        label=stored.label,
        unit=stored.unit,
        times_s=array(stored.times_s),
        values=array(stored.values),
        low=array(stored.low),
        high=array(stored.high),
        marked=np.array(stored.marked, bool),
        reason=stored.reason,
    )


def _quantity(stored: StoredQuantity) -> Quantity:
    value, low, high = _nan(stored.value), _nan(stored.low), _nan(stored.high)
    return Quantity(stored.name, stored.label, value, low, high, stored.unit, stored.reason)


def _event(stored: StoredEvent) -> Event:
    low, high = _nan(stored.low), _nan(stored.high)
    return Event(stored.kind, stored.side, stored.time_s, low, high, stored.frame)
