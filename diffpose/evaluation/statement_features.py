"""What a calibration looks at: features of statements about keypoints, free of the pixel's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.evaluation.pck import body_axes, torso_sizes
from diffpose.evaluation.statements import Predictions, determinant
from diffpose.skeleton import Skeleton

FEATURES = (
    "constant",
    "relative radius",
    "own logit",
    "pose logit",
    "torso",
    "steps",
    "hypotheses",
    "samples",
    "upended",
    "lying",
    "frontal",
    "away",
    "apart",
)
"""What the maps are linear in: see `features`."""


def features(predictions: Predictions) -> NDArray[np.float64]:
    """What the maps look at, free of the pixel's size: (N, K, F) in the order of `FEATURES`.

    The logarithm of the ellipse's mean radius in parts of the pose's size; the logit of the
    keypoint's confidence and of the pose's on average; the logarithm of the predicted torso in
    parts of the pose's size (a torso seen along its length makes "a tenth of the torso" small);
    one over the steps, over the hypotheses and over their product, so that a fit at four settings
    meets all four and serves those between; the predicted posture (`_posture`), for left and right
    are confused in people who lie, stand on their hands or turn their back more than the spread of
    their heatmaps says; and the logarithm of the way to the other side's keypoint in torsos, which
    is how far such a confusion puts it off.
    """
    stated = predictions.keypoints
    size = _pose_sizes(stated)
    own = logit(predictions.confidence)
    pose = _mean_of_known(own)
    torso = torso_sizes(stated, predictions.skeleton)
    relative_torso = np.log((torso / size).clip(0.1, 10.0))
    shape = own.shape
    columns = [
        np.ones(shape),
        _relative_radius(predictions.covariance, size),
        own,
        np.broadcast_to(pose[:, None], shape),
        np.broadcast_to(np.nan_to_num(relative_torso)[:, None], shape),
        np.broadcast_to(1 / predictions.draws[:, :1], shape),
        np.broadcast_to(1 / predictions.draws[:, 1:], shape),
        np.broadcast_to(1 / predictions.draws.prod(axis=1, keepdims=True), shape),
    ]
    columns += [np.broadcast_to(p[:, None], shape) for p in _posture(stated, predictions.skeleton)]
    columns.append(_apart(stated, torso, predictions.skeleton))
    return np.stack(columns, axis=-1)


def _apart(
    stated: NDArray[np.floating], torso: NDArray[np.float64], skeleton: Skeleton
) -> NDArray[np.float64]:
    """Logarithm (N, K) of each keypoint's distance from the other side's, in torsos, up to one.

    0 for keypoints in the middle of the body, and where a side or the torso is not known.
    """
    other = skeleton.mirror
    distance = np.linalg.norm(np.asarray(stated[:, other] - stated, np.float64), axis=-1)
    apart = np.log((distance / torso.clip(min=1e-6)[:, None]).clip(0.03, 1.0))
    return np.where(other == np.arange(len(other)), 0.0, np.nan_to_num(apart))


def _posture(stated: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """How each body lies in the picture, from shoulders and hips alone: (4, N).

    Upended: 0 upright, 1 upside down. Lying: 0 for both of these, 1 level. Frontal: how far left
    and right lie apart, in torsos, up to half of one. Away: the same, at most 1, if the back is
    turned to the camera, else 0. All are 0 where a shoulder or hip is not known. A mirrored
    picture has the same.
    """
    up, across = body_axes(stated, skeleton)
    torso = np.linalg.norm(up, axis=1).clip(min=1e-6)
    # Of somebody upright who faces the camera, left is on the picture's right.
    facing = ((up[:, 0] * across[:, 1] - up[:, 1] * across[:, 0]) / torso**2).clip(-1, 1)
    posture = [
        (1 + up[:, 1] / torso) / 2,
        np.abs(up[:, 0]) / torso,
        np.abs(facing).clip(max=0.5),
        (-facing).clip(min=0),
    ]
    return np.nan_to_num(np.stack(posture))


def with_ellipses(x: NDArray[np.float64], predictions: Predictions) -> NDArray[np.float64]:
    """Features (N, K, F) of the same poses with these covariances: only their radius differs."""
    y = x.copy()
    size = _pose_sizes(predictions.keypoints)
    y[..., FEATURES.index("relative radius")] = _relative_radius(predictions.covariance, size)
    return y


def _pose_sizes(stated: NDArray[np.floating]) -> NDArray[np.float64]:
    """Root mean square distance (N,) of each pose's keypoints from their mean."""
    centred = stated - _mean_of_known(stated)[:, None]
    return np.asarray(np.sqrt(_mean_of_known((centred**2).sum(axis=-1))).clip(min=1e-6))


def _relative_radius(
    covariance: NDArray[np.floating], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    radius = np.exp(mean_log_radius(covariance))
    return np.asarray(np.log((radius / size[:, None]).clip(1e-3, 1e1)) + 2)


def _mean_of_known(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over the second axis of what is finite; 0 where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    return np.asarray(total / known.sum(axis=1).clip(min=1))


def mean_log_radius(covariance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of the mean radius of covariances (..., 2, 2): a quarter of their determinant's."""
    return np.asarray(np.log(determinant(covariance).clip(min=1e-12)) / 4)


def logit(share: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log odds of shares between 0.01 and 0.99; others count as these."""
    # Peaks of heatmaps saturate: beyond these limits their height says nothing more.
    inner = np.asarray(share, np.float64).clip(0.01, 0.99)
    return np.asarray(np.log(inner / (1 - inner)))
