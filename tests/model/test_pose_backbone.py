"""Laws of the pose-pretrained backbone: before training the network answers as MoveNet does."""

from dataclasses import replace

import pytest
import torch

from diffpose import heatmap
from diffpose.errors import SettingsError, WeightsError
from diffpose.model.config import ModelConfig, preset
from diffpose.model.frame_maps import FrameMaps, Packing, cell_probability
from diffpose.model.network import DiffPose
from diffpose.model.pose_backbone import MoveNetBackbone
from diffpose.model.strl import Strl
from diffpose.movenet import CONFIGS, MoveNet, normalise, person_logits
from diffpose.skeleton import COCO17, HALPE26

SMALL = replace(preset("base"), crop_size=(64, 64), radius=1, width=32, decoder_widths=(32, 16, 8))


@pytest.fixture(scope="module")
def movenet():
    torch.manual_seed(5)
    return MoveNet(CONFIGS["movenet_thunder"]).eval()


@pytest.fixture(scope="module")
def network(movenet):
    torch.manual_seed(6)
    made = DiffPose(SMALL).eval()
    backbone_of(made).start_as(movenet)
    return made


def backbone_of(network) -> MoveNetBackbone:
    assert isinstance(network.backbone, MoveNetBackbone)
    return network.backbone


def crops(count, size=(64, 64)):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def test_an_untrained_network_answers_as_movenet_at_every_timestep(network, movenet):
    windows = crops(3)
    maps = network.encode_frames(windows)[None]
    expected = person_logits(movenet(normalise(windows[1:2])))
    rows = [HALPE26.index(name) for name in COCO17.keypoints]

    for timestep in (999, 300, 0):
        noise = torch.randn(1, 26, 16, 16)
        x_0 = network.denoise(noise, torch.tensor([timestep]), network.fuse(maps))

        outside = torch.full(expected.shape[:2], -4.0)
        mass = cell_probability(expected, outside) * heatmap.mass(SMALL.sigma)
        found = network.heatmaps(x_0)[:, rows]
        torch.testing.assert_close(found, mass.clamp(max=1.0), atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_keypoints_that_movenet_does_not_know_start_without_an_opinion(network):
    features = network.fuse(network.encode_frames(crops(3))[None])

    heel = features.prior.logits[0, HALPE26.index("left_heel")]

    assert heel.abs().max() == 0


def test_maps_survive_being_one_tensor():
    packing = Packing(coarse=5, middle=3, fine=2, keypoints=4)
    maps = FrameMaps(
        torch.randn(2, 5, 4, 3),
        torch.randn(2, 3, 8, 6),
        torch.randn(2, 2, 16, 12),
        torch.randn(2, 4, 16, 12),
        torch.randn(2, 4),
    )

    packed = packing.pack(maps)
    back = packing.unpack(packed)

    assert packed.shape == (2, packing.channels, 4, 3)
    for name in ("coarse", "middle", "fine", "logits", "outside"):
        assert torch.equal(getattr(back, name), getattr(maps, name)), name


@torch.no_grad()
def test_every_maps_part_of_the_centre_frame_reaches_the_pose_after_training_the_head(network):
    torch.manual_seed(8)
    trained = DiffPose(SMALL).eval()
    torch.nn.init.normal_(trained.decoder.head.weight)
    packed = trained.encode_frames(crops(3))[None]
    packing = trained.packing
    starts = [0, packing.coarse, packing.coarse + 4 * packing.middle]

    def heatmaps(maps):
        noise = torch.zeros(1, 26, 16, 16)
        return trained.heatmaps(trained.denoise(noise, torch.tensor([500]), trained.fuse(maps)))

    before = heatmaps(packed)
    for start in starts:
        changed = packed.clone()
        changed[:, 1, start] += 3.0
        assert not torch.equal(heatmaps(changed), before)
    neighbour = packed.clone()
    neighbour[:, 0, 1] += 3.0
    assert not torch.equal(heatmaps(neighbour), before)
    fine_of_a_neighbour = packed.clone()
    fine_of_a_neighbour[:, 0, packing.coarse : -packing.answer_channels] += 3.0
    assert torch.equal(heatmaps(fine_of_a_neighbour), before)


@torch.no_grad()
def test_pooled_neighbours_change_nothing_that_is_constant_over_the_pooled_cells():
    torch.manual_seed(0)
    strl = Strl(8, width=16, num_frames=3, size=(4, 6), layers=1, heads=2, neighbour_pool=2).eval()
    coarse = torch.randn(1, 3, 8, 2, 3)
    smooth = coarse.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    bumpy = smooth.clone()
    bumpy[:, 0, :, 0, 0] += 1.0
    bumpy[:, 0, :, 0, 1] -= 1.0  # the mean of the four cells stays

    assert strl(smooth).shape == (1, 16, 4, 6)
    torch.testing.assert_close(strl(bumpy), strl(smooth))
    bumpy[:, 1, :, 0, 0] += 1.0
    assert not torch.allclose(strl(bumpy), strl(smooth))


def test_an_untrained_pooled_strl_selects_the_centre_frame():
    strl = Strl(8, width=16, num_frames=5, size=(4, 6), layers=1, heads=2, neighbour_pool=2)
    chosen = strl.aggregate.weight.abs().argmax(dim=1)

    assert chosen.tolist() == list(range(2 * 6, 2 * 6 + 24))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop_size": (80, 64)}, "multiples of 32"),
        ({"output": "heatmap"}, "posterior"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(SettingsError, match=words):
        ModelConfig.from_dict({**SMALL.to_dict(), **changes})
    with pytest.raises(SettingsError, match="neighbour_pool"):
        Strl(8, width=16, num_frames=3, size=(3, 6), layers=1, heads=2, neighbour_pool=2)


def test_another_body_is_refused(network):
    with pytest.raises(WeightsError, match="movenet_thunder"):
        backbone_of(network).start_as(MoveNet(CONFIGS["movenet_multipose"]))
