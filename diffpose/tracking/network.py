"""The person network: MoveNet MultiPose as far as it finds people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffpose.errors import SettingsError, WeightsError
from diffpose.movenet import MoveNet, movenet_config
from diffpose.movenet_files import load_movenet
from diffpose.tensorfile import load_tensors, save_tensors

FORMAT = "diffpose-detector-2"

_HEADS = ("centre", "box_offset", "box_scale")
_RARE = -4.0  # logit of a person before training: most cells hold none
_PERSON = (24.0, 12.0)  # cells, height and width: where the learning of sizes begins


@dataclass(frozen=True)
class DetectorConfig:
    """A person network.

    Attributes:
        backbone: Name of a MoveNet that finds boxes.
        side: Longer side, pixels, that pictures are brought to; a multiple of 32.
    """

    backbone: str = "movenet_multipose"
    side: int = 320

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class PersonNet(nn.Module):
    """Pictures to centre scores and box shapes (`diffpose.tracking.boxmaps`), one class.

    Body, pyramid and three of the six heads are MoveNet's; filled with its weights
    (`load_movenet_into`) the network says what MoveNet says.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.movenet = MoveNet(movenet_config(config.backbone), heads=_HEADS)
        with torch.no_grad():
            self.bias.fill_(_RARE)
            self._output("box_offset").fill_(0.5)
            self._output("box_scale").copy_(torch.tensor(_PERSON))

    def _output(self, head: str) -> nn.Parameter:
        return self.movenet.get_parameter(f"heads.{head}.output.bias")

    @property
    def bias(self) -> nn.Parameter:
        """(1,): what is added to every centre logit."""
        return self._output("centre")

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pictures (N, 3, H, W) to logits (N, h, w) and shapes (N, 4, h, w).

        H and W are multiples of 32; h = H / 4, w = W / 4.
        """
        maps = self.movenet(pictures)
        shapes = torch.cat([maps["box_offset"], maps["box_scale"]], dim=1)
        return maps["centre"][:, 0].float(), shapes.float()

    def raise_logits(self, amount: float) -> None:
        """Add to every centre logit: moves the score at which people are best separated."""
        with torch.no_grad():
            self.bias.add_(amount)


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
    except (KeyError, ValueError, TypeError, RuntimeError, SettingsError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path.name} does not fit its own config ({reason}); "
            "choose weights made by this version of DiffPose."
        ) from None
    return network.eval()


def load_movenet_into(network: PersonNet, path: Path) -> None:
    """Begin as the published network: same scores, same boxes.

    Args:
        network: Filled.
        path: A file of `diffpose train import-backbone`.

    Raises:
        WeightsError: The file is damaged or holds another network.
    """
    source = load_movenet(path)
    if source.config.name != network.config.backbone:
        raise WeightsError(
            f"{path.name} holds {source.config.name}, but the detector is built on "
            f"{network.config.backbone}; choose the file of that network."
        )
    tensors = source.state_dict()
    network.movenet.load_state_dict({k: tensors[k] for k in network.movenet.state_dict()})
