"""Commands that make data and weights: ``train``, ``synthesize``, ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import typer

from diffpose.errors import SettingsError

_FOLDER = "Folder with avatars/, mocap/ and backgrounds/."


class DataSplit(StrEnum):
    """Splits of the synthetic material; they share no person, motion or photo."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Dataset(StrEnum):
    """Held-out data that ``evaluate`` knows."""

    LSPET = "lspet"
    SHARDS = "shards"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(train)
    app.command("train-detector")(train_person_detector)
    app.command()(synthesize)
    app.command()(evaluate)
    app.command()(audit)


def train(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; the same folder resumes.")
    ],
    config: Annotated[
        str, typer.Option(help="A TOML file, or the name of a shipped one, e.g. small.")
    ] = "small",
    lspet: Annotated[
        Path | None, typer.Option(help="Folder of Leeds Sports Pose Extended.")
    ] = None,
    trust: Annotated[Path | None, typer.Option(help="What `audit` wrote about LSPET.")] = None,
    shards: Annotated[Path | None, typer.Option(help="Folder of rendered shards.")] = None,
    coco: Annotated[Path | None, typer.Option(help="Folder of COCO keypoints.")] = None,
    posetrack: Annotated[Path | None, typer.Option(help="Folder of PoseTrack17, 18 or 21.")] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint of another run to begin with.")
    ] = None,
    first_weights: Annotated[Path | None, typer.Option(help="Weights file to begin with.")] = None,
    first_backbone: Annotated[
        Path | None,
        typer.Option(help="ViTPose, timm or image-classifier file for the backbone."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's default.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train a network; kill it at any moment and run the same command to go on."""
    from diffpose.training.config import find_training_config
    from diffpose.training.data import load_data
    from diffpose.training.distributed import join_team
    from diffpose.training.loop import Trainer

    plan = find_training_config(config)
    data = replace(
        plan.data,
        lspet=str(lspet) if lspet is not None else plan.data.lspet,
        lspet_trust=str(trust) if trust is not None else plan.data.lspet_trust,
        shards=str(shards) if shards is not None else plan.data.shards,
        coco=str(coco) if coco is not None else plan.data.coco,
        posetrack=str(posetrack) if posetrack is not None else plan.data.posetrack,
    )
    plan = replace(plan, data=data, threads=threads or plan.threads)
    with join_team() as team:
        trainer = Trainer(
            plan, load_data(plan), output, device=device, team=team, listen=_say_record
        )
        if not trainer.checkpoint.is_file():
            if start_from is not None:
                trainer.start_from(start_from)
            if first_weights is not None:
                trainer.start_from_weights(first_weights)
            if first_backbone is not None:
                trainer.start_from_backbone(first_backbone)
        progress = trainer.run()
    typer.echo(
        f"{progress.samples} windows, {progress.step} steps: {output / 'weights.safetensors'}"
    )


def train_person_detector(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; the same folder resumes.")
    ],
    backgrounds: Annotated[Path, typer.Option(help="Folder of JPEG photos without people.")],
    scenes: Annotated[Path | None, typer.Option(help="Folder of rendered scenes.")] = None,
    lspet: Annotated[
        Path | None, typer.Option(help="Folder of Leeds Sports Pose Extended.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Pose checkpoint or image-classifier file to begin with.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Wall-clock budget over all sittings.")] = 55.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's default.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train the person detector; kill it at any moment and run the same command to go on."""
    from diffpose.training.detector import (
        DetectorTrainingConfig,
        load_scene_mixture,
        train_detector,
    )

    photos = sorted(backgrounds.glob("*.jpg")) if backgrounds.is_dir() else []
    config = DetectorTrainingConfig(
        minutes=minutes, frozen_parts=-1 if start_from is None else 1, bf16=True, threads=threads
    )
    mixture = load_scene_mixture(backgrounds=photos, scenes=scenes, lspet=lspet)
    weights = train_detector(
        config, mixture, folder=output, init=start_from, device=device, listen=_say_record
    )
    typer.echo(f"Person detector: {weights}")


class _RenderOptions(TypedDict):
    """Arguments that both kinds of shards share."""

    split: Literal["train", "val", "test"]
    seed: int
    workers: int
    progress: Callable[[float, str], None]


def _say_progress(fraction: float, words: str) -> None:
    typer.echo(f"{fraction:4.0%}  {words}", err=True)


def _say_record(record: dict[str, Any]) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in record.items()), err=True)


def synthesize(
    material: Annotated[Path, typer.Argument(metavar="MATERIAL", help=_FOLDER)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the shards.")],
    split: Annotated[DataSplit, typer.Option(help="Which people, motions and photos.")] = (
        DataSplit.TRAIN
    ),
    clips: Annotated[int, typer.Option(help="Clips around one person each; 64 to a shard.")] = 640,
    scenes: Annotated[int, typer.Option(help="Instead: pictures for the person detector.")] = 0,
    seed: Annotated[int, typer.Option(help="Other seeds give other pictures.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
) -> None:
    """Render synthetic people with exact annotations; finished shards are kept."""
    from diffpose.data.synthetic.shards import write_scene_shards, write_shards

    avatars, mocap, backgrounds = (material / name for name in ("avatars", "mocap", "backgrounds"))
    for folder in (avatars, mocap, backgrounds):
        if not folder.is_dir():
            raise SettingsError(
                f"Expected a folder {folder.name} in {material}: see docs/training.md."
            )
    shared = _RenderOptions(split=split.value, seed=seed, workers=workers, progress=_say_progress)
    if scenes:
        paths = write_scene_shards(avatars, mocap, backgrounds, output, num_scenes=scenes, **shared)
    else:
        paths = write_shards(avatars, mocap, backgrounds, output, num_clips=clips, **shared)
    typer.echo(f"{len(paths)} shards: {output}")


def evaluate(
    dataset: Annotated[Dataset, typer.Argument(help="What kind of data the folder holds.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")],
    steps: Annotated[int, typer.Option(help="Denoising steps, 1 to 50.")] = 1,
    ensemble: Annotated[int, typer.Option(help="Hypotheses, 1 to 64.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="The box is the picture, not the annotation's.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights file instead of the own.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score weights on held-out data: PCK of the torso, by keypoint; says which boxes it used."""
    from diffpose.data.sources import ShardSource, load_lspet
    from diffpose.inference.estimator import Estimator
    from diffpose.inference.evaluate import BoxSource, estimate_source, pck_table
    from diffpose.poses import SamplingConfig

    estimator = Estimator.load(weights, device=device)
    if dataset is Dataset.LSPET:
        source: Any = load_lspet(folder, "val", estimator.skeleton)
    else:
        source = ShardSource(sorted(folder.glob("shard-*.npz")))
    boxes = BoxSource.PICTURE if whole_picture else BoxSource.ANNOTATION
    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    found, truth = estimate_source(estimator, source, sampling, boxes=boxes)
    typer.echo(
        f"{len(truth)} people of {dataset.value}, boxes: {boxes.value}, "
        f"K={steps}, E={ensemble}, weights {estimator.weights_hash}"
    )
    typer.echo(pck_table(found, truth, estimator.skeleton))


def audit(
    folder: Annotated[Path, typer.Argument(metavar="LSPET")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for `train`.")],
    weights: Annotated[Path | None, typer.Option(help="Weights file instead of the own.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Find LSPET train pictures whose left and right look exchanged; they will weigh less."""
    from diffpose.data.sources import load_lspet, write_trust
    from diffpose.evaluation.label_noise import find_exchanged_sides
    from diffpose.inference.estimator import Estimator
    from diffpose.inference.evaluate import BoxSource, estimate_source
    from diffpose.poses import SamplingConfig

    estimator = Estimator.load(weights, device=device)
    source = load_lspet(folder, "train", estimator.skeleton)
    sampling = SamplingConfig(num_steps=1, num_hypotheses=1)
    found, truth = estimate_source(estimator, source, sampling, boxes=BoxSource.ANNOTATION)
    sides = find_exchanged_sides(found, truth, estimator.skeleton)
    write_trust(output, source.names, sides.weights, estimator.skeleton)
    typer.echo(
        f"{len(source)} pictures: arms doubted in {sides.arms.sum()}, legs in {sides.legs.sum()}, "
        f"both in {(sides.arms & sides.legs).sum()}: {output}"
    )
