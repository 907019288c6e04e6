"""The sampler: noise to clean heatmaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffpose.diffusion.schedule import NoiseSchedule

Denoiser = Callable[[Tensor, int], Tensor]  # (x_t, timestep) -> x_0
Constraint = Callable[[Tensor], Tensor]  # x_0 -> x_0
StepListener = Callable[[int, Tensor], None]  # (steps done, x_0)


def unconstrained(x_0: Tensor) -> Tensor:
    """Leaves the prediction as it is."""
    return x_0


def ignore_step(done: int, x_0: Tensor) -> None:
    """Does nothing with the result of a step."""


@torch.no_grad()
def sample_ddim(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    *,
    num_steps: int,
    constrain: Constraint = unconstrained,
    on_step: StepListener = ignore_step,
) -> Tensor:
    """Carry ``x`` from pure noise to clean heatmaps (DDIM, eta = 0; Song et al. 2021, eq. 12).

    Args:
        denoise: The network, already holding the features of one or more windows.
        x: Gaussian noise, (..., K, h, w).
        schedule: The schedule the network was trained with.
        num_steps: How many times ``denoise`` is called.
        constrain: Imposes what is known on every clean prediction.
        on_step: Receives the clean prediction of every step: each is a usable result.

    Returns:
        Clean heatmaps, shaped as ``x``.
    """
    for done, (t, t_next) in enumerate(pairwise(schedule.timesteps(num_steps)), start=1):
        x_0 = constrain(denoise(x, t))
        on_step(done, x_0)
        eps = (x - float(schedule.signal[t]) * x_0) / float(schedule.noise[t])
        x = float(schedule.signal[t_next]) * x_0 + float(schedule.noise[t_next]) * eps
    return x


def spread_seed(seed: int, number: int) -> int:
    """A generator's seed from a window's and a number within it.

    An odd multiplier spreads neighbouring seeds over the generator's state space.
    """
    return (seed * 0x9E3779B97F4A7C15 + number) % 2**63


def hypothesis_noise(
    seeds: Sequence[int], *, num_hypotheses: int, shape: tuple[int, ...]
) -> Tensor:
    """Standard normal noise that depends on the window's seed and the hypothesis' number only.

    Neither the batch, nor its order, nor the size of the ensemble changes a hypothesis: a larger
    ensemble keeps the hypotheses of a smaller one.

    Args:
        seeds: B seeds, one for each window.
        num_hypotheses: S.
        shape: (K, h, w).

    Returns:
        (B, S, K, h, w) f32 on the CPU.
    """
    generator = torch.Generator()
    noise = torch.empty(len(seeds), num_hypotheses, *shape)
    for row, seed in enumerate(seeds):
        for hypothesis in range(num_hypotheses):
            generator.manual_seed(spread_seed(seed, hypothesis))
            noise[row, hypothesis].normal_(generator=generator)
    return noise
