"""What the neighbours of a window say about its centre frame, keypoint by keypoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.model.frame_maps import cell_probability
from diffpose.skeleton import Skeleton

_FOLD = 4  # cells of stride 4 along a cell of stride 16


class NeighbourEvidence(nn.Module):
    """Corrects the centre frame's logits by where the other frames see the same keypoint.

    STRL's tokens are coarse, and the decoder's maps are shared by all keypoints; neither can tell
    by how many cells a keypoint has moved. Here every keypoint has its own maps: those of all
    frames, and those of its mirror image on the other side of the body, pass through convolutions
    that all keypoints share, under a gate that STRL's map sets. The last layer starts at zero: an
    untrained network answers for a window as for its centre frame.

    Args:
        skeleton: Keypoints of the maps.
        num_frames: T.
        channels: Of STRL's map.
        width: Hidden channels of every keypoint.
    """

    paired: Tensor

    def __init__(self, skeleton: Skeleton, *, num_frames: int, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self._mirror = skeleton.mirror.tolist()
        paired = torch.tensor([float(other != own) for own, other in enumerate(self._mirror)])
        self.register_buffer("paired", paired[:, None, None, None], persistent=False)
        self.gather = nn.Conv2d(2 * num_frames, width, 5, padding=2)
        self.gate = nn.Conv2d(channels, len(skeleton) * width, 1)
        self.correct = nn.Conv2d(width, 1, 3, padding=1)
        for layer in (self.gate, self.correct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, logits: Tensor, outside: Tensor, feature: Tensor) -> Tensor:
        """Correction of the centre frames' logits.

        Args:
            logits: (B, T, K, 4h, 4w) of every frame, oldest first.
            outside: (B, T, K).
            feature: STRL's map (B, D, h, w).

        Returns:
            (B, K, 4h, 4w).
        """
        batch, _, keypoints = outside.shape
        # The root spreads probabilities over a range that a convolution can weigh.
        seen = cell_probability(logits, outside).sqrt().transpose(1, 2)  # (B, K, T, 4h, 4w)
        other = seen[:, self._mirror] * self.paired
        hidden = self.gather(torch.cat([seen, other], dim=2).flatten(0, 1).to(feature.dtype))
        gate = 2 * self.gate(feature).sigmoid().unflatten(1, (keypoints, self.width))
        gate = F.interpolate(gate.flatten(0, 1), scale_factor=_FOLD, mode="nearest")
        corrected = self.correct(F.relu(hidden) * gate.to(hidden.dtype))
        return corrected.float().view(batch, keypoints, *corrected.shape[-2:])
