"""A pose network as an estimator runs it."""

from __future__ import annotations

import copy

from diffpose.folding import folded, kept_in_bf16
from diffpose.model.network import DiffPose


def lean(network: DiffPose, *, bf16: bool) -> DiffPose:
    """The network as an estimator runs it: faster, and the same poses within rounding.

    Args:
        network: In evaluation mode; stays as it is, and shares what need not change.
        bf16: It will run under autocast to bfloat16.
    """
    twin = copy.copy(network)
    twin._modules = dict(network._modules)
    twin.backbone = folded(network.backbone)
    return (kept_in_bf16(twin) if bf16 else twin).eval()
