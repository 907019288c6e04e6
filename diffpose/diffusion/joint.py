"""Hypotheses that are whole poses: keypoints decided in turns, each given those decided before.

Every keypoint has its own place on the noise schedule. All begin as pure noise, at timestep T. A
denoising step takes the next group of keypoints to timestep 0: their x_0 is drawn from what the
denoiser predicts given the groups before, which is the DDIM step from T to 0 with a sampled
prediction in place of the mean. In one step all keypoints are drawn independently; with more
steps the groups are smaller and more of the pose is agreed on (chain rule of probability).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diffpose import heatmap
from diffpose.diffusion.sampler import spread_seed

Condition = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Decided points (R, K, 2), NaN where undecided, and asked keypoints (R, G) to their logits
(R, G, h, w) and (R, G) of lying outside; row r belongs to window ``r // num_hypotheses``."""

_REACH = 0.75  # cells: a drawn cell stands for the peak within about that distance
_PATCH = 2  # cells on each side of a drawn one in which its peak is looked for
_SHIFTS = 3  # mean-shift steps from a drawn cell to its peak
_AROUND = 5  # cells along the square whose probability says how certain a keypoint is


def deciding_order(probability: Tensor) -> Tensor:
    """Keypoints of B windows from the most to the least certain, (B, K) indices.

    Args:
        probability: (B, K, h, w) of the cells.
    """
    around = torch.nn.functional.avg_pool2d(probability, _AROUND, stride=1, padding=_AROUND // 2)
    return around.flatten(2).amax(dim=-1).argsort(dim=-1, descending=True, stable=True)


def hypothesis_uniforms(seeds: Sequence[int], *, num_hypotheses: int, num_keypoints: int) -> Tensor:
    """Uniform numbers (B, S, K) in 0..1 that depend on the seed and the hypothesis' number only.

    A larger ensemble keeps the hypotheses of a smaller one.
    """
    generator = torch.Generator()
    numbers = torch.empty(len(seeds), num_hypotheses, num_keypoints)
    for row, seed in enumerate(seeds):
        generator.manual_seed(spread_seed(seed, 1))
        numbers[row].uniform_(generator=generator)
    return numbers


@torch.no_grad()
def draw_poses(
    condition: Condition,
    order: Tensor,
    uniforms: Tensor,
    *,
    num_steps: int,
    stride: float,
    known: Tensor | None = None,
) -> Tensor:
    """S whole poses of each of B windows.

    Args:
        condition: The denoiser: what decided keypoints leave possible for others.
        order: (B, K) in which keypoints are decided (`deciding_order`).
        uniforms: (B, S, K) random numbers, one for each decision (`hypothesis_uniforms`).
        num_steps: Groups that the keypoints are decided in; beyond K there is nothing to gain.
        stride: Crop pixels a cell.
        known: (B, K, 2) crop pixels of keypoints that were placed, NaN elsewhere: decided from
            the start.

    Returns:
        (B, S, K, 2) crop pixels.
    """
    count = uniforms.shape[1]
    order, numbers = order.repeat_interleave(count, dim=0), uniforms.flatten(0, 1)
    points = numbers.new_full((*numbers.shape, 2), float("nan"))
    if known is not None:
        points = known.to(points).repeat_interleave(count, dim=0).clone()
    placed, poses = torch.isfinite(points), torch.nan_to_num(points)
    for asked in order.chunk(min(num_steps, order.shape[1]), dim=1):
        logits, outside = condition(points, asked)
        chosen, beyond = _draw(logits, outside, numbers.gather(1, asked), stride=stride)
        index = asked[..., None].expand(-1, -1, 2)
        kept = placed.gather(1, index)
        poses.scatter_(1, index, torch.where(kept, poses.gather(1, index), chosen))
        undecided = torch.where(beyond[..., None], torch.nan, chosen)
        points.scatter_(1, index, torch.where(kept, points.gather(1, index), undecided))
    return poses.unflatten(0, (-1, count))


def _draw(
    logits: Tensor, outside: Tensor, uniforms: Tensor, *, stride: float
) -> tuple[Tensor, Tensor]:
    """Points (R, G, 2) at peaks, each as often as probable, and which probably lie outside."""
    scores = torch.cat([logits.flatten(2), outside.unsqueeze(-1)], dim=-1).softmax(dim=-1)
    cells = scores[..., :-1]
    total = cells.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    reached = (cells.cumsum(dim=-1) / total).contiguous()
    flat = torch.searchsorted(reached, uniforms.unsqueeze(-1)).clamp(max=cells.shape[-1] - 1)
    peaks = _peaks(cells.view_as(logits), flat.squeeze(-1))
    return heatmap.to_pixels(peaks, stride=stride), scores[..., -1] > 0.5


def _peaks(probability: Tensor, flat: Tensor) -> Tensor:
    """(R, G, 2) cells, from drawn cells by mean shift: a draw's distance from its peak is the blur
    of the target that the network was trained with, not uncertainty."""
    height, width = probability.shape[-2:]
    offsets = torch.arange(-_PATCH, _PATCH + 1, device=flat.device)
    rows, columns = (flat // width)[..., None] + offsets, (flat % width)[..., None] + offsets
    inside = ((rows >= 0) & (rows < height))[..., None] & ((columns >= 0) & (columns < width))[
        ..., None, :
    ]
    index = rows.clamp(0, height - 1)[..., None] * width + columns.clamp(0, width - 1)[..., None, :]
    patch = probability.flatten(2).gather(2, index.flatten(2)).view(index.shape) * inside
    y, x = rows[..., _PATCH].to(patch), columns[..., _PATCH].to(patch)
    for _ in range(_SHIFTS):
        near_y = torch.exp(-((rows - y[..., None]) ** 2) / (2 * _REACH**2))
        near_x = torch.exp(-((columns - x[..., None]) ** 2) / (2 * _REACH**2))
        weight = patch * near_y[..., :, None] * near_x[..., None, :]
        total = weight.sum(dim=(-2, -1)).clamp(min=1e-12)
        y = (weight.sum(dim=-1) * rows).sum(dim=-1) / total
        x = (weight.sum(dim=-2) * columns).sum(dim=-1) / total
    return torch.stack([x, y], dim=-1)
