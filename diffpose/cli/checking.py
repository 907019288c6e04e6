"""``diffpose data check-annotations``: doubtful annotations of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from diffpose.errors import SettingsError

if TYPE_CHECKING:
    from diffpose.data.sources import StillSource


def register(data: typer.Typer) -> None:
    """Add the command to the group."""
    data.command("check-annotations")(check_annotations)


def check_annotations(
    folder: Annotated[Path, typer.Argument(metavar="LSPET")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for `train pose --trust`.")],
    weights: Annotated[
        Path | None, typer.Option(help="Another weights file than the shipped one.")
    ] = None,
    second_opinion: Annotated[
        Path | None, typer.Option(help="COCO results of another estimator on these pictures.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Find wrong annotations in LSPET train, by the weights or by a second opinion."""
    from diffpose.data.sources import load_lspet
    from diffpose.skeleton import HALPE26

    if second_opinion is not None and weights is not None:
        raise SettingsError("Expected --weights or --second-opinion, got both; give one.")
    if second_opinion is not None:
        _check_by_opinion(load_lspet(folder, "train", HALPE26), second_opinion, output)
        return
    _check_by_weights(folder, weights, output, device)


def _check_by_opinion(source: StillSource, opinion: Path, output: Path) -> None:
    from diffpose.data.sources import write_trust
    from diffpose.evaluation.label_noise import reconcile
    from diffpose.formats.coco_results import read_coco_results
    from diffpose.skeleton import COCO17, HALPE26, convert

    points, scores = read_coco_results(opinion, source.names)
    second = convert(points, COCO17, HALPE26)
    trusted = np.nan_to_num(convert(scores, COCO17, HALPE26, axis=-1))
    settled = reconcile(source.keypoints, second, trusted, HALPE26)
    write_trust(output, source.names, settled.weights, HALPE26, settled=settled.keypoints)
    annotated = int(np.isfinite(source.keypoints).all(axis=-1).sum())
    typer.echo(
        f"{len(source)} pictures: sides changed in {settled.exchanged.sum()}; of {annotated} "
        f"annotated keypoints {settled.replaced.sum()} replaced and "
        f"{(settled.weights < 1).sum() - settled.replaced.sum() - settled.added.sum()} count "
        f"less; {settled.added.sum()} added: {output}"
    )


def _check_by_weights(folder: Path, weights: Path | None, output: Path, device: str) -> None:
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
