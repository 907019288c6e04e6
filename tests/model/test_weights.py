"""Laws of weights files: what is saved comes back; what is damaged is named."""

import json
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from diffpose.errors import SettingsError, WeightsError
from diffpose.model.network import DiffPose
from diffpose.model.weights import (
    average_weights,
    load_calibration,
    load_conv_weights,
    load_vit_weights,
    load_weights,
    save_calibration,
    save_weights,
)
from diffpose.tensorfile import file_hash, load_tensors, tensors_hash
from tests.tiny import TINY

STILL = replace(TINY, radius=0)
TINY_VIT = replace(STILL, backbone="vit_tiny_patch16_224")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, DiffPose(STILL), training={"steps": 3}, dtype=torch.float32)
    return path


def test_weights_carry_their_config_and_come_back_bit_equal(tmp_path):
    network = DiffPose(STILL).eval()
    path = tmp_path / "tiny.safetensors"

    save_weights(path, network, training={"steps": 3}, dtype=torch.float32)
    again = load_weights(path)

    assert again.config == STILL
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_half_precision_halves_the_file(saved, tmp_path):
    half = tmp_path / "half.safetensors"

    save_weights(half, load_weights(saved), training={})

    assert half.stat().st_size < 0.55 * saved.stat().st_size
    assert file_hash(half) != file_hash(saved)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x10" * 5000])
def test_a_file_that_is_no_safetensors_is_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        load_weights(path)


def test_a_truncated_file_and_a_missing_one_are_named(saved, tmp_path):
    saved.write_bytes(saved.read_bytes()[:-1000])

    with pytest.raises(WeightsError, match="intact"):
        load_weights(saved)
    with pytest.raises(WeightsError, match="no weights file"):
        load_weights(tmp_path / "absent.safetensors")


def rewrite(path, **changes):
    tensors, metadata = load_tensors(path)
    save_file(tensors, path, metadata | changes)


def test_weights_of_another_skeleton_are_refused(saved):
    rewrite(saved, skeleton=json.dumps(["tail", "snout"]))

    with pytest.raises(WeightsError, match="other keypoints"):
        load_weights(saved)


def test_weights_that_do_not_fit_their_config_are_refused(saved):
    config = STILL.to_dict() | {"width": 64}
    rewrite(saved, config=json.dumps(config))

    with pytest.raises(WeightsError, match="does not fit its own config"):
        load_weights(saved)


def test_a_config_of_terabytes_is_refused_before_it_takes_any(saved):
    tensors, metadata = load_tensors(saved)
    config = json.loads(metadata["config"]) | {"width": 2**24}
    save_file(tensors, saved, metadata | {"config": json.dumps(config)})

    with pytest.raises(WeightsError, match="does not fit its own config"):
        load_weights(saved)


def test_another_format_is_refused(saved):
    rewrite(saved, format="diffpose-weights-9")

    with pytest.raises(WeightsError, match="diffpose-weights-9"):
        load_weights(saved)


def vit_state(network):
    return {k.removeprefix("vit."): v.clone() for k, v in network.backbone.state_dict().items()}


@pytest.mark.parametrize("kind", ["vitpose.pth", "timm.safetensors"])
def test_vit_weights_come_from_vitpose_and_timm_files(tmp_path, kind):
    torch.manual_seed(1)
    donor, network = DiffPose(TINY_VIT), DiffPose(TINY_VIT)
    state = vit_state(donor)
    class_position = torch.randn(1, 1, 192)
    stored = state | {"pos_embed": torch.cat([class_position, state["pos_embed"]], dim=1)}
    path = tmp_path / kind
    if kind.endswith(".pth"):
        renamed = {f"backbone.{k}".replace("backbone.norm.", "backbone.last_norm."): v
                   for k, v in stored.items()}  # fmt: skip
        torch.save({"state_dict": renamed | {"keypoint_head.final.weight": torch.zeros(3)}}, path)
    else:
        save_file(stored | {"cls_token": torch.zeros(1, 1, 192)}, path)

    load_vit_weights(network, path)

    loaded = vit_state(network)
    torch.testing.assert_close(loaded.pop("pos_embed"), state.pop("pos_embed") + class_position)
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_positions_of_another_grid_are_resampled(tmp_path):
    network = DiffPose(TINY_VIT)
    path = tmp_path / "timm224.safetensors"
    flat = torch.full((1, 197, 192), 0.5)
    save_file(vit_state(network) | {"pos_embed": flat}, path)

    load_vit_weights(network, path)

    loaded = network.backbone.state_dict()["vit.pos_embed"]
    assert loaded.shape == (1, 16, 192)
    torch.testing.assert_close(loaded, torch.ones_like(loaded))


def test_vit_weights_of_another_size_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"blocks.0.norm1.weight": torch.zeros(7)}, path)

    with pytest.raises(WeightsError, match="vit_tiny"):
        load_vit_weights(DiffPose(TINY_VIT), path)
    with pytest.raises(WeightsError, match="no ViT backbone"):
        load_vit_weights(DiffPose(STILL), path)


@pytest.mark.parametrize("naming", ["as timm", "another author's"])
def test_a_classifier_fills_a_convolutional_backbone_by_name_or_by_order(tmp_path, naming):
    torch.manual_seed(2)
    classifier, network = timm.create_model(STILL.backbone), DiffPose(STILL)
    state = classifier.state_dict()
    own = naming == "as timm"
    stored = {name if own else f"layer{i}": v for i, (name, v) in enumerate(state.items())}
    torch.save(stored, tmp_path / "classifier.pth")

    load_conv_weights(network, tmp_path / "classifier.pth")

    loaded = network.backbone.get_submodule("pyramid").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_a_classifier_of_another_network_is_refused(tmp_path):
    network = DiffPose(STILL)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth does not hold a tf_efficientnet_lite0"):
        load_conv_weights(network, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="no convolutional backbone"):
        load_conv_weights(DiffPose(TINY_VIT), tmp_path / "other.pth")
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_a_calibration_joins_the_file_and_leaves_the_tensors_and_their_hash(saved, tmp_path):
    output = tmp_path / "calibrated.safetensors"

    save_calibration(saved, "first", output=output)
    save_calibration(output, "second", output=output)

    assert load_calibration(saved) is None
    assert load_calibration(output) == "second"
    assert tensors_hash(output) == tensors_hash(saved)
    assert file_hash(output) != file_hash(saved)
    assert load_tensors(output)[1].items() >= load_tensors(saved)[1].items()
    load_weights(output)


def test_other_tensors_have_another_hash_and_refuse_the_calibration(saved):
    before = tensors_hash(saved)
    save_calibration(saved, "fitted", output=saved)
    tensors, metadata = load_tensors(saved)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] + 1}, saved, metadata)

    assert tensors_hash(saved) != before
    with pytest.raises(WeightsError, match="other weights"):
        load_calibration(saved)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_number_of_an_average_lies_between_its_two(saved, tmp_path, share):
    torch.manual_seed(5)
    other, mean = tmp_path / "other.safetensors", tmp_path / "mean.safetensors"
    save_weights(other, DiffPose(STILL), training={}, dtype=torch.float32)

    average_weights(saved, other, share=share, output=mean)

    first, second, found = (load_weights(path).state_dict() for path in (saved, other, mean))
    for name, tensor in found.items():
        if tensor.is_floating_point():
            wanted = (1 - share) * first[name] + share * second[name]
            torch.testing.assert_close(tensor, wanted, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(tensor, first[name])
    made = json.loads(load_tensors(mean)[1]["training"])
    assert made == {"average": [tensors_hash(saved), tensors_hash(other)], "share": share}


def test_an_average_keeps_the_precision_and_drops_the_calibration(saved, tmp_path):
    half, mean = tmp_path / "half.safetensors", tmp_path / "mean.safetensors"
    save_weights(half, load_weights(saved), training={}, dtype=torch.float16)
    save_calibration(half, "{}", output=half)

    average_weights(half, saved, share=0.5, output=mean)

    assert load_calibration(mean) is None
    kinds = {t.dtype for t in load_tensors(mean)[0].values() if t.is_floating_point()}
    assert kinds == {torch.float16}


def test_networks_of_two_configs_and_shares_beyond_the_whole_are_refused(saved, tmp_path):
    wide, mean = tmp_path / "wide.safetensors", tmp_path / "mean.safetensors"
    save_weights(wide, DiffPose(replace(STILL, sigma=STILL.sigma + 1)), training={})

    with pytest.raises(WeightsError, match="different configs"):
        average_weights(saved, wide, share=0.5, output=mean)
    with pytest.raises(SettingsError, match="share"):
        average_weights(saved, saved, share=1.5, output=mean)
    assert not mean.exists()
