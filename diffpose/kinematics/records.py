"""What measuring yields: curves, numbers and events, each with its 90 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError, InputError

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
        """What `to_dict` wrote."""
        read: dict[str, Any] = dict(content)
        for key in ("times_s", "values", "low", "high"):
            read[key] = np.array(content[key], dtype=np.float64)
        read["marked"] = np.array(content["marked"], dtype=bool)
        return cls(**read)


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
        """What `to_dict` wrote."""
        return cls(**_with_nan(content, "value", "low", "high"))


def _round(value: float, scale: float) -> str:
    size = abs(scale) or 1.0
    return f"{value:.1f}" if size >= 1 else f"{value:.2f}" if size >= 0.05 else f"{value:.3f}"


def _with_nan(content: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {k: math.nan if k in names and v is None else v for k, v in content.items()}


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
        """What `to_dict` wrote."""
        return cls(**_with_nan(content, "low", "high"))


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
        try:
            if content["version"] != VERSION:
                raise FormatError(
                    f"Expected measurements of version {VERSION}, got {content['version']}; "
                    "measure again."
                )
            return cls(
                track_id=content["track_id"],
                facing=content["facing"],
                curves=tuple(Curve.from_dict(item) for item in content["curves"]),
                quantities=tuple(Quantity.from_dict(item) for item in content["quantities"]),
                events=tuple(Event.from_dict(item) for item in content["events"]),
                notes=tuple(content["notes"]),
                settings=content["settings"],
            )
        except (KeyError, TypeError) as error:
            raise FormatError(f"Expected stored measurements; {error} is wrong in them.") from None
