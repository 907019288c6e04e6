"""What the review desk asks of the models, for one clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffpose.inference.pipeline import sample_window, window_at
from diffpose.poses import Hypotheses, SamplingConfig
from diffpose.review.propagate import suggest
from diffpose.review.suggestions import (
    HypothesesProvider,
    Resampler,
    ResampleRequest,
    Suggestion,
)

if TYPE_CHECKING:
    from app.session import Clip
    from app.workspace import Workspace

DeskModels = tuple[Resampler | None, HypothesesProvider | None]
"""What follows a correction, and what else a pose could be; None where no model does it."""

Heard = dict[tuple[int, int], tuple[tuple[float, float], float]]


def load_desk_models(workspace: Workspace, clip: Clip) -> DeskModels:
    """The pose model: the corrected frame is sampled again, its neighbours follow."""

    def resampler(request: ResampleRequest) -> Suggestion:
        return suggest(request, resampled=_heard(workspace, clip, request))

    def hypotheses(track_id: int, frame: int) -> Hypotheses:
        return _hypotheses(workspace, clip, track_id, frame)

    return resampler, hypotheses


def _heard(workspace: Workspace, clip: Clip, request: ResampleRequest) -> Heard | None:
    """What the model says of the frame once it knows what was placed there."""
    from diffpose.inference.estimator import Estimator
    from diffpose.inference.resample import moved, resample

    estimator = clip.adapted or workspace.estimator
    track = clip.tracks.get(request.track_id)
    if not isinstance(estimator, Estimator) or track is None:
        return None
    if window_at(clip.video, track, estimator, frame=request.frame) is None:
        return None
    again = resample(
        clip.video,
        track,
        estimator,
        _sampling(clip, request.track_id),
        frame=request.frame,
        placed=request.placed,
        cache=workspace.features,
    )
    return moved(again, request.predictions)


def _hypotheses(workspace: Workspace, clip: Clip, track_id: int, frame: int) -> Hypotheses:
    estimator, track = clip.adapted or workspace.estimator, clip.tracks.get(track_id)
    window = None if track is None else window_at(clip.video, track, estimator, frame=frame)
    if window is None:
        nobody = np.zeros((0, len(estimator.skeleton)))
        return Hypotheses(frame, np.zeros((*nobody.shape, 2)), nobody)
    poses = sample_window(
        clip.video, window, estimator, _sampling(clip, track_id), cache=workspace.features
    )
    samples = poses.hypotheses[0]
    return Hypotheses(frame, samples, np.tile(poses.confidence[0], (len(samples), 1)))


def _sampling(clip: Clip, track_id: int) -> SamplingConfig:
    """The settings of the run that found the poses."""
    held = clip.poses.get(track_id)
    return SamplingConfig() if held is None or held.sampling is None else held.sampling
