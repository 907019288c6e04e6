"""Calibration: stated uncertainty fitted to the observed errors on poses whose truth is known.

Two promises are kept. The 90 % ellipse of a covariance holds the true keypoint in 90 of 100 cases,
and a confidence p means that the keypoint lies within a tenth of the torso of the truth p of the
time. Errors have heavy tails (a left wrist taken for the right one), so the ellipse is scaled by
the 90 % quantile of the misses, never by their variance.

Both maps are linear in thirteen features of a keypoint's statement, fitted for each joint group:
the ellipse's log scale by quantile regression, the confidence's logit by logistic regression.
Before that an ellipse may be stretched towards the other side's keypoint, which is where most large
misses lie. All zeros, or a group that was not fitted, is the identity; little data stays close to
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from diffpose.errors import FormatError
from diffpose.evaluation.statement_features import (
    FEATURES,
    features,
    logit,
    mean_log_radius,
    with_ellipses,
)
from diffpose.evaluation.statements import (
    LEVEL,
    Predictions,
    group_columns,
    log_miss,
    within,
)

FORMAT = "diffpose-calibration-3"
_OLDER = {
    "diffpose-calibration-2": FEATURES[:8],  # the same without the body's posture
    "diffpose-calibration-1": FEATURES[:8],  # and without a stretch
}

_STRETCHES = (0.0, 0.1, 0.2, 0.4)
_WORTH_A_STRETCH = 0.02  # of the score: less may be chance

_PARTS = 4  # of the people, each left out once
_PRIOR = 20.0  # keypoints that the identity weighs in a fit
_SOFT = 0.05  # width of the quantile loss's rounded corner, in log scale
_IDENTITY = np.zeros(len(FEATURES))


@dataclass(frozen=True)
class GroupMap:
    """The maps of one joint group.

    Attributes:
        count: Keypoints that the fit has seen.
        width: Weight of each feature in the logarithm of the ellipse's scale.
        confidence: Weight of each feature that is added to the confidence's logit.
        stretch: Share of the squared way to the other side's keypoint that is added to the
            covariance before all else.
    """

    count: int
    width: tuple[float, ...]
    confidence: tuple[float, ...]
    stretch: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """A map from what a network states to what is observed.

    Attributes:
        groups: The maps of each joint group; a group without is left as it is.
        measured: What was measured on held-out poses, JSON values: for the app and for docs.
    """

    groups: Mapping[str, GroupMap] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, predictions: Predictions) -> Predictions:
        """The predictions with calibrated confidence and covariance; the keypoints stay."""
        if not self.groups:
            return predictions
        stretches = {part.stretch for part in self.groups.values()}
        stretched = {amount: _stretched(predictions, amount) for amount in stretches}
        values = _features_of(stretched, predictions)
        confidence, covariance = predictions.confidence.copy(), predictions.covariance.copy()
        for name, columns in group_columns(predictions.skeleton).items():
            if name in self.groups:
                maps = self.groups[name]
                x = values[maps.stretch][:, columns]
                covariance[:, columns] = stretched[maps.stretch].covariance[:, columns]
                scale = np.exp(x @ np.array(maps.width))[..., None, None]
                shifted = logit(confidence[:, columns]) + x @ np.array(maps.confidence)
                confidence[:, columns] = _share(shifted)
                covariance[:, columns] *= scale**2
        return replace(predictions, confidence=confidence, covariance=covariance)

    @property
    def digest(self) -> str:
        """Eight hex digits that name the maps."""
        maps = {
            name: [part.width, part.confidence, part.stretch] for name, part in self.groups.items()
        }
        text = json.dumps(maps, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """As text, for the metadata of a weights file."""
        groups = {
            name: {
                "count": part.count,
                "width": list(part.width),
                "confidence": list(part.confidence),
                "stretch": part.stretch,
            }
            for name, part in self.groups.items()
        }
        content = {
            "format": FORMAT,
            "features": FEATURES,
            "groups": groups,
            "measured": self.measured,
        }
        return json.dumps(content, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """What `to_json` wrote.

        Raises:
            FormatError: It is something else, or of another version.
        """
        try:
            content = json.loads(text)
            named = {FORMAT: FEATURES, **_OLDER}.get(content["format"])
            if named is None or tuple(content["features"]) != named:
                raise ValueError(f"format {content['format']!r}")
            groups = {
                name: _group_map(part, num_features=len(named))
                for name, part in content["groups"].items()
            }
            return cls(groups, dict(content["measured"]))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise FormatError(
                f"Expected a calibration of format {FORMAT}, got another ({error}); "
                "run `diffpose train calibrate` again."
            ) from None


IDENTITY = Calibration()
"""Leaves everything as stated."""


def _group_map(part: Mapping[str, Any], *, num_features: int) -> GroupMap:
    width, confidence = (tuple(map(float, part[name])) for name in ("width", "confidence"))
    stretch = float(part.get("stretch", 0.0))
    if not (
        len(width) == len(confidence) == num_features
        and np.isfinite((*width, *confidence, stretch)).all()
        and stretch >= 0
    ):
        raise ValueError("weights that do not fit the features")
    newer = (0.0,) * (len(FEATURES) - num_features)
    return GroupMap(int(part["count"]), width + newer, confidence + newer, stretch)


def fit(
    predictions: Predictions,
    truths: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
    tail_weights: NDArray[np.floating] | None = None,
    people: NDArray[np.integer] | None = None,
) -> Calibration:
    """Fit both promises to poses whose truth is known and on which nothing was trained.

    Args:
        predictions: N poses as the network states them, not calibrated before.
        truths: (N, K, 2) in the predictions' frame of reference, NaN where not known.
        weights: (N,) what each pose counts, 1 on average; None: all the same.
        tail_weights: (N,) what it counts for the ellipses, which hang on the largest misses and
            so on wrong annotations; None: as ``weights``.
        people: (N,) a number for each person; poses of one person share theirs. With it the
            ellipses' size is settled on people left out in turn: of those it was fitted to it
            holds more than of others. None: on all poses at once.

    Returns:
        Maps for every group with any truth. The order of the poses does not matter.
    """
    stretched = {amount: _stretched(predictions, amount) for amount in _STRETCHES}
    values = _features_of(stretched, predictions)
    misses = {amount: log_miss(part, truths) for amount, part in stretched.items()}
    correct = within(predictions, truths)
    each = np.ones(len(predictions)) if weights is None else np.asarray(weights, np.float64)
    tail = each if tail_weights is None else np.asarray(tail_weights, np.float64)
    groups = {}
    for name, columns in group_columns(predictions.skeleton).items():
        heavy, even = (np.repeat(w[:, None], len(columns), axis=1) for w in (tail, each))
        if not _usable(values[0.0][:, columns], misses[0.0][:, columns], heavy).any():
            continue
        tried = {
            amount: _fit_ellipses(
                values[amount][:, columns],
                misses[amount][:, columns],
                heavy,
                log_radius=mean_log_radius(stretched[amount].covariance[:, columns]),
            )
            for amount in _STRETCHES
        }
        best = min(tried, key=lambda amount: tried[amount].score)
        worth_it = tried[best].score < tried[0.0].score - _WORTH_A_STRETCH
        stretch = best if worth_it else 0.0
        x, hit = values[stretch][:, columns], correct[:, columns]
        judged = _usable(x, hit, even)
        sureness = _fit_confidence(x[judged], hit[judged], even[judged])
        width = tried[stretch].width
        if people is not None:
            width = _settled_on_others(width, x, misses[stretch][:, columns], heavy, people)
        groups[name] = GroupMap(
            tried[stretch].count, tuple(width.tolist()), tuple(sureness.tolist()), stretch
        )
    return Calibration(groups)


def _settled_on_others(
    width: NDArray[np.float64],
    x: NDArray[np.float64],
    miss: NDArray[np.float64],
    weights: NDArray[np.float64],
    people: NDArray[np.integer],
) -> NDArray[np.float64]:
    """The map with the constant at which ellipses hold `LEVEL` of the people left out of a fit.

    As cross-conformal prediction does (Vovk 2015): each quarter of the people is judged by a fit
    to the others, and the misses of all four together say how much is wanting.
    """
    part = np.unique(people, return_inverse=True)[1] % _PARTS
    known = _usable(x, miss, weights)
    excess = np.full(miss.shape, np.nan)
    for index in range(_PARTS):
        own = known & (part == index)[:, None]
        others = known & ~own
        if own.any() and others.any():
            fitted = _fit_width(x[others], miss[others], weights[others])
            excess[own] = miss[own] - x[own] @ fitted
    judged = np.isfinite(excess)
    if not judged.any():
        return width
    settled = width.copy()
    count = int(judged.sum())
    settled[0] += _quantile(excess[judged], weights[judged], LEVEL) * count / (count + _PRIOR)
    return settled


@dataclass(frozen=True)
class _Ellipses:
    """One stretch's fit: how good it is, less is better, on how many keypoints, its width map."""

    score: float
    count: int
    width: NDArray[np.float64]


def _fit_ellipses(
    x: NDArray[np.float64],
    miss: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    log_radius: NDArray[np.float64],
) -> _Ellipses:
    known = _usable(x, miss, weights)
    width = _fit_width(x[known], miss[known], weights[known])
    scale = x[known] @ width
    score = _ellipse_score(log_radius[known] + scale, miss[known] - scale, weights[known])
    return _Ellipses(score, int(known.sum()), width)


def refit(
    calibration: Calibration,
    predictions: Predictions,
    truths: NDArray[np.floating],
    *,
    prior_count: float | None = None,
) -> Calibration:
    """Move a calibration towards what came true on other material, such as corrected frames.

    Each group's ellipses are scaled and its logits shifted as the new poses ask for, in the share
    that they have among all keypoints. Corrections alone tell of the worst keypoints only: give
    the frames that a reviewer looked at and left as they are, too.

    Args:
        calibration: The prior.
        predictions: Poses *after* ``calibration``, as exports and sessions hold them.
        truths: (N, K, 2), NaN where not known.
        prior_count: Keypoints that the prior weighs; None: those it was fitted on.
    """
    miss, correct = log_miss(predictions, truths), within(predictions, truths)
    logits = logit(predictions.confidence)
    groups = dict(calibration.groups)
    for name, columns in group_columns(predictions.skeleton).items():
        m, hit, own = miss[:, columns], correct[:, columns], logits[:, columns]
        known, judged = np.isfinite(m), np.isfinite(hit) & np.isfinite(own)
        if not known.any():
            continue
        old = groups.get(name, GroupMap(0, tuple(_IDENTITY), tuple(_IDENTITY)))
        prior = max(old.count if prior_count is None else prior_count, _PRIOR)
        count = int(known.sum())
        wider = float(np.quantile(m[known], LEVEL, method="higher")) * count / (prior + count)
        total = int(judged.sum())
        surer = _common_shift(own[judged], hit[judged]) * total / (prior + total)
        groups[name] = GroupMap(
            old.count + count,
            (old.width[0] + wider, *old.width[1:]),
            (old.confidence[0] + surer, *old.confidence[1:]),
            old.stretch,
        )
    return Calibration(groups, calibration.measured)


def refit_together(
    calibration: Calibration,
    predictions: Predictions,
    truths: NDArray[np.floating],
    *,
    prior_count: float,
) -> Calibration:
    """As `refit`, but one scale and one shift for all groups: for material of a few frames.

    Args:
        calibration: The prior.
        predictions: Poses *after* ``calibration``.
        truths: (N, K, 2), NaN where not known.
        prior_count: Keypoints that the prior weighs.
    """
    miss, hit = log_miss(predictions, truths), within(predictions, truths)
    own = logit(predictions.confidence)
    known, judged = np.isfinite(miss), np.isfinite(hit) & np.isfinite(own)
    if not known.any():
        return calibration
    count, total = int(known.sum()), int(judged.sum())
    wider = float(np.quantile(miss[known], LEVEL, method="higher")) * count / (prior_count + count)
    surer = _common_shift(own[judged], hit[judged]) * total / (prior_count + total)
    groups = dict(calibration.groups)
    for name in group_columns(predictions.skeleton):
        old = groups.get(name, GroupMap(0, tuple(_IDENTITY), tuple(_IDENTITY)))
        groups[name] = GroupMap(
            old.count,
            (old.width[0] + wider, *old.width[1:]),
            (old.confidence[0] + surer, *old.confidence[1:]),
            old.stretch,
        )
    return Calibration(groups, calibration.measured)


def _stretched(predictions: Predictions, amount: float) -> Predictions:
    """Ellipses drawn out towards the other side's keypoint.

    A left keypoint taken for the right one lies there, and the spread of a heatmap seldom says so
    in full. Keypoints in the middle of the body stay, as do those whose other side is not known.
    """
    if amount == 0:
        return predictions
    way = np.asarray(predictions.keypoints, np.float64)
    way = np.nan_to_num(way[:, predictions.skeleton.mirror] - way)
    added = amount * way[..., :, None] * way[..., None, :]
    covariance = predictions.covariance + added.astype(predictions.covariance.dtype)
    return replace(predictions, covariance=covariance)


def _features_of(
    stretched: Mapping[float, Predictions], predictions: Predictions
) -> dict[float, NDArray[np.float64]]:
    """Features (N, K, F) by the amount of the stretch."""
    x = features(predictions)
    return {amount: with_ellipses(x, part) for amount, part in stretched.items()}


def _ellipse_score(
    log_radius: NDArray[np.float64], excess: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """How good ellipses are: small, and what they miss, missed by little; less is better.

    The interval score (Gneiting and Raftery 2007, eq. 43) of the logarithm: of ellipses of one
    shape the best holds `LEVEL` of the truths, and shapes can be compared.

    Args:
        log_radius: Mean radius, logarithm.
        excess: Logarithm of the scale by which the truth is missed, negative inside.
        weights: Of each keypoint.
    """
    score = log_radius + np.maximum(excess, 0) / (1 - LEVEL)
    return float(weights @ score / weights.sum())


def _usable(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x).all(axis=-1) & np.isfinite(y) & (weights > 0))


def _fit_width(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear quantile regression with the identity as prior; then 90 % of all, exactly.

    Bounds: a wider statement never becomes a narrower ellipse, nor does a surer one a wider.
    """
    bounds = [(-3, 3), (-1, 1), (-1, 0), (-1, 0), (-1, 1), *[(-2, 2)] * 8]

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = (y - x @ beta) / _SOFT
        value = weights @ (_SOFT * np.logaddexp(0, z) - (1 - LEVEL) * (y - x @ beta))
        slope = -x.T @ (weights * (_share(z) - (1 - LEVEL)))
        pull = _PRIOR * (1 - LEVEL) * beta
        return float(value + pull @ beta / 2), slope + pull

    beta = minimize(loss, _IDENTITY, jac=True, method="L-BFGS-B", bounds=bounds).x
    beta[0] += _quantile(y - x @ beta, weights, LEVEL) * len(y) / (len(y) + _PRIOR)
    return np.asarray(beta)


def _fit_confidence(
    x: NDArray[np.float64], hit: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logistic regression with the identity as prior; bounds as in `_fit_width`."""
    bounds = [(-9, 9), (-9, 0), (-1, 4), (0, 4), *[(-9, 9)] * 9]
    own = x[:, FEATURES.index("own logit")]

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = own + x @ beta
        value = weights @ (np.logaddexp(0, z) - hit * z)
        pull = _PRIOR / 4 * beta
        return float(value + pull @ beta / 2), x.T @ (weights * (_share(z) - hit)) + pull

    return np.asarray(minimize(loss, _IDENTITY, jac=True, method="L-BFGS-B", bounds=bounds).x)


def _common_shift(own: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    """What to add to every logit so that as many are correct as stated."""
    if not len(own):
        return 0.0

    def loss(shift: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = own + shift[0]
        value = np.sum(np.logaddexp(0, z) - hit * z) + shift[0] ** 2 / 2
        return float(value), np.array([np.sum(_share(z) - hit) + shift[0]])

    return float(minimize(loss, np.zeros(1), jac=True, method="L-BFGS-B").x[0])


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])


def _share(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logit.clip(-50, 50))))
