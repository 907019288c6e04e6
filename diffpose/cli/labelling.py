"""``diffpose data pseudo-label``: labels for real pictures that nobody has annotated."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffpose.cli.console import interruptible, say, show_progress
from diffpose.errors import SettingsError

if TYPE_CHECKING:
    from diffpose.inference.teachers import MoveNetTeacher


class LabelFormat(StrEnum):
    """What ``data pseudo-label`` reads and writes; see docs/training.md."""

    LABELS = "labels"
    COCO_RESULTS = "coco-results"


def register(data: typer.Typer) -> None:
    """Add the command to the group."""
    data.command("pseudo-label")(pseudo_label)


def pseudo_label(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="People packs, or LSPET for coco-results.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    teacher: Annotated[
        Path, typer.Option(help="MoveNet Thunder, a file of `train import-backbone`.")
    ],
    finder: Annotated[
        Path | None, typer.Option(help="MoveNet MultiPose, for pictures without boxes.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="DiffPose weights as one more teacher.")
    ] = None,
    label_format: Annotated[
        LabelFormat,
        typer.Option(
            "--format",
            help="labels for `train pose`, or coco-results of LSPET for `data check-annotations`.",
        ),
    ] = LabelFormat.LABELS,
    pack: Annotated[
        list[str] | None, typer.Option(help="Only this pack; may be given several times.")
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option(help="Folder of finished parts; else OUTPUT with .job at its end."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's default.")] = 0,
) -> None:
    """Label people by what several views of teacher networks agree on; run again to continue."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    if label_format is LabelFormat.COCO_RESULTS:
        if weights is not None or finder is not None or pack:
            raise SettingsError(
                "Of --format coco-results --teacher is the only author, and LSPET has boxes; "
                "leave out --weights, --finder and --pack."
            )
        _label_lspet(folder, output, _movenet(teacher, both_sides=True))
        return
    if finder is None:
        raise SettingsError("Expected --finder, a file of MoveNet MultiPose, for people packs.")
    kept = job if job is not None else output.with_name(f"{output.name}.job")
    _label_packs(folder, output, teacher, finder, weights, pack or [], kept)


def _movenet(path: Path, *, both_sides: bool = False, side: int = 256) -> MoveNetTeacher:
    from diffpose.inference.teachers import MoveNetTeacher
    from diffpose.movenet_files import load_movenet
    from diffpose.tensorfile import tensors_hash

    network = load_movenet(path)
    return MoveNetTeacher(network, name=tensors_hash(path)[:12], both_sides=both_sides, side=side)


def _label_lspet(folder: Path, output: Path, teacher: MoveNetTeacher) -> None:
    from diffpose.data.sources import load_lspet
    from diffpose.formats.atomic import atomic_write
    from diffpose.inference.teachers import Look, View, as_coco_results
    from diffpose.skeleton import HALPE26

    source = load_lspet(folder, "train", HALPE26)
    examples = (source[row] for row in range(len(source)))
    looks = (Look(example.frames[0], example.boxes[0], View()) for example in examples)
    results = as_coco_results(teacher, source.names, looks, progress=show_progress())
    atomic_write(output, json.dumps(results))
    typer.echo(f"{len(results)} people of LSPET train: {output}")


def _label_packs(
    folder: Path,
    output: Path,
    teacher: Path,
    finder: Path,
    weights: Path | None,
    packs: list[str],
    job: Path,
) -> None:
    from diffpose.data.people_packs import read_packs, write_people_labels
    from diffpose.inference.estimator import Estimator
    from diffpose.inference.jobs import Job
    from diffpose.inference.labelling import Teachers, label_people, labels_table
    from diffpose.inference.multipose import MultiPoseFinder
    from diffpose.inference.teachers import EstimatorTeacher, Teacher
    from diffpose.movenet_files import load_movenet
    from diffpose.tensorfile import tensors_hash

    pictures = read_packs(folder, packs=packs)
    full: list[Teacher] = [_movenet(teacher)]
    if weights is not None:
        full.append(EstimatorTeacher(Estimator.load(weights)))
    teachers = Teachers(
        tuple(full),
        _movenet(teacher, side=160),
        MultiPoseFinder(load_movenet(finder), name=tensors_hash(finder)[:12]),
    )
    say(f"{len(pictures)} pictures; finished parts are kept in {job}")
    with interruptible() as cancelled:
        part = label_people(
            pictures, teachers, Job(job), progress=show_progress(), cancelled=cancelled
        )
    write_people_labels(output, part.labels)
    typer.echo(labels_table(part))
    typer.echo(f"{len(part.labels)} people: {output}")
