"""What a training run reads: the sources that its config names, and their shares of a stage."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from diffpose.data.batches import Mixture
from diffpose.data.coco_source import load_coco
from diffpose.data.people_packs import load_people
from diffpose.data.posetrack import PoseTrackSource, load_posetrack
from diffpose.data.sources import ShardSource, Source, StillSource, load_lspet
from diffpose.errors import SettingsError
from diffpose.skeleton import Skeleton
from diffpose.training.config import DataConfig, StageConfig, TrainingConfig


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on, and the stills it watches its progress on.

    Attributes:
        stills: Annotated stills; None without.
        clips: Rendered clips; None without.
        monitor: Examples kept out of training.
        coco: Stills of COCO; None without.
        posetrack: Windows of PoseTrack; None without.
        people: Real pictures with pseudo-labels; None without.
    """

    stills: Source | None
    clips: Source | None
    monitor: Source | None
    coco: Source | None = None
    posetrack: Source | None = None
    people: Source | None = None


def load_data(config: TrainingConfig) -> TrainingData:
    """Read the config's data; every n-th still of LSPET train is kept out for the monitor.

    Without LSPET the last sequences of PoseTrack are kept out, as many as the monitor needs.

    Raises:
        SettingsError: The config names no data.
        FormatError: Files are missing or damaged.
    """
    data, skeleton = config.data, config.model.keypoints
    stills: Source | None = None
    clips: Source | None = None
    posetrack: Source | None = None
    monitor: Source | None = None
    if data.lspet:
        every = load_lspet(Path(data.lspet), "train", skeleton, trust=data.lspet_trust)
        held = set(np.linspace(0, len(every) - 1, data.monitor, dtype=int).tolist())
        stills = _subset(every, [i for i in range(len(every)) if i not in held])
        monitor = _subset(every, sorted(held)) if held else None
    if data.shards:
        paths = sorted(Path(data.shards).glob("shard-*.npz"))
        clips = ShardSource(paths) if paths else None
    coco = load_coco(Path(data.coco), "train", skeleton=skeleton) if data.coco else None
    if data.posetrack:
        windows = load_posetrack(Path(data.posetrack), "train", skeleton=skeleton)
        held_out = _last_sequences(windows, 0 if monitor is not None else data.monitor)
        posetrack = windows.part(range(len(windows.sequences) - held_out)) if held_out else windows
        if held_out:
            monitor = windows.part(range(len(windows.sequences))[-held_out:])
    people = _labelled_people(data, skeleton)
    if all(source is None for source in (stills, clips, coco, posetrack, people)):
        raise SettingsError(
            "The config names no training data; "
            "set data.lspet, data.shards, data.coco, data.posetrack or data.people."
        )
    return TrainingData(stills, clips, monitor, coco, posetrack, people)


def _labelled_people(data: DataConfig, skeleton: Skeleton) -> Source | None:
    if bool(data.people) != bool(data.people_labels):
        raise SettingsError(
            "Expected data.people and data.people_labels together, got one of them; label the "
            "pictures with `diffpose data pseudo-label`."
        )
    if not data.people:
        return None
    return load_people(Path(data.people), Path(data.people_labels), skeleton=skeleton)


def _last_sequences(source: PoseTrackSource, people: int) -> int:
    """How many sequences at the end have that many people; one at least is left to train on."""
    found = np.bincount([p.sequence for p in source.people], minlength=len(source.sequences))
    held = int(np.searchsorted(np.cumsum(found[::-1]), people)) + 1 if people else 0
    return min(held, len(source.sequences) - 1)


def _subset(source: StillSource, rows: list[int]) -> StillSource:
    return StillSource(
        [source.pictures[i] for i in rows],
        source.keypoints[rows],
        [source.names[i] for i in rows],
        source.weights[rows],
    )


def mixture_of(data: TrainingData, stage: StageConfig, config: TrainingConfig) -> Mixture:
    """What a stage draws its batches from; stills, and clips, share by their numbers.

    Raises:
        SettingsError: ``clip_share`` leaves no data.
    """
    groups = [
        ((data.stills, data.coco, data.people), 1 - stage.clip_share),
        ((data.clips, data.posetrack), stage.clip_share),
    ]
    pairs = []
    for group, share in groups:
        present = [source for source in group if source is not None]
        total = sum(len(source) for source in present)
        pairs += [(source, share * len(source) / total) for source in present if share > 0]
    if not pairs:
        raise SettingsError(f"Stage {stage.name!r} has no data left: check clip_share.")
    return Mixture(
        sources=[source for source, _ in pairs],
        weights=[share for _, share in pairs],
        num_frames=stage.num_frames,
        crop_size=stage.crop_size,
        batch_size=stage.batch_size,
        skeleton=config.model.keypoints,
        augment=stage.augment,
        still_frames=stage.still_frames,
    )


def with_epochs_as_steps(
    config: TrainingConfig, data: TrainingData, *, processes: int
) -> TrainingConfig:
    """The config with the steps that its stages' epochs are.

    An epoch is as many windows as the stage's sources have examples. They are drawn at random, as
    every batch is, so that a run can be resumed; over many epochs everybody's share is equal.
    """

    def resolved(stage: StageConfig) -> StageConfig:
        if stage.epochs <= 0:
            return stage
        examples = sum(len(source) for source in mixture_of(data, stage, config).sources)
        windows = stage.batch_size * stage.accumulate * processes
        return replace(stage, steps=max(1, math.ceil(stage.epochs * examples / windows)))

    return replace(config, stages=tuple(resolved(stage) for stage in config.stages))
