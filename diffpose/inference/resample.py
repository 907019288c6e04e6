"""Sample poses again, given what a reviewer has placed: the correction conditions the diffusion.

In its own frame a placed keypoint clamps x_0 at every step. In the neighbouring frames the poses
that were propagated there enter as uncertain points. Features come from the cache, so a click
costs the decoder only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffpose.diffusion.conditioning import constrain_keypoints
from diffpose.errors import SettingsError
from diffpose.geometry import apply_affine
from diffpose.inference.estimator import STRIDE, Estimator, PoseBatch
from diffpose.inference.features import FeatureCache, window_features
from diffpose.inference.interfaces import FrameSource
from diffpose.inference.pipeline import window_at, window_seeds
from diffpose.poses import FloatArray, PoseSequence, SamplingConfig, Track, Window

Placed = Mapping[tuple[int, int], Sequence[float]]
"""(frame, keypoint) -> (x, y) in video pixels."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Poses of n frames that agree with what was placed.

    Attributes:
        track_id: Whose poses.
        frames: n frame indices, increasing.
        keypoints: (n, K, 2) f32 video pixels; placed keypoints exactly as placed.
        covariance: (n, K, 2, 2) f32 px^2; 0 where placed.
        confidence: (n, K) f32, 0 to 1; 1 where placed.
        hypotheses: (n, S, K, 2) f32 video pixels.
        before: (n, K, 2) f32 video pixels: the same sampling, had nothing been placed.
    """

    track_id: int
    frames: tuple[int, ...]
    keypoints: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    hypotheses: FloatArray
    before: FloatArray


def resample(
    video: FrameSource,
    track: Track,
    estimator: Estimator,
    sampling: SamplingConfig,
    *,
    frame: int,
    placed: Placed,
    cache: FeatureCache,
    radius: int = 0,
    propagated: PoseSequence | None = None,
) -> Resampled:
    """Sample the pose of a frame and of its neighbours again.

    The noise is that of the first prediction: what changes, changes because of what was placed.

    Args:
        video: Read only where features are not in the cache.
        track: The person.
        estimator: The network.
        sampling: K, E and the seed of the first prediction.
        frame: The corrected frame.
        placed: Everything the reviewer placed; other frames than those sampled are passed over.
        cache: Of window features.
        radius: Frames on either side that are sampled too.
        propagated: Poses and covariances for the neighbours (`diffpose.review.propagate`); None
            leaves the neighbours to the video alone.

    Raises:
        SettingsError: The person has no box in the frame.
    """
    last = video.info.num_frames - 1
    near = range(max(frame - radius, 0), min(frame + radius, last) + 1)
    windows = {f: window_at(video, track, estimator, frame=f) for f in near}
    if windows.get(frame) is None:
        raise SettingsError(
            f"Track {track.track_id} has no box in frame {frame}; draw one to sample a pose there."
        )
    parts = []
    for f, window in windows.items():
        if window is None:
            continue
        known = _known(f, len(estimator.skeleton), placed, None if f == frame else propagated)
        batch = _sample(video, window, estimator, sampling, known=known, cache=cache)
        before = sampled_before(video, window, estimator, sampling, cache=cache)
        parts.append((f, _fix(batch, f, placed), before))
    return Resampled(
        track_id=track.track_id,
        frames=tuple(f for f, _, _ in parts),
        keypoints=np.concatenate([b.keypoints for _, b, _ in parts]),
        covariance=np.concatenate([b.covariance for _, b, _ in parts]),
        confidence=np.concatenate([b.confidence for _, b, _ in parts]),
        hypotheses=np.concatenate([b.hypotheses for _, b, _ in parts]),
        before=np.concatenate([before for _, _, before in parts]),
    )


def sampled_before(
    video: FrameSource,
    window: Window,
    estimator: Estimator,
    sampling: SamplingConfig,
    *,
    cache: FeatureCache,
) -> FloatArray:
    """(1, K, 2) keypoints of a window, read as sampling again reads them, with nothing placed.

    A run reads its poses with less noise than sampling with a constraint can; whoever compares
    the two would take the noise for what the constraint moved. Kept in the cache.
    """
    key = f"{estimator.weights_hash}/before/{window.key}/{window.track_id}/{sampling}"
    before: FloatArray | None = cache.get(key)
    if before is None:
        nothing = _known(window.centre, len(estimator.skeleton), {}, None)
        batch = _sample(video, window, estimator, sampling, known=nothing, cache=cache)
        before = batch.keypoints
        cache.put(key, before, num_bytes=before.nbytes)
    return before


def moved(
    resampled: Resampled, predictions: PoseSequence, *, least: float = 0.5
) -> dict[tuple[int, int], tuple[tuple[float, float], float]]:
    """What sampling again says that the first prediction did not, for `review.propagate`.

    A keypoint that stayed is no new evidence: the video was heard already. One that lies more
    than ``least`` standard deviations of its prediction from where the same sampling puts it
    without the placed points was moved by them.

    Returns:
        (frame, keypoint) -> ((x, y), variance px^2), without the placed keypoints.
    """
    rows = {int(f): row for row, f in enumerate(predictions.frames)}
    result = {}
    for i, frame in enumerate(resampled.frames):
        if frame not in rows:
            continue
        step = np.linalg.norm(resampled.keypoints[i] - resampled.before[i], axis=-1)
        variance = np.trace(resampled.covariance[i], axis1=-2, axis2=-1) / 2
        for k in np.flatnonzero(step > least * predictions.radius[rows[frame]]).tolist():
            if variance[k] > 0:
                x, y = resampled.keypoints[i, k].tolist()
                result[frame, k] = ((x, y), float(variance[k]))
    return result


@dataclass(frozen=True)
class _Known:
    """Points (K, 2) in video pixels, NaN where free, and their variances (K,) px^2, 0 if exact."""

    points: NDArray[np.float64]
    variances: NDArray[np.float64]


def _known(frame: int, count: int, placed: Placed, propagated: PoseSequence | None) -> _Known:
    points, variances = np.full((count, 2), np.nan), np.zeros(count)
    if propagated is not None:
        for row in np.flatnonzero(propagated.frames == frame):
            points[:] = propagated.keypoints[row]
            variances[:] = np.maximum(propagated.radius[row].astype(np.float64) ** 2, 1e-6)
            points[~np.isfinite(variances)] = np.nan
    for (at, k), xy in placed.items():
        if at == frame:
            points[k], variances[k] = xy, 0
    return _Known(points, variances)


def _sample(
    video: FrameSource,
    window: Window,
    estimator: Estimator,
    sampling: SamplingConfig,
    *,
    known: _Known,
    cache: FeatureCache,
) -> PoseBatch:
    features: Any = window_features(window, video=video, estimator=estimator, cache=cache)
    crop = window.crop.astype(np.float64)
    scale = abs(float(np.linalg.det(crop[:, :2])))  # crop px^2 a video px^2
    points = torch.from_numpy(apply_affine(crop, known.points)).float()[None].to(estimator.device)
    exact = torch.from_numpy(known.variances <= 0)[None, :, None].to(estimator.device)
    constrain = constrain_keypoints(
        points,
        torch.from_numpy(known.variances * scale).float()[None].to(estimator.device),
        size=estimator.heatmap_size,
        stride=STRIDE,
        sigma=estimator.config.sigma,
        signal_scale=estimator.config.signal_scale,
    )
    seeds = window_seeds(np.array([window.track_id]), np.array([window.centre]))
    return estimator.sample(
        features,
        crop[None],
        sampling,
        seeds=seeds,
        constrain=constrain,
        placed=torch.where(exact, points, torch.nan),
    )


def _fix(batch: PoseBatch, frame: int, placed: Placed) -> PoseBatch:
    """Put placed keypoints where they were placed, to the bit."""
    keypoints, hypotheses = batch.keypoints.copy(), batch.hypotheses.copy()
    covariance, confidence = batch.covariance.copy(), batch.confidence.copy()
    for (at, k), xy in placed.items():
        if at == frame:
            keypoints[0, k] = hypotheses[0, :, k] = np.asarray(xy, np.float32)
            covariance[0, k], confidence[0, k] = 0, 1
    return PoseBatch(keypoints, confidence, covariance, hypotheses, batch.heatmaps)
