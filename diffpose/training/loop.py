"""The training loop: stages, time budgets, checkpoints, progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffpose.data.batches import Batch, evaluation_batches, prefetch
from diffpose.data.sources import Source
from diffpose.diffusion.schedule import NoiseSchedule, cosine_schedule
from diffpose.errors import DiffPoseError, SettingsError, WeightsError
from diffpose.evaluation.pck import limb_pck
from diffpose.geometry import apply_affine, invert_affine
from diffpose.model.backbone import ConvBackbone, VitBackbone
from diffpose.model.config import ModelConfig
from diffpose.model.pose_backbone import MoveNetBackbone
from diffpose.model.resize import below_finer_levels, resize_weights
from diffpose.model.weights import load_conv_weights, load_vit_weights, load_weights, save_weights
from diffpose.movenet_files import load_movenet
from diffpose.training.answers import CachedAnswers, fill_answers
from diffpose.training.cache import CachedFeatures, CachedWindows, encoder_of, fill_cache
from diffpose.training.config import StageConfig, TrainingConfig
from diffpose.training.data import TrainingData, mixture_of, with_epochs_as_steps
from diffpose.training.distributed import Team
from diffpose.training.state import (
    Ema,
    Progress,
    Trainee,
    load_average,
    load_checkpoint,
    load_progress,
    save_checkpoint,
)
from diffpose.training.steps import LOSSES, predict
from diffpose.training.teacher import Teacher

Listener = Callable[[dict[str, Any]], None]
ALONE = Team()


_BODY = "network.backbone.body."  # of a pose-pretrained backbone
_CACHED_SAID = 16  # shards from one line about the cache to the next
_POOLED_TOKENS = ("network.strl.position", "network.strl.aggregate.")
_LEAST_MAGNITUDE = 1e-4  # of a tensor that starts at nothing


def _optimizer(trainee: Trainee, stage: StageConfig) -> torch.optim.AdamW:
    """AdamW over what the stage trains; no decay on norms, biases and positions.

    A tensor of a pose-pretrained body is a group by itself, without decay: its rate follows its
    magnitude.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    of_the_body: list[nn.Parameter] = []
    for name, parameter in trainee.named_parameters():
        in_backbone = name.startswith("network.backbone.")
        if stage.objective == "coarse":
            trains = in_backbone or name.startswith("coarse.")
        else:
            trains = stage.objective == "joint" or not name.startswith("coarse.")
        rate = stage.backbone_rate if in_backbone else 1.0
        if not (trains and rate > 0 and parameter.requires_grad):
            continue
        if stage.relative_rate > 0 and name.startswith(_BODY):
            of_the_body.append(parameter)
        else:
            decay = stage.weight_decay if parameter.dim() > 1 and "position" not in name else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": members, "weight_decay": decay, "lr": stage.learning_rate, "factor": rate}
            for (rate, decay), members in groups.items()
        ]
        + [
            {"params": [p], "weight_decay": 0.0, "lr": stage.learning_rate, "relative": True}
            for p in of_the_body
        ]
    )


@torch.no_grad()
def _set_rates(optimizer: torch.optim.Optimizer, stage: StageConfig, progress: Progress) -> None:
    """Give every group its rate at this step.

    Those of the body's tensors are computed from the weights as they are, so that a run which
    resumes has nothing to remember.
    """
    shape = _rate(stage, progress)
    relative = [group for group in optimizer.param_groups if group.get("relative")]
    for group in optimizer.param_groups:
        if not group.get("relative"):
            group["lr"] = shape * group["factor"]
    if relative:
        tensors = [group["params"][0] for group in relative]
        sums = torch._foreach_norm(tensors, 1)
        for group, tensor, total in zip(relative, tensors, sums, strict=True):
            magnitude = max(float(total) / tensor.numel(), _LEAST_MAGNITUDE)
            group["lr"] = shape / stage.learning_rate * stage.relative_rate * magnitude


def _rate(stage: StageConfig, progress: Progress) -> float:
    """Learning rate now: linear warm-up, then a cosine over the stage's steps or minutes."""
    shares = []
    if stage.steps:
        shares.append(progress.stage_step / stage.steps)
    if stage.minutes:
        shares.append(progress.stage_seconds / (60 * stage.minutes))
    done = min(max(shares), 1.0)
    warm = min(1.0, (progress.stage_step + 1) / max(stage.warmup_steps, 1))
    return stage.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _finished(stage: StageConfig, progress: Progress) -> bool:
    by_steps = stage.steps > 0 and progress.stage_step >= stage.steps
    return by_steps or (stage.minutes > 0 and progress.stage_seconds >= 60 * stage.minutes)


def _prepare_modes(trainee: Trainee, stage: StageConfig) -> None:
    """What the stage trains; what it does not keeps its batch statistics too."""
    trainee.train().requires_grad_(True)
    backbone = trainee.network.backbone
    for part in _frozen(trainee, stage):
        part.eval().requires_grad_(False)
    if stage.objective == "coupling":
        _only_the_coupling(trainee, stage)
    if stage.frozen_statistics:
        for part in backbone.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
    for part in (backbone, trainee.network.decoder):
        if stage.compile:
            part.compile()
        else:
            part._compiled_call_impl = None  # what an earlier stage compiled


def _frozen(trainee: Trainee, stage: StageConfig) -> list[nn.Module]:
    """Parts of the backbone that stay as they are."""
    backbone = trainee.network.backbone
    if stage.backbone_rate == 0:
        return [backbone]
    if stage.frozen_parts < 0:
        return []
    if isinstance(backbone, VitBackbone):
        raise SettingsError("frozen_parts is for convolutional backbones; remove it.")
    return backbone.first_parts(stage.frozen_parts)


def _only_the_coupling(trainee: Trainee, stage: StageConfig) -> None:
    """Leave nothing else of the network to train."""
    coupling = trainee.network.coupling
    if coupling is None:
        raise SettingsError(
            f"Stage {stage.name!r} trains a coupling, which the model does not have; "
            "set its coupling_width."
        )
    trainee.eval().requires_grad_(False)
    coupling.train().requires_grad_(True)


def _running_statistics(module: nn.Module) -> list[Tensor]:
    """Batch statistics: each process gathers its own, the shipped network has the team's."""
    return [buffer for name, buffer in module.named_buffers() if "running_" in name]


class Trainer:
    """One training run in one folder; a new `Trainer` on the same folder continues it.

    The folder holds ``checkpoint.safetensors`` (everything needed to continue), ``log.jsonl`` and,
    at the end of the run, ``weights.safetensors``.

    Args:
        config: The run.
        data: What it trains on.
        folder: Where it writes.
        device: Where it computes.
        team: The processes that share the run.
        clock: Seconds; an argument so that tests need not wait.
        listen: Receives every log record.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: TrainingData,
        folder: Path,
        *,
        device: str = "cpu",
        team: Team = ALONE,
        clock: Callable[[], float] = time.monotonic,
        listen: Listener = lambda record: None,
    ) -> None:
        self.config = with_epochs_as_steps(config, data, processes=team.size)
        self.data, self.folder = data, folder
        self.device, self.clock, self.listen = torch.device(team.device(device)), clock, listen
        self.team = team
        self.checkpoint = folder / "checkpoint.safetensors"
        if config.threads:
            torch.set_num_threads(config.threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.trainee = Trainee(config.model)
        self.trainee.to(self.device).to(memory_format=torch.channels_last)
        self.schedule: NoiseSchedule = cosine_schedule(config.model.num_timesteps)
        self.generator = torch.Generator()
        self.ema = Ema(self.trainee)
        self.progress = Progress()
        folder.mkdir(parents=True, exist_ok=True)

    def start_from(self, path: Path) -> None:
        """Begin with the averaged weights of another run's checkpoint, at this run's first stage.

        What depends on the crop size (positions, the aggregation of STRL) is interpolated where
        the other run had another, and levels of the backbone that it did not merge begin with
        nothing to say; what is of another shape still starts again. The backbone must fit.

        Raises:
            WeightsError: It is damaged, or its backbone is another.
        """
        averaged, model = load_average(path)
        self._begin_with(averaged, model, path.name)

    def start_from_weights(self, path: Path) -> None:
        """Begin with a weights file, fitted as `start_from` does; the plain head starts again.

        Raises:
            WeightsError: It is damaged or of another model.
        """
        network = load_weights(path)
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        self._begin_with(tensors, network.config, path.name)

    def _begin_with(self, tensors: Mapping[str, Tensor], model: ModelConfig, name: str) -> None:
        new = self.config.model
        added = max(0, round(math.log2(model.finest_stride / new.finest_stride)))
        if model.neighbour_pool > 1 and model.feature_size != new.feature_size:
            # Pooled tokens cannot be interpolated as a grid: they keep their random start.
            tensors = {k: v for k, v in tensors.items() if not k.startswith(_POOLED_TOKENS)}
        tensors = resize_weights(tensors, old=model.feature_size, new=new.feature_size)
        tensors = below_finer_levels(tensors, added=added)
        own = self.trainee.state_dict()
        finer = tuple(f"network.backbone.lateral.{level}." for level in range(added))
        silent = {k: torch.zeros_like(v) for k, v in own.items() if k.startswith(finer)}
        fitting = {k: v for k, v in tensors.items() if k in own and v.shape == own[k].shape}
        fitting |= silent
        missing = [k for k in own if k.startswith("network.backbone.") and k not in fitting]
        if missing:
            raise WeightsError(
                f"{name} was trained with another backbone (it lacks {missing[0]}); "
                "use the config it was made with."
            )
        self.trainee.load_state_dict(own | fitting)
        self.ema = Ema(self.trainee)

    def start_from_backbone(self, path: Path) -> None:
        """Begin with a backbone from a MoveNet, ViTPose, timm or image-classifier file.

        Raises:
            WeightsError: It is damaged or another network.
        """
        backbone = self.trainee.network.backbone
        if isinstance(backbone, MoveNetBackbone):
            backbone.start_as(load_movenet(path))
        elif isinstance(backbone, ConvBackbone):
            load_conv_weights(self.trainee.network, path)
        else:
            load_vit_weights(self.trainee.network, path)
        self.ema = Ema(self.trainee)

    def learn_from(self, path: Path) -> None:
        """Take a published MoveNet for a teacher, in the stages that have a share for it.

        Raises:
            WeightsError: The file is missing, damaged or of another kind.
        """
        skeleton = self.config.model.keypoints
        self.trainee.teacher = Teacher(load_movenet(path), skeleton, device=self.device)

    def run(self) -> Progress:
        """Train until the last stage ends; safe to kill and call again at any moment."""
        resume = self.checkpoint.is_file()
        if resume:
            self.progress = load_progress(self.checkpoint)
        while self.progress.stage < len(self.config.stages):
            stage = self.config.stages[self.progress.stage]
            _prepare_modes(self.trainee, stage)
            optimizer = _optimizer(self.trainee, stage)
            if resume:
                self.progress = load_checkpoint(
                    self.checkpoint,
                    trainee=self.trainee,
                    ema=self.ema,
                    optimizer=optimizer if self.progress.stage_step else None,
                )
                resume = False
            self._run_stage(stage, optimizer)
            self.progress.stage += 1
            self.progress.stage_step, self.progress.stage_seconds = 0, 0.0
            self.trainee.load_state_dict(self.ema.values)  # the next stage starts from the average
            self.ema = Ema(self.trainee)
            if self.team.leads:
                self._save(optimizer=torch.optim.AdamW([nn.Parameter(torch.zeros(1))]))
        if self.team.leads:
            self.export(self.folder / "weights.safetensors")
        return self.progress

    def export(self, path: Path) -> None:
        """Write the averaged weights for inference."""
        network = Trainee(self.config.model)
        network.load_state_dict(self.ema.values)
        record = {"samples": self.progress.samples, "steps": self.progress.step,
                  "seed": self.config.seed}  # fmt: skip
        save_weights(path, network.network, training=record)

    def _run_stage(self, stage: StageConfig, optimizer: torch.optim.Optimizer) -> None:
        batches = self._batches(stage)
        last = saved = evaluated = self.clock()
        losses: list[float] = []
        try:
            while not _finished(stage, self.progress):
                losses.append(self._step(batches, stage, optimizer))
                now = self.clock()
                self.progress.stage_seconds += now - last
                self.progress.stage_seconds = self.team.agree(self.progress.stage_seconds)
                last = now
                if not self.team.leads:
                    continue
                if now - evaluated >= self.config.evaluate_seconds:
                    self._report(stage, losses)
                    losses.clear()
                    evaluated = last = self.clock()
                if now - saved >= self.config.checkpoint_seconds:
                    self._save(optimizer)
                    saved = last = self.clock()
        except BaseException:
            # Stopped by the user or by an error: what was learnt since the last checkpoint stays,
            # unless the weights themselves are what broke.
            if self.team.leads and losses and math.isfinite(losses[-1]):
                self._save(optimizer)
            raise
        finally:
            _close(batches)
        if self.team.leads:
            self._report(stage, losses)

    def _batches(self, stage: StageConfig) -> Iterator[Batch]:
        """The stage's batches from the progress on, as this process sees them."""
        mixture = mixture_of(self.data, stage, self.config)
        first, stride, seed = self._batch_number(stage, 0), self.team.size, self.config.seed
        if not stage.cached_shards:
            workers = self.config.workers
            return prefetch(mixture, seed=seed, first=first, stride=stride, workers=workers)
        network, folder = self.trainee.network, self.folder / f"features-{stage.name}"
        shards = range(self.team.rank, stage.cached_shards, stride)
        shared: dict[str, Any] = {
            "seed": seed, "shards": shards, "device": self.device,
            "progress": lambda number: self._say_cached(stage, number),
        }  # fmt: skip
        open_cache: Callable[..., CachedWindows]
        if stage.objective == "coupling":
            fill_answers(folder, network, mixture, stage, self.schedule, **shared)
            open_cache = CachedAnswers
        else:
            fill_cache(folder, network, encoder_of(network, bf16=stage.bf16), mixture, **shared)
            open_cache = partial(CachedFeatures, network=network)
        _prepare_modes(self.trainee, stage)  # the encoder was in evaluation mode
        self.team.agree(0.0)  # nobody reads before all have written
        cache = open_cache(folder, stage.cached_shards, batch_size=stage.batch_size)
        return cache.ahead(seed=seed, first=first, stride=stride)

    def _say_cached(self, stage: StageConfig, number: int) -> None:
        if self.team.leads and number % _CACHED_SAID < self.team.size:
            self.listen({"stage": stage.name, "cached": f"{number + 1} of {stage.cached_shards}"})

    def _batch_number(self, stage: StageConfig, position: int) -> int:
        """Number of this process's batch at a position of the step in progress.

        A step of N processes reads the batches that one process reads in a step of N times as
        many. While stages accumulate alike, no batch is drawn twice in a run.
        """
        done = self.progress.step * stage.accumulate + position
        return done * self.team.size + self.team.rank

    def _step(
        self, batches: Iterator[Batch], stage: StageConfig, optimizer: torch.optim.Optimizer
    ) -> float:
        _set_rates(optimizer, stage, self.progress)
        optimizer.zero_grad(set_to_none=True)
        value = 0.0
        for position in range(stage.accumulate):
            # Noise depends on the batch's number only, as the batch does: nothing to remember.
            number = self._batch_number(stage, position)
            self.generator.manual_seed((self.config.seed * 1_000_003 + number) % 2**63)
            batch = next(batches).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=stage.bf16):
                loss = LOSSES[stage.objective](
                    self.trainee, batch, stage, self.schedule, self.generator
                )
            value += loss.item() / stage.accumulate
            (loss / stage.accumulate).backward()
        value = self.team.mean(value)
        if not math.isfinite(value):
            raise DiffPoseError(
                f"The loss became {value} at step {self.progress.step}; the checkpoint before it "
                "stands: lower the stage's learning_rate and run the same command again."
            )
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        self.team.average_gradients(trained)
        self.team.average(_running_statistics(self.trainee))
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        self.ema.update(self.trainee, stage.ema_decay)
        self.progress.step += 1
        self.progress.stage_step += 1
        self.progress.samples += stage.batch_size * stage.accumulate * self.team.size
        return value

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        save_checkpoint(
            self.checkpoint,
            trainee=self.trainee,
            ema=self.ema,
            optimizer=optimizer,
            progress=self.progress,
        )

    def _report(self, stage: StageConfig, losses: list[float]) -> None:
        record: dict[str, Any] = {
            "stage": stage.name,
            "step": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.stage_seconds / 60, 2),
            "loss": round(float(np.mean(losses)), 4) if losses else None,
        }
        if self.data.monitor is not None:
            record |= self._monitor(stage, self.data.monitor)
        self.progress.history.append(record)
        with (self.folder / "log.jsonl").open("a") as handle:
            handle.write(json.dumps(record) + "\n")
        self.listen(record)

    def _monitor(self, stage: StageConfig, source: Source) -> dict[str, float]:
        averaged = Trainee(self.config.model)
        averaged.load_state_dict(self.ema.values)
        averaged.to(self.device).eval()
        found, truths = [], []
        batches = evaluation_batches(
            source, crop_size=stage.crop_size, num_frames=1, batch_size=stage.batch_size
        )
        for batch, affines, truth in batches:
            moved = Batch(batch.crops.to(self.device), batch.keypoints)
            points: Tensor = predict(averaged, moved, stage, self.schedule)
            pairs = zip(affines, points.cpu().numpy(), strict=True)
            found += [apply_affine(invert_affine(affine), p) for affine, p in pairs]
            truths.append(truth)
        stacked, truth_all = np.stack(found), np.concatenate(truths)
        skeleton = self.config.model.keypoints
        return {
            f"pck@{t}": round(limb_pck(stacked, truth_all, skeleton, threshold=t), 4)
            for t in (0.2, 0.1)
        }


def _close(batches: Iterator[Batch]) -> None:
    close = getattr(batches, "close", None)
    if close is not None:
        close()
