"""Training configs: TOML in, frozen dataclasses out; an unknown key is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from diffpose.data.augment import AugmentConfig
from diffpose.errors import SettingsError
from diffpose.model.config import ModelConfig, preset

T = TypeVar("T")


@dataclass(frozen=True)
class StageConfig:
    """One stage of training; it ends after ``steps`` or ``minutes``, whichever comes first.

    Attributes:
        name: For logs.
        objective: ``coarse`` trains the backbone with a plain head on single frames;
            ``diffusion`` trains STRL and decoder (and the backbone, if its rate is not 0);
            ``joint`` trains everything, the plain head on all windows and the diffusion on a
            share of them: the decoder costs several times what the backbone does;
            ``coupling`` trains what decided keypoints say about the others, and nothing else.
        steps: Optimizer steps; 0: no limit.
        epochs: Instead of steps: times that as many windows are read as there are examples.
        minutes: Wall-clock budget of the stage over all its sessions; 0: no limit.
        crop_size: (height, width); the preset's in a diffusion stage.
        num_frames: T of the windows read from clips.
        still_frames: T of pseudo-clips from stills; 1 repeats the features of the one frame.
        batch_size: Windows of a batch.
        accumulate: Batches of a process that make one step; their gradients are averaged. A step
            sees ``batch_size`` x ``accumulate`` x processes windows.
        checkpoint_activations: Compute the backbone and the decoder again on the way back instead
            of keeping what they computed: less memory, more time.
        compile: Compile the backbone and the decoder; minutes go by before the first step.
        noise_draws: Noise samples a window, or sets of decided keypoints of a coupling stage (the
            encoder runs once for all of them).
        first_step_share: Share of noise samples drawn at the noisiest timestep, which every
            sampling run starts from.
        learning_rate: Peak of the cosine.
        diffusion_share: Share of a joint stage's windows that the diffusion is trained on.
        frozen_parts: Groups of blocks of a convolutional backbone that stay as they are, with the
            stem; -1: none, not even the stem.
        frozen_statistics: Batch norms use the statistics that they have, in training as in
            inference; what they scale and shift by still trains. Batches of stills and of clips
            are normalised alike then. For networks that are trained already.
        backbone_rate: Factor on it for the backbone; 0 freezes the backbone.
        relative_rate: Peak rate of a pose-pretrained body's tensors, in parts of each tensor's
            mean magnitude: their scales differ by five orders, and one rate fits none. 0 leaves
            them the backbone's rate.
        cached_shards: Of a diffusion stage with a frozen backbone, or of a coupling stage: how
            many times 64 windows are drawn and encoded once, to be trained on again and again; 0
            encodes a window each time that it is drawn.
        teacher_share: The teacher's part of the targets of stills, 0 to 1 (`train pose --teacher`).
        weight_decay: AdamW's.
        warmup_steps: Linear warm-up.
        ema_decay: Of the averaged weights that are evaluated and shipped.
        sigma: Cells, of the coarse targets; the preset's in a diffusion stage.
        clip_share: Share of batches from clips, rendered or PoseTrack's; the rest are stills.
        bf16: Autocast to bfloat16.
        augment: Strength of the augmentation.
    """

    name: str
    objective: Literal["coarse", "diffusion", "joint", "coupling"]
    steps: int = 0
    epochs: float = 0.0
    minutes: float = 0.0
    crop_size: tuple[int, int] = (160, 128)
    num_frames: int = 1
    still_frames: int = 1
    batch_size: int = 32
    accumulate: int = 1
    checkpoint_activations: bool = False
    compile: bool = False
    noise_draws: int = 2
    first_step_share: float = 0.5
    learning_rate: float = 1e-3
    diffusion_share: float = 0.25
    frozen_parts: int = -1
    frozen_statistics: bool = False
    backbone_rate: float = 1.0
    relative_rate: float = 0.0
    teacher_share: float = 0.0
    cached_shards: int = 0
    weight_decay: float = 0.05
    warmup_steps: int = 200
    ema_decay: float = 0.999
    sigma: float = 1.0
    clip_share: float = 0.3
    bf16: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.objective not in ("coarse", "diffusion", "joint", "coupling"):
            raise SettingsError(
                f"Unknown objective {self.objective!r}: coarse, diffusion, joint or coupling."
            )
        frozen = self.objective == "diffusion" and self.backbone_rate == 0
        if self.cached_shards and not (frozen or self.objective == "coupling"):
            raise SettingsError(
                f"Stage {self.name!r} caches features, which needs objective 'diffusion' and a "
                "backbone_rate of 0, or objective 'coupling'."
            )
        if self.steps <= 0 and self.minutes <= 0 and self.epochs <= 0:
            raise SettingsError(f"Stage {self.name!r} needs steps, epochs or minutes to end.")
        if min(self.batch_size, self.accumulate) < 1:
            raise SettingsError(
                f"Stage {self.name!r} needs a batch_size and accumulate of at least 1, got "
                f"{self.batch_size} and {self.accumulate}."
            )


@dataclass(frozen=True)
class DataConfig:
    """Where the training data lies.

    Attributes:
        lspet: Folder of ``lspet_train.tar`` and its table; empty: none.
        lspet_trust: What `diffpose data check-annotations` wrote about LSPET; empty: trust all.
        shards: Folder of rendered shards; empty: none.
        coco: Folder of COCO keypoints; empty: none.
        posetrack: Folder of PoseTrack17, 18 or 21; empty: none.
        people: Folder of packs of real pictures; empty: none.
        people_labels: What `diffpose data pseudo-label` wrote about them.
        monitor: Examples kept out of training to watch progress on (never the val split).
    """

    lspet: str = ""
    lspet_trust: str = ""
    shards: str = ""
    coco: str = ""
    posetrack: str = ""
    people: str = ""
    people_labels: str = ""
    monitor: int = 250


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run.

    Attributes:
        model: The network.
        data: What it reads.
        stages: In order.
        seed: Of weights, batches and noise.
        checkpoint_seconds: Time between checkpoints.
        evaluate_seconds: Time between evaluations on the monitor stills.
        threads: CPU threads of torch; 0 leaves its default.
        workers: Processes that make batches; 0: a thread of the trainer's own process.
    """

    model: ModelConfig
    data: DataConfig
    stages: tuple[StageConfig, ...]
    seed: int = 0
    checkpoint_seconds: float = 120.0
    evaluate_seconds: float = 300.0
    threads: int = 0
    workers: int = 0


def _build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise SettingsError(f"Unknown keys in {where}: {', '.join(unknown)}.")
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"Incomplete {where}: {error}.") from None


def _stage(values: Mapping[str, Any]) -> StageConfig:
    changed = dict(values)
    if "crop_size" in changed:
        height, width = changed["crop_size"]
        changed["crop_size"] = (int(height), int(width))
    if "augment" in changed:
        changed["augment"] = _build(AugmentConfig, changed["augment"], "augment")
    return _build(StageConfig, changed, f"stage {values.get('name', '?')!r}")


def parse_training_config(values: Mapping[str, Any]) -> TrainingConfig:
    """A config from parsed TOML: tables ``model`` (``preset`` and changes), ``data``, ``stages``.

    Raises:
        SettingsError: A key is unknown or missing, or a value is out of range.
    """
    rest = dict(values)
    model_values = dict(rest.pop("model", {}))
    base = preset(model_values.pop("preset", "small"))
    model = ModelConfig.from_dict({**base.to_dict(), **model_values})
    data = _build(DataConfig, rest.pop("data", {}), "data")
    stages = tuple(_stage(stage) for stage in rest.pop("stages", []))
    if not stages:
        raise SettingsError("Expected at least one [[stages]] table in the training config.")
    stages = tuple(
        replace(s, crop_size=model.crop_size, sigma=model.sigma) if s.objective != "coarse" else s
        for s in stages
    )
    return _build(
        TrainingConfig, {"model": model, "data": data, "stages": stages, **rest}, "config"
    )


def find_training_config(name: str) -> TrainingConfig:
    """The config of a TOML file, or the shipped one of that name.

    Raises:
        SettingsError: There is neither, or it is wrong.
    """
    folder = Path(__file__).parent / "configs"
    shipped = folder / f"{name}.toml"
    if shipped.is_file():
        return load_training_config(shipped)
    if not Path(name).is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.toml")))
        raise SettingsError(f"There is no config {name!r}; give a TOML file or one of {known}.")
    return load_training_config(Path(name))


def load_training_config(path: Path) -> TrainingConfig:
    """Read a TOML config file.

    Raises:
        SettingsError: The file is missing or no TOML, or `parse_training_config` says so.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Could not read the config {path}: {error}.") from None
    return parse_training_config(values)


__all__ = [
    "DataConfig",
    "StageConfig",
    "TrainingConfig",
    "find_training_config",
    "load_training_config",
    "parse_training_config",
]
