"""Adapting a project's model: from its corrections to new predictions under them.

The app and the command line do it with the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from diffpose.errors import ProjectError
from diffpose.inference.adapt import (
    AdaptConfig,
    Adapted,
    Lesson,
    adapt,
    from_bytes,
    to_bytes,
    with_tensors,
)
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.interfaces import Cancelled, FrameSource, Progress
from diffpose.inference.pipeline import estimate_poses
from diffpose.poses import Provenance, Track
from diffpose.review.adapting import take_up
from diffpose.review.learning import lessons_of
from diffpose.review.models import AdaptedModel
from diffpose.review.provenance import sampling_of
from diffpose.review.session import ReviewSession

_TRAINING = 0.7  # share of the time


def learn_from(
    session: ReviewSession,
    estimator: Estimator,
    video: FrameSource,
    *,
    tracks: Mapping[int, Track],
    cache: FeatureCache,
    config: AdaptConfig,
    progress: Progress,
    cancelled: Cancelled,
) -> Adapted:
    """Fine-tune the shipped model on what was placed and confirmed; nothing changes yet.

    Args:
        session: The project.
        estimator: The model as it is shipped.
        video: Of the project.
        tracks: The boxes of its people, by track.
        cache: Of window features.
        config: How long.
        progress: Receives the finished share and words.
        cancelled: Asked at every step.

    Raises:
        SettingsError: There are too few corrected frames.
        CancelledError: ``cancelled`` said so.
    """
    lessons = []
    for track_id in session.track_ids:
        if track_id in tracks:
            found = lessons_of(session.reviewed(track_id))
            lessons.append(Lesson(tracks[track_id], found.frames, found.truths, found.tolerances))
    return adapt(
        video, lessons, estimator, cache=cache, config=config, cancelled=cancelled,
        progress=lambda fraction, words: progress(_TRAINING * fraction, words),
    )  # fmt: skip


def put_in_force(
    session: ReviewSession,
    estimator: Estimator,
    video: FrameSource,
    adapted: Adapted,
    *,
    tracks: Mapping[int, Track],
    stop: int | None,
    progress: Progress,
    cancelled: Cancelled,
) -> Estimator:
    """Run the adapted model on the clip and put its poses under the corrections.

    Until all poses are there nothing changes.

    Args:
        session: The project.
        estimator: The model as it is shipped.
        video: Of the project.
        adapted: What `learn_from` gave.
        tracks: The boxes of its people, by track.
        stop: Frame after the last one; None for all.
        progress: Receives the finished share and words.
        cancelled: Asked once a frame.

    Raises:
        CancelledError: ``cancelled`` said so; the project is as it was.
    """
    model = with_tensors(estimator, adapted.tensors)
    people = [tracks[track_id] for track_id in session.track_ids if track_id in tracks]
    sequences, provenances = [], {}
    for number, track in enumerate(people):

        def tell(fraction: float, words: str, number: int = number) -> None:
            done = (number + fraction) / len(people)
            progress(_TRAINING + (1 - _TRAINING) * done, f"Finding poses: {words}")

        sampling = sampling_of(session.store, track.track_id)
        sequences += estimate_poses(
            video, [track], model, sampling, start=0, stop=stop, progress=tell, cancelled=cancelled
        )
        provenances[track.track_id] = Provenance(
            model.model_name, model.weights_hash, sampling.num_steps, sampling.num_hypotheses,
            sampling.seed, {"adapted": adapted.words},
        )  # fmt: skip
    kept = AdaptedModel(
        name=adapted.name,
        base=estimator.weights_hash,
        tensors=to_bytes(adapted.tensors),
        report=adapted.report,
    )
    take_up(session, kept, sequences, provenances=provenances)
    return model


def model_of(session: ReviewSession, estimator: Estimator) -> Estimator:
    """The model of a project: adapted if it was, and to these weights.

    Raises:
        ProjectError: It was adapted to other weights.
        WeightsError: The tensors it was adapted with are damaged.
    """
    kept = session.store.models.adapted()
    if kept is None:
        return estimator
    if kept.base != estimator.weights_hash:
        raise ProjectError(
            "The project was adapted to other weights than those in use; adapt it again."
        )
    return with_tensors(estimator, from_bytes(kept.tensors))
