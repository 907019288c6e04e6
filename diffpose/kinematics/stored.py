"""What a file of measurements must hold: the shape that `records` reads."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from diffpose.checked import Index, Known, Name, Plain, Stored, Text, Whole

Seconds = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
Label = Annotated[Text, StringConstraints(max_length=500)]


class StoredCurve(Stored):
    """`diffpose.kinematics.records.Curve`; null is NaN."""

    name: Name
    label: Label
    unit: Label
    times_s: list[Seconds]
    values: list[Known]
    low: list[Known]
    high: list[Known]
    marked: list[bool]
    reason: Text = ""

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if len({len(x) for x in (self.times_s, self.values, self.low, self.high, self.marked)}) > 1:
            raise ValueError("a curve whose lists differ in length")
        if any(b <= a for a, b in zip(self.times_s, self.times_s[1:], strict=False)):
            raise ValueError("a curve whose times do not increase")
        return self


class StoredQuantity(Stored):
    """`diffpose.kinematics.records.Quantity`; null is NaN."""

    name: Name
    label: Label
    value: Known
    low: Known
    high: Known
    unit: Label
    reason: Text = ""


class StoredEvent(Stored):
    """`diffpose.kinematics.records.Event`; null is NaN."""

    kind: Name
    side: Label
    time_s: Seconds
    low: Known
    high: Known
    frame: Index


class StoredMeasurements(Stored):
    """`diffpose.kinematics.records.Measurements`, without its version."""

    track_id: Whole
    facing: Name
    curves: tuple[StoredCurve, ...]
    quantities: tuple[StoredQuantity, ...]
    events: tuple[StoredEvent, ...]
    notes: tuple[Text, ...]
    settings: dict[str, Plain]


class StoredSession(Stored):
    """What a dated session stores with its measurements."""

    date: Annotated[Text, StringConstraints(max_length=100)] | None = None
    name: Label | None = None
