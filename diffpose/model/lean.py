"""A pose network as an estimator runs it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from diffpose.folding import folded, keep_in_bf16
from diffpose.model.network import DiffPose


def lean(network: DiffPose, *, bf16: bool) -> DiffPose:
    """The network as an estimator runs it: faster, and the same poses within rounding.

    Args:
        network: In evaluation mode; stays as it is, and shares what need not change.
        bf16: It will run under autocast to bfloat16.
    """
    twin = copy.copy(network)
    twin._modules = dict(network._modules)
    twin.backbone = folded(network.backbone, _noise(network))
    if bf16:
        twin = copy.deepcopy(twin)
        keep_in_bf16(twin)
    return twin.eval()


def _noise(network: DiffPose) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, *network.config.crop_size, generator=generator)
    return picture.to(next(network.parameters()))
