"""The person network: a small convolutional pyramid and one head at stride 8."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.errors import WeightsError
from diffpose.pyramid import build_pyramid, fill_pyramid, read_tensors
from diffpose.tensorfile import load_tensors, save_tensors

FORMAT = "diffpose-detector-1"

_STRIDES = (8, 16, 32)
_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in 0..1
_STD = (0.229, 0.224, 0.225)
_RARE = -4.0  # logit of a person before training: most cells hold none


@dataclass(frozen=True)
class DetectorConfig:
    """A person network.

    Attributes:
        backbone: timm name of a pyramid with strides 8, 16 and 32.
        channels: Width of neck and head.
        side: Longer side, pixels, that pictures are brought to; a multiple of 32.
    """

    backbone: str = "tf_efficientnet_lite0"
    channels: int = 64
    side: int = 256

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class PersonNet(nn.Module):
    """Pictures to centre scores and box shapes (`diffpose.tracking.boxmaps`), one class.

    The coarsest level carries what a large person looks like down to the cells of stride 8.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid: Any = build_pyramid(config.backbone)
        info: Any = self.pyramid.feature_info
        width = config.channels
        self.levels = [info.reduction().index(stride) for stride in _STRIDES]
        self.lateral = nn.ModuleList(
            nn.Conv2d(info.channels()[level], width, 1) for level in self.levels
        )
        self.context = nn.Sequential(_conv(width), _conv(width))
        self.merge = nn.ModuleList([_conv(width), _conv(width)])
        self.head = nn.Sequential(_conv(width), _conv(width))
        self.output = nn.Conv2d(width, 5, 1)
        nn.init.normal_(self.output.weight, std=0.01)
        # A person of 8 strides, 64 px, is where the learning of sizes begins.
        self.bias.data = torch.tensor([_RARE, 0.0, 0.0, 1.5, 2.3])

    @property
    def bias(self) -> nn.Parameter:
        """(5,): centre logit, way to the centre (x, y), logarithm of the size (x, y)."""
        bias = self.output.bias
        assert isinstance(bias, nn.Parameter)
        return bias

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pictures (N, 3, H, W) to logits (N, h, w) and shapes (N, 4, h, w).

        H and W are multiples of 32; h = H / 8, w = W / 8.
        """
        pyramid = self.pyramid(pictures)
        fine, middle, coarse = (
            lateral(pyramid[level])
            for lateral, level in zip(self.lateral, self.levels, strict=True)
        )
        coarse = coarse + self.context(coarse)
        middle = self.merge[0](middle + F.interpolate(coarse, scale_factor=2.0))
        fine = self.merge[1](fine + F.interpolate(middle, scale_factor=2.0))
        maps = self.output(self.head(fine)).float()
        return maps[:, 0], maps[:, 1:]

    def raise_logits(self, amount: float) -> None:
        """Add to every centre logit: moves the score at which people are best told apart."""
        with torch.no_grad():
            self.bias[0] += amount


def _conv(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def normalise(pictures: Tensor) -> Tensor:
    """RGB uint8 pictures (N, H, W, 3) to (N, 3, H, W) in ImageNet statistics, channels last."""
    mean, std = (torch.tensor(v, device=pictures.device) * 255 for v in (_MEAN, _STD))
    return ((pictures.float() - mean) / std).permute(0, 3, 1, 2)


def save_detector(path: Path, network: PersonNet, *, training: Mapping[str, Any]) -> None:
    """Write a network for inference: float16, config and ``training`` (JSON) in the metadata.

    Raises:
        WeightsError: It could not be written.
    """
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "config": json.dumps(network.config.to_dict()),
        "training": json.dumps(training),
    }
    save_tensors(path, tensors, metadata)


def load_detector_network(path: Path) -> PersonNet:
    """The network of a detector's weights file, on the CPU in float32.

    Raises:
        WeightsError: The file is missing, damaged or of another kind.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path.name} holds no person detector of format {FORMAT} "
            f"(found {metadata.get('format', 'no format')}); choose another file."
        )
    try:
        network = PersonNet(DetectorConfig(**json.loads(metadata["config"])))
        network.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        )
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path.name} does not fit its own config ({reason}); "
            "choose weights made by this version of DiffPose."
        ) from None
    return network.eval()


def load_pyramid(network: PersonNet, path: Path) -> None:
    """Begin with the pyramid of a pose network or of an image classifier.

    Args:
        network: Its pyramid is filled.
        path: A pose network's weights or training checkpoint, or a classifier's file.

    Raises:
        WeightsError: The file is damaged or its backbone is another one.
    """
    tensors = read_tensors(path)
    target = network.pyramid.state_dict()
    for prefix in ("ema/network.backbone.pyramid.", "backbone.pyramid."):
        found = {k: tensors[prefix + k] for k in target if prefix + k in tensors}
        if len(found) == len(target) and all(found[k].shape == target[k].shape for k in target):
            network.pyramid.load_state_dict(found)
            return
    fill_pyramid(network.pyramid, path, name=network.config.backbone)
