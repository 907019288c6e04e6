"""Adapt to a project: the decoder's last layers, fine-tuned on the frames a reviewer corrected.

Every corrected frame is judged by a network that has not seen it (folds of blocks of frames), and
the network that is kept is trained on all of them, for as many steps as served the folds best.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from diffpose.errors import CancelledError, SettingsError, WeightsError
from diffpose.inference.course import FOLDS, Course, Lesson, layer_names, make_school
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.interfaces import Cancelled, FrameSource, Progress
from diffpose.poses import SamplingConfig

__all__ = ["AdaptConfig", "Adapted", "Lesson", "adapt", "from_bytes", "to_bytes", "with_tensors"]

MIN_FRAMES = 8
"""Corrected frames without which nothing can be distinguished from chance."""

_TYPES = {"torch.float16", "torch.bfloat16", "torch.float32", "torch.float64"}  # of tensors
_CHECKS = 3  # numbers of steps that are compared


@dataclass(frozen=True)
class AdaptConfig:
    """How long and from which noise.

    Attributes:
        steps: Most steps of the optimiser in each training.
        seconds: Fewer if they would take longer than this, all folds together.
        seed: Of noise and of the order of frames.
        judged: Denoising steps and hypotheses with which errors are measured.
    """

    steps: int = 45
    seconds: float = 120.0
    seed: int = 0
    judged: SamplingConfig = field(default_factory=lambda: SamplingConfig(2, 4))


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        tensors: The changed tensors by their names in the network.
        frames: Corrected frames used, each of them also held out once.
        steps: Of the optimiser.
        before_px: Mean error on held-out frames before, video pixels.
        after_px: The same after.
        change_px: 90 % interval of the change, by resampling frames.
    """

    tensors: Mapping[str, Tensor]
    frames: int
    steps: int
    before_px: float
    after_px: float
    change_px: tuple[float, float]

    @property
    def improved(self) -> bool:
        """Did the held-out error fall beyond noise?"""
        return self.change_px[1] < 0

    @property
    def name(self) -> str:
        """Hash of the tensors."""
        return hashlib.sha256(to_bytes(self.tensors)).hexdigest()[:12]

    @property
    def words(self) -> str:
        """One sentence for the reviewer."""
        change = f"held-out error {self.before_px:.1f} → {self.after_px:.1f} px"
        seen = f"{change} ({self.frames} frames, each held out once)"
        if self.improved:
            return f"Adapted to this project: {seen}."
        return f"Adapting does not help here beyond chance: {seen}."

    @property
    def report(self) -> dict[str, str | int | float | bool]:
        """What was measured, as JSON values: kept in the project with the tensors."""
        return {
            "words": self.words, "improved": self.improved, "frames": self.frames,
            "steps": self.steps, "before_px": self.before_px, "after_px": self.after_px,
        }  # fmt: skip


def adapt(
    video: FrameSource,
    lessons: Sequence[Lesson],
    estimator: Estimator,
    *,
    cache: FeatureCache,
    config: AdaptConfig = AdaptConfig(),
    progress: Progress = lambda fraction, words: None,
    cancelled: Cancelled = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Adapted:
    """Fine-tune on corrected frames; the estimator stays as it is (`with_tensors` uses the result).

    Raises:
        SettingsError: There are too few corrected frames.
        CancelledError: ``cancelled`` said so.
    """
    count = sum(int((lesson.tolerances == 0).any(axis=1).sum()) for lesson in lessons)
    if count < MIN_FRAMES:
        raise SettingsError(
            f"Adapting needs {MIN_FRAMES} frames with corrections; there are {count}. "
            f"Correct {MIN_FRAMES - count} more, spread over the clip."
        )

    def tell(fraction: float, words: str) -> None:
        if cancelled():
            raise CancelledError("Adapting was cancelled; everything is as it was.")
        progress(fraction, words)

    school = make_school(video, lessons, estimator, cache=cache, tell=tell)
    course = Course(estimator, school, seed=config.seed)
    before = course.errors(estimator, school.lessons, config.judged)
    began = clock()
    course.train(school.lessons, steps=3)
    affordable = int(config.seconds / (FOLDS + 1) / max((clock() - began) / 3, 1e-9))
    steps = max(min(config.steps, affordable), _CHECKS)
    marks = [math.ceil(steps * (i + 1) / _CHECKS) for i in range(_CHECKS)]
    after = _held_out(course, estimator, config, marks=marks, tell=tell)
    best = int(np.nanmean(after, axis=(1, 2)).argmin())

    def listen(step: int) -> None:
        tell(0.2 + 0.8 * (FOLDS + step / marks[best]) / (FOLDS + 1), "Adapting: all frames")

    tensors = course.train(school.lessons, steps=marks[best], listen=listen)[-1]
    return Adapted(
        tensors=tensors,
        frames=len(school.lessons),
        steps=marks[best],
        before_px=float(np.nanmean(before)),
        after_px=float(np.nanmean(after[best])),
        change_px=_interval(before, after[best], seed=config.seed),
    )


def _held_out(
    course: Course,
    estimator: Estimator,
    config: AdaptConfig,
    *,
    marks: Sequence[int],
    tell: Progress,
) -> NDArray[np.float64]:
    """(checks, n, K) px: errors after the steps of ``marks`` on frames that were not trained on."""
    school = course.school
    after = np.full((len(marks), *school.truths[school.lessons].shape[:2]), np.nan)
    for fold in range(FOLDS):
        held, seen = np.flatnonzero(school.folds == fold), np.flatnonzero(school.folds != fold)

        def listen(step: int, fold: int = fold) -> None:
            done = (fold + step / marks[-1]) / (FOLDS + 1)
            tell(0.2 + 0.8 * done, "Adapting: frames are held out in turn")

        states = course.train(school.lessons[seen], steps=marks[-1], marks=marks, listen=listen)
        for check, tensors in enumerate(states):
            judged = with_tensors(estimator, tensors)
            after[check, held] = course.errors(judged, school.lessons[held], config.judged)
    return after


def with_tensors(estimator: Estimator, tensors: Mapping[str, Tensor]) -> Estimator:
    """Another estimator with some tensors exchanged; frozen parts are shared with the first.

    Raises:
        WeightsError: The tensors are not those that `adapt` changes.
    """
    shipped = dict(estimator.network.named_parameters())
    names = set(layer_names(estimator.network.decoder))
    if set(tensors) != names or any(
        tensor.shape != shipped[name].shape or not bool(torch.isfinite(tensor).all())
        for name, tensor in tensors.items()
    ):
        raise WeightsError("The adapted tensors do not fit the model; adapt to the project again.")
    network = estimator.network
    parts = (network.backbone, network.strl)
    twin = copy.deepcopy(network, memo={id(part): part for part in parts})
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
    adapted = Estimator(
        twin,
        weights_hash="",
        device=str(estimator.device),
        calibration=estimator.calibration,
        mirrored=estimator.mirrored,
        bf16=estimator.bf16,
    )
    name = hashlib.sha256(to_bytes(tensors)).hexdigest()[:12]
    adapted.weights_hash = f"{estimator.weights_hash}-adapted-{name}"
    return adapted


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """As a safetensors file, for the project."""
    return save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """What `to_bytes` wrote.

    Raises:
        WeightsError: It is damaged.
    """
    try:
        tensors = dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: a type torch lacks
        raise WeightsError(
            f"The adapted tensors are damaged ({error}); adapt the model again."
        ) from None
    if unusual := {str(t.dtype) for t in tensors.values()} - _TYPES:
        raise WeightsError(f"The adapted tensors are damaged ({unusual}); adapt the model again.")
    return tensors


def _interval(
    before: NDArray[np.float64], after: NDArray[np.float64], *, seed: int
) -> tuple[float, float]:
    """90 % of the changes of the mean over resampled frames."""
    rng = np.random.default_rng(seed)
    change, count = np.nansum(after - before, axis=1), np.isfinite(before).sum(axis=1)
    drawn = rng.integers(0, len(change), (2000, len(change)))
    means = change[drawn].sum(axis=1) / count[drawn].sum(axis=1).clip(min=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)
