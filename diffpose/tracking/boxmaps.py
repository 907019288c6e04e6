"""Boxes as maps: what the person network is taught to say, and how its answer is read.

Cell (i, j) of a map of stride 8 stands for the picture point ((j + 0.5) * 8 - 0.5,
(i + 0.5) * 8 - 0.5). A box is a Gaussian hill of centre scores and, in the cells of the hill, four
numbers: the way to the centre in box sizes (x, y) and the logarithm of the size in strides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

STRIDE = 8

_HILL = 0.14  # standard deviation of the hill in box sizes: most of it lies within the trunk
_LEAST_HILL_PX = 0.4 * STRIDE
_LARGEST_LOG_SIZE = 6.0  # e^6 strides: more than 3000 px


@dataclass(frozen=True)
class BoxMaps:
    """The truth of one picture.

    Attributes:
        centres: (h, w) f32 0 to 1; every box has a cell of 1.
        boxes: (4, h, w) f32 xyxy picture pixels: the box whose hill is highest in that cell.
    """

    centres: Tensor
    boxes: Tensor


def cell_centres(shape: tuple[int, int], *, device: torch.device | None = None) -> Tensor:
    """Picture points (2, h, w), x first, that the cells stand for."""
    rows, columns = (
        (torch.arange(n, device=device, dtype=torch.float32) + 0.5) * STRIDE - 0.5 for n in shape
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])


def encode_boxes(boxes: Tensor, *, shape: tuple[int, int]) -> BoxMaps:
    """Boxes (N, 4) xyxy picture pixels to maps of (h, w) cells."""
    boxes = boxes.reshape(-1, 4).float()
    if not len(boxes):
        return BoxMaps(torch.zeros(shape), torch.zeros(4, *shape))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    spread = ((boxes[:, 2:] - boxes[:, :2]) * _HILL).clamp(min=_LEAST_HILL_PX)
    away = (cell_centres(shape)[None] - centre[..., None, None]) / spread[..., None, None]
    logs = -0.5 * away.square().sum(dim=1)
    # The cell nearest to a centre becomes the top of its hill, wherever the grid lies.
    hills = (logs - logs.amax(dim=(-2, -1), keepdim=True)).exp()
    centres, owner = hills.max(dim=0)
    return BoxMaps(centres, boxes[owner].permute(2, 0, 1))


def boxes_to_shapes(boxes: Tensor) -> Tensor:
    """Boxes (..., 4, h, w) to what the network says of them: (..., 4, h, w)."""
    size = (boxes[..., 2:, :, :] - boxes[..., :2, :, :]).clamp(min=1e-3)
    centre = (boxes[..., 2:, :, :] + boxes[..., :2, :, :]) / 2
    shape = (int(boxes.shape[-2]), int(boxes.shape[-1]))
    way = (centre - cell_centres(shape, device=boxes.device)) / size
    return torch.cat([way, (size / STRIDE).log()], dim=-3)


def shapes_to_boxes(shapes: Tensor) -> Tensor:
    """The network's (..., 4, h, w) to boxes (..., 4, h, w) xyxy picture pixels."""
    size = shapes[..., 2:, :, :].clamp(max=_LARGEST_LOG_SIZE).exp() * STRIDE
    shape = (int(shapes.shape[-2]), int(shapes.shape[-1]))
    centre = cell_centres(shape, device=shapes.device) + shapes[..., :2, :, :] * size
    return torch.cat([centre - size / 2, centre + size / 2], dim=-3)


def decode_boxes(
    logits: Tensor,
    shapes: Tensor,
    *,
    min_score: float,
    max_iou: float = 0.45,
    max_boxes: int = 100,
) -> tuple[Tensor, Tensor]:
    """Read the maps of one picture.

    Args:
        logits: (h, w) centre scores before the sigmoid.
        shapes: (4, h, w).
        min_score: Cells below say nothing.
        max_iou: Of two boxes that overlap more, the one of higher score is kept.
        max_boxes: The best are kept.

    Returns:
        Boxes (N, 4) xyxy picture pixels and scores (N,), best first.
    """
    threshold = math.log(min_score / (1 - min_score))
    heard = logits >= threshold
    boxes = shapes_to_boxes(shapes)[:, heard].T.contiguous()
    scores = logits[heard].sigmoid()
    kept = nms(boxes, scores, max_iou)[:max_boxes]
    return boxes[kept], scores[kept]
