"""Files of MoveNet: the published TensorFlow.js pair, and our own of named tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose.errors import WeightsError, said
from diffpose.movenet import CONFIGS, MoveNet, movenet_config
from diffpose.tensorfile import load_tensors, save_tensors

FORMAT = "diffpose-movenet-1"

Arrays = dict[str, NDArray[Any]]

_BODY = "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
_GRAPH_HEADS = {
    "centre": "center_0",
    "heatmap": "kpt_heatmap_0",
    "regression": "kpt_regress_0",
    "offset": "kpt_offset_0",
    "box_scale": "box_scale_0",
    "box_offset": "box_offset_0",
}


def read_published(path: Path) -> MoveNet:
    """The network of a published TensorFlow.js graph: a ``.json`` with its ``.bin`` next to it.

    Args:
        path: The ``.json``.

    Raises:
        WeightsError: A file is missing or damaged, or holds another network than MoveNet Thunder
            or MultiPose.
    """
    graph = _read_graph(path)
    arrays = _read_arrays(graph, path)
    layers = _Layers(graph, arrays, path.name)
    stem = layers.kernel(f"{_BODY}model/Conv1_relu/Relu6").shape[-1]
    found = [config for config in CONFIGS.values() if config.stem == stem]
    if not found:
        raise WeightsError(
            f"{path.name} holds a MoveNet of another size (its first layer has {stem} channels); "
            f"choose one of {', '.join(CONFIGS)}."
        )
    network = MoveNet(found[0])
    network.load_state_dict(_named(network, layers))
    return network.eval()


def _read_graph(path: Path) -> dict[str, Any]:
    try:
        graph = json.loads(path.read_text())
        return {
            "nodes": {node["name"]: node for node in graph["modelTopology"]["node"]},
            "weights": [w for group in graph["weightsManifest"] for w in group["weights"]],
        }
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path.name} is no readable TensorFlow.js graph ({said(error)}); "
            "choose the .json of the published model."
        ) from None


def _read_arrays(graph: dict[str, Any], path: Path) -> Arrays:
    """The arrays of the ``.bin``, one after the other; float16 where the file is quantized."""
    content = path.with_suffix(".bin")
    if not content.is_file():
        raise WeightsError(f"Expected {content.name} next to {path.name}; it is not there.")
    raw, arrays, start = content.read_bytes(), {}, 0
    for entry in graph["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        if kind not in (np.float16, np.float32, np.int32) or start + count * kind.itemsize > len(
            raw
        ):
            raise WeightsError(
                f"{content.name} does not fit {path.name} at {entry['name']!r}; "
                "get both files of one version."
            )
        arrays[entry["name"]] = np.frombuffer(raw, kind, count, start).reshape(entry["shape"])
        start += count * kind.itemsize
    return arrays


class _Layers:
    """Finds a graph's layers by the end of their names and collects them under ours."""

    def __init__(self, graph: dict[str, Any], arrays: Arrays, name: str) -> None:
        self.nodes, self.arrays, self.name = graph["nodes"], arrays, name
        self.tensors: dict[str, Tensor] = {}

    def _inputs(self, layer: str) -> list[NDArray[Any]]:
        found = [node for node in self.nodes if node.endswith(layer)]
        if len(found) != 1:
            raise WeightsError(f"{self.name} holds no MoveNet: it has no layer {layer!r}.")
        inputs = self.nodes[found[0]].get("input", [])
        return [self.arrays[name] for name in inputs if name in self.arrays]

    def kernel(self, layer: str) -> NDArray[Any]:
        """As stored: height, width, in, out; height, width, channels, 1 of a depthwise layer."""
        return self._inputs(layer)[0]

    def fill(self, name: str, layer: str, *, depthwise: bool = False) -> None:
        """Keep a layer's kernel and bias under the name that our convolution has."""
        kernel, *bias = self._inputs(layer)
        weight = _tensor(kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))
        self.tensors[f"{name}.weight"] = weight
        self.tensors[f"{name}.bias"] = _tensor(bias[0]) if bias else torch.zeros(len(weight))


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _named(network: MoveNet, layers: _Layers) -> dict[str, Tensor]:
    """All tensors of a published graph under our names."""
    layers.fill("stem", f"{_BODY}model/Conv1_relu/Relu6")
    for index in range(len(network.blocks)):
        _fill_block(layers, index)
    layers.fill("top", f"{_BODY}model/out_relu/Relu6")
    for level, number in enumerate(("_3", "_2", "_1", "")):
        layers.fill(f"lateral.{level}", f"{_BODY}conv2d{number}/BiasAdd")
    for level, number in enumerate(("_2", "_1", "")):
        separable = f"{_BODY}separable_conv2d{number}/separable_conv2d/depthwise"
        layers.fill(f"merge.{level}.depthwise", separable, depthwise=True)
        layers.fill(f"merge.{level}.pointwise", f"{_BODY}re_lu{number}/Relu")
    for head in network.heads:
        _fill_head(layers, head)
    return layers.tensors


def _fill_block(layers: _Layers, index: int) -> None:
    block = f"{_BODY}model/" + (f"block_{index}" if index else "expanded_conv")
    if index:
        layers.fill(f"blocks.{index}.expand", f"{block}_expand_relu/Relu6")
    layers.fill(f"blocks.{index}.depthwise", f"{block}_depthwise/depthwise", depthwise=True)
    layers.fill(f"blocks.{index}.project", f"{block}_project_BN/FusedBatchNormV3")


def _fill_head(layers: _Layers, head: str) -> None:
    # Keras numbers its layers through the whole graph, so only their kinds are known.
    nodes = [node for node in layers.nodes if f"{_GRAPH_HEADS[head]}/" in node]
    for node in nodes:
        if node.endswith("/depthwise"):
            layers.fill(f"heads.{head}.hidden.depthwise", node, depthwise=True)
        elif node.endswith("/Relu"):
            layers.fill(f"heads.{head}.hidden.pointwise", node)
        elif node.endswith("/BiasAdd"):
            layers.fill(f"heads.{head}.output", node)


def save_movenet(path: Path, network: MoveNet) -> None:
    """Write a network's tensors in float16, the precision of the published files."""
    tensors = {name: tensor.half() for name, tensor in network.state_dict().items()}
    save_tensors(path, tensors, {"format": FORMAT, "name": network.config.name})


def load_movenet(path: Path) -> MoveNet:
    """The network of a file of `save_movenet`.

    Raises:
        WeightsError: The file is missing, damaged or of another kind.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path.name} holds no MoveNet of format {FORMAT} "
            f"(found {metadata.get('format', 'no format')}); "
            "make one with `diffpose train import-backbone`."
        )
    network = MoveNet(movenet_config(metadata.get("name", "")))
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(f"{path.name} does not fit its network ({said(error)}).") from None
    return network.eval()
