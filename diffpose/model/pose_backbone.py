"""A backbone that already finds people: MoveNet Thunder under a feature pyramid of our own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.errors import WeightsError
from diffpose.model.frame_maps import FrameMaps, Packing, cell_probability
from diffpose.movenet import MoveNet, enlarged, movenet_config, normalise, person_logits
from diffpose.skeleton import COCO17, Skeleton, keypoint_map

_COARSE, _MIDDLE, _FINE = 128, 64, 48  # channels at strides 16, 8 and 4
_GROUPS = 8
_FOLD = 4  # cells of stride 4 along a cell of stride 16
_RARELY_OUTSIDE = -4.0  # logit, before training


class _Block(nn.Module):
    """Depthwise 3x3, pointwise, group norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.pointwise(self.depthwise(x))))


class MoveNetBackbone(nn.Module):
    """Crops to maps of strides 16, 8 and 4 and to logits of every keypoint's cell.

    The logits start as MoveNet's own answer: its heatmaps, weighted by the pose that it regresses
    from the person in the middle. A pyramid of ours adds to them; its last layer starts at zero,
    so that before training the network answers as MoveNet does. Keypoints that MoveNet does not
    know start without an opinion.

    Args:
        name: Of `diffpose.movenet.CONFIGS`.
        skeleton: Keypoints of the logits.
    """

    def __init__(self, name: str, *, skeleton: Skeleton) -> None:
        super().__init__()
        heads = ("centre", "heatmap", "regression")
        self.body = MoveNet(movenet_config(name), heads=heads)
        four, eight, sixteen, thirtytwo = self.body.deep_channels
        self.lateral32 = nn.Conv2d(thirtytwo, _COARSE, 1)
        self.lateral16 = nn.Conv2d(sixteen, _COARSE, 1)
        self.lateral8 = nn.Conv2d(eight, _MIDDLE, 1)
        self.lateral4 = nn.Conv2d(four, _FINE, 1)
        self.lateral_own = nn.Conv2d(self.body.config.pyramid[0], _FINE, 1)
        self.coarse = _Block(_COARSE)
        self.to_middle = nn.Conv2d(_COARSE, _MIDDLE, 1)
        self.middle = _Block(_MIDDLE)
        self.to_fine = nn.Conv2d(_MIDDLE, _FINE, 1)
        self.fine = nn.Sequential(_Block(_FINE), _Block(_FINE))
        keypoints = len(skeleton)
        self.output = nn.Conv2d(_FINE, keypoints, 1)
        self.outside = nn.Linear(thirtytwo, keypoints)
        for layer in (self.output, self.outside):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.outside.bias, _RARELY_OUTSIDE)
        source = torch.from_numpy(keypoint_map(COCO17, skeleton))
        self.prior_scale = nn.Parameter((source >= 0).float())
        self._source = source.clamp(min=0).tolist()
        self.packing = Packing(_COARSE + keypoints, _MIDDLE, _FINE, keypoints)
        self.channels = self.packing.channels

    def start_as(self, network: MoveNet) -> None:
        """Take the tensors of a published network; heads that are not used are left out.

        Raises:
            WeightsError: It is another network than this backbone's body.
        """
        if network.config != self.body.config:
            raise WeightsError(
                f"Expected a {self.body.config.name} to begin with, got {network.config.name}."
            )
        own = self.body.state_dict()
        self.body.load_state_dict({k: v for k, v in network.state_dict().items() if k in own})

    @staticmethod
    def normalise(crops: Tensor) -> Tensor:
        """RGB uint8 crops (N, H, W, 3) to what the body expects."""
        return normalise(crops)

    def maps(self, frames: Tensor) -> FrameMaps:
        """Normalised frames (N, 3, H, W) to their maps."""
        levels = self.body.levels(frames)
        own = self.body.pyramid(levels)
        coarse = self.coarse(
            enlarged(self.lateral32(levels.stride32)) + self.lateral16(levels.stride16_deep)
        )
        middle = self.middle(enlarged(self.to_middle(coarse)) + self.lateral8(levels.stride8))
        fine = self.fine(
            enlarged(self.to_fine(middle)) + self.lateral4(levels.stride4) + self.lateral_own(own)
        )
        prior = person_logits({name: head(own) for name, head in self.body.heads.items()})
        prior = prior[:, self._source] * self.prior_scale[:, None, None]
        logits = self.output(fine).float() + prior
        outside = self.outside(levels.stride32.mean(dim=(-2, -1))).float()
        cells = cell_probability(logits, outside)
        mass = F.avg_pool2d(cells, _FOLD) * _FOLD**2
        return FrameMaps(torch.cat([coarse.float(), mass], dim=1), middle, fine, logits, outside)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (N, 3, H, W) to packed maps (N, C, H/16, W/16)."""
        return self.packing.pack(self.maps(frames))

    def first_parts(self, count: int) -> list[nn.Module]:
        """The stem and the first ``count`` groups of the body's blocks."""
        blocks = sum(number for _, number in self.body.config.groups[:count])
        return [self.body.stem, *self.body.blocks[:blocks]]
