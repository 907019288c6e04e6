"""What adapting trains on, and the training: corrected frames, encoded once, and old answers.

Backbone, STRL and the decoder's lower layers stay, so a frame is encoded once. Of uncorrected
frames, and of keypoints nobody placed, the old answer is asked for.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from diffpose import heatmap
from diffpose.diffusion.schedule import cosine_schedule, noised
from diffpose.geometry import apply_affine
from diffpose.inference.estimator import STRIDE, Estimator
from diffpose.inference.features import FeatureCache, window_features
from diffpose.inference.interfaces import FrameSource, Progress
from diffpose.inference.mirror import BothSides
from diffpose.inference.pipeline import window_at
from diffpose.model.decoder import Features, PoseDecoder
from diffpose.poses import FloatArray, IntArray, SamplingConfig, Track

LAYERS = ("head", "outside", "up_high", "up_middle", "up_low")
"""The decoder's layers that are fine-tuned; nothing else of the network changes."""

FOLDS = 4

_MOST_FRAMES = 64  # of one person
_RATE, _BATCH, _ANCHORS, _KEEP = 1e-3, 6, 2, 0.3
_FIRST_STEP_SHARE = 0.5  # as training: the first denoising step decides most


@dataclass(frozen=True)
class Lesson:
    """Corrected frames of one person.

    Attributes:
        track: The person's boxes.
        frames: (n,) frame indices.
        truths: (n, K, 2) video pixels; NaN where nobody looked.
        tolerances: (n, K) px: how well a keypoint that was left as it is is known; 0 if placed.
    """

    track: Track
    frames: IntArray
    truths: FloatArray
    tolerances: FloatArray


@dataclass(frozen=True)
class School:
    """N encoded windows.

    Attributes:
        plain: Their features.
        mirrored: Those of their mirror images, if the estimator looks at them.
        affines: (N, 2, 3) from video pixels to crop pixels.
        truths: (N, K, 2) video pixels, NaN where not known.
        tolerances: (N, K) px, how well they are known.
        lessons: (n,) the windows that have truths; the others are there to stay the same.
        folds: (n,) in which fold each of these is held out.
    """

    plain: Features
    mirrored: Features | None
    affines: NDArray[np.float64]
    truths: NDArray[np.float64]
    tolerances: NDArray[np.float64]
    lessons: NDArray[np.intp]
    folds: NDArray[np.intp]


def layer_names(decoder: PoseDecoder) -> list[str]:
    """Names in the network of the tensors that are fine-tuned."""
    return [
        f"decoder.{name}" for name, _ in decoder.named_parameters() if name.split(".")[0] in LAYERS
    ]


def make_school(
    video: FrameSource,
    lessons: Sequence[Lesson],
    estimator: Estimator,
    *,
    cache: FeatureCache,
    tell: Progress,
) -> School:
    """Encode corrected frames and as many others, spread over the clip."""
    wanted = []
    for lesson in lessons:
        rows = np.argsort(lesson.frames)
        some = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_FRAMES).round().astype(int))]
        wanted += [(lesson, int(lesson.frames[row]), int(row)) for row in some]
        free = np.setdiff1d(lesson.track.frames, lesson.frames)
        anchors = free[np.unique(np.linspace(0, max(len(free) - 1, 0), len(some)).astype(int))]
        wanted += [(lesson, int(frame), -1) for frame in anchors] if len(free) else []
    parts, affines, truths, tolerances, taught = [], [], [], [], []
    for number, (lesson, frame, row) in enumerate(wanted):
        tell(0.2 * number / len(wanted), "Adapting: looking at the corrected frames")
        window = window_at(video, lesson.track, estimator, frame=frame)
        if window is None:
            continue
        parts.append(window_features(window, video=video, estimator=estimator, cache=cache))
        affines.append(window.crop.astype(np.float64))
        blank = np.full(lesson.truths.shape[1:], np.nan)
        truths.append(lesson.truths[row] if row >= 0 else blank)
        tolerances.append(lesson.tolerances[row] if row >= 0 else blank[:, 0])
        taught.append(row >= 0)
    chosen = np.flatnonzero(taught)
    block = 1 if len(chosen) < 32 else 2
    both = [part for part in parts if isinstance(part, BothSides)]
    return School(
        plain=_stacked([p.plain for p in both] or [p for p in parts if isinstance(p, Features)]),
        mirrored=_stacked([part.mirrored for part in both]) if both else None,
        affines=np.stack(affines),
        truths=np.stack(truths).astype(np.float64),
        tolerances=np.stack(tolerances).astype(np.float64),
        lessons=chosen,
        folds=(np.arange(len(chosen)) // block) % FOLDS,
    )


def _stacked(parts: Sequence[Features]) -> Features:
    """As one, and usable in training: what was made in inference mode is copied."""
    arrays = [part.to_arrays() for part in parts]
    return Features.from_arrays(
        {name: np.concatenate([array[name] for array in arrays]) for name in arrays[0]}
    )


class Course:
    """Trainings of copies of one decoder on one school."""

    def __init__(self, estimator: Estimator, school: School, *, seed: int) -> None:
        self._estimator, self.school, self._seed = estimator, school, seed
        self._schedule = cosine_schedule(estimator.config.num_timesteps)
        crop = [apply_affine(a, t) for a, t in zip(school.affines, school.truths, strict=True)]
        self._points = torch.from_numpy(np.stack(crop)).float()

    def errors(
        self, estimator: Estimator, rows: NDArray[np.intp], sampling: SamplingConfig
    ) -> NDArray[np.float64]:
        """(n, K) px beyond what is known; NaN where nothing is."""
        school, index = self.school, torch.from_numpy(rows)
        features: Features | BothSides = school.plain[index]
        if school.mirrored is not None:
            features = BothSides(school.plain[index], school.mirrored[index])
        found = estimator.sample(
            features, school.affines[rows], sampling, seeds=rows.tolist()
        ).keypoints
        distance = np.linalg.norm(found - school.truths[rows], axis=-1)
        return np.asarray(np.maximum(distance - school.tolerances[rows], 0))

    def train(
        self,
        rows: NDArray[np.intp],
        *,
        steps: int,
        marks: Sequence[int] = (),
        listen: Callable[[int], None] = lambda step: None,
    ) -> list[dict[str, Tensor]]:
        """The layers after the steps of ``marks`` (the last by default), trained on ``rows``."""
        old = self._estimator.network.decoder
        decoder = copy.deepcopy(old)
        for name, parameter in decoder.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in LAYERS)
        optimizer = torch.optim.AdamW(
            [p for p in decoder.parameters() if p.requires_grad], lr=_RATE, weight_decay=0.0
        )
        generator = torch.Generator().manual_seed(self._seed)
        anchors = np.setdiff1d(np.arange(len(self._points)), self.school.lessons)
        states = []
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = _RATE * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
            chosen = np.concatenate(
                [_draw(rows, _BATCH, generator), _draw(anchors, _ANCHORS, generator)]
            )
            optimizer.zero_grad()
            self._loss(decoder, old, chosen, generator).backward()
            optimizer.step()
            listen(step)
            if step in (marks or (steps,)):
                states.append(_state(decoder))
        return states

    def _loss(
        self,
        decoder: PoseDecoder,
        old: PoseDecoder,
        rows: NDArray[np.intp],
        generator: torch.Generator,
    ) -> Tensor:
        """Where a keypoint is known the truth is asked for, elsewhere the old answer."""
        config, device = self._estimator.config, self._estimator.device
        index, points, features = torch.from_numpy(rows), self._points[rows], self.school.plain
        mirrored = self.school.mirrored
        if mirrored is not None and float(torch.rand((), generator=generator)) < 0.5:
            features = mirrored
            across = torch.tensor([config.crop_size[1] - 1.0, 0.0])
            points = (points * torch.tensor([-1.0, 1.0]) + across)[:, config.keypoints.mirror]
        size = config.heatmap_size
        known = torch.isfinite(points).all(dim=-1)
        truth = heatmap.encode(points, size=size, stride=STRIDE, sigma=config.sigma)
        x_0 = (2 * truth - 1) * config.signal_scale
        x_t, timesteps = noised(
            x_0, known, self._schedule,
            first_step_share=_FIRST_STEP_SHARE, generator=generator,
        )  # fmt: skip
        x_t = x_t.to(device) / config.signal_scale
        given = features[index].to(device)
        with torch.no_grad():
            asked = _answer(old(x_t, timesteps.to(device), given), config.output)
        said = _answer(decoder(x_t, timesteps.to(device), given), config.output, logs=True)
        target = _target(points, truth, config.output, crop_size=config.crop_size).to(device)
        known = known.to(device)
        cost = _cost(said, torch.where(known[..., None], target, asked), config.output)
        weight = torch.where(known, 1.0, _KEEP)
        return (cost * weight).sum() / weight.sum()


def _answer(output: tuple[Tensor, Tensor], kind: str, *, logs: bool = False) -> Tensor:
    """(B, K, cells + 1): the distribution over cells and "outside", or the plain heatmap."""
    scores = torch.cat([output[0].flatten(2), output[1].unsqueeze(-1)], dim=-1).float()
    if kind != "posterior":
        return scores
    return scores.log_softmax(dim=-1) if logs else scores.softmax(dim=-1)


def _target(points: Tensor, truth: Tensor, kind: str, *, crop_size: tuple[int, int]) -> Tensor:
    """What `_answer` should be."""
    limit = torch.tensor([crop_size[1], crop_size[0]]) - 0.5
    within = ((points >= -0.5) & (points < limit)).all(dim=-1, keepdim=True)
    flat = truth.flatten(2) * within
    if kind == "posterior":
        flat = flat / flat.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return torch.cat([flat, (~within).to(flat)], dim=-1)


def _cost(said: Tensor, asked: Tensor, kind: str) -> Tensor:
    """(B, K)."""
    if kind == "posterior":
        return -(asked * said).sum(dim=-1)
    return F.mse_loss(said[..., :-1], asked[..., :-1], reduction="none").mean(dim=-1)


def _draw(rows: NDArray[np.intp], count: int, generator: torch.Generator) -> NDArray[np.intp]:
    order = torch.randperm(len(rows), generator=generator)[:count].numpy()
    return np.asarray(rows[order])


def _state(decoder: PoseDecoder) -> dict[str, Tensor]:
    values = dict(decoder.named_parameters())
    return {
        name: values[name.removeprefix("decoder.")].detach().clone()
        for name in layer_names(decoder)
    }
