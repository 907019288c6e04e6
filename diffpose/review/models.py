"""Which models made a project's predictions, and the tensors that were adapted to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffpose.review.database import Database
from diffpose.review.migrations import Clock
from diffpose.review.rows import (
    damaged,
    data,
    fields,
    from_json,
    number,
    provenance_from_json,
    text,
    whole,
)

_TRACK = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class AdaptedModel:
    """Some of a model's tensors, fine-tuned on a project's corrections.

    Attributes:
        name: Hash of the tensors.
        base: Hash of the weights that they belong to; useless with any other.
        tensors: The bytes of a safetensors file.
        report: What was measured, JSON values.
        earlier: Revision of each track's predictions before, by track: where a return leads.
    """

    name: str
    base: str
    tensors: bytes
    report: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[int, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """A few words for the page: which model it is and what it gained."""
        if not {"before_px", "after_px"} <= self.report.keys():
            return "Adapted to this project"
        gain = "" if self.report.get("improved", True) else ", no gain beyond chance"
        before, after = self.report["before_px"], self.report["after_px"]
        return f"Adapted to this project{gain}: held-out error {before:.1f} → {after:.1f} px"


def model_from_row(row: Sequence[Any]) -> AdaptedModel:
    """The model of a row: name, base, tensors, report, earlier.

    Raises:
        DamagedError: Something of it is no part of a model.
    """
    name, base, tensors, report, earlier = row
    measured = fields(from_json(report, "a model's report"), "a model's report")
    for key in {"before_px", "after_px"} & measured.keys():
        number(measured[key], "a model's report")
    before = fields(from_json(earlier, "earlier poses"), "earlier poses")
    if not all(_TRACK.fullmatch(track) for track in before):
        raise damaged("earlier poses", "numbers of tracks", list(before))
    return AdaptedModel(
        name=text(name, "a model's name"),
        base=text(base, "a model's weights"),
        tensors=data(tensors, "a model's tensors", unit=1),
        report=measured,
        earlier={int(track): whole(at, "earlier poses") for track, at in before.items()},
    )


class Models:
    """The models of one project; part of its `Store`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def made(self, track_id: int) -> dict[int, str]:
        """The weights that made a track's predictions, by revision; empty where unknown."""
        rows = self._database.all(
            "SELECT revision, provenance FROM predictions WHERE track_id = ? ORDER BY revision",
            track_id,
        )
        with self._database.readable():
            made = [(whole(rev, "a revision"), provenance_from_json(kept)) for rev, kept in rows]
        return {revision: found.weights if found else "" for revision, found in made}

    def in_force(self) -> str:
        """The name of the active adapted tensors, without reading them; empty for none."""
        rows = self._database.all(
            "SELECT name FROM adaptations WHERE in_force = 1 ORDER BY adaptation_id DESC LIMIT 1"
        )
        with self._database.readable():
            return text(rows[0][0], "a model's name") if rows else ""

    def adapted(self) -> AdaptedModel | None:
        """The active adapted tensors; None if the model is used as it is shipped."""
        rows = self._database.all(
            "SELECT name, base, tensors, report, earlier FROM adaptations "
            "WHERE in_force = 1 ORDER BY adaptation_id DESC LIMIT 1"
        )
        if not rows:
            return None
        with self._database.readable():
            return model_from_row(rows[0])

    def adapt(self, model: AdaptedModel) -> None:
        """Activate adapted tensors; earlier ones are kept, but no longer active."""
        with self._database.transaction():
            self._database.execute("UPDATE adaptations SET in_force = 0")
            self._database.execute(
                "INSERT INTO adaptations (name, base, made_at, report, earlier, tensors, in_force) "
                "VALUES (?, ?, ?, ?, ?, ?, 1)",
                (
                    model.name,
                    model.base,
                    self._clock().isoformat(),
                    json.dumps(dict(model.report), allow_nan=False),
                    json.dumps({str(track): at for track, at in model.earlier.items()}),
                    model.tensors,
                ),
            )

    def use_shipped(self) -> None:
        """No adapted tensors are active any more."""
        with self._database.transaction():
            self._database.execute("UPDATE adaptations SET in_force = 0")
