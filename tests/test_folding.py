"""Laws of a network as it runs: the same answers with less to do."""

import copy

import pytest
import torch
from torch import nn

from diffpose.folding import folded, kept_in_bf16
from diffpose.model.backbone import build_backbone
from diffpose.model.config import ModelConfig
from diffpose.model.lean import lean
from diffpose.model.network import DiffPose
from diffpose.skeleton import HALPE26


def with_statistics(network, *, seed=0):
    """Batch norms as after training: no two channels alike."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            mean, variance = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
            nn.init.normal_(mean, 0, 0.5, generator=generator)
            nn.init.uniform_(variance, 0.5, 2.0, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
    return network.eval()


def count(network, kind):
    return sum(isinstance(layer, kind) for layer in network.modules())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet10t", "mobilenetv4_conv_small"])
@torch.no_grad()
def test_a_folded_backbone_gives_the_same_map_without_a_batch_norm(name):
    torch.manual_seed(0)
    backbone = with_statistics(
        build_backbone(name, crop_size=(64, 64), skeleton=HALPE26, finest_stride=8)
    )

    twin = folded(backbone)

    frames = torch.rand(2, 3, 96, 64)
    torch.testing.assert_close(twin(frames), backbone(frames), rtol=1e-3, atol=1e-4)
    assert count(backbone, nn.BatchNorm2d) > 10
    assert count(twin, nn.BatchNorm2d) == 0


@torch.no_grad()
def test_folding_leaves_the_network_as_it_was():
    backbone = with_statistics(build_backbone("resnet10t", crop_size=(64, 64), skeleton=HALPE26))
    before = copy.deepcopy(backbone.state_dict())

    folded(backbone)

    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())
    assert not any(layer._forward_hooks for layer in backbone.modules())


class ReadTwice(nn.Module):
    """A convolution that a norm and something else read."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        made = self.convolution(x)
        return self.norm(made) + made


class CalledTwice(nn.Module):
    """A convolution that is used a second time, without its norm."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.convolution(self.norm(self.convolution(x)))


@pytest.mark.parametrize("kind", [ReadTwice, CalledTwice])
@torch.no_grad()
def test_what_cannot_be_folded_stays(kind):
    network = with_statistics(kind())

    assert folded(network) is network


def test_a_network_without_batch_norms_is_not_copied():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()

    assert folded(network) is network


@torch.no_grad()
def test_autocast_reads_weights_kept_in_bf16_as_it_reads_others():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 4, 4), nn.Flatten(),
        nn.Linear(4 * 9 * 9, 5),
    ).eval()  # fmt: skip
    twin = kept_in_bf16(network)
    x = torch.randn(2, 3, 8, 8)

    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(x), twin(x))
    assert twin[1].weight.dtype == torch.float32


SMALL = ModelConfig(
    name="tiny", skeleton="coco17", backbone="resnet10t", crop_size=(64, 48), finest_stride=8,
    radius=1, width=16, strl_layers=1, heads=2, decoder_widths=(16, 16, 8), lookup="per_joint",
    self_refinement_layers=1, correlation_layers=1, output="posterior",
)  # fmt: skip


@torch.no_grad()
def test_a_lean_network_gives_the_same_heatmaps():
    torch.manual_seed(0)
    network = with_statistics(DiffPose(SMALL))
    crops = torch.randint(0, 256, (1, 3, 64, 48, 3), dtype=torch.uint8)
    noise = torch.randn(1, 17, 16, 12)

    def heatmaps(of):
        maps = of.encode_frames(crops.flatten(0, 1)).unflatten(0, (1, 3))
        return of.denoise(noise, torch.tensor([999]), of.fuse(maps))

    torch.testing.assert_close(
        heatmaps(lean(network, bf16=False)), heatmaps(network), rtol=1e-3, atol=1e-4
    )
    with torch.autocast("cpu", torch.bfloat16):
        rounded = heatmaps(lean(network, bf16=True))
    assert (rounded - heatmaps(network)).abs().mean() < 0.05 * heatmaps(network).abs().mean()


def test_a_lean_network_in_float32_shares_all_but_the_backbone():
    network = DiffPose(SMALL).eval()

    twin = lean(network, bf16=False)

    assert twin.decoder is network.decoder
    assert twin.strl is network.strl
    assert network.backbone is not twin.backbone
    assert all(p.dtype == torch.float32 for p in network.parameters())
