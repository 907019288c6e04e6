"""Weights: one safetensors file with the network, its config and its skeleton in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from diffpose.errors import SettingsError, WeightsError, said
from diffpose.model.backbone import ConvBackbone, VitBackbone
from diffpose.model.config import ModelConfig
from diffpose.model.network import DiffPose
from diffpose.pyramid import fill_pyramid, read_tensors
from diffpose.tensorfile import load_tensors, save_tensors, tensors_hash

FORMAT = "diffpose-weights-1"


def save_weights(
    path: Path,
    network: DiffPose,
    *,
    training: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a network for inference.

    Args:
        path: The file.
        network: Its floating tensors are stored as ``dtype``.
        training: How it was trained; JSON values, kept in the metadata.
        dtype: float16 halves the file at a relative error of 5e-4.
    """
    tensors = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "config": json.dumps(network.config.to_dict()),
        "skeleton": json.dumps(network.config.keypoints.keypoints),
        "training": json.dumps(training),
    }
    save_tensors(path, tensors, metadata)


def load_weights(path: Path) -> DiffPose:
    """The network of a weights file, on the CPU in float32, ready for inference.

    Raises:
        WeightsError: The file is damaged, of another kind or version, or of another skeleton.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path.name} holds no DiffPose weights of format {FORMAT} "
            f"(found {metadata.get('format', 'no format')}); choose another file."
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        names = tuple(json.loads(metadata["skeleton"]))
    except (KeyError, ValueError, TypeError, SettingsError) as error:
        raise WeightsError(f"{path.name} has an unreadable config ({said(error)}).") from None
    if names != config.keypoints.keypoints:
        raise WeightsError(
            f"{path.name} was trained for other keypoints than skeleton {config.skeleton!r} has; "
            "choose weights made by this version of DiffPose."
        )
    # Without memory first: a config of a few bytes may describe a network of terabytes.
    try:
        with torch.device("meta"):
            expected = DiffPose(config).state_dict()
    except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        raise WeightsError(f"{path.name} describes no network ({said(error)}).") from None
    _check_fit(expected, tensors, path.name)
    network = DiffPose(config)
    _fill(network, tensors, path.name)
    return network.eval()


def load_calibration(path: Path) -> str | None:
    """What `save_calibration` wrote into a weights file; None where nothing was.

    Raises:
        WeightsError: The file is damaged, or its calibration was fitted to other tensors.
    """
    _, metadata = load_tensors(path)
    if "calibration" not in metadata:
        return None
    if metadata.get("calibrated") != tensors_hash(path):
        raise WeightsError(
            f"{path.name} carries the calibration of other weights; "
            "run `diffpose train calibrate` on it."
        )
    return metadata["calibration"]


def save_calibration(path: Path, calibration: str, *, output: Path) -> None:
    """Copy a weights file with another calibration; its tensors and other metadata stay.

    Args:
        path: A weights file.
        calibration: JSON text (`diffpose.evaluation.calibration.Calibration.to_json`).
        output: Where to write; may be ``path``.

    Raises:
        WeightsError: ``path`` is damaged or ``output`` cannot be written.
    """
    tensors, metadata = load_tensors(path)
    fitted_to = {"calibration": calibration, "calibrated": tensors_hash(path)}
    save_tensors(output, tensors, metadata | fitted_to)


def average_weights(first: Path, second: Path, *, share: float, output: Path) -> None:
    """Write the average of two weights files of one training's line.

    Of runs that began at the same weights the average often sees more than either (Wortsman et
    al. 2022, "Model soups"). It has no calibration: the statements of neither are its own.

    Args:
        first: Weights file, of which the rest is taken, and the stored precision.
        second: Weights file of the same config.
        share: What ``second`` counts, 0 to 1; each number is ``(1 - share) a + share b``.
        output: Where to write.

    Raises:
        SettingsError: A share outside 0 to 1.
        WeightsError: A file is damaged, or the two hold different networks.
    """
    if not 0 <= share <= 1:
        raise SettingsError(f"Expected a share from 0 to 1, got {share}.")
    sides = [load_weights(path) for path in (first, second)]
    if sides[0].config != sides[1].config:
        raise WeightsError(
            f"{first.name} and {second.name} hold networks of different configs; "
            "only runs of one config can be averaged."
        )
    mean = sides[0].state_dict()
    for name, other in sides[1].state_dict().items():
        if other.is_floating_point():
            mean[name].lerp_(other, share)
    stored = {t.dtype for t in load_tensors(first)[0].values() if t.is_floating_point()}
    save_weights(
        output,
        sides[0],
        training={"average": [tensors_hash(path) for path in (first, second)], "share": share},
        dtype=stored.pop() if len(stored) == 1 else torch.float32,
    )


def _fill(network: DiffPose, tensors: Mapping[str, Tensor], name: str) -> None:
    expected = network.state_dict()
    _check_fit(expected, tensors, name)
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in tensors.items()})


def _check_fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], name: str) -> None:
    wrong = sorted(set(expected) ^ set(tensors)) + [
        key for key in expected if key in tensors and expected[key].shape != tensors[key].shape
    ]
    if wrong:
        raise WeightsError(
            f"{name} does not fit its own config: {len(wrong)} tensors are missing, unknown or of "
            f"another shape, e.g. {wrong[0]}; choose weights made by this version of DiffPose."
        )


def load_vit_weights(network: DiffPose, path: Path) -> None:
    """Fill a ViT backbone from a local ViTPose or timm file (.pth, .bin or .safetensors).

    ViTPose's names carry the prefix ``backbone.`` and call the last norm ``last_norm``. The
    position of the class token is added to every other, as ViTPose's forward pass does; those of
    another grid (a timm file of 224 x 224) are resampled to the crop's.

    Raises:
        WeightsError: The backbone is no ViT, or the file holds another one.
    """
    if not isinstance(network.backbone, VitBackbone):
        raise WeightsError(f"Preset {network.config.name!r} has no ViT backbone to fill.")
    vit = network.backbone.vit
    source = _vit_state(path)
    target = vit.state_dict()
    if "pos_embed" in source:
        source["pos_embed"] = _fit_positions(source["pos_embed"], network.config.feature_size)
    wrong = [k for k in target if k not in source or source[k].shape != target[k].shape]
    if wrong:
        raise WeightsError(
            f"{path.name} does not hold a {network.config.backbone}: {len(wrong)} of its tensors "
            f"are missing or of another shape, e.g. {wrong[0]}; choose the file of that size."
        )
    vit.load_state_dict({k: source[k] for k in target})


def _fit_positions(positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Positions (1, N or 1 + N, D) of any grid as (1, h w, D) of the grid ``size``."""
    count = positions.shape[1]
    own_grid = size[0] * size[1]
    has_class = count == own_grid + 1 or round((count - 1) ** 0.5) ** 2 == count - 1
    grid = positions[:, 1:] + positions[:, :1] if has_class else positions
    if grid.shape[1] == own_grid:
        return grid
    return resample_abs_pos_embed(grid, new_size=list(size), num_prefix_tokens=0)


def load_conv_weights(network: DiffPose, path: Path) -> None:
    """Fill a convolutional backbone's pyramid from a local file of an image classifier.

    Raises:
        WeightsError: The backbone is a ViT, or the file holds another network.
    """
    if not isinstance(network.backbone, ConvBackbone):
        raise WeightsError(f"Preset {network.config.name!r} has no convolutional backbone to fill.")
    fill_pyramid(network.backbone.pyramid, path, name=network.config.backbone)


def _vit_state(path: Path) -> dict[str, Tensor]:
    state = {k.removeprefix("backbone."): v for k, v in read_tensors(path).items()}
    return {k.replace("last_norm.", "norm."): v for k, v in state.items()}
