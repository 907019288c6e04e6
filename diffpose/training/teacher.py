"""What the network that training began with says of a crop: so that nothing is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffpose.folding import native_bf16
from diffpose.movenet import MoveNet, normalise, person_logits
from diffpose.skeleton import COCO17, Skeleton, keypoint_map


@dataclass(frozen=True)
class Opinion:
    """Where a teacher sees the keypoints of B crops.

    Attributes:
        probability: (B, K, h, w) of every cell of stride 4; zero for keypoints it does not know.
        certainty: (B, K) in 0..1, its own score; zero for keypoints it does not know.
    """

    probability: Tensor
    certainty: Tensor


class Teacher:
    """A frozen MoveNet that looks at training crops.

    Args:
        network: The published network.
        skeleton: Keypoints of the opinion.
        device: Where it computes.
    """

    def __init__(
        self, network: MoveNet, skeleton: Skeleton, *, device: torch.device | None = None
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        source = torch.from_numpy(keypoint_map(COCO17, skeleton))
        self._known = (source >= 0).float()
        self._source = source.clamp(min=0).tolist()

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Opinion:
        """Its opinion of RGB uint8 crops (B, H, W, 3), H and W multiples of 32."""
        pictures = normalise(crops.to(self.device)).contiguous(memory_format=torch.channels_last)
        bf16 = self.device.type == "cuda" or native_bf16()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            heads = self.network(pictures)
        logits = person_logits({name: maps.float() for name, maps in heads.items()})
        probability = logits.flatten(2).softmax(dim=-1).view_as(logits)
        scores = heads["heatmap"].float().sigmoid()
        certainty = (scores * probability).flatten(2).sum(dim=-1)
        known = self._known.to(self.device)
        return Opinion(
            probability[:, self._source] * known[:, None, None],
            certainty[:, self._source] * known,
        )
