"""``diffpose evaluate``: weights scored on held-out data, as each data set's own tool would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffpose.errors import SettingsError
from diffpose.poses import SamplingConfig

if TYPE_CHECKING:
    from diffpose.data.posetrack import PoseTrackSource
    from diffpose.data.sources import Source
    from diffpose.formats.detections import FrameBoxes
    from diffpose.formats.posetrack_records import PoseTrackSequence
    from diffpose.inference.estimator import Estimator


evaluate = typer.Typer(
    help="Developers: score weights on held-out data, as each data set's own tool does.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the data set.")]
_Steps = Annotated[int, typer.Option(help="Denoising steps, 1 to 50.")]
_Ensemble = Annotated[int, typer.Option(help="Hypotheses, 1 to 64.")]
_Seed = Annotated[int, typer.Option(help="Seed of the noise.")]
_OneSided = Annotated[
    bool, typer.Option("--one-sided", help="Do not look at the mirror image as well.")
]
_Weights = Annotated[Path | None, typer.Option(help="Another weights file than the shipped one.")]
_Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
_WholePicture = Annotated[
    bool, typer.Option("--whole-picture", help="The box is the picture, not the annotation's.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(evaluate, name="evaluate")


@evaluate.command()
def lspet(
    folder: _Folder,
    steps: _Steps = 1,
    ensemble: _Ensemble = 1,
    seed: _Seed = 0,
    whole_picture: _WholePicture = False,
    one_sided: _OneSided = False,
    weights: _Weights = None,
    device: _Device = "cpu",
) -> None:
    """Score PCK of the torso on the val split of Leeds Sports Pose Extended."""
    from diffpose.data.sources import load_lspet
    from diffpose.inference.estimator import Estimator

    estimator = Estimator.load(weights, device=device, mirrored=not one_sided)
    source = load_lspet(folder, "val", estimator.skeleton)
    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    _evaluate_pck(estimator, "lspet", source, sampling, whole_picture=whole_picture)


@evaluate.command()
def shards(
    folder: _Folder,
    steps: _Steps = 1,
    ensemble: _Ensemble = 1,
    seed: _Seed = 0,
    whole_picture: _WholePicture = False,
    one_sided: _OneSided = False,
    weights: _Weights = None,
    device: _Device = "cpu",
) -> None:
    """Score PCK of the torso on rendered clips."""
    from diffpose.data.sources import ShardSource
    from diffpose.inference.estimator import Estimator

    estimator = Estimator.load(weights, device=device, mirrored=not one_sided)
    source = ShardSource(sorted(folder.glob("shard-*.npz")))
    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    _evaluate_pck(estimator, "shards", source, sampling, whole_picture=whole_picture)


@evaluate.command()
def posetrack(
    folder: _Folder,
    steps: _Steps = 1,
    ensemble: _Ensemble = 1,
    seed: _Seed = 0,
    detector: Annotated[
        bool, typer.Option("--detector", help="Boxes of DiffPose's person detector.")
    ] = False,
    boxes: Annotated[Path | None, typer.Option(help="Boxes that another detector found.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score these files instead of weights.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Folder for the predictions, as poseval reads.")
    ] = None,
    one_sided: _OneSided = False,
    weights: _Weights = None,
    device: _Device = "cpu",
) -> None:
    """Score PoseTrack AP on the val split of PoseTrack17, 18 or 21."""
    from diffpose.inference.estimator import Estimator

    given = [name for name, value in (("--detector", detector), ("--boxes", boxes),
             ("--predictions", predictions)) if value]  # fmt: skip
    if len(given) > 1:
        raise SettingsError(f"Expected boxes of one kind, got {' and '.join(given)}; give one.")
    if predictions is not None:
        if write is not None:
            raise SettingsError("--write is for running weights; omit it with --predictions.")
        _score_files(folder, predictions)
        return
    estimator = Estimator.load(weights, device=device, mirrored=not one_sided)
    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    _evaluate_posetrack(estimator, folder, sampling, detector=detector, boxes=boxes, write=write)


@evaluate.command()
def coco(
    folder: _Folder,
    steps: _Steps = 1,
    ensemble: _Ensemble = 1,
    seed: _Seed = 0,
    one_sided: _OneSided = False,
    weights: _Weights = None,
    device: _Device = "cpu",
) -> None:
    """Score COCO keypoint AP on the val split, with the annotated boxes."""
    from diffpose.data.coco_source import load_coco
    from diffpose.inference.coco import evaluate_coco, oks_table
    from diffpose.inference.estimator import Estimator

    estimator = Estimator.load(weights, device=device, mirrored=not one_sided)
    source = load_coco(folder, "val")
    sampling = SamplingConfig(num_steps=steps, num_hypotheses=ensemble, seed=seed)
    score = evaluate_coco(estimator, source, sampling, progress=_progress("Poses"))
    _say_what(f"{len(source)} people of coco val", "ground truth", sampling, estimator)
    typer.echo(oks_table(score, boxes="ground truth"))


def _evaluate_pck(
    estimator: Estimator,
    name: str,
    source: Source,
    sampling: SamplingConfig,
    *,
    whole_picture: bool,
) -> None:
    from diffpose.inference.evaluate import BoxSource, estimate_source, pck_table, tilt_table

    boxes = BoxSource.PICTURE if whole_picture else BoxSource.ANNOTATION
    found, truth = estimate_source(estimator, source, sampling, boxes=boxes)
    _say_what(f"{len(truth)} people of {name}", boxes.value, sampling, estimator)
    typer.echo(pck_table(found, truth, estimator.skeleton))
    typer.echo("\n" + tilt_table(found, truth, estimator.skeleton))


def _evaluate_posetrack(
    estimator: Estimator,
    folder: Path,
    sampling: SamplingConfig,
    *,
    detector: bool,
    boxes: Path | None,
    write: Path | None,
) -> None:
    from diffpose.data.posetrack import load_posetrack
    from diffpose.evaluation.posetrack_ap import check_scorable
    from diffpose.formats.posetrack import write_posetrack
    from diffpose.inference.posetrack import estimate_posetrack

    source = load_posetrack(folder, "val")
    check_scorable(source.sequences)
    people, origin = _posetrack_boxes(source, estimator, detector=detector, boxes=boxes)
    found = estimate_posetrack(estimator, source, people, sampling, progress=_progress("Poses"))
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for sequence in found:
            write_posetrack(write / f"{sequence.name}.json", sequence)
    count = sum(len(frame) for sequence in found for frame in sequence.frames)
    _say_what(f"{count} people of posetrack val", origin, sampling, estimator)
    _say_score(source.sequences, found, origin)


def _posetrack_boxes(
    source: PoseTrackSource, estimator: Estimator, *, detector: bool, boxes: Path | None
) -> tuple[dict[str, FrameBoxes], str]:
    """The boxes by picture, and what to call them in the table."""
    from diffpose.formats.detections import read_detections
    from diffpose.inference.detector import load_detector
    from diffpose.inference.posetrack import annotated_boxes, detected_boxes

    if boxes is not None:
        return read_detections(boxes, source.sequences), f"detections of {boxes.name}"
    if not detector:
        return annotated_boxes(source), "ground truth"
    finder = load_detector(device=estimator.device.type)
    found = detected_boxes(source, finder, progress=_progress("People"))
    return found, f"DiffPose's detector {finder.weights_hash[:12]}"


def _score_files(folder: Path, predictions: Path) -> None:
    """Score what another tool wrote; only it knows whose boxes it used."""
    from diffpose.formats.posetrack import find_annotations, read_posetrack_folder

    truth = read_posetrack_folder(find_annotations(folder, "val"))
    _say_score(truth, read_posetrack_folder(predictions), f"those of {predictions.name}")


def _say_score(
    truth: Sequence[PoseTrackSequence], found: Sequence[PoseTrackSequence], boxes: str
) -> None:
    from diffpose.evaluation.posetrack_ap import posetrack_ap
    from diffpose.evaluation.published import posetrack_table

    score = posetrack_ap(truth, found)
    typer.echo(posetrack_table(score.columns, year=truth[0].year, boxes=boxes))
    typer.echo("AP depends on the boxes: rows with boxes of different origin do not compare.")


def _say_what(people: str, boxes: str, sampling: SamplingConfig, estimator: Estimator) -> None:
    typer.echo(
        f"{people}, boxes: {boxes}, K={sampling.num_steps}, E={sampling.num_hypotheses}, "
        f"weights {estimator.weights_hash}"
    )


def _progress(words: str) -> Callable[[float], None]:
    """A line on stderr every tenth."""
    shown = 0

    def show(fraction: float) -> None:
        nonlocal shown
        if int(fraction * 10) > shown:
            shown = int(fraction * 10)
            typer.echo(f"{fraction:4.0%}  {words}", err=True)

    return show
