"""MoveNet: MobileNetV2 with a feature pyramid and centre-based heads, as published by Google.

Thunder finds the keypoints of the person in the middle of a crop, MultiPose finds people in a
picture. Batch norms are folded into the convolutions in the published files, so there are none
here. Source: TF Hub ``google/movenet``, Apache-2.0;
`diffpose train import-backbone` converts the files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.errors import SettingsError

STRIDE = 4  # pixels a cell of the heads

_FLOOR = 5e-5  # probability under which a heatmap is flat
_NEAR = 1.8  # cells that count as no distance, as published


@dataclass(frozen=True)
class MoveNetConfig:
    """Widths and heads of one published network.

    Attributes:
        name: The published name.
        stem: Channels of the first convolution.
        groups: (channels, blocks) of the groups of inverted residuals; the first group does not
            expand, and groups 1, 2, 3 and 5 halve the resolution.
        top: Channels of the last convolution of the body.
        lateral: Index of the block whose output enters the pyramid at strides 4, 8 and 16.
        pyramid: Channels of the pyramid at strides 4, 8 and 16.
        heads: Output channels of each head.
    """

    name: str
    stem: int
    groups: tuple[tuple[int, int], ...]
    top: int
    lateral: tuple[int, int, int]
    pyramid: tuple[int, int, int]
    heads: dict[str, int]


_POSE_HEADS = {"centre": 1, "heatmap": 17, "regression": 34, "offset": 34}
_COUNTS = (1, 2, 3, 4, 3, 3, 1)


def _groups(*channels: int) -> tuple[tuple[int, int], ...]:
    return tuple(zip(channels, _COUNTS, strict=True))


CONFIGS: dict[str, MoveNetConfig] = {
    "movenet_thunder": MoveNetConfig(
        name="movenet_thunder",
        stem=56,
        groups=_groups(32, 40, 56, 112, 168, 280, 560),
        top=1280,
        lateral=(2, 5, 9),
        pyramid=(24, 32, 64),
        heads=_POSE_HEADS,
    ),
    "movenet_multipose": MoveNetConfig(
        name="movenet_multipose",
        stem=48,
        groups=_groups(24, 40, 48, 96, 144, 240, 480),
        top=1280,
        lateral=(2, 5, 9),
        pyramid=(24, 32, 64),
        heads=_POSE_HEADS | {"box_scale": 2, "box_offset": 2},
    ),
}


def movenet_config(name: str) -> MoveNetConfig:
    """The published network of that name.

    Raises:
        SettingsError: There is none.
    """
    try:
        return CONFIGS[name]
    except KeyError:
        raise SettingsError(
            f"Unknown MoveNet {name!r}; choose one of {', '.join(CONFIGS)}."
        ) from None


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: at stride 2 one pixel right and below.

    A 4x4 kernel whose first row and column are zero does the same under equal padding on all
    sides, without a padded copy of the input.
    """

    def __init__(
        self, channels_in: int, channels: int, size: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels, size, stride, size // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W multiples of the stride."""
        if self.groups > 1 and self.training and x.device.type == "cpu":
            # In training on a CPU a depthwise convolution is several times slower in bfloat16.
            with torch.autocast("cpu", enabled=False):
                return self._convolved(x.float())
        return self._convolved(x)

    def _convolved(self, x: Tensor) -> Tensor:
        weight = self.weight if self.stride[0] == 1 else F.pad(self.weight, (1, 0, 1, 0))
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project; added to its input where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, *, stride: int, expand: bool) -> None:
        super().__init__()
        width = 6 * channels_in if expand else channels_in
        self.expand = Conv(channels_in, width, 1) if expand else None
        self.depthwise = Conv(width, width, 3, stride=stride, groups=width)
        self.project = Conv(width, channels, 1)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class Separable(nn.Module):
    """Depthwise 3x3, pointwise, ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.depthwise = Conv(channels_in, channels_in, 3, groups=channels_in)
        self.pointwise = Conv(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        return F.relu(self.pointwise(self.depthwise(x)))


class Head(nn.Module):
    """One map predicted from the pyramid's finest level."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.hidden = Separable(channels_in, 96)
        self.output = Conv(96, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C', h, w)."""
        return self.output(self.hidden(x))


@dataclass(frozen=True)
class Levels:
    """What the body of a MoveNet computes of N pictures.

    Attributes:
        stride4: (N, C, H/4, W/4).
        stride8: (N, C, H/8, W/8).
        stride16: (N, C, H/16, W/16).
        stride16_deep: (N, C, H/16, W/16) the deepest map of that stride.
        stride32: (N, C, H/32, W/32).
    """

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    stride16_deep: Tensor
    stride32: Tensor


class MoveNet(nn.Module):
    """Body, pyramid and heads under readable names.

    Args:
        config: Which of the published networks.
        heads: Names of the heads to have; None takes all.
    """

    def __init__(self, config: MoveNetConfig, *, heads: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.config = config
        self.stem = Conv(3, config.stem, 3, stride=2)
        blocks: list[InvertedResidual] = []
        channels = config.stem
        for group, (width, count) in enumerate(config.groups):
            for number in range(count):
                stride = 2 if number == 0 and group in (1, 2, 3, 5) else 1
                blocks.append(InvertedResidual(channels, width, stride=stride, expand=group > 0))
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.top = Conv(channels, config.top, 1)
        fine, middle, coarse = config.pyramid
        widths = [block.project.out_channels for block in blocks]
        sources = [widths[index] for index in config.lateral]
        self.lateral = nn.ModuleList(
            Conv(source, width, 1)
            for source, width in zip(
                (*sources, config.top), (*config.pyramid, config.pyramid[-1]), strict=True
            )
        )
        self.merge = nn.ModuleList(
            [Separable(fine, fine), Separable(middle, fine), Separable(coarse, middle)]
        )
        chosen = config.heads if heads is None else {name: config.heads[name] for name in heads}
        self.heads = nn.ModuleDict({name: Head(fine, count) for name, count in chosen.items()})

    @property
    def deep_channels(self) -> tuple[int, int, int, int]:
        """Channels of `Levels` at strides 4, 8, 16 (the deepest map) and 32."""
        four, eight, deep = (self.config.groups[group][0] for group in (1, 2, 4))
        return four, eight, deep, self.config.top

    def levels(self, pictures: Tensor) -> Levels:
        """The body: pictures (N, 3, H, W) in -1..1, H and W multiples of 32."""
        x = F.relu6(self.stem(pictures), inplace=True)
        kept: dict[int, Tensor] = {}
        wanted = {*self.config.lateral, _last_of_group(self.config, 4)}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                kept[index] = x
        four, eight, sixteen = (kept[index] for index in self.config.lateral)
        deep = kept[_last_of_group(self.config, 4)]
        return Levels(four, eight, sixteen, deep, F.relu6(self.top(x), inplace=True))

    def pyramid(self, levels: Levels) -> Tensor:
        """The pyramid's finest level, (N, C, H/4, W/4)."""
        x = self.lateral[3](levels.stride32)
        for number, level in ((2, levels.stride16), (1, levels.stride8), (0, levels.stride4)):
            x = self.merge[number](enlarged(x) + self.lateral[number](level))
        return x

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (N, 3, H, W) in -1..1 to the raw output of every head, (N, C, H/4, W/4)."""
        fine = self.pyramid(self.levels(pictures))
        return {name: head(fine) for name, head in self.heads.items()}


def enlarged(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) at twice the resolution, interpolated between the cells' centres."""
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _last_of_group(config: MoveNetConfig, group: int) -> int:
    return sum(count for _, count in config.groups[: group + 1]) - 1


def centre_weight(size: tuple[int, int]) -> Tensor:
    """(h, w): what a centre's score counts by where it lies, 1 / (distance to the middle + 1.8).

    As published for maps of 64 x 64 cells, whose middle is cell (32, 32); maps of another size are
    scaled to it.
    """
    rows = (torch.arange(size[0]) + 0.5) * 64 / size[0] - 32.5
    columns = (torch.arange(size[1]) + 0.5) * 64 / size[1] - 32.5
    return 1 / (torch.hypot(rows[:, None], columns[None]) + _NEAR)


def regressed_pose(centre: Tensor, regression: Tensor) -> Tensor:
    """Keypoints of the person in the middle, regressed from the cell of the centre.

    Args:
        centre: (N, 1, h, w) logits of being a person's centre.
        regression: (N, 34, h, w) ways from a cell to the keypoints, y before x, cells.

    Returns:
        (N, 17, 2) in cells, x before y.
    """
    count, _, height, width = centre.shape
    weight = centre_weight((height, width)).to(centre.device)
    cell = (centre.float().sigmoid()[:, 0] * weight).flatten(1).argmax(dim=1)
    row, column = cell // width, cell % width
    way = regression.float().flatten(2)
    way = way.gather(2, cell[:, None, None].expand(-1, way.shape[1], 1)).view(count, 17, 2)
    return torch.stack([column[:, None] + way[..., 1], row[:, None] + way[..., 0]], dim=-1)


def _squared_distance(heads: dict[str, Tensor]) -> Tensor:
    """(N, 17, h, w) squared distance in cells from each cell to the middle person's keypoints."""
    pose = regressed_pose(heads["centre"], heads["regression"])
    height, width = heads["heatmap"].shape[-2:]
    columns = torch.arange(width, device=pose.device)
    rows = torch.arange(height, device=pose.device)
    across = (columns - pose[..., 0, None]).square()[:, :, None, :]
    down = (rows - pose[..., 1, None]).square()[:, :, :, None]
    return across + down


def person_logits(heads: dict[str, Tensor]) -> Tensor:
    """Logits (N, 17, h, w) of where the middle person's keypoints are, up to a constant.

    The published decoder takes the cell of largest heatmap / (distance to the regressed
    keypoint + 1.8); this is the logarithm of it, with heatmaps below 5e-5 cut off.
    """
    heatmap = heads["heatmap"].float()
    distance = (_squared_distance(heads) + 1e-4).sqrt()
    return (heatmap.sigmoid() + _FLOOR).log() - (distance + _NEAR).log()


def decode_keypoints(heads: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The published answer: keypoints of the person in the middle, and their scores.

    Args:
        heads: Of `MoveNet.forward`, all four.

    Returns:
        (N, 17, 2) x, y as shares of the picture's sides, and (N, 17) scores in 0..1.
    """
    heatmap, offset = heads["heatmap"].float().sigmoid(), heads["offset"].float()
    count, keypoints, height, width = heatmap.shape
    cell = (heatmap / (_squared_distance(heads).sqrt() + _NEAR)).flatten(2).argmax(dim=2)
    scores = heatmap.flatten(2).gather(2, cell[..., None])[..., 0]
    ways = offset.view(count, keypoints, 2, -1)
    way = ways.gather(3, cell[:, :, None, None].expand(-1, -1, 2, 1))[..., 0]
    x = (cell % width + way[..., 1]) / width
    y = (cell // width + way[..., 0]) / height
    return torch.stack([x, y], dim=-1), scores


def normalise(pictures: Tensor) -> Tensor:
    """RGB uint8 pictures (N, H, W, 3) to (N, 3, H, W) in -1..1, channels last."""
    return (pictures.float() * (2 / 255) - 1).permute(0, 3, 1, 2)
