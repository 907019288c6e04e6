"""Seeing a person from both sides: the crop and its mirror image share the ensemble.

Pose networks are not quite symmetric, and averaging over the picture and its mirror image is how
the field evaluates since Stacked Hourglass (Newell et al. 2016, section 3.2: "flip test"). Here
the hypotheses take turns: every second one is denoised with the features of the mirrored crop,
so that only the encoder works twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose.model.decoder import Features


@dataclass(frozen=True)
class BothSides:
    """Features of B windows and of their mirror images."""

    plain: Features
    mirrored: Features

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, windows: slice | Tensor) -> BothSides:
        return BothSides(self.plain[windows], self.mirrored[windows])

    def repeat(self, count: int) -> Features:
        """Every window ``count`` times in a row, each second time its mirror image."""
        both = self.plain.joined(self.mirrored)
        window = torch.arange(len(self)).repeat_interleave(count)
        return both[window + len(self) * mirrored_rows(len(self), count)]

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Named float32 arrays, for a cache."""
        plain, mirrored = self.plain.to_arrays(), self.mirrored.to_arrays()
        return plain | {f"mirrored.{name}": array for name, array in mirrored.items()}


def mirrored_rows(windows: int, hypotheses: int) -> Tensor:
    """(B * S,) bool: which rows of `BothSides.repeat` are mirror images."""
    return (torch.arange(hypotheses) % 2 == 1).repeat(windows)


def mirror_heatmaps(heatmaps: Tensor, partners: Sequence[int]) -> Tensor:
    """Heatmaps (B, K, h, w) as a mirror shows them: left and right change places and names."""
    return heatmaps[:, list(partners)].flip(-1)


def through_the_mirror(
    denoise: Callable[[Tensor, int], Tensor], rows: Tensor, partners: Sequence[int]
) -> Callable[[Tensor, int], Tensor]:
    """A denoiser of which some rows see mirror images; noise and result stay unmirrored.

    Args:
        denoise: (x_t, timestep) to x_0, whose features belong to mirror images in ``rows``.
        rows: (B,) bool.
        partners: Row of each keypoint's partner on the other side.
    """

    def turn(maps: Tensor) -> Tensor:
        turned = maps.clone()
        turned[rows] = mirror_heatmaps(maps[rows], partners)
        return turned

    return lambda x, timestep: turn(denoise(turn(x), timestep))
