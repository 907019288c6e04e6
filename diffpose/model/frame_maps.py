"""What a backbone says of one frame, and the single tensor it travels in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MIDDLE_FOLD, _FINE_FOLD = 2, 4  # cells of strides 8 and 4 along a cell of stride 16


@dataclass(frozen=True)
class FrameMaps:
    """Maps of N frames at three resolutions, and where the backbone itself sees the keypoints.

    Attributes:
        coarse: (N, C, h, w) at stride 16, what the neighbours of a window show of themselves.
        middle: (N, D, 2 h, 2 w) at stride 8.
        fine: (N, E, 4 h, 4 w) at stride 4.
        logits: (N, K, 4 h, 4 w) of the cell in which a keypoint lies.
        outside: (N, K) logit of lying outside the crop.
    """

    coarse: Tensor
    middle: Tensor
    fine: Tensor
    logits: Tensor
    outside: Tensor


@dataclass(frozen=True)
class Packing:
    """Numbers of channels of a frame's maps; zero where a backbone has no such map.

    Finer maps are folded (space to depth), so that a frame is one tensor of stride 16, whatever
    the backbone: caches, chunks and windows need not know what is in it.
    """

    coarse: int
    middle: int = 0
    fine: int = 0
    keypoints: int = 0

    @property
    def channels(self) -> int:
        """Of the packed tensor."""
        return sum(self._sizes)

    @property
    def has_prior(self) -> bool:
        """Whether the backbone says where the keypoints are."""
        return self.keypoints > 0

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        return (
            self.coarse,
            self.middle * _MIDDLE_FOLD**2,
            self.fine * _FINE_FOLD**2,
            self.keypoints * _FINE_FOLD**2,
            self.keypoints,
        )

    def pack(self, maps: FrameMaps) -> Tensor:
        """The maps as one tensor (N, channels, h, w)."""
        size = maps.coarse.shape[-2:]
        return torch.cat(
            [
                maps.coarse.float(),
                F.pixel_unshuffle(maps.middle.float(), _MIDDLE_FOLD),
                F.pixel_unshuffle(maps.fine.float(), _FINE_FOLD),
                F.pixel_unshuffle(maps.logits.float(), _FINE_FOLD),
                maps.outside.float()[:, :, None, None].expand(-1, -1, *size),
            ],
            dim=1,
        )

    def unpack(self, packed: Tensor) -> FrameMaps:
        """The maps of a tensor (..., channels, h, w) that `pack` made."""
        coarse, middle, fine, _, _ = packed.split(self._sizes, dim=-3)
        logits, outside = self.unpack_answer(packed)
        return FrameMaps(
            coarse,
            F.pixel_shuffle(middle, _MIDDLE_FOLD),
            F.pixel_shuffle(fine, _FINE_FOLD),
            logits,
            outside,
        )

    @property
    def answer_channels(self) -> int:
        """The last channels: where the backbone sees the keypoints."""
        return sum(self._sizes[3:])

    def unpack_answer(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (..., K, 4h, 4w) and outside (..., K) of a tensor (..., channels, h, w)."""
        answer = packed[..., -self.answer_channels :, :, :]
        logits, outside = answer.split(self._sizes[3:], dim=-3)
        return F.pixel_shuffle(logits, _FINE_FOLD), outside[..., 0, 0]


def cell_probability(logits: Tensor, outside: Tensor) -> Tensor:
    """Probability of every cell, (..., K, h, w), when a keypoint may also lie outside the crop.

    Args:
        logits: (..., K, h, w).
        outside: (..., K).
    """
    scores = torch.cat([logits.flatten(-2), outside.unsqueeze(-1)], dim=-1).float()
    return scores.softmax(dim=-1)[..., :-1].view_as(logits)
