"""What decided keypoints say about the undecided ones of the same pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose import heatmap
from diffpose.model.strl import TransformerLayer

STRIDE = 8  # crop pixels a cell: which of several places is asked here, not where exactly
POOL = 2  # cells of a heatmap along such a cell
_COARSE = 2  # such cells along a cell of the correction
_FREQUENCIES = (12, 9)  # of the cosine transform that summarises where a keypoint may be
_FLOOR = 1e-6  # probability: what lies below says nothing more


@dataclass(frozen=True)
class Evidence:
    """Where the image lets the keypoints of B windows be, before any of them is decided.

    Attributes:
        cells: (B, K, h, w) log-probability of every cell of `STRIDE`.
        outside: (B, K) log-probability of lying outside the crop.
        summary: (B, K, n) what the coupling reads of the two.
        table: (m, functions) the functions of every displacement between two cells.
    """

    cells: Tensor
    outside: Tensor
    summary: Tensor
    table: Tensor

    def __getitem__(self, windows: slice) -> Evidence:
        """Some of the windows."""
        return Evidence(
            self.cells[windows], self.outside[windows], self.summary[windows], self.table
        )

    def repeat(self, count: int) -> Evidence:
        """Every window ``count`` times in a row."""
        cells, outside, summary = (
            tensor.repeat_interleave(count, dim=0)
            for tensor in (self.cells, self.outside, self.summary)
        )
        return Evidence(cells, outside, summary, self.table)


def pool(probability: Tensor) -> Tensor:
    """Probability of the heatmap's cells (..., h, w) to that of the cells of `STRIDE`."""
    return F.avg_pool2d(probability, POOL) * POOL**2


class KeypointCoupling(nn.Module):
    """Conditions the distribution of undecided keypoints on the positions of decided ones.

    The decoder states where each keypoint may be, one by one. Here every decided keypoint j adds
    a term to the logits of every other keypoint k that depends on the displacement between the
    two: a weighted sum of learned functions of the displacement. The weights have a part that
    belongs to the pair (j, k) and a low-rank part that a transformer over the keypoints of the
    pose sets. The weights start at zero: an untrained coupling leaves the keypoints independent.

    Args:
        num_keypoints: K.
        size: (h, w) of the heatmaps, cells.
        width: Channels of a keypoint's token.
        layers: Transformer layers.
        heads: Attention heads.
        functions: Learned functions of the displacement.
        rank: Of the part of the weights that the pose sets.
    """

    cosines_y: Tensor
    cosines_x: Tensor
    displacements: Tensor

    def __init__(
        self,
        num_keypoints: int,
        size: tuple[int, int],
        *,
        width: int = 96,
        layers: int = 2,
        heads: int = 4,
        functions: int = 32,
        rank: int = 32,
    ) -> None:
        super().__init__()
        self.size = (size[0] // POOL, size[1] // POOL)
        height, columns = self.size
        self.register_buffer("cosines_y", _cosines(height, _FREQUENCIES[0]), persistent=False)
        self.register_buffer("cosines_x", _cosines(columns, _FREQUENCIES[1]), persistent=False)
        self.register_buffer("displacements", _displacements(self.size), persistent=False)
        terms = _FREQUENCIES[0] * _FREQUENCIES[1]
        self.functions = nn.Sequential(
            nn.Linear(self.displacements.shape[-1], width),
            nn.GELU(),
            nn.Linear(width, functions),
            nn.Tanh(),
        )
        self.pairs = nn.Parameter(torch.zeros(num_keypoints, num_keypoints, functions))
        self.read_evidence = nn.Linear(terms + 1, width)
        self.read_position = nn.Linear(terms, width)
        self.keypoint = nn.Parameter(torch.zeros(num_keypoints, width))
        self.decided = nn.Parameter(torch.zeros(width))
        nn.init.trunc_normal_(self.keypoint, std=0.02)
        self.pose = nn.Sequential(*(TransformerLayer(width, heads=heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.asks, self.tells = nn.Linear(width, rank), nn.Linear(width, rank)
        self.core = nn.Parameter(torch.zeros(rank, functions))

    def evidence(self, pooled: Tensor) -> Evidence:
        """What is read of the decoder's answer, once for a window.

        Args:
            pooled: (B, K, h, w) probability of every cell of `STRIDE` (`pool`); what is missing
                to 1 lies outside the crop.
        """
        pooled = pooled.float()
        beyond = (1 - pooled.sum(dim=(-2, -1))).clamp(min=0)
        terms = torch.einsum("fh,bkhw,gw->bkfg", self.cosines_y, pooled, self.cosines_x)
        return Evidence(
            pooled.clamp(min=_FLOOR).log(),
            beyond.clamp(min=_FLOOR).log(),
            torch.cat([terms.flatten(2), beyond[..., None]], dim=-1),
            self.functions(self.displacements).flatten(0, 1),
        )

    def forward(
        self, points: Tensor, evidence: Evidence, asked: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits of where keypoints lie, given those that are decided.

        Args:
            points: (B, K, 2) crop pixels of decided keypoints, NaN of undecided ones.
            evidence: Of the same B windows.
            asked: (B, G) indices of the keypoints to answer for; None: all K.

        Returns:
            (B, G, h, w) at `STRIDE` and (B, G); those of decided keypoints mean nothing.
        """
        decided = torch.isfinite(points).all(dim=-1)
        cells = heatmap.to_cells(torch.nan_to_num(points), stride=STRIDE)
        seen, outside = evidence.cells, evidence.outside
        if asked is not None:
            index = asked[:, :, None, None].expand(-1, -1, *seen.shape[-2:])
            seen, outside = seen.gather(1, index), outside.gather(1, asked)
        if not decided.any():
            return seen, outside
        height, width = self.size
        column = cells[..., 0].clamp(0, width - 1)
        row = cells[..., 1].clamp(0, height - 1)
        weights = self._weights(row, column, decided, evidence.summary, asked)
        shown = self._shown(row.round().long(), column.round().long(), evidence.table)
        correction = torch.bmm(weights.flatten(2), shown.transpose(2, 3).flatten(1, 2))
        coarse = (height // _COARSE, width // _COARSE)
        correction = F.interpolate(
            correction.unflatten(2, coarse), scale_factor=_COARSE, mode="bilinear"
        )
        return seen + correction, outside

    def _weights(
        self,
        row: Tensor,
        column: Tensor,
        decided: Tensor,
        summary: Tensor,
        asked: Tensor | None,
    ) -> Tensor:
        """(B, G, K, functions): how j, the second, weighs on k."""
        rows = _at(row, self.size[0], _FREQUENCIES[0])
        columns = _at(column, self.size[1], _FREQUENCIES[1])
        place = torch.einsum("bkf,bkg->bkfg", rows, columns).flatten(2)
        known = decided[..., None]
        tokens = self.read_evidence(summary) + self.keypoint
        tokens = tokens + (self.read_position(place) + self.decided) * known
        tokens = self.norm(self.pose(tokens))
        asks, pairs = self.asks(tokens), self.pairs[None]
        if asked is not None:
            asks = asks.gather(1, asked[..., None].expand(-1, -1, asks.shape[-1]))
            pairs = self.pairs[asked]
        context = torch.einsum("bkr,bjr,rf->bkjf", asks, self.tells(tokens), self.core)
        return (pairs + context) * known[:, None]

    def _shown(self, row: Tensor, column: Tensor, table: Tensor) -> Tensor:
        """(B, K, cells, functions): the functions of the displacement from each keypoint."""
        height, width = self.size
        down = torch.arange(0, height, _COARSE, device=row.device) - row[..., None] + height - 1
        right = torch.arange(0, width, _COARSE, device=row.device) - column[..., None] + width - 1
        index = down[..., :, None] * (2 * width - 1) + right[..., None, :]
        return F.embedding(index.flatten(2), table)


def _cosines(count: int, frequencies: int) -> Tensor:
    """The first rows of the orthonormal discrete cosine transform, (frequencies, count)."""
    return _at(torch.arange(count, dtype=torch.float32), count, frequencies).T.contiguous()


def _at(position: Tensor, count: int, frequencies: int) -> Tensor:
    """Cosines (..., frequencies) at positions between 0 and ``count`` - 1."""
    rates = torch.arange(frequencies, dtype=position.dtype, device=position.device)
    values = torch.cos(math.pi * rates * (position[..., None] + 0.5) / count)
    scale = torch.full_like(rates, math.sqrt(2 / count))
    scale[0] = math.sqrt(1 / count)
    return values * scale


def _displacements(size: tuple[int, int]) -> Tensor:
    """Features (2 h - 1, 2 w - 1, n) of every displacement between two cells."""
    height, width = size
    down, right = torch.arange(1 - height, height), torch.arange(1 - width, width)
    step = torch.stack(torch.meshgrid(down, right, indexing="ij"), dim=-1).float() / 8
    length = step.square().sum(dim=-1, keepdim=True).sqrt()
    features = [step, length, torch.exp(-2 * length**2), torch.exp(-(length**2) / 8)]
    for rate in (0.5, 1.0, 2.0):
        for value in (1.2 * rate * step, 2 * rate * length):
            features += [value.sin(), value.cos()]
    return torch.cat(features, dim=-1)
