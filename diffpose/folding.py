"""A trained network as it runs: batch norms folded into convolutions, weights kept in bfloat16."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_LARGEST_CHANGE = 1e-3  # of the output's size, by rounding
_SIDE = 64  # pixels of the noise: two cells of stride 32

Network = TypeVar("Network", bound=nn.Module)


def native_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; where it does not, doing so is slower."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10 cannot tell
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


@torch.no_grad()
def folded(network: Network) -> Network:
    """A copy whose batch norms have become part of the convolutions before them.

    In evaluation a batch norm scales and shifts every channel by constants, and the convolution
    before it can do that as well. Which convolution a norm follows is watched on a small picture
    of noise, so that no family of networks has to be known by name. Where folding changes the
    output by more than rounding (another layer reads the convolution too), or there is nothing to
    fold, the network itself comes back.

    Args:
        network: Of normalised pictures (N, 3, H, W), in evaluation mode; stays as it is.
    """
    network.eval()
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        return network
    noise = torch.rand(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    example = noise.to(next(network.parameters()))
    pairs = _pairs(network, example)
    if not pairs:
        return network
    twin = copy.deepcopy(network)
    for convolution, norm in pairs:
        before: Any = twin.get_submodule(convolution)
        after: Any = twin.get_submodule(norm)
        _replace(twin, convolution, fuse_conv_bn_eval(before, after))
        _replace(twin, norm, _after_the_norm(after))
    return twin if _alike(network(example), twin(example)) else network


def kept_in_bf16(network: Network) -> Network:
    """A copy that stores what convolutions and linear layers multiply by in bfloat16.

    Under autocast they round their weights to it at every call anyway; norms and positions stay
    in float32, as autocast leaves them.
    """
    twin = copy.deepcopy(network)
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.to(torch.bfloat16)
    return twin


def _pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that read what they put out."""
    made: dict[int, tuple[str, Tensor]] = {}  # the tensors are held, so that ids stay theirs
    calls: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def convolved(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            made[id(output)] = (name, output)

        def normed(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] = calls.get(name, 0) + 1
            if id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        if isinstance(layer, nn.Conv2d):
            return layer.register_forward_hook(convolved)
        return layer.register_forward_pre_hook(normed)

    handles = [
        watch(name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    ]
    try:
        network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[name] == 1 for name in pair)]


def _after_the_norm(norm: nn.Module) -> nn.Module:
    """What a layer does apart from normalising: timm's have the activation in them."""
    parts = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    return nn.Sequential(*parts) if parts else nn.Identity()


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, layer)


def _alike(before: object, after: object) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        allowed = _LARGEST_CHANGE * before.abs().max().clamp(min=1e-6)
        return bool((before - after).abs().max() <= allowed)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return all(_alike(a, b) for a, b in zip(before, after, strict=True))
    return False
