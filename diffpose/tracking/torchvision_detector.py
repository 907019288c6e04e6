"""A larger person detector from torchvision, for those who have its weights on their machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from diffpose.errors import WeightsError
from diffpose.tensorfile import file_hash
from diffpose.tracking.associate import Detections

_PERSON = 1  # COCO's first category


class TorchvisionDetector:
    """Faster R-CNN with MobileNetV3 (COCO), read from a local weights file; never downloads.

    Args:
        path: ``fasterrcnn_mobilenet_v3_large_320_fpn-*.pth`` as torchvision caches it.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        min_score: Weaker detections are not reported.
    """

    def __init__(self, path: Path, *, device: str = "cpu", min_score: float = 0.25) -> None:
        if not path.is_file():
            raise WeightsError(f"There is no weights file {path}; check the path.")
        self.device, self.min_score = torch.device(device), min_score
        network: Any = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # the unpickler raises many kinds
            raise WeightsError(
                f"{path.name} holds no fasterrcnn_mobilenet_v3_large_320_fpn "
                f"({str(error).splitlines()[0]}); choose torchvision's file of that name."
            ) from None
        self.network = network.eval().to(self.device)
        self.weights_hash = file_hash(path)

    @torch.inference_mode()
    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """People in each RGB uint8 (H, W, 3) picture, best first."""
        pictures = [
            torch.from_numpy(np.ascontiguousarray(frame)).to(self.device).permute(2, 0, 1) / 255
            for frame in frames
        ]
        results = []
        for found in self.network(pictures):
            kept = (found["labels"] == _PERSON) & (found["scores"] >= self.min_score)
            results.append(
                Detections(found["boxes"][kept].cpu().numpy(), found["scores"][kept].cpu().numpy())
            )
        return results
