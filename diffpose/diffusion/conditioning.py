"""What a reviewer knows, as a constraint on x_0: placed points clamp, propagated ones weigh.

The sampler imposes the constraint on every clean prediction, so the network sees the corrected
heatmaps under the noise of the next step, and the last step's heatmaps obey it exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffpose import heatmap
from diffpose.diffusion.sampler import Constraint

_FLOOR = 1e-3  # share of a heatmap's mass that may lie where the network sees nothing


def constrain_keypoints(
    points: Tensor,
    variances: Tensor,
    *,
    size: tuple[int, int],
    stride: float,
    sigma: float,
    signal_scale: float,
) -> Constraint:
    """The constraint that known keypoints put on the heatmaps of B windows.

    A keypoint of variance 0 was placed: its heatmap becomes the Gaussian that encodes it. One
    of greater variance was propagated from another frame: its heatmap, read as a distribution
    over cells, is multiplied by the normal density about the point (Bayes' rule; the network's
    distribution and the propagated one are independent given the pose).

    Args:
        points: (B, K, 2) crop pixels; NaN leaves a keypoint free.
        variances: (B, K) crop px^2, of one coordinate.
        size: (h, w) of the heatmaps.
        stride: Crop pixels a cell.
        sigma: Standard deviation of the Gaussian that is x_0, cells.
        signal_scale: x_0 = (2 heatmap - 1) signal_scale.

    Returns:
        A function of x_0 (B * S, K, h, w), the S hypotheses of a window in a row.
    """
    known = torch.isfinite(points).all(dim=-1)
    exact = (known & (variances <= 0))[:, None, :, None, None]
    vague = (known & (variances > 0))[:, None, :, None, None]
    clamped = heatmap.encode(points, size=size, stride=stride, sigma=sigma)[:, None]
    weight = _normal(points, variances, size=size, stride=stride, sigma=sigma)[:, None]

    def constrain(x_0: Tensor) -> Tensor:
        heatmaps = (x_0.unflatten(0, (len(points), -1)) / signal_scale + 1) / 2
        result = torch.where(vague, reweigh(heatmaps, weight, sigma=sigma), heatmaps)
        result = torch.where(exact, clamped, result)
        return ((2 * result - 1) * signal_scale).flatten(0, 1)

    return constrain


def reweigh(heatmaps: Tensor, weight: Tensor, *, sigma: float) -> Tensor:
    """Heatmaps times a weight (broadcast), each with the mass of one whole Gaussian.

    Where the network puts next to nothing under the weight, the weight alone remains.
    """
    mass = heatmap.mass(sigma)
    cells = heatmaps.shape[-1] * heatmaps.shape[-2]
    product = (heatmaps + _FLOOR * mass / cells) * weight
    total = product.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    return (product * (mass / total)).clamp(max=1.0)


def _normal(
    points: Tensor, variances: Tensor, *, size: tuple[int, int], stride: float, sigma: float
) -> Tensor:
    """Density of the points, peak 1, widened by the Gaussian that every heatmap is drawn with."""
    spread = (variances.clamp(min=0) / stride**2 + sigma**2).sqrt().unsqueeze(-1)
    cells = heatmap.to_cells(points, stride=stride)
    x = torch.arange(size[1], dtype=cells.dtype, device=cells.device)
    y = torch.arange(size[0], dtype=cells.dtype, device=cells.device)
    along_x = torch.exp(-((x - cells[..., 0:1]) ** 2) / (2 * spread**2))
    along_y = torch.exp(-((y - cells[..., 1:2]) ** 2) / (2 * spread**2))
    return torch.nan_to_num(along_y.unsqueeze(-1) * along_x.unsqueeze(-2), nan=1.0)
