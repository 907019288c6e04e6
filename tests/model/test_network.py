"""Laws of the network: shapes, invariances, presets."""

from dataclasses import replace

import pytest
import timm
import torch

from diffpose.errors import SettingsError
from diffpose.model.backbone import ConvBackbone, VitBackbone, build_backbone
from diffpose.model.config import PRESETS, ModelConfig, preset
from diffpose.model.decoder import Features, posterior_heatmap
from diffpose.model.network import DiffPose
from diffpose.model.strl import Strl
from diffpose.skeleton import HALPE26
from tests.tiny import TINY


def network(**changes):
    torch.manual_seed(0)
    return DiffPose(replace(TINY, **changes)).eval()


def crops(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (*shape, 64, 64, 3), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def denoised(net, windows, x, t=500):
    maps = net.encode_frames(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
    return net.denoise(x, torch.full((len(x),), t), net.fuse(maps))


@pytest.mark.parametrize("lookup", ["joint_agnostic", "per_joint", "concat"])
@pytest.mark.parametrize("output", ["heatmap", "posterior"])
def test_denoising_gives_heatmaps_in_the_range_of_x_0(lookup, output):
    net = network(lookup=lookup, output=output, signal_scale=0.5)

    x_0 = denoised(net, crops(2, 3), torch.randn(2, 26, 16, 16))

    assert x_0.shape == (2, 26, 16, 16)
    assert x_0.abs().max() <= 0.5


@pytest.mark.parametrize("name", ["paper-b", "paper-l", "paper-h"])
def test_paper_presets_build_and_run(name):
    with torch.device("meta"):  # shapes only: the large ones need gigabytes otherwise
        net = DiffPose(preset(name)).eval()
        frames = torch.empty(5, 256, 192, 3, dtype=torch.uint8)
        maps = net.backbone(torch.empty(5, 3, 256, 192))
        features = net.fuse(maps[None])
        x_0 = net.decoder(torch.empty(1, 15, 64, 48), torch.zeros(1), features)[0]

    assert len(frames) == net.config.num_frames
    assert maps.shape[-2:] == (16, 12)
    assert x_0.shape == (1, 15, 64, 48)


@torch.no_grad()
def test_the_paper_preset_runs_for_real():
    torch.manual_seed(0)
    net = DiffPose(replace(preset("paper-b"), backbone="vit_tiny_patch16_224", radius=1)).eval()
    windows = torch.randint(0, 256, (1, 3, 256, 192, 3), dtype=torch.uint8)

    x_0 = denoised(net, windows, torch.randn(1, 15, 64, 48))

    assert x_0.shape == (1, 15, 64, 48)
    assert torch.isfinite(x_0).all()


def test_a_hypothesis_does_not_depend_on_its_neighbours_in_the_batch():
    net, windows = network(), crops(3, 3)
    x = torch.randn(3, 26, 16, 16)

    together = denoised(net, windows, x)
    alone = denoised(net, windows[1:2], x[1:2])

    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


def test_an_untrained_strl_reads_the_centre_frame():
    torch.manual_seed(0)
    strl = Strl(8, width=16, num_frames=3, size=(4, 3), layers=0, heads=2)
    features = torch.randn(1, 3, 8, 4, 3)
    others = features.clone()
    others[:, [0, 2]] = torch.randn(1, 2, 8, 4, 3)
    centre = features.clone()
    centre[:, 1] = torch.randn(1, 8, 4, 3)

    with torch.no_grad():
        base = strl(features)
        by_others = (strl(others) - base).abs().max()
        by_centre = (strl(centre) - base).abs().max()

    assert by_centre > 20 * by_others


def test_every_frame_of_the_window_reaches_the_pose():
    net = network()
    torch.nn.init.normal_(net.strl.aggregate.weight, std=0.1)
    windows = crops(1, 3)
    x = torch.randn(1, 26, 16, 16)
    base = denoised(net, windows, x)

    for frame in range(3):
        changed = windows.clone()
        changed[:, frame] = 255 - changed[:, frame]
        assert (denoised(net, changed, x) - base).abs().max() > 1e-6


def test_the_joint_agnostic_mask_is_one_map_for_all_channels():
    net = network(lookup="joint_agnostic")
    keys = torch.ones(1, 16, 8, 8)

    local = net.decoder.middle.lookup(torch.randn(1, 16, 8, 8), keys)

    assert (local == local[:, :1]).all()
    assert ((local > 0) & (local < 1)).all()


def test_a_keypoint_s_mask_gates_its_own_channels_only():
    net = network(lookup="per_joint")
    lookup = net.decoder.middle.lookup
    keys = torch.ones(1, lookup.key_channels, 8, 8)
    refined = torch.randn(1, lookup.to_mask.in_channels, 8, 8)
    base = lookup(refined, keys)

    with torch.no_grad():
        lookup.to_mask.bias[3] += 1

    changed = (lookup(refined, keys) != base).flatten(2).any(-1)[0].unflatten(0, (26, -1))
    assert changed[3].all()
    assert not changed[[k for k in range(26) if k != 3]].any()


def test_features_survive_the_cache_and_slicing():
    net = network()
    with torch.no_grad():
        features = net.fuse(torch.randn(4, 3, net.backbone.channels, 4, 4))

    again = Features.from_arrays(features.to_arrays())

    assert len(again) == 4
    assert torch.equal(again[1:3].high.context, features.high.context[1:3])
    assert torch.equal(features.repeat(2).low.keys[3], features.low.keys[1])


def test_a_certain_posterior_is_a_full_gaussian_and_outside_is_an_empty_map():
    logits = torch.zeros(1, 1, 8, 8)
    outside = torch.tensor([[30.0]])

    empty = posterior_heatmap(logits, outside, sigma=1.5)
    flat = posterior_heatmap(logits, -outside, sigma=0.1)

    assert empty.max() < 1e-6
    torch.testing.assert_close(flat.sum().item(), 2 * torch.pi * 0.01)


def test_a_config_survives_its_dictionary_and_refuses_nonsense():
    for config in PRESETS.values():
        assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(SettingsError, match="colour"):
        ModelConfig.from_dict({**TINY.to_dict(), "colour": 1})
    with pytest.raises(SettingsError, match="multiples of 16"):
        replace(TINY, crop_size=(60, 64))
    with pytest.raises(SettingsError, match="paper-b"):
        preset("paper-x")


def test_backbones_are_convolutional_or_vit_and_must_be_known():
    assert isinstance(
        build_backbone("resnet10t", crop_size=(64, 64), skeleton=HALPE26), ConvBackbone
    )
    assert isinstance(
        build_backbone("vit_tiny_patch16_224", crop_size=(64, 64), skeleton=HALPE26), VitBackbone
    )
    with pytest.raises(SettingsError, match="resnet_unheard_of"):
        build_backbone("resnet_unheard_of", crop_size=(64, 64), skeleton=HALPE26)


def test_a_finer_level_is_folded_into_the_map_without_loss():
    backbone = build_backbone(
        "resnet10t", crop_size=(64, 64), skeleton=HALPE26, finest_stride=8
    ).eval()
    assert isinstance(backbone, ConvBackbone)
    seen = []
    backbone.lateral[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    frames = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = backbone(frames)
        finest = backbone.pyramid(frames)[backbone.levels[0]]
    assert features.shape == (1, 256, 4, 4)
    assert finest.shape[-2:] == (8, 8)
    # Cell (0, 0) of the coarse map holds the four fine cells under it, and nothing else.
    folded = seen[0][0, :, 0, 0].sort().values
    torch.testing.assert_close(folded, finest[0, :, :2, :2].flatten().sort().values)


def test_depthwise_convolutions_train_in_float32_and_change_nothing_else():
    torch.manual_seed(0)
    backbone = build_backbone("tf_efficientnet_lite0", crop_size=(64, 64), skeleton=HALPE26)
    plain = timm.create_model("tf_efficientnet_lite0", features_only=True)
    assert isinstance(backbone, ConvBackbone)
    plain.load_state_dict(backbone.pyramid.state_dict())
    frames = torch.rand(2, 3, 64, 64)
    for module in (plain, backbone.pyramid):
        module.train()
    torch.testing.assert_close(backbone.pyramid(frames), plain(frames))

    kinds = []
    for part in backbone.pyramid.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(
                lambda module, args, out: kinds.append((module.groups > 1, out.dtype))
            )
    with torch.autocast("cpu", torch.bfloat16):
        backbone.pyramid(frames)
    assert set(kinds) == {(True, torch.float32), (False, torch.bfloat16)}
