"""What a project's own corrections say of the stated uncertainty.

The sample must not be chosen by its errors. A corrected keypoint is one that was seen to be
wrong, so corrections alone would make every radius too wide; only **confirmed frames** count,
where somebody called the whole pose right: its placed keypoints, and those left as they are,
which are then known to lie within `diffpose.evaluation.statements.NEAR` torsos of the truth,
but not where. They are taken to lie as the prediction itself states, cut off at that distance.
So they say nothing where the statement is finer than what a reviewer sees, and narrow radii that
are too wide.

What is found is a pure function of predictions and log: undoing an action undoes it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.calibration import (
    IDENTITY,
    Calibration,
    GroupMap,
    refit,
    refit_together,
)
from diffpose.evaluation.pck import torso_sizes
from diffpose.evaluation.statements import NEAR, Predictions, determinant, join
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.tracks import LoadedTrack, settled

MIN_FRAMES, MIN_KEYPOINTS = 8, 60
"""Less says nothing: on predictions that hold, the fit would only follow chance."""

_COMMON_PRIOR, _GROUP_PRIOR = 40.0, 60.0  # keypoints that "it holds as stated" weighs
_WIDTH_STEP, _LOGIT_STEP = 0.1, 0.25  # finer changes would renew the whole page at every click
_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Learned:
    """What confirmed frames have taught.

    Attributes:
        calibration: A map from what the model states to what is observed; nothing while too
            little is known, or where the statements hold.
        frames: Confirmed frames it rests on.
        keypoints: Keypoints in them.
        corrections: Those of them that were placed by hand.
        factor: What radii are multiplied by, the mean over the keypoints seen.
    """

    calibration: Calibration = IDENTITY
    frames: int = 0
    keypoints: int = 0
    corrections: int = 0
    factor: float = 1.0

    @property
    def enough(self) -> bool:
        """Are there frames and keypoints enough to say anything?"""
        return self.frames >= MIN_FRAMES and self.keypoints >= MIN_KEYPOINTS

    @property
    def words(self) -> str:
        """One sentence for the reviewer; empty if nothing was confirmed yet.

        >>> Learned(frames=12, keypoints=312, corrections=84, factor=1.31).words
        'Uncertainty refitted from 84 corrections in 12 confirmed frames: radii × 1.3.'
        """
        if not self.frames:
            return ""
        if not self.enough:
            more = max(MIN_FRAMES - self.frames, 1)
            frames = "frame" if more == 1 else "frames"
            return f"Confirm {more} more {frames}, and the uncertainty is refitted to this project."
        what = f"{self.corrections} correction{'' if self.corrections == 1 else 's'}"
        seen = f"{what} in {self.frames} confirmed frames"
        if self.calibration == IDENTITY:
            return f"Uncertainty checked against {seen}: it holds."
        return f"Uncertainty refitted from {seen}: radii × {self.factor:.1f}."


@dataclass(frozen=True, eq=False)
class TrackLessons:
    """What a model can learn from one reviewed track.

    Attributes:
        frames: (n,) frames with corrections, or confirmed.
        truths: (n, K, 2) video pixels; NaN where nobody looked.
        tolerances: (n, K) px: how well a keypoint that was confirmed as it is is known; 0 where
            it was placed, NaN where nobody looked.
    """

    frames: NDArray[np.integer]
    truths: NDArray[np.float64]
    tolerances: NDArray[np.float64]


def lessons_of(reviewed: ReviewedTrack) -> TrackLessons:
    """What was placed in a track, and what was confirmed."""
    poses = reviewed.poses
    known = np.isfinite(poses.keypoints).all(axis=-1) & settled(reviewed)
    rows = np.flatnonzero(known.any(axis=1))
    points, known = poses.keypoints[rows].astype(np.float64), known[rows]
    near = NEAR * torso_sizes(points, poses.skeleton)
    tolerances = np.where(reviewed.corrected[rows], 0.0, np.nan_to_num(near)[:, None])
    return TrackLessons(
        poses.frames[rows],
        np.where(known[..., None], points, np.nan),
        np.where(known, tolerances, np.nan),
    )


def learn(tracks: Sequence[LoadedTrack]) -> Learned:
    """Refit the uncertainty to the confirmed frames of a project's tracks of one skeleton.

    A skeleton without a torso has no measure of "near": nothing is learnt.
    """
    whole = [t for t in tracks if set(_TORSO) <= set(t.predictions.skeleton.keypoints)]
    parts = [_evidence(track) for track in whole if track.judged().any()]
    parts = [part for part in parts if part[0].skeleton == whole[0].predictions.skeleton]
    if not parts:
        return Learned()
    stated = join([part[0] for part in parts])
    truths = np.concatenate([part[1] for part in parts])
    known = np.isfinite(truths).all(axis=-1)
    seen = Learned(
        frames=int(known.any(axis=1).sum()),
        keypoints=int(known.sum()),
        corrections=sum(part[2] for part in parts),
    )
    if not seen.enough:
        return seen
    common = refit_together(IDENTITY, stated, truths, prior_count=_COMMON_PRIOR)
    fitted = _rounded(refit(common, common.apply(stated), truths, prior_count=_GROUP_PRIOR))
    wider = determinant(fitted.apply(stated).covariance) / determinant(stated.covariance)
    return replace(seen, calibration=fitted, factor=float(np.exp(np.log(wider[known]).mean() / 4)))


def restated(reviewed: ReviewedTrack, calibration: Calibration) -> ReviewedTrack:
    """The track with the calibrated uncertainty of what is still the model's word.

    Positions, what was placed and confirmed frames stay as they are.
    """
    if calibration == IDENTITY:
        return reviewed
    poses = reviewed.poses
    stated = _predictions(poses.skeleton, poses.keypoints, poses.confidence, poses.covariance)
    now, kept = calibration.apply(stated), settled(reviewed)
    changed = replace(
        poses,
        confidence=np.where(kept, poses.confidence, now.confidence),
        covariance=np.where(kept[..., None, None], poses.covariance, now.covariance),
    )
    return replace(reviewed, poses=changed)


def _evidence(track: LoadedTrack) -> tuple[Predictions, NDArray[np.float64], int]:
    """What was stated in the confirmed frames, the truth there, and how much was placed."""
    reviewed, predicted = track.reviewed(), track.predictions
    poses = reviewed.poses
    rows = np.flatnonzero(track.judged() & np.isin(poses.frames, predicted.frames))
    source = np.searchsorted(predicted.frames, poses.frames[rows])
    stated = _predictions(
        predicted.skeleton,
        predicted.keypoints[source],
        predicted.confidence[source],
        predicted.covariance[source],
    )
    truths = poses.keypoints[rows].astype(np.float64)
    volume = determinant(stated.covariance)
    with np.errstate(invalid="ignore"):
        truths[~(volume > 0)] = np.nan  # nothing was stated
        left = (truths == stated.keypoints).all(axis=-1)
    left &= ~reviewed.corrected[rows]
    limits = NEAR * torso_sizes(poses.keypoints[rows].astype(np.float64), poses.skeleton)
    truths[left] += _unseen(stated.covariance, left, limits)
    known = np.isfinite(truths).all(axis=-1)
    return stated, truths, int((reviewed.corrected[rows] & known).sum())


def _unseen(
    covariance: NDArray[np.floating], left: NDArray[np.bool_], limits: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Where the truth of keypoints left as they are lies from the prediction: (n, 2) px.

    Spread evenly over the stated Gaussian within ``limits`` (N,) px of each frame.
    """
    factor = np.linalg.cholesky(covariance[left].astype(np.float64))
    limit = np.repeat(limits[:, None], left.shape[1], axis=1)[left]
    limit = np.where(np.isfinite(limit), limit, np.inf)
    radius = determinant(covariance[left]) ** 0.25
    number = np.arange(1, len(limit) + 1)
    share, turn = (number * _GOLDEN) % 1, 2 * np.pi * ((number * _GOLDEN**2) % 1)
    reached = 1 - np.exp(-((limit / radius) ** 2) / 2)
    length = np.sqrt(-2 * np.log1p(-share * reached))
    offset = np.einsum("nij,nj->ni", factor, np.stack([np.cos(turn), np.sin(turn)], -1))
    offset *= length[:, None]
    far = np.linalg.norm(offset, axis=-1)
    return np.asarray(offset * np.minimum(1, 0.999 * limit / far.clip(min=1e-9))[:, None])


def _predictions(skeleton: Any, keypoints: Any, confidence: Any, covariance: Any) -> Predictions:
    # The maps that are refitted here do not look at the draws.
    return Predictions(skeleton, keypoints, confidence, covariance, np.ones((len(keypoints), 2)))


def _rounded(calibration: Calibration) -> Calibration:
    groups = {}
    for name, part in calibration.groups.items():
        width = round(part.width[0] / _WIDTH_STEP) * _WIDTH_STEP
        shift = round(part.confidence[0] / _LOGIT_STEP) * _LOGIT_STEP
        if width or shift:
            zeros = (0.0,) * (len(part.width) - 1)
            groups[name] = GroupMap(part.count, (width, *zeros), (shift, *zeros))
    return Calibration(groups) if groups else IDENTITY
