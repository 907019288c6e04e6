"""The heatmap codec: keypoints to heatmaps and back, with the uncertainty a heatmap holds.

Keypoints are (x, y) in crop pixels, pixel centres at integers. Cell i of a heatmap of stride s
covers the crop pixels [s i - 1/2, s (i + 1) - 1/2), so its centre is at s i + (s - 1) / 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def to_cells(keypoints: Tensor, *, stride: float) -> Tensor:
    """Crop pixels (..., 2) to heatmap cells."""
    return (keypoints - (stride - 1) / 2) / stride


def to_pixels(cells: Tensor, *, stride: float) -> Tensor:
    """Heatmap cells (..., 2) to crop pixels."""
    return cells * stride + (stride - 1) / 2


def encode(keypoints: Tensor, *, size: tuple[int, int], stride: float, sigma: float) -> Tensor:
    """Gaussians of peak 1 around keypoints; the centre is not rounded to a cell.

    Args:
        keypoints: (..., K, 2) crop pixels; NaN gives an empty map.
        size: (h, w) of the heatmap.
        stride: Crop pixels a cell.
        sigma: Standard deviation in cells.

    Returns:
        (..., K, h, w) in 0..1.
    """
    cells = to_cells(keypoints, stride=stride)
    x = torch.arange(size[1], dtype=cells.dtype, device=cells.device)
    y = torch.arange(size[0], dtype=cells.dtype, device=cells.device)
    along_x = torch.exp(-((x - cells[..., 0:1]) ** 2) / (2 * sigma**2))
    along_y = torch.exp(-((y - cells[..., 1:2]) ** 2) / (2 * sigma**2))
    return torch.nan_to_num(along_y.unsqueeze(-1) * along_x.unsqueeze(-2), nan=0.0)


def mass(sigma: float) -> float:
    """Sum over the cells of one Gaussian of peak 1 that lies well inside the map."""
    return 2 * math.pi * sigma**2


def decode(heatmaps: Tensor, *, stride: float) -> tuple[Tensor, Tensor]:
    """The highest point of every heatmap, between cells, and its height.

    The cell of the maximum is refined by a parabola through the logarithms of its neighbours,
    which is exact for a Gaussian (DARK; Zhang et al. 2020, eq. 9, one axis at a time).

    Args:
        heatmaps: (..., h, w), non-negative.
        stride: Crop pixels a cell.

    Returns:
        Keypoints (..., 2) in crop pixels and peaks (...) in the heatmap's unit, the parabola's top.
    """
    height, width = heatmaps.shape[-2:]
    peaks, flat = heatmaps.flatten(-2).max(dim=-1)
    row, column = flat // width, flat % width
    shift_x, rise_x = _parabola_top(heatmaps, row, column, along_x=True)
    shift_y, rise_y = _parabola_top(heatmaps, row, column, along_x=False)
    x, y = column + shift_x, row + shift_y
    peaks = peaks * torch.exp(rise_x + rise_y)
    limit = torch.tensor([width - 1, height - 1], dtype=heatmaps.dtype, device=heatmaps.device)
    cells = torch.minimum(torch.stack([x, y], dim=-1).clamp(min=0), limit)
    return to_pixels(cells, stride=stride), peaks


def _parabola_top(
    heatmaps: Tensor, row: Tensor, column: Tensor, *, along_x: bool
) -> tuple[Tensor, Tensor]:
    """Where the parabola through three logarithms is highest, and how much above the maximum."""
    height, width = heatmaps.shape[-2:]
    position, length = (column, width) if along_x else (row, height)
    # At the border the parabola is centred one cell inside.
    centre = position.clamp(1, max(length - 2, 1))

    def value(offset: int) -> Tensor:
        moved = (centre + offset).clamp(0, length - 1)
        index = row * width + moved if along_x else moved * width + column
        picked = heatmaps.flatten(-2).gather(-1, index.unsqueeze(-1)).squeeze(-1)
        return picked.clamp(min=1e-6).log()

    before, middle, after = value(-1), value(0), value(1)
    slope, curvature = (after - before) / 2, before - 2 * middle + after
    shift = torch.where(curvature < -1e-6, -slope / curvature, slope * 0)
    inner = position == centre
    rise = torch.where(inner, slope * shift / 2, slope * 0).clamp(0, 0.5)
    return (shift + (centre - position)).clamp(-0.5, 0.5), rise


def spread(heatmaps: Tensor, centre: Tensor, *, stride: float, sigma: float) -> Tensor:
    """Second moment of a heatmap about a point, less that of the Gaussian it is drawn with.

    Args:
        heatmaps: (..., h, w), non-negative; read as a distribution over cells.
        centre: (..., 2) crop pixels.
        stride: Crop pixels a cell.
        sigma: Standard deviation of the drawn Gaussian, cells.

    Returns:
        Covariance (..., 2, 2) in crop px^2, positive definite: never below a twelfth of a
        cell squared, the variance of a position known to one cell.
    """
    height, width = heatmaps.shape[-2:]
    total = heatmaps.sum(dim=(-2, -1)).clamp(min=1e-9)
    cells = to_cells(centre, stride=stride)
    x = torch.arange(width, dtype=heatmaps.dtype, device=heatmaps.device) - cells[..., 0:1]
    y = torch.arange(height, dtype=heatmaps.dtype, device=heatmaps.device) - cells[..., 1:2]
    columns, rows = heatmaps.sum(dim=-2), heatmaps.sum(dim=-1)
    var_x = (columns * x**2).sum(dim=-1) / total
    var_y = (rows * y**2).sum(dim=-1) / total
    cov_xy = torch.einsum("...hw,...h,...w->...", heatmaps, y, x) / total
    return _positive(var_x - sigma**2, var_y - sigma**2, cov_xy) * stride**2


def _positive(var_x: Tensor, var_y: Tensor, cov_xy: Tensor) -> Tensor:
    """The nearest covariance whose eigenvalues are at least a twelfth of a cell squared."""
    # Closed form of a symmetric 2 x 2: mean +- radius are the eigenvalues.
    mean, half = (var_x + var_y) / 2, (var_x - var_y) / 2
    radius = torch.sqrt(half**2 + cov_xy**2)
    large, small = (mean + radius).clamp(min=1 / 12), (mean - radius).clamp(min=1 / 12)
    new_mean, new_radius = (large + small) / 2, (large - small) / 2
    ratio = new_radius / radius.clamp(min=1e-12)
    half, cross = half * ratio, cov_xy * ratio
    top = torch.stack([new_mean + half, cross], dim=-1)
    bottom = torch.stack([cross, new_mean - half], dim=-1)
    return torch.stack([top, bottom], dim=-2)
