"""An estimator's poses of a whole annotated source, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from diffpose.data.sources import Example, Source
from diffpose.evaluation.pck import limb_pck, pck, torso_sizes, torso_tilt
from diffpose.evaluation.statements import Predictions, join
from diffpose.geometry import crop_affine, union_box
from diffpose.inference.estimator import Estimator
from diffpose.inference.mirror import BothSides
from diffpose.model.decoder import Features
from diffpose.poses import SamplingConfig
from diffpose.skeleton import Skeleton
from diffpose.video.crop import cut_crop

_BATCH = 16


class BoxSource(StrEnum):
    """Where the person boxes of an evaluation come from: never mixed in one table."""

    ANNOTATION = "annotated keypoints' extent"
    PICTURE = "whole picture"


def estimate_source(
    estimator: Estimator, source: Source, sampling: SamplingConfig, *, boxes: BoxSource
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Poses and truths of the middle frame of every example.

    Args:
        estimator: What is evaluated.
        source: Stills or clips; a still's frame is repeated through the window.
        sampling: K, E, seed.
        boxes: Where each person's box comes from.

    Returns:
        Predicted and true keypoints, each (N, K, 2) in picture pixels; truth NaN where not
        annotated.
    """
    found, truths = [], []
    for rows, examples, affines, features in _encoded(estimator, source, boxes):
        found.append(estimator.sample(features, affines, sampling, seeds=rows).keypoints)
        truths.append(np.stack([e.keypoints[len(e.frames) // 2] for e in examples]))
    return np.concatenate(found), np.concatenate(truths)


def predict_source(
    estimator: Estimator,
    source: Source,
    samplings: Sequence[SamplingConfig],
    *,
    boxes: BoxSource,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[Predictions], NDArray[np.float32], NDArray[np.uint8] | None]:
    """What the estimator states of every example's middle frame, encoded once for all settings.

    Args:
        estimator: Calibrated or not.
        source: Stills or clips; a still's frame is repeated through the window.
        samplings: K, E and seed of each setting.
        boxes: Where each person's box comes from.
        progress: Receives the finished fraction.

    Returns:
        Predictions of each setting; truths (N, K, 2), NaN where not annotated or outside the
        picture; visibility (N, K) as in `Example`, None where the source knows none.
    """
    parts: list[list[Predictions]] = [[] for _ in samplings]
    truths, visibility = [], []
    for rows, examples, affines, features in _encoded(estimator, source, boxes):
        for kept, sampling in zip(parts, samplings, strict=True):
            poses = estimator.sample(features, affines, sampling, seeds=rows)
            draws = np.tile([float(sampling.num_steps), sampling.num_hypotheses], (len(poses), 1))
            kept.append(
                Predictions(
                    estimator.skeleton, poses.keypoints, poses.confidence, poses.covariance, draws
                )
            )
        for example in examples:
            middle = len(example.frames) // 2
            truth = example.keypoints[middle]
            if example.visibility is not None:
                visibility.append(example.visibility[middle])
                truth = np.where(visibility[-1][:, None] > 0, truth, np.nan)
            truths.append(truth)
        progress((rows[-1] + 1) / len(source))
    known = np.stack(visibility) if visibility else None
    return [join(kept) for kept in parts], np.stack(truths).astype(np.float32), known


def _encoded(
    estimator: Estimator, source: Source, boxes: BoxSource
) -> Iterator[tuple[list[int], list[Example], NDArray[np.float64], Features | BothSides]]:
    """A batch after the other: row numbers, examples, crops' affines and features."""
    for start in range(0, len(source), _BATCH):
        rows = list(range(start, min(start + _BATCH, len(source))))
        examples = [source[row] for row in rows]
        affines = np.stack([_crop(estimator, example, boxes) for example in examples])
        pairs = zip(examples, affines, strict=True)
        windows = [_window(estimator, example, affine) for example, affine in pairs]
        yield rows, examples, affines, _encode(estimator, windows)


def _crop(estimator: Estimator, example: Example, boxes: BoxSource) -> NDArray[np.float64]:
    if boxes is BoxSource.PICTURE:
        height, width = example.frames[0].shape[:2]
        whole = np.array([0, 0, width, height]) - 0.5
        return crop_affine(whole, size=estimator.crop_size, padding=1.0)
    return crop_affine(union_box(example.boxes), size=estimator.crop_size)


def _window(
    estimator: Estimator, example: Example, affine: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Crops of a clip's window; of a still only one, which stands for all frames."""
    centre, count = len(example.frames) // 2, len(example.frames)
    if count == 1:
        return cut_crop(example.frames[0], affine, size=estimator.crop_size)[None]
    wanted = np.arange(centre - estimator.radius, centre + estimator.radius + 1)
    cut = {
        row: cut_crop(example.frames[row], affine, size=estimator.crop_size)
        for row in {int(r) for r in np.clip(wanted, 0, count - 1)}
    }
    return np.stack([cut[int(row)] for row in np.clip(wanted, 0, count - 1)])


def _encode(estimator: Estimator, windows: Sequence[NDArray[np.uint8]]) -> Features | BothSides:
    """Every distinct picture goes through the backbone once."""
    maps = estimator.encode_frames(np.concatenate(windows))
    parts = maps.split([len(window) for window in windows])
    num_frames = 2 * estimator.radius + 1
    return estimator.fuse(torch.stack([part.expand(num_frames, *part.shape[1:]) for part in parts]))


def _mean_of_known(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def pck_table(found: NDArray[np.floating], truth: NDArray[np.floating], skeleton: Skeleton) -> str:
    """A Markdown table of PCK by keypoint, normalised by the torso; left and right together."""
    sizes = torso_sizes(truth, skeleton)
    lines = ["| keypoint | PCK@0.2 | PCK@0.1 |", "|---|---|---|"]
    scores = [pck(found, truth, sizes=sizes, threshold=t) for t in (0.2, 0.1)]
    parts = dict.fromkeys(
        name.removeprefix("left_").removeprefix("right_") for name in skeleton.keypoints
    )
    for part in parts:
        same = {part, f"left_{part}", f"right_{part}"}
        exact = [i for i, name in enumerate(skeleton.keypoints) if name in same]
        means = [_mean_of_known(score[exact]) for score in scores]
        if np.isfinite(means).all():
            lines.append(f"| {part.replace('_', ' ')} | {means[0]:.3f} | {means[1]:.3f} |")
    total = [limb_pck(found, truth, skeleton, threshold=t) for t in (0.2, 0.1)]
    lines.append(f"| **12 limb keypoints** | **{total[0]:.3f}** | **{total[1]:.3f}** |")
    return "\n".join(lines)


_TILTS = (0, 30, 60, 120, 180)  # degrees


def tilt_table(found: NDArray[np.floating], truth: NDArray[np.floating], skeleton: Skeleton) -> str:
    """A Markdown table of limb PCK by the true torso's angle against upright in the picture."""
    tilt = torso_tilt(truth, skeleton)
    lines = ["| torso, degrees from upright | people | PCK@0.2 | PCK@0.1 |", "|---|---|---|---|"]
    for low, high in pairwise(_TILTS):
        some = (tilt >= low) & ((tilt < high) | (high == _TILTS[-1]))
        if some.any():
            scores = [limb_pck(found[some], truth[some], skeleton, threshold=t) for t in (0.2, 0.1)]
            lines.append(f"| {low} to {high} | {some.sum()} | {scores[0]:.3f} | {scores[1]:.3f} |")
    return "\n".join(lines)
