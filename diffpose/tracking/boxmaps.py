"""Boxes as maps: what the person network is taught to say, and how its answer is read.

Cell (i, j) of a map of stride 4 says how likely the centre of a person's box lies in it, and four
numbers about that box, in cells, as MoveNet MultiPose does: the way down and right from the cell's
corner to the centre, and the height and width. A centre of (y, x) cells is the picture point
(4 x - 0.5, 4 y - 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from diffpose.movenet import STRIDE

_HILL = 0.035  # standard deviation of the hill in parts of the root of the box's area
_LEAST_HILL = 0.9  # cells; both as MoveNet's hills are
_PLATEAU = 1e-6  # neighbours this much better do not silence a cell


@dataclass(frozen=True)
class BoxMaps:
    """The truth of one picture.

    Attributes:
        centres: (h, w) f32 0 to 1; every box has a cell of 1.
        boxes: (4, h, w) f32 xyxy picture pixels: the box whose hill is highest in that cell.
    """

    centres: Tensor
    boxes: Tensor


def _corners(shape: tuple[int, int], *, device: torch.device | None = None) -> Tensor:
    """Rows and columns (2, h, w) of the cells, which are also where they begin."""
    rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in shape)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def encode_boxes(boxes: Tensor, *, shape: tuple[int, int]) -> BoxMaps:
    """Boxes (N, 4) xyxy picture pixels to maps of (h, w) cells."""
    boxes = boxes.reshape(-1, 4).float()
    if not len(boxes):
        return BoxMaps(torch.zeros(shape), torch.zeros(4, *shape))
    cells = (boxes.view(-1, 2, 2).flip(-1) + 0.5) / STRIDE  # corners, y before x
    sides = (cells[:, 1] - cells[:, 0]).clamp(min=0)
    spread = (sides.prod(dim=1).sqrt() * _HILL).clamp(min=_LEAST_HILL)
    away = _corners(shape) + 0.5 - cells.mean(dim=1)[..., None, None]
    logs = -0.5 * away.square().sum(dim=1) / spread[:, None, None].square()
    # The cell nearest to a centre becomes the top of its hill, wherever the grid lies.
    hills = (logs - logs.amax(dim=(-2, -1), keepdim=True)).exp()
    centres, owner = hills.max(dim=0)
    return BoxMaps(centres, boxes[owner].permute(2, 0, 1))


def boxes_to_shapes(boxes: Tensor) -> Tensor:
    """Boxes (..., 4, h, w) to what the network says of them: (..., 4, h, w)."""
    x1, y1, x2, y2 = ((boxes + 0.5) / STRIDE).unbind(dim=-3)
    shape = (int(boxes.shape[-2]), int(boxes.shape[-1]))
    way = torch.stack([y1 + y2, x1 + x2], dim=-3) / 2 - _corners(shape, device=boxes.device)
    return torch.cat([way, torch.stack([y2 - y1, x2 - x1], dim=-3)], dim=-3)


def shapes_to_boxes(shapes: Tensor) -> Tensor:
    """The network's (..., 4, h, w) to boxes (..., 4, h, w) xyxy picture pixels."""
    shape = (int(shapes.shape[-2]), int(shapes.shape[-1]))
    centre = _corners(shape, device=shapes.device) + shapes[..., :2, :, :]
    half = shapes[..., 2:, :, :].clamp(min=0) / 2
    corners = torch.cat([(centre - half).flip(-3), (centre + half).flip(-3)], dim=-3)
    return corners * STRIDE - 0.5


def decode_boxes(
    logits: Tensor,
    shapes: Tensor,
    *,
    min_score: float,
    max_iou: float = 0.6,
    max_boxes: int = 100,
) -> tuple[Tensor, Tensor]:
    """Read the maps of one picture: a person is where no neighbouring cell scores higher.

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
    best_around = F.max_pool2d(logits[None], 3, stride=1, padding=1)[0]
    heard = (logits >= threshold) & (logits >= best_around - _PLATEAU)
    boxes = shapes_to_boxes(shapes)[:, heard].T.contiguous()
    scores = logits[heard].sigmoid()
    kept = nms(boxes, scores, max_iou)[:max_boxes]
    return boxes[kept], scores[kept]
