"""``diffpose train``: commands that make weights files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from diffpose.errors import SettingsError

train = typer.Typer(
    help="Developers: train networks, calibrate and average weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(train, name="train")


@train.command("pose")
def train_pose(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; the same folder resumes.")
    ],
    config: Annotated[
        str, typer.Option(help="A TOML file, or the name of a shipped one, e.g. base.")
    ] = "base",
    lspet: Annotated[
        Path | None, typer.Option(help="Folder of Leeds Sports Pose Extended.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="What `data check-annotations` wrote about LSPET.")
    ] = None,
    shards: Annotated[Path | None, typer.Option(help="Folder of rendered shards.")] = None,
    coco: Annotated[Path | None, typer.Option(help="Folder of COCO keypoints.")] = None,
    posetrack: Annotated[Path | None, typer.Option(help="Folder of PoseTrack17, 18 or 21.")] = None,
    people: Annotated[Path | None, typer.Option(help="Folder of packs of real pictures.")] = None,
    people_labels: Annotated[
        Path | None, typer.Option(help="What `data pseudo-label` wrote about them.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint of another run to begin with.")
    ] = None,
    first_weights: Annotated[Path | None, typer.Option(help="Weights file to begin with.")] = None,
    first_backbone: Annotated[
        Path | None,
        typer.Option(help="MoveNet, ViTPose, timm or image-classifier file for the backbone."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="MoveNet file whose opinion takes part in the targets.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's default.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that make batches; 0: a thread.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train the pose network; kill it at any moment and run the same command to continue."""
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
        people=str(people) if people is not None else plan.data.people,
        people_labels=(
            str(people_labels) if people_labels is not None else plan.data.people_labels
        ),
    )
    plan = replace(
        plan, data=data, threads=threads or plan.threads, workers=workers or plan.workers
    )
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
        if teacher is not None:
            trainer.learn_from(teacher)
        progress = trainer.run()
    typer.echo(
        f"{progress.samples} windows, {progress.step} steps: {output / 'weights.safetensors'}"
    )


@train.command("detector")
def train_person_detector(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; the same folder resumes.")
    ],
    backgrounds: Annotated[Path, typer.Option(help="Folder of JPEG photos without people.")],
    without: Annotated[
        Path | None, typer.Option(help="List of photos to leave out, one name a line.")
    ] = None,
    scenes: Annotated[Path | None, typer.Option(help="Folder of rendered scenes.")] = None,
    lspet: Annotated[
        Path | None, typer.Option(help="Folder of Leeds Sports Pose Extended.")
    ] = None,
    people: Annotated[
        Path | None, typer.Option(help="Folder of packs of pictures of people with boxes.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="MultiPose file of `train import-backbone` to begin with.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Wall-clock budget over all sessions.")] = 55.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's default.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train the person detector; kill it at any moment and run the same command to continue."""
    from diffpose.data.synthetic.library import read_names
    from diffpose.training.detector import (
        DetectorTrainingConfig,
        load_scene_mixture,
        train_detector,
    )

    left_out = frozenset[str]() if without is None else read_names(without)
    found = sorted(backgrounds.glob("*.jpg")) if backgrounds.is_dir() else []
    photos = [path for path in found if not {path.name, path.stem} & left_out]
    config = DetectorTrainingConfig(
        minutes=minutes, frozen_blocks=0 if start_from is None else 3, bf16=True, threads=threads
    )
    mixture = load_scene_mixture(backgrounds=photos, scenes=scenes, lspet=lspet, people=people)
    weights = train_detector(
        config, mixture, folder=output, init=start_from, device=device, listen=_say_record
    )
    typer.echo(f"Person detector: {weights}")


def _say_progress(fraction: float, words: str) -> None:
    typer.echo(f"{fraction:4.0%}  {words}", err=True)


def _say_record(record: dict[str, Any]) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in record.items()), err=True)


@train.command()
def average(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Weights file.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another of the same config.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    share: Annotated[float, typer.Option(help="What SECOND counts, 0 to 1.")] = 0.5,
) -> None:
    """Average two weights files, one trained on from the other; calibrate the result again."""
    from diffpose.model.weights import average_weights

    average_weights(first, second, share=share, output=output)
    typer.echo(f"{1 - share:g} of {first.name} and {share:g} of {second.name}: {output}")


@train.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="Weights file.")],
    lspet: Annotated[
        Path | None, typer.Option(help="LSPET folder: the train stills that training leaves out.")
    ] = None,
    shards: Annotated[
        Path | None, typer.Option(help="Folder of rendered shards that nothing was trained on.")
    ] = None,
    config: Annotated[str, typer.Option(help="Training config: which stills it left out.")] = (
        "base"
    ),
    every: Annotated[int, typer.Option(help="Use every n-th person only.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write instead of WEIGHTS.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Fit the stated uncertainty to held-out data and store it in the weights file."""
    from diffpose.data.sources import ShardSource
    from diffpose.evaluation.reliability import coverage_table
    from diffpose.inference import calibrate as fitting
    from diffpose.inference.estimator import Estimator
    from diffpose.model.weights import save_calibration
    from diffpose.training.config import DataConfig, find_training_config
    from diffpose.training.data import load_data

    if every < 1:
        raise SettingsError(f"Expected --every of at least 1, got {every}.")
    estimator = Estimator.load(weights, device=device, calibrated=False)
    materials: dict[str, fitting.Material] = {}
    if lspet is not None:
        plan = find_training_config(config)
        data = DataConfig(lspet=str(lspet), monitor=plan.data.monitor)
        held_out = load_data(replace(plan, data=data)).monitor
        if held_out is None:
            raise SettingsError(f"Training config {config!r} leaves no stills out; name another.")
        materials["real stills"] = fitting.annotated_stills(fitting.Thinned(held_out, every))
    if shards is not None:
        clips = ShardSource(sorted(shards.glob("shard-*.npz")))
        if not len(clips):
            raise SettingsError(f"Expected rendered shards in {shards}, found none.")
        materials["rendered clips"] = fitting.rendered_clips(fitting.Thinned(clips, every))
    fitted = fitting.calibrate(estimator, materials, progress=_say_progress)
    target = weights if output is None else output
    save_calibration(weights, fitted.to_json(), output=target)
    typer.echo(coverage_table(fitted.measured))
    typer.echo(f"\nCalibrated, measured by cross-validation, tensors unchanged: {target}")


@train.command("import-backbone")
def import_backbone(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.json", help="TensorFlow.js graph, its .bin next to it.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
) -> None:
    """Convert a published MoveNet, Thunder or MultiPose, for training and pseudo-labels."""
    from diffpose.movenet_files import read_published, save_movenet

    network = read_published(file)
    save_movenet(output, network)
    typer.echo(f"{network.config.name}: {output}")
