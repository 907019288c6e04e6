"""LMSFI: Lookup-based MultiScale Feature Interaction (paper, section 3.3).

At each of three scales the noisy heatmap, refined and squeezed to a sigmoid mask, looks up the
spatio-temporal feature; what it finds (local) is correlated with the whole feature (global).
The global half does not depend on the noisy heatmap, so it is computed once a window:
Conv(local + global concatenated) = Conv_local(local) + Conv_global(global).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffpose.model.strl import TransformerLayer


def conv_block(channels_in: int, channels: int, *, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, group norm (batch statistics would mix timesteps), ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(8, channels),
        nn.ReLU(inplace=True),
    )


def upsample_block(channels_in: int, channels: int) -> nn.Sequential:
    """4x4 deconvolution of stride 2, group norm, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels, 4, stride=2, padding=1, bias=False),
        nn.GroupNorm(8, channels),
        nn.ReLU(inplace=True),
    )


@dataclass(frozen=True)
class ScaleFeatures:
    """What one scale needs of the window's feature, ready for any number of denoising steps.

    Attributes:
        keys: (B, C, h, w) what the mask looks up.
        context: (B, D, h, w) the global half of the correlation.
    """

    keys: Tensor
    context: Tensor


class Lookup(nn.Module):
    """Mask from the refined heatmap, and the local feature it selects.

    ``joint_agnostic`` is the published lookup: Sq is the maximum over channels, one mask for
    all keypoints. ``per_joint`` gives every keypoint its own mask over its own few channels of
    the feature: a noisy heatmap then says *which* keypoint may be where, which the spread of
    hypotheses and a reviewer's correction both depend on. ``concat`` looks nothing up: the
    refined heatmap is appended to the whole feature (the ablation of LMSFI).
    """

    def __init__(self, heat_width: int, width: int, *, num_keypoints: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        per_joint = kind == "per_joint"
        # Even so few channels suffice: what they lose of the feature the context still holds.
        self.key_channels = {
            "per_joint": max(2, width // num_keypoints) * num_keypoints,
            "joint_agnostic": width,
            "concat": heat_width,
        }[kind]
        self.to_keys = nn.Conv2d(width, self.key_channels, 1) if per_joint else nn.Identity()
        self.to_mask = nn.Conv2d(heat_width, num_keypoints, 1) if per_joint else nn.Identity()

    def forward(self, refined: Tensor, keys: Tensor) -> Tensor:
        """Refined heatmap (B, heat_width, h, w) and keys to the local feature, shaped as keys."""
        if self.kind == "concat":
            return refined
        if self.kind == "joint_agnostic":
            return refined.amax(dim=1, keepdim=True).sigmoid() * keys
        mask = self.to_mask(refined).sigmoid()  # (B, K, h, w)
        grouped = keys.unflatten(1, (mask.shape[1], -1))  # (B, K, channels of one, h, w)
        return (mask.unsqueeze(2) * grouped).flatten(1, 2)


class LowScale(nn.Module):
    """The lowest scale: transformers refine the heatmap and correlate local with global."""

    def __init__(
        self,
        heat_width: int,
        width: int,
        *,
        size: tuple[int, int],
        num_keypoints: int,
        kind: str,
        heads: int,
        refinement_layers: int,
        correlation_layers: int,
    ) -> None:
        super().__init__()
        tokens = size[0] * size[1]
        self.size = size
        self.embed = nn.Linear(heat_width, width)
        self.position = nn.Parameter(torch.zeros(1, tokens, width))
        self.correlation_position = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        nn.init.trunc_normal_(self.correlation_position, std=0.02)
        self.refine = nn.Sequential(
            *(TransformerLayer(width, heads=heads) for _ in range(refinement_layers))
        )
        self.lookup = Lookup(width, width, num_keypoints=num_keypoints, kind=kind)
        self.join_local = nn.Conv2d(self.lookup.key_channels, width, 1, bias=False)
        self.join_global = nn.Conv2d(width, width, 1)
        self.correlate = nn.Sequential(
            *(TransformerLayer(width, heads=heads) for _ in range(correlation_layers))
        )

    def prepare(self, feature: Tensor) -> ScaleFeatures:
        """The window's half, once: feature (B, width, h, w)."""
        return ScaleFeatures(self.lookup.to_keys(feature), self.join_global(feature))

    def forward(self, heat: Tensor, scale: ScaleFeatures) -> Tensor:
        """Noisy heatmap (B, heat_width, h, w) to (B, width, h, w)."""
        tokens = self.embed(heat.flatten(2).transpose(1, 2)) + self.position  # (B, h w, D)
        refined = self.refine(tokens).transpose(1, 2).unflatten(2, self.size)
        joined = self.join_local(self.lookup(refined, scale.keys)) + scale.context
        tokens = joined.flatten(2).transpose(1, 2) + self.correlation_position
        return self.correlate(tokens).transpose(1, 2).unflatten(2, self.size)


class HighScale(nn.Module):
    """A higher scale: the same with convolutions, whose cost grows with the cells only."""

    def __init__(self, heat_width: int, width: int, *, num_keypoints: int, kind: str) -> None:
        super().__init__()
        # The published squeeze reads the refined heatmap at full width.
        refined = width if kind == "joint_agnostic" else max(8, width // 2)
        self.refine = conv_block(heat_width, refined)
        self.lookup = Lookup(refined, width, num_keypoints=num_keypoints, kind=kind)
        self.join_local = nn.Conv2d(self.lookup.key_channels, width, 3, padding=1, bias=False)
        self.join_global = nn.Conv2d(width, width, 3, padding=1)
        self.correlate = nn.Sequential(
            nn.GroupNorm(8, width), nn.ReLU(inplace=True), conv_block(width, width)
        )

    def prepare(self, feature: Tensor) -> ScaleFeatures:
        """The window's half, once: feature (B, width, h, w)."""
        return ScaleFeatures(self.lookup.to_keys(feature), self.join_global(feature))

    def forward(self, heat: Tensor, scale: ScaleFeatures) -> Tensor:
        """Noisy heatmap (B, heat_width, h, w) to (B, width, h, w)."""
        local = self.lookup(self.refine(heat), scale.keys)
        return self.correlate(self.join_local(local) + scale.context)
