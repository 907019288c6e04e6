"""The calibration of an estimator, from people with known poses that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.data.sources import Example, Source
from diffpose.errors import SettingsError
from diffpose.evaluation.calibration import Calibration, fit
from diffpose.evaluation.reliability import measure
from diffpose.evaluation.statements import Predictions, join
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, predict_source
from diffpose.poses import SamplingConfig

SETTINGS = tuple(SamplingConfig(k, e) for k, e in ((1, 1), (4, 1), (1, 8), (4, 8)))
"""Steps and hypotheses that a calibration is fitted at; it serves those between and beyond."""


@dataclass(frozen=True)
class Material:
    """A source of held-out people, and what it weighs in a calibration, whatever its length.

    Attributes:
        source: Stills or clips.
        share: Its weight for the confidence.
        tail_share: Its weight for the ellipses, which hang on the largest misses.
    """

    source: Source
    share: float = 1.0
    tail_share: float = 1.0


def annotated_stills(source: Source) -> Material:
    """Real pictures: they count more, for they are what the statements are about."""
    return Material(source, share=5.0, tail_share=24.0)


def rendered_clips(source: Source) -> Material:
    """Rendered clips: their truth is exact, their people are not real."""
    return Material(source, share=3.0, tail_share=5.0)


_FOLDS = 4


@dataclass(frozen=True)
class Thinned:
    """Every n-th example of a source."""

    source: Source
    every: int

    def __len__(self) -> int:
        return -(-len(self.source) // self.every)

    def __getitem__(self, index: int) -> Example:
        return self.source[index * self.every]


def calibrate(
    estimator: Estimator,
    materials: Mapping[str, Material],
    *,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
) -> Calibration:
    """Fit to several sources and measure on poses left out of the fit.

    Args:
        estimator: Not calibrated.
        materials: By name; boxes are the annotated keypoints' extent.
        progress: Receives the finished fraction and words.

    Returns:
        The fit to all, with `measure`'s result for each source and setting, found by fits to
        three quarters of the people, in ``measured``.

    Raises:
        SettingsError: There is no source, or the estimator is calibrated already.
    """
    if estimator.calibration.groups:
        raise SettingsError("Expected an estimator without calibration; load it uncalibrated.")
    if not materials:
        raise SettingsError("Calibration needs held-out data; name --lspet, --shards or both.")
    stated: dict[str, list[Predictions]] = {}
    truths: dict[str, NDArray[np.float32]] = {}
    for number, (name, material) in enumerate(materials.items()):

        def tell(fraction: float, number: int = number, name: str = name) -> None:
            progress((number + fraction) / len(materials), name)

        stated[name], truths[name], _ = predict_source(
            estimator, material.source, SETTINGS, boxes=BoxSource.ANNOTATION, progress=tell
        )
    folds = {name: np.arange(len(truth)) % _FOLDS for name, truth in truths.items()}
    measured = _cross_validated(stated, truths, folds, materials)
    return replace(_fit(stated, truths, materials), measured=measured)


def _fit(
    stated: Mapping[str, list[Predictions]],
    truths: Mapping[str, NDArray[np.float32]],
    materials: Mapping[str, Material],
) -> Calibration:
    parts = [part for name in stated for part in stated[name]]
    known = [truths[name] for name in stated for _ in stated[name]]

    def weights(shares: Mapping[str, float]) -> NDArray[np.float64]:
        unit = sum(map(len, known)) / sum(shares.values())
        return np.concatenate(
            [
                np.full(len(truth), unit * shares[name] / (max(len(truth), 1) * len(stated[name])))
                for name, truth in truths.items()
                for _ in stated[name]
            ]
        )

    return fit(
        join(parts),
        np.concatenate(known),
        weights=weights({name: materials[name].share for name in stated}),
        tail_weights=weights({name: materials[name].tail_share for name in stated}),
        people=_people(stated, truths),
    )


def _people(
    stated: Mapping[str, list[Predictions]], truths: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.int64]:
    """A number for each person of all materials, the same at every setting."""
    ends = np.cumsum([len(truth) for truth in truths.values()])
    numbers = np.split(np.arange(ends[-1]), ends[:-1])
    return np.concatenate(
        [np.tile(own, len(stated[name])) for name, own in zip(truths, numbers, strict=True)]
    )


def _cross_validated(
    stated: Mapping[str, list[Predictions]],
    truths: Mapping[str, NDArray[np.float32]],
    folds: Mapping[str, NDArray[np.int64]],
    materials: Mapping[str, Material],
) -> dict[str, dict[str, Any]]:
    tested: dict[str, list[Predictions]] = {}
    known: dict[str, list[NDArray[np.float32]]] = {}
    for fold in range(_FOLDS):
        seen = {name: np.flatnonzero(folds[name] != fold) for name in stated}
        calibration = _fit(
            {name: [part[seen[name]] for part in parts] for name, parts in stated.items()},
            {name: truth[seen[name]] for name, truth in truths.items()},
            materials,
        )
        for name, parts in stated.items():
            unseen = np.flatnonzero(folds[name] == fold)
            for part, sampling in zip(parts, SETTINGS, strict=True):
                title = f"{name}, K={sampling.num_steps}, E={sampling.num_hypotheses}"
                tested.setdefault(title, []).append(calibration.apply(part[unseen]))
                known.setdefault(title, []).append(truths[name][unseen])
    return {
        title: measure(join(parts), np.concatenate(known[title])) for title, parts in tested.items()
    }
