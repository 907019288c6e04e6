"""Training of the person detector: losses, loop, calibration."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from diffpose.data.batches import make_ahead
from diffpose.data.people import BoxedPeople, SceneSource, StillPeople, load_photos
from diffpose.data.people_packs import read_packs
from diffpose.data.scenes import SceneBatch, SceneMixture, make_scene_batch
from diffpose.data.sources import load_lspet
from diffpose.errors import DiffPoseError, SettingsError
from diffpose.evaluation.detection import FoundBoxes, best_threshold
from diffpose.movenet import STRIDE, normalise
from diffpose.skeleton import HALPE26
from diffpose.tracking.boxmaps import decode_boxes, encode_boxes, shapes_to_boxes
from diffpose.tracking.network import (
    DetectorConfig,
    PersonNet,
    load_movenet_into,
    save_detector,
)
from diffpose.training.state import Ema, Progress, load_checkpoint, save_checkpoint

Listener = Callable[[dict[str, Any]], None]

_HILL = 0.4  # cells this high on a hill learn the box
_SURE = 0.4  # a score above, and what is around it, is left alone where more people may be
_AROUND = 7  # cells, odd
_BOX_WEIGHT = 2.5
_CALIBRATION_BATCHES = 24
_CALIBRATION_SEED = 7919


@dataclass(frozen=True)
class DetectorTrainingConfig:
    """One run; it ends after ``steps`` or ``minutes``, whichever comes first.

    Attributes:
        model: The network.
        steps: Optimizer steps; 0: no limit.
        minutes: Wall-clock budget over all sessions; 0: no limit.
        frozen_blocks: The stem and so many blocks of the body keep the weights they begin with.
        learning_rate: Peak of the cosine: step of a weight relative to the mean magnitude of its
            tensor. Batch norms are folded into MoveNet's weights, whose scales differ by five
            orders of magnitude; no absolute rate suits them all.
        body_rate: Factor on it for the body.
        warmup_steps: Linear warm-up.
        ema_decay: Of the averaged weights that are shipped.
        bf16: Autocast to bfloat16.
        seed: Of weights and pictures.
        checkpoint_seconds: Time between checkpoints.
        threads: CPU threads of torch; 0 leaves its default.
    """

    model: DetectorConfig = field(default_factory=DetectorConfig)
    steps: int = 0
    minutes: float = 0.0
    frozen_blocks: int = 0
    learning_rate: float = 1e-3
    body_rate: float = 0.5
    warmup_steps: int = 100
    ema_decay: float = 0.99
    bf16: bool = False
    seed: int = 0
    checkpoint_seconds: float = 120.0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise SettingsError("A detector's training needs steps or minutes to end.")


def load_scene_mixture(
    *,
    backgrounds: Sequence[Path],
    scenes: Path | None = None,
    lspet: Path | None = None,
    people: Path | None = None,
) -> SceneMixture:
    """The data of a run.

    Args:
        backgrounds: Photos without people.
        scenes: Folder of rendered ``scenes-*.npz``.
        lspet: Folder of Leeds Sports Pose Extended; its train split is used.
        people: Folder of packs of pictures of people (`diffpose.data.people_packs`); those with
            boxes are used.

    Raises:
        SettingsError: There are no photos, or no pictures of people.
        FormatError: A file is damaged.
    """
    shards = sorted(scenes.glob("scenes-*.npz")) if scenes is not None else []
    if not backgrounds or not (shards or lspet is not None or people is not None):
        raise SettingsError(
            "The detector's training needs photos without people and pictures of people; "
            "name a folder of photos, and of rendered scenes, packs of people or LSPET."
        )
    return SceneMixture(
        scenes=SceneSource(shards) if shards else None,
        crowds=BoxedPeople(read_packs(people)) if people is not None else None,
        stills=StillPeople(load_lspet(lspet, "train", HALPE26)) if lspet is not None else None,
        photos=load_photos(backgrounds),
    )


def train_detector(
    config: DetectorTrainingConfig,
    mixture: SceneMixture,
    *,
    folder: Path,
    init: Path | None = None,
    device: str = "cpu",
    clock: Callable[[], float] = time.monotonic,
    listen: Listener = lambda record: None,
) -> Path:
    """Train in a folder; safe to kill and call again at any moment.

    The folder holds ``checkpoint.safetensors``, ``log.jsonl`` and, at the end,
    ``weights.safetensors`` for `PersonDetector.load`, calibrated so that a score of 0.5 has the
    best F1 on fresh training pictures.

    Args:
        config: The run.
        mixture: Its data.
        folder: Where it writes.
        init: File of `diffpose train import-backbone` that a new run begins with.
        device: Where it computes.
        clock: Seconds.
        listen: Receives every log record.

    Returns:
        The weights file.
    """
    run = _Run(config, mixture, folder, torch.device(device), clock, listen)
    if not run.checkpoint.is_file() and init is not None:
        load_movenet_into(run.network, init)
        run.ema = Ema(run.network)
    run.train()
    return run.export()


def detection_loss(logits: Tensor, shapes: Tensor, batch: SceneBatch) -> Tensor:
    """Focal loss of the centre scores plus GIoU loss of the boxes on their hills.

    Args:
        logits: (B, h, w).
        shapes: (B, 4, h, w).
        batch: The truth; pixels of the pictures that the maps were made from.
    """
    shape = (int(logits.shape[1]), int(logits.shape[2]))
    maps = [encode_boxes(boxes, shape=shape) for boxes in batch.boxes]
    centres = torch.stack([m.centres for m in maps]).to(logits.device)
    boxes = torch.stack([m.boxes for m in maps]).to(logits.device)
    lenient = torch.stack([_inside(u, shape) for u in batch.unsure]).to(logits.device)
    scores = logits.sigmoid()
    # Quality focal loss: what is right already, on the hill or off it, hardly counts.
    entropy = F.binary_cross_entropy_with_logits(logits, centres, reduction="none")
    focal = (centres - scores).square() * entropy
    around = F.max_pool2d(scores.detach(), _AROUND, stride=1, padding=_AROUND // 2)
    forgiven = lenient & (centres < 0.1) & (around > _SURE)
    num_people = max(sum(len(b) for b in batch.boxes), 1)
    centre_loss = torch.where(forgiven, 0.0, focal).sum() / num_people
    hill = centres >= _HILL
    if not hill.any():
        return centre_loss
    found = shapes_to_boxes(shapes).permute(0, 2, 3, 1)[hill]
    overlap = generalized_box_iou_loss(found, boxes.permute(0, 2, 3, 1)[hill])
    weight = centres[hill]
    return centre_loss + _BOX_WEIGHT * (overlap * weight).sum() / weight.sum()


def _inside(areas: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cells (h, w) whose middle lies in one of the areas (M, 4)."""
    inside = torch.zeros(shape, dtype=torch.bool)
    for area in areas:
        x1, y1, x2, y2 = (math.ceil((float(v) + 0.5) / STRIDE - 0.5) for v in area)
        inside[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return inside


class _Run:
    """What a run holds; `train_detector` is its public face."""

    def __init__(
        self,
        config: DetectorTrainingConfig,
        mixture: SceneMixture,
        folder: Path,
        device: torch.device,
        clock: Callable[[], float],
        listen: Listener,
    ) -> None:
        self.config, self.mixture, self.folder = config, mixture, folder
        self.device, self.clock, self.listen = device, clock, listen
        self.checkpoint = folder / "checkpoint.safetensors"
        if config.threads:
            torch.set_num_threads(config.threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = PersonNet(config.model)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _freeze(self.network, config.frozen_blocks)
        self.optimizer = _optimizer(self.network, config)
        self.ema, self.progress = Ema(self.network), Progress()
        folder.mkdir(parents=True, exist_ok=True)

    def train(self) -> None:
        if self.checkpoint.is_file():
            self.progress = load_checkpoint(
                self.checkpoint,
                trainee=self.network,
                ema=self.ema,
                optimizer=self.optimizer,
            )
        self.network.train()
        batches = make_ahead(
            lambda i: make_scene_batch(self.mixture, seed=self.config.seed, index=i),
            first=self.progress.step,
        )
        last = saved = self.clock()
        losses: list[float] = []
        while not self._finished():
            losses.append(self._step(next(batches)))
            now = self.clock()
            self.progress.stage_seconds += now - last
            last = now
            if now - saved >= self.config.checkpoint_seconds:
                self._save(losses)
                saved = self.clock()
        self._save(losses)

    def export(self) -> Path:
        averaged = PersonNet(self.config.model)
        averaged.load_state_dict(self.ema.values)
        averaged.eval().to(self.device)
        threshold = calibrate(averaged, self.mixture)
        path = self.folder / "weights.safetensors"
        record = {
            "samples": self.progress.samples,
            "steps": self.progress.step,
            "seed": self.config.seed,
            "threshold_before_calibration": round(threshold, 4),
        }
        save_detector(path, averaged, training=record)
        return path

    def _finished(self) -> bool:
        config, progress = self.config, self.progress
        by_steps = config.steps > 0 and progress.step >= config.steps
        return by_steps or 0 < 60 * config.minutes <= progress.stage_seconds

    def _step(self, batch: SceneBatch) -> float:
        rate = _rate(self.config, self.progress)
        for group in self.optimizer.param_groups:
            (weights,) = group["params"]
            group["lr"] = rate * group["factor"] * float(weights.detach().abs().mean())
        pictures = normalise(batch.pictures.to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            logits, shapes = self.network(pictures)
        loss = detection_loss(logits, shapes, batch)
        value = loss.item()
        if not math.isfinite(value):
            raise DiffPoseError(
                f"The loss became {value} at step {self.progress.step}; the checkpoint before it "
                "stands: lower learning_rate and run the same command again."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.ema.update(self.network, self.config.ema_decay)
        self.progress.step += 1
        self.progress.samples += len(batch.pictures)
        return value

    def _save(self, losses: list[float]) -> None:
        record = {
            "step": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.stage_seconds / 60, 2),
            "loss": round(float(np.mean(losses)), 4) if losses else None,
        }
        losses.clear()
        self.progress.history.append(record)
        save_checkpoint(
            self.checkpoint,
            trainee=self.network,
            ema=self.ema,
            optimizer=self.optimizer,
            progress=self.progress,
        )
        with (self.folder / "log.jsonl").open("a") as handle:
            handle.write(json.dumps(record) + "\n")
        self.listen(record)


def calibrate(network: PersonNet, mixture: SceneMixture) -> float:
    """Move the network's scores so that 0.5 is where they tell people best from the rest.

    Args:
        network: In evaluation mode; its last bias is changed.
        mixture: Fresh pictures are drawn from it.

    Returns:
        The score that had the best F1 before.
    """
    pictures = []
    device = next(network.parameters()).device
    for index in range(_CALIBRATION_BATCHES):
        batch = make_scene_batch(mixture, seed=_CALIBRATION_SEED, index=index)
        with torch.inference_mode():
            logits, shapes = network(normalise(batch.pictures.to(device)))
        for i, truth in enumerate(batch.boxes):
            boxes, scores = decode_boxes(logits[i].cpu(), shapes[i].cpu(), min_score=0.03)
            pictures.append(FoundBoxes(truth.numpy(), boxes.numpy(), scores.numpy()))
    if not any(len(picture.boxes) for picture in pictures):
        return 0.5  # an untrained network: nothing to move
    threshold = min(best_threshold(pictures), 0.99)
    network.raise_logits(-math.log(threshold / (1 - threshold)))
    return threshold


def _freeze(network: PersonNet, num_blocks: int) -> None:
    """Stop learning in the stem and the first blocks of the body; 0: nowhere."""
    if num_blocks:
        movenet = network.movenet
        for part in (movenet.stem, *movenet.blocks[:num_blocks]):
            part.requires_grad_(False)


def _optimizer(network: PersonNet, config: DetectorTrainingConfig) -> torch.optim.Adam:
    """Adam with a group, thus a rate, for every tensor."""
    body = ("movenet.stem.", "movenet.blocks.", "movenet.top.")
    return torch.optim.Adam(
        [
            {
                "params": [parameter],
                "lr": 0.0,
                "factor": config.body_rate if name.startswith(body) else 1.0,
            }
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        ]
    )


def _rate(config: DetectorTrainingConfig, progress: Progress) -> float:
    """Learning rate now: linear warm-up, then a cosine over the run's steps or minutes."""
    shares = [0.0]
    if config.steps:
        shares.append(progress.step / config.steps)
    if config.minutes:
        shares.append(progress.stage_seconds / (60 * config.minutes))
    warm = min(1.0, (progress.step + 1) / max(config.warmup_steps, 1))
    done = min(max(shares), 1.0)
    return config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
