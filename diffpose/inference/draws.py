"""Hypotheses of a window: whole poses drawn from the mean heatmap through the coupling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from diffpose.diffusion.joint import deciding_order, draw_poses, hypothesis_uniforms
from diffpose.model.coupling import STRIDE, Evidence, KeypointCoupling, pool

_ROWS_AT_ONCE = 64  # windows x hypotheses: bounds the memory


@torch.inference_mode()
def draw_hypotheses(
    coupling: KeypointCoupling,
    probability: Tensor,
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
        evidence = coupling.evidence(pool(probability[part])).repeat(num_hypotheses)
        drawn.append(
            draw_poses(
                partial(_given, coupling, evidence),
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
