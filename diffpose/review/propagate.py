"""What a correction says about the neighbouring frames and the other keypoints.

The model's error is itself predictable: it lasts for many frames, and a wrist is off by what
its elbow is off. So a correction is read as a measurement of that error, not as a position to
interpolate from. The law of the pose given everything known is Gaussian, for each coordinate:

    prediction = pose + error        error ~ stated covariance, correlated in time
    second difference of the pose ~ N(0, acceleration^2)
    keypoints joined by d edges      correlation exp(-d / range)
    correction = pose + N(0, placed^2)
    step that the picture shows = step of the pose + N(0, flow^2), near corrections

The time half is solved exactly for each keypoint, the keypoint half multiplies the roots of
those covariances (exact when all keypoints are equally certain), and corrections enter by
Gaussian conditioning. Cost: K n^3 for a window of n frames, once; K n m for m corrections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.poses import FloatArray, Origin, PoseSequence
from diffpose.review.exchange import exchanged
from diffpose.review.motion import (
    DEFAULT_PROPAGATION,
    Motion,
    PropagationConfig,
    body_size,
    solve_time,
)
from diffpose.review.suggestions import ResampleRequest, Suggestion
from diffpose.review.trails import Follow, seen_motion
from diffpose.skeleton import Skeleton

Point = tuple[float, float]
Array = NDArray[np.float64]

_UNKNOWN = 10.0  # spread of a keypoint that was not predicted, body sizes
_LEAST = 1e-4  # least spread, body sizes: keeps every matrix invertible


@dataclass(frozen=True)
class Measurement:
    """A keypoint's position from somewhere else than the model's first prediction.

    Attributes:
        row: Frame, counted from the sequence's first.
        keypoint: Which.
        xy: Video pixels; None where only the gain in certainty is asked for.
        variance: px^2 of one coordinate.
    """

    row: int
    keypoint: int
    xy: Point | None
    variance: float


@dataclass(frozen=True)
class ErrorModel:
    """What is known of n consecutive poses before any correction.

    Attributes:
        first: The window's first row in its sequence.
        mean: (n, K, 2) px, predictions smoothed by what they say of each other.
        roots: (K, n, n) px, lower triangular; ``roots[k] @ roots[k].T`` is keypoint k's covariance.
        coupling: (K, K) correlation of keypoints.
    """

    first: int
    mean: Array
    roots: Array
    coupling: Array

    @property
    def rows(self) -> range:
        """The window's rows in its sequence."""
        return range(self.first, self.first + len(self.mean))

    def variance(self) -> Array:
        """(n, K) px^2 of one coordinate."""
        return np.asarray((self.roots**2).sum(axis=2).T)

    def cross(self, row: int, keypoint: int) -> Array:
        """(n, K) covariance of every keypoint with one of them, px^2; ``row`` of the sequence."""
        loads = self.roots @ self.roots[keypoint, row - self.first]
        return np.asarray((loads * self.coupling[keypoint][:, None]).T)


def propagate(
    poses: PoseSequence,
    placed: Mapping[tuple[int, int], Sequence[float]],
    *,
    resampled: Mapping[tuple[int, int], tuple[Sequence[float], float]] | None = None,
    seen: Motion | None = None,
    config: PropagationConfig = DEFAULT_PROPAGATION,
) -> PoseSequence:
    """The poses given everything the reviewer placed, with what uncertainty remains.

    A pure function of the predictions and of all corrections: their order does not matter, and
    without any the predictions come back as they are.

    Args:
        poses: The model's predictions, not yet corrected.
        placed: (frame, keypoint) -> (x, y) in video pixels: every keypoint that the reviewer
            placed or confirmed.
        resampled: (frame, keypoint) -> ((x, y), variance px^2): what the model says of the other
            keypoints once it knows the placed ones (`diffpose.inference.resample`).
        seen: How far the picture shows each keypoint to move from each pose to the next, pixels
            (`diffpose.review.trails`).
        config: The prior.

    Returns:
        Poses of the same frames. Placed keypoints are exactly where they were placed, origin
        corrected, covariance 0, confidence NaN; those that moved have origin interpolated.

    Raises:
        FormatError: A correction is not finite or of a frame or keypoint that is not there.
    """
    rows = {int(frame): row for row, frame in enumerate(poses.frames)}
    _check(poses, rows, placed)
    unit = body_size(poses)
    sides = exchanged(poses, placed, unit)
    poses = _mirrored(poses, sides)
    known = [
        Measurement(rows[f], k, (float(xy[0]), float(xy[1])), (config.placed * unit) ** 2)
        for (f, k), xy in placed.items()
    ]
    known += [
        Measurement(rows[f], k, (float(xy[0]), float(xy[1])), max(variance, 1e-6))
        for (f, k), (xy, variance) in (resampled or {}).items()
        if f in rows and (f, k) not in placed
    ]
    moved = _blend(poses, known, config, seen) if known else poses
    origin = np.where(sides & (moved.origin == Origin.PREDICTED), Origin.INTERPOLATED, moved.origin)
    return _fix(replace(moved, origin=origin), rows, placed)


def suggest(
    request: ResampleRequest,
    *,
    resampled: Mapping[tuple[int, int], tuple[Sequence[float], float]] | None = None,
    follow: Follow | None = None,
    config: PropagationConfig = DEFAULT_PROPAGATION,
) -> Suggestion:
    """Answer a request by propagation.

    Args:
        request: What the session asks.
        resampled: As in `propagate`.
        follow: Follows points through the picture, asked only near the frames that may change;
            None leaves the picture's motion out.
        config: The prior.
    """
    frames = request.predictions.frames.astype(np.int64)
    near = np.abs(frames - request.frame) <= request.radius + config.window
    local = _rows_of(request.predictions, near)
    there = set(local.frames.tolist())
    placed = {place: xy for place, xy in request.placed.items() if place[0] in there}
    reach = request.radius + config.flow_reach
    close = {place: xy for place, xy in placed.items() if abs(place[0] - request.frame) <= reach}
    seen = None if follow is None else seen_motion(local, close, follow, config=config)
    poses = propagate(local, placed, resampled=resampled, seen=seen, config=config)
    poses = _rows_of(poses, np.abs(local.frames - request.frame) <= request.radius)
    return Suggestion(
        track_id=request.track_id,
        frames=tuple(poses.frames.tolist()),
        keypoints=poses.keypoints,
        covariance=poses.covariance,
        confidence=poses.confidence,
    )


def spreads(poses: PoseSequence) -> Array:
    """(N, K) px, the model's own uncertainty of one coordinate, also where it was corrected.

    Keypoints that a person placed or a correction moved take it from the nearest frames that
    still are predictions.
    """
    sizes = poses.radius.astype(np.float64)
    usable = np.isfinite(sizes) & (poses.origin == Origin.PREDICTED)
    unit = body_size(poses)
    result = np.empty_like(sizes)
    for k in range(sizes.shape[1]):
        found = np.flatnonzero(usable[:, k])
        typical = np.median(sizes[usable]) if usable.any() else 0.2 * unit
        result[:, k] = (
            np.interp(np.arange(len(sizes)), found, sizes[found, k]) if len(found) else typical
        )
    missing = ~np.isfinite(poses.keypoints).all(axis=-1)
    return np.maximum(np.where(missing, _UNKNOWN * unit, result), _LEAST * unit)


def error_models(
    poses: PoseSequence, *, config: PropagationConfig, seen: Motion | None = None
) -> list[ErrorModel]:
    """Windows that cover the sequence, each overlapping the next by half."""
    unit, sizes, predicted = body_size(poses), spreads(poses), _filled(poses)
    coupling = np.exp(-graph_distances(poses.skeleton) / config.edge_range)
    models = []
    for part in _cuts(len(poses), config.window):
        rows = slice(part.start, part.stop)
        mean, roots = solve_time(
            poses.frames[rows],
            predicted[rows] / unit,
            sizes[rows] / unit,
            config,
            seen=None if seen is None else seen.part(part.start, part.stop, unit=unit),
        )
        models.append(ErrorModel(part.start, mean * unit, roots * unit, coupling))
    return models


def blend_weights(models: Sequence[ErrorModel], count: int) -> list[Array]:
    """(n,) weights of each window that add up to 1 in every row: a hat over each window."""
    hats = []
    for model in models:
        n = len(model.mean)
        hats.append(np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64))
    total = np.zeros(count)
    for model, hat in zip(models, hats, strict=True):
        total[model.first : model.first + len(hat)] += hat
    return [hat / total[list(model.rows)] for model, hat in zip(models, hats, strict=True)]


@dataclass(frozen=True)
class Conditioned:
    """A window given its measurements.

    Attributes:
        shift: (n, K, 2) px, how far the mean moved.
        variance: (n, K) px^2 of one coordinate, what remains.
        loads: (m, n, K) px: the covariance lost is the product of loads, summed over m.
    """

    shift: Array
    variance: Array
    loads: Array


def condition(model: ErrorModel, known: Sequence[Measurement]) -> Conditioned:
    """Gaussian conditioning of a window on the measurements that lie in it."""
    inside = [m for m in known if m.row in model.rows]
    prior = model.variance()
    if not inside:
        return Conditioned(np.zeros_like(model.mean), prior, np.zeros((0, *prior.shape)))
    cross = np.stack([model.cross(m.row, m.keypoint) for m in inside])
    rows = [m.row - model.first for m in inside]
    keypoints = [m.keypoint for m in inside]
    gram = cross[:, rows, keypoints] + np.diag([m.variance for m in inside])
    root = np.linalg.cholesky(gram)
    loads = np.linalg.solve(root, cross.reshape(len(inside), -1)).reshape(cross.shape)
    miss = np.zeros((len(inside), 2))
    for i, m in enumerate(inside):
        if m.xy is not None:
            miss[i] = np.subtract(m.xy, model.mean[rows[i], m.keypoint])
    shift = np.einsum("mnk,mx->nkx", loads, np.linalg.solve(root, miss))
    return Conditioned(shift, np.maximum(prior - (loads**2).sum(axis=0), 0), loads)


def graph_distances(skeleton: Skeleton) -> Array:
    """(K, K) edges between keypoints; infinite where no chain of edges joins them."""
    count = len(skeleton)
    distance = np.full((count, count), np.inf)
    np.fill_diagonal(distance, 0)
    for a, b in skeleton.edge_indices:
        distance[a, b] = distance[b, a] = 1
    for k in range(count):
        distance = np.minimum(distance, distance[:, k : k + 1] + distance[k : k + 1])
    return distance


def _cuts(count: int, window: int) -> Iterator[range]:
    """Ranges of ``window`` rows that overlap by half and cover ``count`` rows."""
    start = 0
    while True:
        yield range(start, min(start + window, count))
        if start + window >= count:
            return
        start += window // 2


def _filled(poses: PoseSequence) -> Array:
    """Keypoints with unknown ones interpolated in time; 0 where never known."""
    points = poses.keypoints.astype(np.float64).copy()
    steps = np.arange(len(points))
    for column in points.reshape(len(points), -1).T:
        known = np.isfinite(column)
        column[~known] = np.interp(steps[~known], steps[known], column[known]) if known.any() else 0
    return points


def _blend(
    poses: PoseSequence,
    known: Sequence[Measurement],
    config: PropagationConfig,
    seen: Motion | None,
) -> PoseSequence:
    """Move the poses by what the measurements say, in the share in which they say it."""
    models = error_models(poses, config=config, seen=seen)
    predicted = _filled(poses)
    move, kept = np.zeros_like(predicted), np.zeros(predicted.shape[:2])
    for model, weight in zip(models, blend_weights(models, len(poses)), strict=True):
        part, rows = condition(model, known), slice(model.first, model.first + len(model.mean))
        left = part.variance / model.variance()
        # Smoothing is worth having where corrections steady it: far from any, the pose stays.
        informed = np.sqrt(np.clip(1 - left, 0, 1))
        change = part.shift + informed[..., None] * (model.mean - predicted[rows])
        move[rows] += weight[:, None, None] * change
        kept[rows] += weight[:, None] * left
    touched = kept < 1 - 1e-6
    unit = body_size(poses)
    covariance = np.where(
        np.isfinite(poses.covariance), poses.covariance, np.eye(2) * (_UNKNOWN * unit) ** 2
    )
    return replace(
        poses,
        keypoints=np.where(touched[..., None], predicted + move, poses.keypoints),
        covariance=np.where(
            touched[..., None, None], covariance * kept[..., None, None], poses.covariance
        ),
        origin=np.where(touched, Origin.INTERPOLATED, poses.origin),
    )


def _mirrored(poses: PoseSequence, sides: NDArray[np.bool_]) -> PoseSequence:
    """Take keypoints from the other side where ``sides`` (N, K) says so."""
    names, mirror = ("keypoints", "confidence", "covariance"), poses.skeleton.mirror
    fields = {}
    for name in names:
        values = getattr(poses, name)
        chosen = sides.reshape(sides.shape + (1,) * (values.ndim - 2))
        fields[name] = np.where(chosen, values[:, mirror], values)
    return replace(poses, **fields)


def _rows_of(poses: PoseSequence, chosen: NDArray[np.bool_]) -> PoseSequence:
    names = ("frames", "keypoints", "confidence", "covariance", "origin")
    return replace(poses, **{name: getattr(poses, name)[chosen] for name in names})


def _check(
    poses: PoseSequence,
    rows: Mapping[int, int],
    placed: Mapping[tuple[int, int], Sequence[float]],
) -> None:
    for (frame, keypoint), xy in placed.items():
        if frame not in rows or not 0 <= keypoint < len(poses.skeleton):
            raise FormatError(
                f"Expected corrections of keypoints 0 to {len(poses.skeleton) - 1} in frames of "
                f"track {poses.track_id}, got keypoint {keypoint} in frame {frame}."
            )
        if len(xy) != 2 or not np.isfinite(np.asarray(xy, dtype=np.float64)).all():
            raise FormatError(f"Expected a correction to be two finite numbers, got {xy!r}.")


def _fix(
    poses: PoseSequence,
    rows: Mapping[int, int],
    placed: Mapping[tuple[int, int], Sequence[float]],
) -> PoseSequence:
    """Put placed keypoints where they were placed."""
    keypoints: FloatArray = poses.keypoints.copy()
    confidence, covariance = poses.confidence.copy(), poses.covariance.copy()
    origin = poses.origin.copy()
    for (frame, k), xy in placed.items():
        where = rows[frame], k
        keypoints[where], confidence[where], covariance[where] = xy, np.nan, 0
        origin[where] = Origin.CORRECTED
    return replace(
        poses, keypoints=keypoints, confidence=confidence, covariance=covariance, origin=origin
    )
