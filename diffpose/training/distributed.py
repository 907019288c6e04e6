"""Several processes, one run: each takes its own batches, and gradients are averaged.

Started by ``torchrun`` (or with its environment variables); one process alone needs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Team:
    """This process among its fellows.

    Attributes:
        rank: Number of this process; 0 logs, evaluates and writes files.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the team, in one exchange."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            count = gradient.numel()
            gradient.copy_(flat[start : start + count].view_as(gradient))
            start += count

    def agree(self, value: float) -> float:
        """The leader's value, for decisions that all must take alike."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared)


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that torchrun's environment variables name; alone without them."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Team(rank=dist.get_rank(), size=size)
    finally:
        dist.destroy_process_group()
