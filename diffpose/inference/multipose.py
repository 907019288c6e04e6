"""MoveNet MultiPose as a finder of people: where a person's centre is, its keypoints are near."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffpose.folding import native_bf16
from diffpose.geometry import box_iou
from diffpose.inference.interfaces import Picture
from diffpose.movenet import STRIDE, MoveNet, normalise
from diffpose.tracking.associate import Detections

_CELL = 32  # sides are multiples of it
_LEAST = 0.2  # score of a centre
_MOST = 6  # people in a picture
_SAME = 0.6  # overlap (IoU) of two boxes of one person
_MARGIN = 0.08  # of the keypoints' extent: head top, hands and feet lie outside of it


class MultiPoseFinder:
    """Boxes around the poses that MultiPose regresses from people's centres.

    Args:
        network: MoveNet MultiPose.
        name: Names the weights.
        side: Longer side that pictures are brought to.
    """

    def __init__(self, network: MoveNet, *, name: str, side: int = 256) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.weights_hash, self.side = f"{name}-{side}", side

    @torch.inference_mode()
    def detect(self, frames: Sequence[Picture]) -> list[Detections]:
        """Boxes (N, 4) xyxy and scores of the people in each RGB picture, best first."""
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: Picture) -> Detections:
        height, width = frame.shape[:2]
        scale = self.side / max(height, width)
        sides = [max(_CELL, _CELL * round(length * scale / _CELL)) for length in (height, width)]
        resized = cv2.resize(frame, (sides[1], sides[0]), interpolation=cv2.INTER_AREA)
        picture = normalise(torch.from_numpy(resized.astype(np.uint8, copy=False))[None])
        with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16()):
            heads = self.network(picture.contiguous(memory_format=torch.channels_last))
        boxes, scores = _people(heads["centre"].float(), heads["regression"].float())
        factors = np.array([width / sides[1], height / sides[0]] * 2)
        limits = np.array([width, height] * 2)
        boxes = np.clip((boxes + 0.5) * factors, 0, limits) - 0.5
        kept: list[int] = []
        for row in range(len(boxes)):
            if len(kept) < _MOST and (
                not kept or box_iou(boxes[row : row + 1], boxes[kept]).max() < _SAME
            ):
                kept.append(row)
        return Detections(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))


def _people(centre: Tensor, regression: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) in pixels of the network's picture, and scores, best first."""
    score = centre.sigmoid()[0, 0]
    peak = F.max_pool2d(score[None, None], 3, 1, 1)[0, 0]
    rows, columns = torch.nonzero((score == peak) & (score >= _LEAST), as_tuple=True)
    order = score[rows, columns].argsort(descending=True, stable=True)
    rows, columns = rows[order], columns[order]
    ways = regression[0, :, rows, columns].T.view(-1, 17, 2)
    x, y = ways[..., 1] + columns[:, None], ways[..., 0] + rows[:, None]
    low = torch.stack([x.amin(dim=1), y.amin(dim=1)], dim=1)
    high = torch.stack([x.amax(dim=1), y.amax(dim=1)], dim=1)
    margin = (high - low).amax(dim=1, keepdim=True) * _MARGIN
    boxes = torch.cat([low - margin, high + margin], dim=1) * STRIDE + (STRIDE - 1) / 2
    return boxes.numpy(), score[rows, columns].numpy()
