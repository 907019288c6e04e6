"""What the review desk asks of the models, for one clip."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpose.errors import DiffPoseError
from diffpose.inference.pipeline import sample_window, window_at
from diffpose.poses import Hypotheses, SamplingConfig
from diffpose.review.provenance import sampling_of
from diffpose.review.store import Store
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


def load_desk_models(workspace: Workspace, clip: Clip, store: Store) -> DeskModels:
    """The pose model: the corrected frame is sampled again, its neighbours follow."""

    def resampler(request: ResampleRequest) -> Suggestion:
        from diffpose.workflow.resampling import follow

        estimator: Any = clip.adapted or workspace.estimator
        return follow(
            request,
            video=clip.video,
            track=clip.tracks.get(request.track_id),
            estimator=estimator,
            sampling=sampling_of(store, request.track_id),
            cache=workspace.features,
        )

    preparing = threading.Lock()

    def hypotheses(track_id: int, frame: int) -> Hypotheses:
        sampling = sampling_of(store, track_id)
        found = _hypotheses(workspace, clip, track_id, frame, sampling)
        # Who looks at alternatives may correct next.
        _prepare(workspace, clip, track_id, frame, sampling, preparing)
        return found

    return resampler, hypotheses


def _hypotheses(
    workspace: Workspace, clip: Clip, track_id: int, frame: int, sampling: SamplingConfig
) -> Hypotheses:
    estimator, track = clip.adapted or workspace.estimator, clip.tracks.get(track_id)
    window = None if track is None else window_at(clip.video, track, estimator, frame=frame)
    if window is None:
        nobody = np.zeros((0, len(estimator.skeleton)))
        return Hypotheses(frame, np.zeros((*nobody.shape, 2)), nobody)
    poses = sample_window(clip.video, window, estimator, sampling, cache=workspace.features)
    samples = poses.hypotheses[0]
    return Hypotheses(frame, samples, np.tile(poses.confidence[0], (len(samples), 1)))


def _prepare(
    workspace: Workspace,
    clip: Clip,
    track_id: int,
    frame: int,
    sampling: SamplingConfig,
    preparing: threading.Lock,
) -> None:
    """Find what a correction will need meanwhile, of one frame at a time: others are left out."""
    from diffpose.workflow.resampling import prepare

    track = clip.tracks.get(track_id)
    estimator: Any = clip.adapted or workspace.estimator
    if track is None or not preparing.acquire(blocking=False):
        return

    def work() -> None:
        # A video that cannot be read is reported by the correction that needs it.
        try:
            with suppress(DiffPoseError, OSError):
                prepare(
                    clip.video, track, estimator, sampling, frame=frame, cache=workspace.features
                )
        finally:
            preparing.release()

    threading.Thread(target=work, name="preparing", daemon=True).start()
