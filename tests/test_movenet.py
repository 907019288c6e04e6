"""Laws of the MoveNet port: it answers as the published graph does, and its files are checked."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from diffpose.data.sources import decode_picture
from diffpose.errors import SettingsError, WeightsError
from diffpose.movenet import (
    CONFIGS,
    Conv,
    MoveNet,
    centre_weight,
    decode_keypoints,
    movenet_config,
    normalise,
    person_logits,
    regressed_pose,
)
from diffpose.movenet_files import load_movenet, read_published, save_movenet

# Outputs of the published graph for two pictures of the bundled walk, sampled at every eighth cell,
# computed by an interpreter of the graph that was checked against TensorFlow.js.
VECTORS = Path(__file__).parent / "movenet_vectors.npz"


def published(name):
    """A published .json, from the folder in DIFFPOSE_MOVENET."""
    folder = os.environ.get("DIFFPOSE_MOVENET")
    if not folder:
        if os.environ.get("DIFFPOSE_REQUIRE_MOVENET") == "1":
            pytest.fail("DIFFPOSE_MOVENET must name the folder of the published MoveNet files.")
        pytest.skip("DIFFPOSE_MOVENET names no folder of the published MoveNet files")
    return Path(folder) / name


@pytest.fixture(scope="module")
def thunder():
    return read_published(published("movenet-thunder.json"))


def pictures(vectors):
    return torch.from_numpy(
        np.stack([decode_picture(vectors[name]) for name in ("first", "second")])
    )


@torch.no_grad()
def test_the_port_s_activations_and_keypoints_are_the_published_graph_s(thunder):
    with np.load(VECTORS) as vectors:
        heads = thunder(normalise(pictures(vectors)))

        for name in ("heatmap", "centre", "regression", "offset"):
            sampled = heads[name][:, :, 2::8, 2::8].numpy()
            np.testing.assert_allclose(sampled, vectors[name], atol=2e-3)
        points, scores = decode_keypoints(heads)
        np.testing.assert_allclose(points.numpy(), vectors["keypoints"][..., :2], atol=1e-5)
        np.testing.assert_allclose(scores.numpy(), vectors["keypoints"][..., 2], atol=1e-4)


@torch.no_grad()
def test_a_converted_file_holds_the_published_tensors(thunder, tmp_path):
    save_movenet(tmp_path / "thunder.safetensors", thunder)

    loaded = load_movenet(tmp_path / "thunder.safetensors")

    for name, tensor in thunder.state_dict().items():
        assert torch.equal(tensor.half().float(), loaded.state_dict()[name]), name


def test_multipose_has_boxes_too():
    network = read_published(published("movenet-multipose.json"))

    assert network.config is CONFIGS["movenet_multipose"]
    assert {"box_scale", "box_offset"} <= set(network.heads)


def graph_of(network):
    """A network as the published files would hold it: a graph of layers and one array each."""
    nodes, manifest, arrays = [], [], []

    def layer(name, conv, *, depthwise=False, bias=True):
        parts = {"kernel": conv.weight.permute((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))}
        if bias:
            parts["bias"] = conv.bias
        for part, tensor in parts.items():
            array = tensor.detach().numpy().astype(np.float16)
            manifest.append({"name": f"{name}/{part}", "shape": list(array.shape),
                             "dtype": "float32", "quantization": {"dtype": "float16"}})  # fmt: skip
            arrays.append(array.tobytes())
        nodes.append({"name": name, "op": "Conv", "input": ["x", *(f"{name}/{p}" for p in parts)]})

    body = "P/center_net_mobile_net_v2fpn_feature_extractor/model_1/"
    layer(f"{body}model/Conv1_relu/Relu6", network.stem)
    for index, block in enumerate(network.blocks):
        name = f"{body}model/" + (f"block_{index}" if index else "expanded_conv")
        if index:
            layer(f"{name}_expand_relu/Relu6", block.expand)
        layer(f"{name}_depthwise/depthwise", block.depthwise, depthwise=True)
        layer(f"{name}_project_BN/FusedBatchNormV3", block.project)
    layer(f"{body}model/out_relu/Relu6", network.top)
    for conv, number in zip(network.lateral, ("_3", "_2", "_1", ""), strict=True):
        layer(f"{body}conv2d{number}/BiasAdd", conv)
    for merge, number in zip(network.merge, ("_2", "_1", ""), strict=True):
        separable = f"{body}separable_conv2d{number}/separable_conv2d/depthwise"
        layer(separable, merge.depthwise, depthwise=True, bias=False)
        layer(f"{body}re_lu{number}/Relu", merge.pointwise)
    graph_names = {"centre": "center_0", "heatmap": "kpt_heatmap_0", "regression": "kpt_regress_0",
                   "offset": "kpt_offset_0"}  # fmt: skip
    for count, (head, part) in enumerate(graph_names.items()):
        layers = network.heads[head]
        layer(f"P/{part}/sep_{count}/depthwise", layers.hidden.depthwise, depthwise=True)
        layer(f"P/{part}/re_lu_{count}/Relu", layers.hidden.pointwise)
        layer(f"P/{part}/conv2d_{count}/BiasAdd", layers.output)
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": manifest}]}
    return json.dumps(graph), b"".join(arrays)


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(3)
    network = MoveNet(CONFIGS["movenet_thunder"])
    for name, tensor in network.named_parameters():
        if name.startswith("merge") and name.endswith("depthwise.bias"):
            torch.nn.init.zeros_(tensor)  # the published separable layers have none
    return network, *graph_of(network)


def written(folder, text, content):
    (folder / "net.json").write_text(text)
    (folder / "net.bin").write_bytes(content)
    return folder / "net.json"


def test_every_layer_of_a_graph_finds_its_place(made, tmp_path):
    network, text, content = made

    read = read_published(written(tmp_path, text, content))

    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor.half().float(), read.state_dict()[name]), name


def test_damaged_and_foreign_graphs_are_named(made, tmp_path):
    _, text, content = made
    with pytest.raises(WeightsError, match=r"net\.bin does not fit net\.json"):
        read_published(written(tmp_path, text, content[:-2]))
    with pytest.raises(WeightsError, match=r"no readable TensorFlow\.js graph"):
        read_published(written(tmp_path, text[:100], content))
    other = json.loads(text)
    other["modelTopology"]["node"] = [{"name": "another/layer"}]
    foreign = written(tmp_path, json.dumps(other), content)
    with pytest.raises(WeightsError, match="holds no MoveNet"):
        read_published(foreign)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(WeightsError, match=r"Expected net\.bin next to net\.json"):
        read_published(tmp_path / "net.json")
    with pytest.raises(SettingsError, match="movenet_thunder"):
        movenet_config("movenet_lightning")


def test_a_file_of_another_kind_is_refused(made, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError):
        load_movenet(tmp_path / "other.safetensors")


def test_padding_at_stride_two_is_right_and_below_only():
    """TensorFlow's SAME: an output cell covers the pixels 2 i, 2 i + 1 and 2 i + 2."""
    conv = Conv(1, 1, 3, stride=2)
    conv.load_state_dict({"weight": torch.ones(1, 1, 3, 3), "bias": torch.zeros(1)})
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 0, 0] = 1.0

    y = conv(x)[0, 0]

    assert y.shape == (4, 4)
    assert y[0, 0] == 1
    assert y.sum() == 1


def heads_with(*, centre, pose, heat, size=(16, 12)):
    """Heads that see a person whose centre and regressed pose are given, cells (x, y)."""
    maps = {
        "centre": torch.full((1, 1, *size), -9.0),
        "heatmap": torch.full((1, 17, *size), -9.0),
        "regression": torch.zeros(1, 34, *size),
        "offset": torch.full((1, 34, *size), 0.5),
    }
    x, y = centre
    maps["centre"][0, 0, y, x] = 4.0
    for k in range(17):
        maps["regression"][0, 2 * k, y, x] = pose[1] - y
        maps["regression"][0, 2 * k + 1, y, x] = pose[0] - x
        for where in heat:
            maps["heatmap"][0, k, where[1], where[0]] = 2.0
    return maps


def test_the_person_in_the_middle_is_chosen():
    """Of two equally bright places the one near the regressed pose is the keypoint."""
    heads = heads_with(centre=(6, 8), pose=(5, 7), heat=[(5, 7), (10, 2)])

    points, scores = decode_keypoints(heads)
    logits = person_logits(heads)

    torch.testing.assert_close(regressed_pose(heads["centre"], heads["regression"])[0, 0],
                               torch.tensor([5.0, 7.0]))  # fmt: skip
    torch.testing.assert_close(points[0, 0], torch.tensor([5.5 / 12, 7.5 / 16]))
    assert scores[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert logits[0, 3].flatten().argmax() == 7 * 12 + 5


def test_centres_count_less_away_from_the_middle():
    weight = centre_weight((64, 64))

    assert weight[32, 32] == pytest.approx(1 / 1.8)
    assert weight[31, 32] == pytest.approx(1 / 2.8)
    assert int(centre_weight((32, 24)).flatten().argmax()) == 16 * 24 + 12
