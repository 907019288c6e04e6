"""Noise schedules: how much signal and how much noise x_t holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffpose.errors import SettingsError


@dataclass(frozen=True)
class NoiseSchedule:
    """x_t = signal[t] x_0 + noise[t] eps, with signal^2 + noise^2 = 1.

    Attributes:
        signal: (T + 1,) f64; signal[0] = 1: timestep 0 is clean.
        noise: (T + 1,) f64; noise[0] = 0.
    """

    signal: Tensor
    noise: Tensor

    @property
    def num_timesteps(self) -> int:
        """T: the noisiest timestep."""
        return len(self.signal) - 1

    def timesteps(self, num_steps: int) -> list[int]:
        """``num_steps`` + 1 evenly spaced timesteps from T down to 0.

        Raises:
            SettingsError: More steps than timesteps, or none.
        """
        if not 1 <= num_steps <= self.num_timesteps:
            raise SettingsError(
                f"Denoising steps must be 1 to {self.num_timesteps}, got {num_steps}."
            )
        grid = torch.linspace(self.num_timesteps, 0, num_steps + 1, dtype=torch.float64)
        return [int(t) for t in grid.round()]

    def add_noise(self, x_0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The forward process: x_0 and standard normal noise (B, ...) at timesteps (B,)."""
        shape = (-1,) + (1,) * (x_0.dim() - 1)
        signal = self.signal.to(x_0)[timesteps].view(shape)
        level = self.noise.to(x_0)[timesteps].view(shape)
        return signal * x_0 + level * noise


def noised(
    x_0: Tensor,
    known: Tensor,
    schedule: NoiseSchedule,
    *,
    first_step_share: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """x_t at random timesteps, from which training asks for x_0 (the paper's section 3.1).

    Args:
        x_0: (B, K, h, w).
        known: (B, K) bool; other keypoints enter as pure noise at every timestep.
        schedule: The schedule.
        first_step_share: Share of the rows at the noisiest timestep, which every sampling
            begins with; the others are drawn evenly from 1 to T.
        generator: On the CPU, so that every device sees the same noise.

    Returns:
        x_t shaped as ``x_0``, and timesteps (B,), on the device of ``x_0``.
    """
    last, count = schedule.num_timesteps, len(x_0)
    drawn = torch.randint(1, last + 1, (count,), generator=generator)
    first = torch.rand(count, generator=generator) < first_step_share
    timesteps = torch.where(first, torch.full_like(drawn, last), drawn).to(x_0.device)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0.device)
    x_t = schedule.add_noise(x_0, noise, timesteps)
    return torch.where(known[:, :, None, None], x_t, noise), timesteps


def cosine_schedule(num_timesteps: int, *, offset: float = 0.008) -> NoiseSchedule:
    """Nichol and Dhariwal 2021, eq. 17, betas cut at 0.999 as DiffusionDet does."""
    grid = torch.arange(num_timesteps + 1, dtype=torch.float64) / num_timesteps
    alpha_bar = torch.cos((grid + offset) / (1 + offset) * math.pi / 2) ** 2
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    kept = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(dim=0)])
    return NoiseSchedule(signal=kept.sqrt(), noise=(1 - kept).sqrt())
