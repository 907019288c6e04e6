"""What a training run must remember to continue as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffpose.errors import SettingsError, WeightsError
from diffpose.model.backbone import CoarseHead
from diffpose.model.config import ModelConfig
from diffpose.model.network import DiffPose
from diffpose.tensorfile import load_tensors, save_tensors
from diffpose.tracking.network import PersonNet
from diffpose.training.teacher import Teacher

FORMAT = "diffpose-checkpoint-1"


class Trainee(nn.Module):
    """The network and what trains its backbone before there is a decoder; only the network ships.

    A backbone that finds keypoints itself needs nothing else; any other gets a plain head. The
    teacher is not a part of the state: every start of a run passes it again.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.network = DiffPose(config)
        self.teacher: Teacher | None = None
        self.coarse = (
            None
            if self.network.packing.has_prior
            else CoarseHead(self.network.backbone.channels, len(config.keypoints))
        )

    def plain(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's features (N, C, h, w) to logits (N, K, 4 h, 4 w) and outside (N, K)."""
        if self.coarse is not None:
            logits, outside = self.coarse(maps)
            return logits, outside
        found = self.network.packing.unpack(maps)
        return found.logits, found.outside


class Ema:
    """Exponential moving average of parameters, and the latest buffers (batch statistics)."""

    def __init__(self, module: nn.Module) -> None:
        self.values = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module, decay: float) -> None:
        """Move towards the module; early updates move faster, so that the start is forgotten."""
        self.updates += 1
        decay = min(decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            kept = self.values[name]
            if kept.is_floating_point():
                kept.lerp_(value.to(kept.dtype), 1 - decay)
            else:
                kept.copy_(value)


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        stage: Index of the stage in progress.
        stage_step: Optimizer steps done in it.
        stage_seconds: Seconds spent in it, over all sessions.
        step: Optimizer steps of the whole run: also the number of the next batch.
        samples: Windows seen.
    """

    stage: int = 0
    stage_step: int = 0
    stage_seconds: float = 0.0
    step: int = 0
    samples: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    *,
    trainee: Trainee | PersonNet,
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write everything to one safetensors file, atomically.

    Raises:
        WeightsError: It could not be written; the previous checkpoint stands.
    """
    tensors: dict[str, Tensor] = {f"model/{k}": v for k, v in trainee.state_dict().items()}
    tensors |= {f"ema/{k}": v.clone() for k, v in ema.values.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in slots.items()}
    metadata = {
        "format": FORMAT,
        "progress": json.dumps(vars(progress)),
        "ema_updates": str(ema.updates),
        "model": json.dumps(trainee.config.to_dict()),
    }
    save_tensors(path, {k: v.detach() for k, v in tensors.items()}, metadata)


def load_progress(path: Path) -> Progress:
    """Only where the run stands.

    Raises:
        WeightsError: The file is damaged or no checkpoint.
    """
    _, metadata = load_tensors(path)
    return _progress(path, metadata)


def _progress(path: Path, metadata: dict[str, str]) -> Progress:
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path.name} is no training checkpoint; remove it to start again.")
    return Progress(**json.loads(metadata["progress"]))


def load_average(path: Path) -> tuple[dict[str, Tensor], ModelConfig]:
    """The averaged weights of a pose run's checkpoint, by name, and the model they are of.

    Raises:
        WeightsError: The file is damaged or no checkpoint.
    """
    tensors, metadata = load_tensors(path)
    _progress(path, metadata)
    try:
        model = ModelConfig.from_dict(json.loads(metadata["model"]))
    except SettingsError:
        raise WeightsError(
            f"{path.name} is the checkpoint of a person detector; choose one of a pose run."
        ) from None
    return _part(tensors, "ema/"), model


def load_checkpoint(
    path: Path,
    *,
    trainee: Trainee | PersonNet,
    ema: Ema,
    optimizer: torch.optim.Optimizer | None,
) -> Progress:
    """Fill a run's parts from `save_checkpoint`'s file.

    ``optimizer`` is None where a new stage begins with a fresh one.

    Raises:
        WeightsError: The file is damaged or belongs to another model.
    """
    tensors, metadata = load_tensors(path)
    progress = _progress(path, metadata)
    try:
        trainee.load_state_dict(_part(tensors, "model/"))
    except RuntimeError:
        raise WeightsError(
            f"{path.name} belongs to another model than the config names; "
            "use the config it was made with or another output folder."
        ) from None
    ema.values = _part(tensors, "ema/")
    ema.updates = int(metadata["ema_updates"])
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            index, slot = key.split("/")
            state.setdefault(int(index), {})[slot] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return progress


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
