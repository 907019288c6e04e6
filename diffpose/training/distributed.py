"""Several processes, one run: each takes its own batches, and gradients are averaged.

Started by ``torchrun`` (or with its environment variables); one process alone needs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diffpose.errors import DiffPoseError

# Others wait while the leader evaluates and writes; a fellow that dies is noticed at once.
PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True)
class Team:
    """This process among its fellows.

    Attributes:
        rank: Number of this process; 0 logs, evaluates and writes files.
        size: How many there are.
        local_rank: Number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """This process's own: ``cuda`` in a team is the GPU of its number."""
        return f"cuda:{self.local_rank}" if name == "cuda" and self.size > 1 else name

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their means over the team, in one exchange.

        Raises:
            DiffPoseError: A fellow has stopped, or did not answer in time.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _named_failure():
            dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            count = tensor.numel()
            tensor.copy_(flat[start : start + count].view_as(tensor))
            start += count

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the team.

        Raises:
            DiffPoseError: As `average`.
        """
        self.average([p.grad for p in parameters if p.grad is not None])

    def mean(self, value: float) -> float:
        """The mean of everybody's value: no number if anybody's is none.

        Raises:
            DiffPoseError: As `average`.
        """
        shared = torch.tensor([value], dtype=torch.float64)
        self.average([shared])
        return float(shared)

    def agree(self, value: float) -> float:
        """The leader's value, for decisions that all must take alike.

        Raises:
            DiffPoseError: As `average`.
        """
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        with _named_failure():
            dist.broadcast(shared, src=0)
        return float(shared)


@contextmanager
def _named_failure() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise DiffPoseError(
            "Another process of this run stopped or did not answer "
            f"({str(error).splitlines()[0][:120]}); the last checkpoint stands: see that process's "
            "own message, and run the same command again."
        ) from error


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that torchrun's environment variables name; alone without them."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    with _named_failure():
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Team(rank=dist.get_rank(), size=size, local_rank=local_rank)
    finally:
        dist.destroy_process_group()
