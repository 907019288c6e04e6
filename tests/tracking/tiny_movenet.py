"""A MoveNet of a few channels, so that tests need no published file."""

from diffpose.movenet import MoveNet, MoveNetConfig
from diffpose.movenet_files import save_movenet
from diffpose.tracking.network import DetectorConfig

TINY_MOVENET = MoveNetConfig(
    name="movenet_tiny",
    stem=8,
    groups=((8, 1), (8, 2), (8, 3), (12, 4), (12, 3), (16, 3), (16, 1)),
    top=24,
    lateral=(2, 5, 9),
    pyramid=(16, 16, 16),
    heads={"centre": 1, "heatmap": 17, "box_scale": 2, "box_offset": 2},
)
TINY = DetectorConfig(backbone="movenet_tiny", side=64)


def published_tiny(path):
    """Write a file as `diffpose train import-backbone` makes it; returns its network."""
    network = MoveNet(TINY_MOVENET)
    save_movenet(path, network)
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    return network.eval()
