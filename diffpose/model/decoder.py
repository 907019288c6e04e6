"""The Pose-Decoder: noisy heatmaps, a timestep and a window's features to clean heatmaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffpose import heatmap
from diffpose.model.config import ModelConfig
from diffpose.model.frame_maps import FrameMaps, Packing, cell_probability
from diffpose.model.lmsfi import HighScale, LowScale, ScaleFeatures, conv_block, upsample_block

_SCALES = ("low", "middle", "high")


@dataclass(frozen=True)
class Prior:
    """Where the backbone itself sees the keypoints of B windows' centre frames.

    Attributes:
        logits: (B, K, 4h, 4w).
        outside: (B, K).
    """

    logits: Tensor
    outside: Tensor


@dataclass(frozen=True)
class Features:
    """All that the decoder needs of B windows, at three scales from low to high resolution.

    ``prior`` is None for a backbone that finds no keypoints itself.
    """

    low: ScaleFeatures
    middle: ScaleFeatures
    high: ScaleFeatures
    prior: Prior | None = None

    def __len__(self) -> int:
        return len(self.low.keys)

    def __getitem__(self, windows: slice | Tensor) -> Features:
        """Some of the windows: a slice or an index tensor."""
        return self._map(lambda tensor: tensor[windows])

    def repeat(self, count: int) -> Features:
        """Every window ``count`` times in a row: one copy for each hypothesis."""
        return self._map(lambda tensor: tensor.repeat_interleave(count, dim=0))

    def to(self, device: torch.device) -> Features:
        """The same on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def float(self) -> Features:
        """The same in float32."""
        return self._map(lambda tensor: tensor.float())

    def joined(self, others: Features) -> Features:
        """These windows, then the others."""
        theirs = others.tensors()
        return Features.from_tensors(
            {name: torch.cat([tensor, theirs[name]]) for name, tensor in self.tensors().items()}
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Features:
        return Features.from_tensors({n: change(t) for n, t in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name; `from_tensors` is the inverse."""
        named: dict[str, Tensor] = {}
        for name in _SCALES:
            scale = getattr(self, name)
            named |= {f"{name}.keys": scale.keys, f"{name}.context": scale.context}
        if self.prior is not None:
            named |= {"prior.logits": self.prior.logits, "prior.outside": self.prior.outside}
        return named

    @classmethod
    def from_tensors(cls, named: Mapping[str, Tensor]) -> Features:
        """Features from what `tensors` gave."""
        low, middle, high = (
            ScaleFeatures(named[f"{n}.keys"], named[f"{n}.context"]) for n in _SCALES
        )
        prior = None
        if "prior.logits" in named:
            prior = Prior(named["prior.logits"], named["prior.outside"])
        return cls(low, middle, high, prior)

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """The same as named float32 arrays, for a cache; `from_arrays` is the inverse."""
        return {name: tensor.float().cpu().numpy() for name, tensor in self.tensors().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Features:
        """Features from what `to_arrays` gave."""
        return cls.from_tensors({name: torch.from_numpy(a) for name, a in arrays.items()})


class TimeScale(nn.Module):
    """Rescales the noisy heatmap by the timestep's embedding (paper, section 3.3).

    Sinusoids, two linear layers, then a scale and a shift for each keypoint; the last layer
    starts at zero, so that an untrained decoder reads the heatmap as it is.
    """

    def __init__(self, num_keypoints: int, *, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, 4 * width), nn.SiLU()
        )
        self.rescale = nn.Linear(4 * width, 2 * num_keypoints)
        nn.init.zeros_(self.rescale.weight)
        nn.init.zeros_(self.rescale.bias)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Heatmaps (B, K, h, w) and timesteps (B,) to step-adaptive heatmaps (B, K, h, w)."""
        half = self.width // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, device=x.device) / half)
        phases = timesteps.to(x.dtype)[:, None] * rates
        embedded = self.embed(torch.cat([phases.sin(), phases.cos()], dim=-1))
        scale, shift = self.rescale(embedded)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class PoseDecoder(nn.Module):
    """LMSFI at three scales, their sum, and a 3x3 head (paper, section 3.3).

    Of a backbone that finds keypoints itself (``packing.has_prior``) the two finer scales also
    read its maps of the centre frame, and the head adds to its logits. The head then starts at
    zero: an untrained decoder answers as the backbone does.
    """

    def __init__(self, config: ModelConfig, packing: Packing) -> None:
        super().__init__()
        low, middle, high = config.decoder_widths
        keypoints, kind = len(config.keypoints), config.lookup
        heat = min(64, middle)
        self.time = TimeScale(keypoints)
        self.halve = conv_block(keypoints, heat, stride=2)
        self.quarter = conv_block(heat, heat, stride=2)
        self.feature_low = nn.Conv2d(config.width, low, 1)
        self.feature_middle = upsample_block(low, middle)
        self.feature_high = upsample_block(middle, high)
        self.low = LowScale(
            heat,
            low,
            size=config.feature_size,
            num_keypoints=keypoints,
            kind=kind,
            heads=config.heads,
            refinement_layers=config.self_refinement_layers,
            correlation_layers=config.correlation_layers,
        )
        self.middle = HighScale(heat, middle, num_keypoints=keypoints, kind=kind)
        self.high = HighScale(keypoints, high, num_keypoints=keypoints, kind=kind)
        self.up_low = nn.Sequential(upsample_block(low, middle), upsample_block(middle, high))
        self.up_middle = upsample_block(middle, high)
        self.up_high = nn.Conv2d(high, high, 1)
        self.head = nn.Conv2d(high, keypoints, 3, padding=1)
        self.outside = nn.Linear(high, keypoints)
        if packing.has_prior:
            self.skip_middle = nn.Conv2d(packing.middle, middle, 1)
            self.skip_high = nn.Conv2d(packing.fine + keypoints, high, 1)
            for layer in (self.head, self.outside):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def prepare(self, feature: Tensor, centre: FrameMaps | None = None) -> Features:
        """The half that does not depend on the noisy heatmap.

        Args:
            feature: STRL's map (B, D, h, w).
            centre: The backbone's maps of the centre frames, if it finds keypoints itself.
        """
        low = self.feature_low(feature)
        middle = self.feature_middle(low)
        if centre is None:
            high, prior = self.feature_high(middle), None
        else:
            middle = middle + self.skip_middle(centre.middle)
            prior = Prior(centre.logits, centre.outside)
            cells = cell_probability(prior.logits, prior.outside)
            # A cell's share of a certain keypoint is 1, of an unknown one about 0.0003: the root
            # brings both into the range that a convolution can weigh.
            seen = torch.cat([centre.fine, cells.sqrt().to(centre.fine)], dim=1)
            high = self.feature_high(middle) + self.skip_high(seen)
        return Features(
            self.low.prepare(low), self.middle.prepare(middle), self.high.prepare(high), prior
        )

    def forward(self, x: Tensor, timesteps: Tensor, features: Features) -> tuple[Tensor, Tensor]:
        """One denoising step.

        Args:
            x: Noisy heatmaps in units of the signal scale, (B, K, 4h, 4w).
            timesteps: (B,).
            features: Of the same B windows.

        Returns:
            Head output (B, K, 4h, 4w) and the score of lying outside the crop (B, K).
        """
        x = self.time(x, timesteps)
        half = self.halve(x)
        quarter = self.quarter(half)
        total = (
            self.up_low(self.low(quarter, features.low))
            + self.up_middle(self.middle(half, features.middle))
            + self.up_high(self.high(x, features.high))
        )
        output, outside = self.head(total), self.outside(total.mean(dim=(-2, -1)))
        if features.prior is None:
            return output, outside
        return output.float() + features.prior.logits, outside.float() + features.prior.outside


def posterior_heatmap(logits: Tensor, outside: Tensor, *, sigma: float) -> Tensor:
    """Mean heatmap of a keypoint whose cell has this distribution.

    Args:
        logits: (B, K, h, w).
        outside: (B, K) logit of lying outside the crop, where the heatmap is empty.
        sigma: Cells.

    Returns:
        (B, K, h, w) in 0..1: probability times the mass of a Gaussian of peak 1.
    """
    return (cell_probability(logits, outside) * heatmap.mass(sigma)).clamp(max=1.0)
