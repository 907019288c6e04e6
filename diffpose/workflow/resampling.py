"""What follows from a correction: its frame sampled again, its neighbours propagated.

The app and the command line ask here, so both suggest the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import CorrectionError, StaleRevisionError
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.flows import person_flows
from diffpose.inference.interfaces import FrameSource
from diffpose.inference.pipeline import window_at
from diffpose.inference.resample import moved, resample, sampled_before
from diffpose.poses import SamplingConfig, Track
from diffpose.review.motion import DEFAULT_PROPAGATION
from diffpose.review.propagate import suggest
from diffpose.review.provenance import sampling_of
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.review.suggestions import Resampler, ResampleRequest, Suggestion, moves
from diffpose.review.trails import Follow
from diffpose.tracking.flow import Flow, Trails
from diffpose.tracking.flow import follow as follow_points

_MOTIONS_AT_ONCE = 8  # farther away: the video is read in stretches


@dataclass(frozen=True)
class KeypointMove:
    """What a suggestion would do to one keypoint.

    Attributes:
        frame: Index, from 0.
        keypoint: Its name.
        before_xy: Video pixels; None where it had no position.
        xy: Where it would be, video pixels.
        before_radius_px: Stated uncertainty, root of the mean variance of a coordinate; None
            where unknown.
        radius_px: The same afterwards.
    """

    frame: int
    keypoint: str
    before_xy: tuple[float, float] | None
    xy: tuple[float, float]
    before_radius_px: float | None
    radius_px: float

    @property
    def distance_px(self) -> float | None:
        """How far it would move; None where it had no position."""
        if self.before_xy is None:
            return None
        return float(np.hypot(self.xy[0] - self.before_xy[0], self.xy[1] - self.before_xy[1]))


@dataclass(frozen=True, eq=False)
class Preview:
    """A suggestion and what it would change; nothing is changed yet.

    Attributes:
        suggestion: For `ReviewSession.accept`.
        moves: By frame, then in the order of the skeleton; empty if there is nothing to accept.
    """

    suggestion: Suggestion
    moves: tuple[KeypointMove, ...]


def follow(
    request: ResampleRequest,
    *,
    video: FrameSource,
    track: Track | None,
    estimator: Estimator,
    sampling: SamplingConfig,
    cache: FeatureCache,
) -> Suggestion:
    """Answer a request: the corrected frame is sampled again, its neighbours are propagated.

    What was placed is followed through the picture into the frames around.

    Args:
        request: What the session asks.
        video: Of the track.
        track: The person's boxes; where there is none, propagation alone answers.
        estimator: The active model.
        sampling: Of the run that found the poses, so that the noise is the same.
        cache: Of window features.
    """
    if track is None or window_at(video, track, estimator, frame=request.frame) is None:
        return suggest(request)
    again = resample(
        video, track, estimator, sampling, frame=request.frame, placed=request.placed, cache=cache
    )
    return suggest(
        request,
        resampled=moved(again, request.predictions),
        follow=_through_the_picture(request, video=video, track=track, cache=cache),
    )


def prepare(
    video: FrameSource,
    track: Track,
    estimator: Estimator,
    sampling: SamplingConfig,
    *,
    frame: int,
    cache: FeatureCache,
) -> None:
    """Find what a correction of a frame would have to wait for.

    That is the motion around it, and what sampling gives there without any correction.
    """
    person_flows(video, track, _motions_near(frame), cache=cache)
    window = window_at(video, track, estimator, frame=frame)
    if window is not None:
        sampled_before(video, window, estimator, sampling, cache=cache)


def _motions_near(frame: int, *, radius: int = 0) -> range:
    """First frames of the motions that a correction of a frame asks for."""
    reach = max(radius, DEFAULT_PROPAGATION.flow_reach)
    return range(frame - reach, frame + reach)


def _through_the_picture(
    request: ResampleRequest, *, video: FrameSource, track: Track, cache: FeatureCache
) -> Follow:
    """Follows points of the request's person; motions are found when first asked for."""
    near = _motions_near(request.frame, radius=request.radius)
    flows: dict[int, Flow | None] = {}

    def flow_after(at: int) -> Flow | None:
        if at not in flows:
            start = at - at % _MOTIONS_AT_ONCE
            asked = near if at in near else range(start, start + _MOTIONS_AT_ONCE)
            found = person_flows(video, track, asked, cache=cache)
            flows.update({frame: found.get(frame) for frame in asked})
        return flows[at]

    def walk(at: int, points: NDArray[np.float64], direction: int, most: int) -> Trails:
        return follow_points(flow_after, at, points, direction=direction, most=most)

    return walk


def resampler_of(
    store: Store,
    video: FrameSource,
    estimator: Estimator,
    *,
    cache: FeatureCache,
    sampling: SamplingConfig | None = None,
) -> Resampler:
    """The resampler of a project's session.

    Args:
        store: The project.
        video: Of its tracks.
        estimator: The active model (`diffpose.workflow.adapting.model_of`).
        cache: Of window features.
        sampling: None takes that of the run that found the poses, as the app does.
    """

    def resampler(request: ResampleRequest) -> Suggestion:
        return follow(
            request,
            video=video,
            track=store.boxes_of(request.track_id),
            estimator=estimator,
            sampling=sampling or sampling_of(store, request.track_id),
            cache=cache,
        )

    return resampler


def preview(session: ReviewSession, *, track_id: int, frame: int) -> Preview:
    """Sample the poses around a corrected frame again; `ReviewSession.accept` takes the result.

    Args:
        session: With a resampler (`resampler_of`); its radius says how many frames may follow.
        track_id: Whose poses.
        frame: The corrected frame, index from 0.

    Raises:
        CorrectionError: There is no such frame, no pose in it, or nobody has corrected it.
        ProjectError: There is no such track.
    """
    check_corrected(session, track_id=track_id, frame=frame)
    suggestion = session.suggest(track_id, frame)
    if suggestion is None:
        raise CorrectionError("Expected a session with a resampler; make one with resampler_of.")
    return Preview(suggestion, _moves(suggestion, session))


def check_corrected(
    session: ReviewSession, *, track_id: int, frame: int, revision: int | None = None
) -> None:
    """Refuse a frame from which nothing follows, before a model is loaded for it.

    Args:
        session: The project.
        track_id: Whose poses.
        frame: The corrected frame, index from 0.
        revision: The project's revision that the caller has looked at; None means the newest.

    Raises:
        CorrectionError: There is no such frame, no pose in it, or nobody has corrected it.
        ProjectError: There is no such track.
        StaleRevisionError: The project has changed since ``revision``.
    """
    reviewed, now = session.reviewed(track_id), session.store.revision
    if revision is not None and revision != now:
        raise StaleRevisionError(
            f"Expected the project at revision {revision}, it is at {now}; "
            f"look at what is suggested now.",
            revision=now,
        )
    count, row = session.video(track_id).num_frames, reviewed.row(frame)
    if not 0 <= frame < count:
        raise CorrectionError(f"The video has {count} frames, got index {frame}.")
    if row is None:
        raise CorrectionError(
            f"Track {track_id} has no pose in frame {frame + 1}, counted from 1; "
            f"place a keypoint there first or choose another frame."
        )
    if not (reviewed.corrected[row].any() or reviewed.confirmed[row]):
        raise CorrectionError(
            f"Nothing was corrected in frame {frame + 1} of track {track_id}, counted from 1, so "
            f"nothing follows from it; place a keypoint there first."
        )


def _moves(suggestion: Suggestion, session: ReviewSession) -> tuple[KeypointMove, ...]:
    reviewed = session.reviewed(suggestion.track_id)
    poses, names = reviewed.poses, reviewed.poses.skeleton.keypoints
    rows = {int(frame): row for row, frame in enumerate(poses.frames)}
    radius = np.sqrt(np.trace(suggestion.covariance, axis1=-2, axis2=-1) / 2)
    result = []
    for index, k in np.argwhere(moves(suggestion, reviewed)).tolist():
        row = rows[suggestion.frames[index]]
        before, known = poses.keypoints[row, k], poses.radius[row, k]
        x, y = suggestion.keypoints[index, k].tolist()
        result.append(
            KeypointMove(
                frame=suggestion.frames[index],
                keypoint=names[k],
                before_xy=(float(before[0]), float(before[1]))
                if np.isfinite(before).all()
                else None,
                xy=(x, y),
                before_radius_px=float(known) if np.isfinite(known) else None,
                radius_px=float(radius[index, k]),
            )
        )
    return tuple(result)
