"""The ensemble: S hypotheses of a pose to one pose with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffpose import heatmap

# Hypotheses that the first step's prediction counts as (docs/experiments/ablations-small.md).
_FIRST_STEP = 96.0


def step_weight(done: int, *, hypotheses: int) -> float:
    """What a step's prediction counts in the mean heatmap of a run in which nothing is known.

    What is predicted from pure noise is the mean heatmap itself. What later steps predict has the
    same mean over the noise, and each hypothesis its own scatter about it. So all steps' mean is
    steadiest with weights by certainty: the first step counts as many hypotheses.

    Args:
        done: Which step, from 1.
        hypotheses: That the prediction is averaged over.
    """
    return _FIRST_STEP / hypotheses if done == 1 else 1.0


@dataclass(frozen=True)
class EnsemblePose:
    """One pose for each of B windows, in crop pixels.

    Attributes:
        keypoints: (B, K, 2).
        confidence: (B, K) in 0..1, the peak of the mean heatmap.
        covariance: (B, K, 2, 2) px^2.
        hypotheses: (B, S, K, 2).
        heatmaps: (B, K, h, w) mean over the hypotheses, 0..1.
    """

    keypoints: Tensor
    confidence: Tensor
    covariance: Tensor
    hypotheses: Tensor
    heatmaps: Tensor


def combine(
    heatmaps: Tensor,
    *,
    stride: float,
    sigma: float,
    mean: Tensor | None = None,
    readings: Tensor | None = None,
    hypotheses: Tensor | None = None,
) -> EnsemblePose:
    """The highest point of the mean heatmap, and both kinds of spread about it.

    The second moment of the mean heatmap is, by the law of total variance, the mean spread
    within the hypotheses' heatmaps plus the spread between the hypotheses.

    Args:
        heatmaps: (B, S, K, h, w) in 0..1, one for each hypothesis.
        stride: Crop pixels a cell.
        sigma: Of the Gaussian that heatmaps are drawn with, cells.
        mean: (B, K, h, w), an estimate of the mean heatmap with less noise than the average of
            ``heatmaps``; None takes the average.
        readings: (B, K, 2) crop pixels of keypoints that are not read at the highest point, NaN
            elsewhere. The spread is about them.
        hypotheses: (B, S, K, 2) crop pixels of poses that were drawn; None reads each of
            ``heatmaps`` at its highest point.
    """
    if mean is None:
        mean = heatmaps.mean(dim=1)
    keypoints, peaks = heatmap.decode(mean, stride=stride)
    if readings is not None:
        keypoints = torch.where(torch.isfinite(readings), readings, keypoints)
    if hypotheses is None:
        hypotheses, _ = heatmap.decode(heatmaps, stride=stride)
    covariance = heatmap.spread(mean, keypoints, stride=stride, sigma=sigma)
    return EnsemblePose(keypoints, peaks.clamp(0, 1), covariance, hypotheses, mean)
