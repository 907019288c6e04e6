"""STRL, the SpatioTemporal Representation Learner: per-frame features of a window to one map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.errors import SettingsError


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

    Args:
        channels: Of the per-frame features.
        width: Of the tokens and of the result.
        num_frames: T, odd.
        size: (h, w) of the features.
        layers: Transformer layers.
        heads: Attention heads.
        neighbour_pool: Every frame but the centre one has one token for so many cells along each
            side, their mean: neighbours tell what moves, and need not tell it cell by cell.
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
        neighbour_pool: int = 1,
    ) -> None:
        super().__init__()
        if size[0] % neighbour_pool or size[1] % neighbour_pool:
            raise SettingsError(
                f"Expected neighbour_pool to divide the {size[0]}x{size[1]} cells of a frame, "
                f"got {neighbour_pool}."
            )
        self.size, self.neighbour_pool = size, neighbour_pool
        tokens = size[0] * size[1]
        count = tokens + (num_frames - 1) * tokens // neighbour_pool**2
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.zeros(1, count, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.layers = nn.ModuleList(TransformerLayer(width, heads=heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.aggregate = nn.Linear(count, tokens)
        centre = num_frames // 2 * tokens // neighbour_pool**2
        with torch.no_grad():
            nn.init.normal_(self.aggregate.weight, std=1e-3)
            self.aggregate.weight[:, centre : centre + tokens] += torch.eye(tokens)
            self.aggregate.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Per-frame features (B, T, C, h, w), oldest first, to one map (B, D, h, w)."""
        tokens = self.embed(self._tokens(features)) + self.position
        for layer in self.layers:
            tokens = layer(tokens)
        merged = self.aggregate(self.norm(tokens).transpose(1, 2))  # (B, D, h w)
        return merged.unflatten(2, self.size)

    def _tokens(self, features: Tensor) -> Tensor:
        """Cells of all frames (B, T, C, h, w), pooled around the centre frame, as (B, N, C)."""
        if self.neighbour_pool == 1:
            return features.flatten(3).transpose(2, 3).flatten(1, 2)
        middle = features.shape[1] // 2
        before, centre, after = features.split((middle, 1, middle), dim=1)
        parts = [self._pooled(before), centre.flatten(3), self._pooled(after)]
        return torch.cat([part.transpose(2, 3).flatten(1, 2) for part in parts], dim=1)

    def _pooled(self, frames: Tensor) -> Tensor:
        """Frames (B, t, C, h, w) to (B, t, C, cells)."""
        pooled = F.avg_pool2d(frames.flatten(0, 1), self.neighbour_pool)
        return pooled.unflatten(0, frames.shape[:2]).flatten(3)
