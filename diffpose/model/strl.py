"""STRL, the SpatioTemporal Representation Learner: per-frame features of a window to one map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, each with its residual (paper, eq. 4 and 5)."""

    def __init__(self, width: int, *, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) to tokens of the same shape."""
        tokens = tokens + self._attend(self.norm_attention(tokens))
        return tokens + self.feed(self.norm_feed(tokens))

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        mixed = self.query_key_value(tokens).view(batch, count, 3, self.heads, -1)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.project(attended.transpose(1, 2).reshape(batch, count, width))


class Strl(nn.Module):
    """All tokens of all frames attend to each other; a linear layer over tokens gives one map.

    Source: paper, section 3.2: tokens of all frames with a learnable position embedding for
    each frame, pre-norm transformer layers, aggregation over the frames. The aggregation starts
    as the selection of the centre frame, so an untrained STRL is a single-frame model.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        num_frames: int,
        size: tuple[int, int],
        layers: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.size = size
        tokens = size[0] * size[1]
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.zeros(1, num_frames * tokens, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.layers = nn.ModuleList(TransformerLayer(width, heads=heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.aggregate = nn.Linear(num_frames * tokens, tokens)
        centre = num_frames // 2 * tokens
        with torch.no_grad():
            nn.init.normal_(self.aggregate.weight, std=1e-3)
            self.aggregate.weight[:, centre : centre + tokens] += torch.eye(tokens)
            self.aggregate.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Per-frame features (B, T, C, h, w), oldest first, to one map (B, D, h, w)."""
        tokens = features.flatten(3).transpose(2, 3).flatten(1, 2)  # (B, T h w, C)
        tokens = self.embed(tokens) + self.position
        for layer in self.layers:
            tokens = layer(tokens)
        merged = self.aggregate(self.norm(tokens).transpose(1, 2))  # (B, D, h w)
        return merged.unflatten(2, self.size)
