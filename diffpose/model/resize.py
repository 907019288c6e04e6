"""Weights of a network as a beginning for another crop size or with finer levels."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from diffpose.geometry import Size

_AGGREGATE = "strl.aggregate."
_LATERAL = re.compile(r"(.*backbone\.lateral\.)(\d+)(\..+)")


def resize_weights(tensors: Mapping[str, Tensor], *, old: Size, new: Size) -> dict[str, Tensor]:
    """Weights whose parts with a value for each token fit another grid of tokens.

    Everything else of the network is convolutional or works token by token and stays as it is.
    The result is a beginning for training, not a network that works as well as the first did.

    Args:
        tensors: A state dict; names may have a prefix.
        old: (h, w) tokens of a frame that the tensors were trained for.
        new: (h, w) tokens of a frame that they must fit.

    Returns:
        Position embeddings (1, F h w, D) interpolated frame by frame, STRL's aggregation with
        `resize_aggregation`; all other tensors as they were.
    """
    if old == new:
        return dict(tensors)
    resized = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith("position"):
            grid = tensor.unflatten(1, (-1, *old))[0].movedim(3, 1)  # (F, D, h, w)
            resized[name] = _interpolate(grid, new).movedim(1, 3).flatten(0, 2)[None]
        elif name.endswith(_AGGREGATE + "weight"):
            resized[name] = resize_aggregation(tensor, old=old, new=new)
        elif name.endswith(_AGGREGATE + "bias"):
            resized[name] = _interpolate(tensor.view(1, 1, *old), new).flatten()
    return resized


def below_finer_levels(tensors: Mapping[str, Tensor], *, added: int) -> dict[str, Tensor]:
    """Weights of a convolutional backbone under the names they have with finer levels below them.

    Args:
        tensors: A state dict; names may have a prefix.
        added: Levels that the new network merges and the old one did not. Their own weights are
            not made here; zeros leave the network as it was.
    """
    if added == 0:
        return dict(tensors)
    return {
        f"{found[1]}{int(found[2]) + added}{found[3]}"
        if (found := _LATERAL.fullmatch(name))
        else name: tensor
        for name, tensor in tensors.items()
    }


def resize_aggregation(weight: Tensor, *, old: Size, new: Size) -> Tensor:
    """STRL's linear layer over tokens, (h w, T h w), for another grid of tokens.

    What a token takes from the same place of each frame is apart from the rest: it is
    interpolated as a map, while the rest, a smooth function of two places, is interpolated over
    both and shrunk by the number of tokens that it sums over. So a selection of the centre
    frame stays one, and constant maps stay as large as they were.
    """
    tokens, target = old[0] * old[1], new[0] * new[1]
    blocks = weight.unflatten(1, (-1, tokens)).transpose(0, 1)  # (T, out, in)
    here = blocks.diagonal(dim1=1, dim2=2)  # (T, tokens)
    around = _without_diagonal(blocks)
    same = here - around.diagonal(dim1=1, dim2=2)
    same = _interpolate(same.unflatten(1, old)[:, None], new).flatten(1)
    rest = _interpolate(around.unflatten(2, old), new).flatten(2)  # (T, out, in')
    rest = _interpolate(rest.transpose(1, 2).unflatten(2, old), new).flatten(2).transpose(1, 2)
    resized = rest * (tokens / target) + torch.diag_embed(same)
    return resized.transpose(0, 1).flatten(1)


def _without_diagonal(blocks: Tensor) -> Tensor:
    """Blocks (T, n, n) with each diagonal entry replaced by the mean of the others in its row."""
    count = blocks.shape[1]
    diagonal = torch.diag_embed(blocks.diagonal(dim1=1, dim2=2))
    off = blocks - diagonal
    return off + torch.diag_embed(off.sum(dim=2) / max(count - 1, 1))


def _interpolate(maps: Tensor, size: Size) -> Tensor:
    """Maps (N, C, h, w) at another size, each cell's middle where it was in the picture."""
    return F.interpolate(maps.float(), size, mode="bilinear", align_corners=False).to(maps.dtype)
