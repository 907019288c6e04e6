"""What the coupling makes of a window's mean heatmap: whole poses, and where the feet are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from diffpose import heatmap
from diffpose.diffusion.joint import deciding_order, draw_poses, hypothesis_uniforms
from diffpose.model.coupling import POOL, STRIDE, Evidence, KeypointCoupling
from diffpose.skeleton import Skeleton

_FEET = ("heel", "toe")
_ROWS_AT_ONCE = 64  # windows x hypotheses: bounds the memory


@torch.inference_mode()
def draw_hypotheses(
    coupling: KeypointCoupling,
    probability: Tensor,
    evidence: Evidence,
    seeds: Sequence[int],
    *,
    num_steps: int,
    num_hypotheses: int,
    placed: Tensor | None = None,
) -> Tensor:
    """Draw whole poses of B windows.

    Args:
        coupling: Of the network.
        probability: (B, K, h, w) of every cell of the heatmaps.
        evidence: What the coupling reads of it.
        seeds: B seeds; a window's poses never depend on its batch.
        num_steps: Groups in which the keypoints are decided.
        num_hypotheses: S.
        placed: (B, K, 2) crop pixels of keypoints that every pose has to agree with, NaN elsewhere.

    Returns:
        (B, S, K, 2) crop pixels.
    """
    count, keypoints = probability.shape[:2]
    uniforms = hypothesis_uniforms(
        seeds, num_hypotheses=num_hypotheses, num_keypoints=keypoints
    ).to(probability.device)
    at_once = max(1, _ROWS_AT_ONCE // num_hypotheses)
    drawn = []
    for start in range(0, count, at_once):
        part = slice(start, start + at_once)
        drawn.append(
            draw_poses(
                partial(_given, coupling, evidence[part].repeat(num_hypotheses)),
                deciding_order(probability[part]),
                uniforms[part],
                num_steps=num_steps,
                stride=STRIDE,
                known=None if placed is None else placed[part],
            )
        )
    return torch.cat(drawn)


def _given(
    coupling: KeypointCoupling, evidence: Evidence, points: Tensor, asked: Tensor
) -> tuple[Tensor, Tensor]:
    logits, outside = coupling(points, evidence, asked)
    return logits, outside


@torch.inference_mode()
def read_feet(
    coupling: KeypointCoupling,
    probability: Tensor,
    evidence: Evidence,
    skeleton: Skeleton,
    placed: Tensor | None,
) -> Tensor:
    """Positions of heels and toes given the rest of the pose, (B, K, 2) crop pixels, NaN elsewhere.

    In the picture two feet look alike: by itself a toe is often put at the other foot.

    Args:
        coupling: Of the network.
        probability: (B, K, h, w) of every cell of the heatmaps.
        evidence: What the coupling reads of it.
        skeleton: Of the K keypoints.
        placed: (B, K, 2) crop pixels of keypoints that are known, NaN elsewhere.
    """
    points, _ = heatmap.decode(probability, stride=STRIDE / POOL)
    readings = torch.full_like(points, torch.nan)
    feet = [k for k, name in enumerate(skeleton.keypoints) if name.endswith(_FEET)]
    if not feet:
        return readings
    outside = 1 - probability.sum(dim=(-2, -1)) > 0.5
    given = torch.where(outside[..., None], torch.nan, points)
    given[:, feet] = torch.nan
    if placed is not None:
        given = torch.where(torch.isfinite(placed), placed, given)
    asked = torch.tensor(feet, device=points.device).expand(len(points), -1)
    logits, _ = coupling(given, evidence, asked)
    gain = F.interpolate(logits - evidence.cells[:, feet], scale_factor=POOL, mode="bilinear")
    likely = probability[:, feet] * (gain - gain.amax(dim=(-2, -1), keepdim=True)).exp()
    readings[:, feet] = heatmap.decode(likely, stride=STRIDE / POOL)[0]
    return readings
