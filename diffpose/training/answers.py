"""Answers of a finished decoder kept on disk: a coupling trains without computing them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffpose.data.batches import Batch, Mixture
from diffpose.diffusion.schedule import NoiseSchedule
from diffpose.model.network import DiffPose
from diffpose.tensorfile import load_tensors
from diffpose.training.cache import SHARD, CachedWindows, fill_shards
from diffpose.training.config import StageConfig
from diffpose.training.steps import first_answer

_AT_ONCE = 16  # windows: what the backbone computes stays in the processor's cache
_SHARDS_OF_A_BATCH = 4  # a shard's windows are of one source


def fill_answers(
    folder: Path,
    network: DiffPose,
    mixture: Mixture,
    stage: StageConfig,
    schedule: NoiseSchedule,
    *,
    seed: int,
    shards: range,
    device: torch.device,
    progress: Callable[[int], None] = lambda number: None,
) -> None:
    """Make the shards of those numbers that are not there yet.

    Args:
        folder: Where they lie.
        network: The network but for its coupling.
        mixture: What windows are drawn from; its batch size does not matter.
        stage: Says how windows are encoded.
        schedule: Of the diffusion.
        seed: Of the windows and their noise: shard ``i`` depends on it and on ``i`` only.
        shards: Numbers.
        device: Where the network computes.
        progress: Called with each finished number.
    """

    def made(batch: Batch, number: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
        answers = []
        with torch.autocast(device.type, torch.bfloat16, enabled=stage.bf16):
            for start in range(0, SHARD, _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                some = Batch(batch.crops[part], batch.keypoints[part]).to(device)
                answers.append(first_answer(network, some, stage, schedule, generator).cpu())
        return {"answers": torch.cat(answers).half()}

    fill_shards(folder, made, mixture, seed=seed, shards=shards, progress=progress)


class CachedAnswers(CachedWindows):
    """Windows of such a cache, drawn at random into batches."""

    def batch(self, *, seed: int, index: int) -> Batch:
        """Batch number ``index`` of a run, from several shards that its number draws."""
        rng = np.random.default_rng([seed, index])
        sizes = [len(part) for part in np.array_split(range(self.batch_size), _SHARDS_OF_A_BATCH)]
        parts = [self._some(rng, size) for size in sizes if size]
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        nothing = torch.empty(self.batch_size, 0, 0, 0, 3, dtype=torch.uint8)
        features = joined["answers"].float()
        return Batch(nothing, joined["keypoints"], joined["weights"], features=features)

    def _some(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        tensors, _ = load_tensors(self.paths[int(rng.integers(len(self.paths)))])
        tensors.setdefault("weights", torch.ones(tensors["keypoints"].shape[:2]))
        rows = torch.from_numpy(rng.integers(len(tensors["keypoints"]), size=count))
        return {name: tensor[rows] for name, tensor in tensors.items()}
