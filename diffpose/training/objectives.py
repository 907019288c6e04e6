"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diffpose import heatmap
from diffpose.training.teacher import Opinion


def annotated(keypoints: Tensor) -> Tensor:
    """(B, K) true where a keypoint has an annotation."""
    return torch.isfinite(keypoints).all(dim=-1)


def inside(keypoints: Tensor, *, crop_size: tuple[int, int]) -> Tensor:
    """(B, K) true where an annotated keypoint lies inside the crop."""
    limit = torch.tensor([crop_size[1], crop_size[0]], device=keypoints.device) - 0.5
    return ((keypoints >= -0.5) & (keypoints < limit)).all(dim=-1)


def near_the_truth(
    cells: Tensor,
    keypoints: Tensor,
    *,
    stride: int,
    generator: torch.Generator,
    reach: float = 1.5,
) -> Tensor:
    """Points drawn from where the network puts keypoints, in the neighbourhood of the truth.

    Args:
        cells: (B, K, h, w) log-probabilities.
        keypoints: (B, K, 2) crop pixels; NaN is taken for the middle of the first cell.
        stride: Crop pixels a cell.
        generator: On the CPU.
        reach: Standard deviation of the neighbourhood, cells.

    Returns:
        (B, K, 2) crop pixels.
    """
    size = (cells.shape[-2], cells.shape[-1])
    near = heatmap.encode(torch.nan_to_num(keypoints), size=size, stride=stride, sigma=reach)
    weight = (near.clamp(min=1e-12).log() + cells).flatten(2)
    chance = (weight - weight.amax(dim=-1, keepdim=True)).exp()
    drawn = torch.multinomial(chance.flatten(0, 1).cpu(), 1, generator=generator)
    flat = drawn.view(keypoints.shape[:2]).to(cells.device)
    place = torch.stack([flat % size[1], flat // size[1]], dim=-1).to(cells.dtype)
    return heatmap.to_pixels(place, stride=stride)


def posterior_loss(
    logits: Tensor,
    outside: Tensor,
    keypoints: Tensor,
    *,
    stride: int,
    sigma: float,
    weight: Tensor | None = None,
    opinion: Opinion | None = None,
    opinion_share: float = 0.0,
) -> Tensor:
    """Cross-entropy between where a keypoint is and where the network says it may be.

    The target is the keypoint's Gaussian over the cells, normalised to sum 1, or the extra
    class "outside the crop". The minimiser is the posterior blurred by that Gaussian, so the
    mean heatmap given the input is the probability times the Gaussian's mass: the x_0 that
    minimises the mean squared error of the paper's loss (section 3.1) as well.

    Args:
        logits: (B, K, h, w).
        outside: (B, K).
        keypoints: (B, K, 2) crop pixels, NaN where not annotated: these cost nothing.
        stride: Crop pixels a cell.
        sigma: Cells.
        weight: (B, K) multiplies each keypoint's share.
        opinion: What a teacher says of the same crops; takes part in the targets inside the crop.
        opinion_share: The teacher's part of a target where it is certain; less where it is not.
            A keypoint without annotation counts as much as that part.

    Returns:
        Mean over the annotated keypoints, nats.
    """
    size = (logits.shape[-2], logits.shape[-1])
    known = annotated(keypoints)
    within = inside(keypoints, crop_size=(size[0] * stride, size[1] * stride))
    target = heatmap.encode(keypoints, size=size, stride=stride, sigma=sigma).flatten(2)
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    target = torch.cat([target * within[..., None], (~within).unsqueeze(-1).to(target)], dim=-1)
    scores = torch.cat([logits.flatten(2), outside.unsqueeze(-1)], dim=-1).float()
    share = known.to(target) if weight is None else known * weight
    if opinion is not None:
        part = opinion_share * opinion.certainty * (within | ~known)
        believed = F.pad(opinion.probability.flatten(2), (0, 1))
        alone = (~known)[..., None]
        mixed = torch.lerp(target, believed, part[..., None])
        target = torch.where(alone, believed, mixed)
        share = torch.where(known, share, part)
    loss = -(target * F.log_softmax(scores, dim=-1)).sum(dim=-1)
    return (loss * share).sum() / share.sum().clamp(min=1e-6)


def heatmap_loss(predicted: Tensor, keypoints: Tensor, *, stride: int, sigma: float) -> Tensor:
    """The paper's loss: mean squared error of the heatmaps of annotated keypoints in the crop.

    Args:
        predicted: (B, K, h, w), 0..1.
        keypoints: (B, K, 2) crop pixels, NaN where not annotated.
        stride: Crop pixels a cell.
        sigma: Cells.
    """
    size = (predicted.shape[-2], predicted.shape[-1])
    target = heatmap.encode(keypoints, size=size, stride=stride, sigma=sigma)
    share = annotated(keypoints) & inside(keypoints, crop_size=(size[0] * stride, size[1] * stride))
    error = (predicted.float() - target).square().mean(dim=(-2, -1))
    return (error * share).sum() / share.sum().clamp(min=1)
