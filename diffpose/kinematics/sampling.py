"""Draws of whole trajectories: the model's error as it is, correlated in time.

A network that sees a knee 5 px too low sees it so in the next frame as well. Errors drawn again in
every frame would be removed by any filter and the range of motion would look far too certain.
Here the error of a keypoint is the sum of three independent parts, each a share of the calibrated
covariance: one that stays for the whole track, one that wanders (Ornstein-Uhlenbeck) and one that
is new in every frame. The shares are fitted on rendered clips (benchmarks/intervals.py).

Not in it: the camera's angle. A knee seen 30 degrees from the side has another angle in the
picture than in space, whatever the keypoints' error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffpose.errors import SettingsError
from diffpose.kinematics.records import Array
from diffpose.poses import Origin, PoseSequence

_MOST_NUMBERS = 40_000_000


@dataclass(frozen=True)
class ErrorModel:
    """How keypoint errors are made up.

    Attributes:
        scale: Factor on the stated standard deviation.
        constant_share: Share of the variance that is the same in all frames of a track.
        wandering_share: Share that wanders with ``correlation_s``; the rest is new in each frame.
        correlation_s: Time after which the wandering part is down to 37 %.
        corrected_sd: Standard deviation of a keypoint that a person placed, in torso lengths,
            where the sequence states none.
        extreme_factor: Factor on the intervals of smallest and largest values and ranges: the
            extreme of a noisy curve is found where noise made it extreme.
        event_factor: The same for the times of extremes and crossings.
    """

    scale: float = 0.90
    constant_share: float = 0.37
    wandering_share: float = 0.62
    correlation_s: float = 0.18
    corrected_sd: float = 0.02
    extreme_factor: float = 1.32
    event_factor: float = 1.0

    def __post_init__(self) -> None:
        shares = (self.constant_share, self.wandering_share)
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise SettingsError(
                f"Expected shares of the variance of at least 0 that sum to at most 1, "
                f"got {shares}."
            )
        factors = (self.scale, self.corrected_sd, self.extreme_factor, self.event_factor)
        if min(factors) < 0 or not self.correlation_s > 0:
            raise SettingsError(
                "Expected scale, click error and factors of at least 0 and a correlation time "
                f"above 0 s, got {factors} and {self.correlation_s} s."
            )


def num_draws_for(wanted: int, num_frames: int, num_keypoints: int) -> int:
    """As many draws as wanted, fewer for very long clips so that memory stays bounded."""
    return max(min(wanted, _MOST_NUMBERS // max(2 * num_frames * num_keypoints, 1)), 40)


def draw_trajectories(
    sequence: PoseSequence,
    times_s: Array,
    model: ErrorModel,
    rng: np.random.Generator,
    *,
    num_draws: int,
) -> Array:
    """Trajectories that are as likely as the given one, (D, N, K, 2) f32 video pixels.

    Args:
        sequence: Keypoints and their calibrated covariance.
        times_s: (N,) of its frames.
        model: How the error is made up.
        rng: Random source.
        num_draws: D.

    Returns:
        NaN where a keypoint or its error is unknown. A middle keypoint that the skeleton also
        has (HALPE's hip and neck) is drawn by itself.
    """
    count, num = len(sequence), len(sequence.skeleton)
    noise = unit_errors(times_s, model, rng, shape=(num_draws, num * 2))
    noise = noise.reshape(num_draws, num, 2, count).transpose(0, 3, 1, 2)
    roots = _roots(sequence, model)
    moved = np.einsum("nkij,dnkj->dnki", roots.astype(np.float32), noise, optimize=True)
    return np.asarray(sequence.keypoints + moved)


def unit_errors(
    times_s: Array, model: ErrorModel, rng: np.random.Generator, *, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Errors of variance 1 in every frame, (*shape, N) f32, correlated as the model says."""
    count = len(times_s)
    fresh_share = max(1.0 - model.constant_share - model.wandering_share, 0.0)
    result = np.sqrt(fresh_share) * rng.standard_normal((*shape, count), dtype=np.float32)
    result += np.sqrt(model.constant_share) * rng.standard_normal((*shape, 1), dtype=np.float32)
    wandering = rng.standard_normal((*shape, count), dtype=np.float32)
    keep = np.exp(-np.diff(times_s) / model.correlation_s)
    for row in range(1, count):
        wandering[..., row] *= np.sqrt(1 - keep[row - 1] ** 2)
        wandering[..., row] += keep[row - 1] * wandering[..., row - 1]
    result += np.sqrt(model.wandering_share) * wandering
    return result.astype(np.float32, copy=False)


def _roots(sequence: PoseSequence, model: ErrorModel) -> Array:
    """Square roots (N, K, 2, 2) of the error's covariance."""
    covariance = np.asarray(sequence.covariance, dtype=np.float64)
    torso = _size(sequence)
    stated = np.asarray(np.isfinite(covariance).all(axis=(-1, -2)))
    empty = ~stated | (np.abs(covariance).max(axis=(-1, -2)) == 0)
    by_hand = (sequence.origin == Origin.CORRECTED) & empty
    usable = np.where(stated[..., None, None], covariance, 0.0)
    values, vectors = np.linalg.eigh((usable + usable.swapaxes(-1, -2)) / 2)
    roots = vectors * (np.sqrt(np.maximum(values, 0)) * model.scale)[..., None, :]
    roots[~stated] = np.nan
    roots[by_hand] = np.eye(2) * model.corrected_sd * torso
    return _widest_where_unknown(np.asarray(roots))


def _widest_where_unknown(roots: Array) -> Array:
    """Frames without a stated error, e.g. interpolated ones, take the keypoint's largest."""
    unknown = np.asarray(~np.isfinite(roots).all(axis=(-1, -2)))
    sizes = np.where(unknown, -1.0, np.abs(np.nan_to_num(roots)).max(axis=(-1, -2)))
    for keypoint in np.flatnonzero(unknown.any(axis=0) & ~unknown.all(axis=0)):
        widest = roots[np.argmax(sizes[:, keypoint]), keypoint]
        roots[unknown[:, keypoint], keypoint] = widest
    return roots


def _size(sequence: PoseSequence) -> float:
    """Length in pixels that click errors are shares of: a third of the pose's larger extent."""
    extent = np.full((len(sequence), 2), np.nan)
    known = np.asarray(np.isfinite(sequence.keypoints).all(axis=-1))
    for row in np.flatnonzero(np.sum(known, axis=1) >= 2):
        points = sequence.keypoints[row][known[row]]
        extent[row] = points.max(axis=0) - points.min(axis=0)
    largest = extent.max(axis=1)
    return float(np.nanmedian(largest)) / 3 if np.isfinite(largest).any() else 0.0


def interval(draws: Array, *, level: float = 0.9) -> tuple[Array, Array]:
    """Lower and upper end of the central interval over the first axis; NaN draws are left out."""
    values = np.asarray(draws, dtype=np.float64)
    tail = (1 - level) / 2
    known = np.isfinite(values).all(axis=0)
    low, high = (np.full(values.shape[1:], np.nan) for _ in range(2))
    if known.any():
        ends = np.quantile(values[:, known], [tail, 1 - tail], axis=0)
        low[known], high[known] = ends
    return low, high
