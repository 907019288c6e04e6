"""Which frame next: the one where a click removes most of the expected error.

The expected error of a keypoint follows from its stated covariance, from what corrections have
already said about it (`diffpose.review.propagate`), and from signs that the statement is wrong:
a jump against its own neighbours, left and right exchanged against theirs. A click is worth the
error it removes there, in the frames around and in the keypoints that err alike. What a frame
proposed earlier would explain counts no more for its neighbours: the first frames are different
places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffpose.poses import PoseSequence
from diffpose.review.corrections import UNLABELLED, ReviewedTrack
from diffpose.review.motion import DEFAULT_PROPAGATION, PropagationConfig, body_size
from diffpose.review.propagate import (
    ErrorModel,
    Measurement,
    blend_weights,
    condition,
    error_models,
    spreads,
)

Array = NDArray[np.float64]

_MEAN_LENGTH = np.sqrt(np.pi / 2)  # mean length of a 2-D normal vector of standard deviation 1
_NEIGHBOURS = 3  # frames on either side that say whether left and right are exchanged
_LOW_CONFIDENCE = 0.3


@dataclass(frozen=True)
class ReviewItem:
    """A frame worth a look.

    Attributes:
        track_id: Whose pose.
        frame: Which frame.
        keypoint: The keypoint whose correction is expected to help most.
        gain_px: Expected error that one click in the frame removes once the frames before it in
            the queue are settled, pixels summed over all keypoints and frames that it helps.
        reason: Words for the reviewer.
    """

    track_id: int
    frame: int
    keypoint: int
    gain_px: float
    reason: str


@dataclass(frozen=True)
class _Outlook:
    """What the queue knows: (N, K) arrays, and the covariance in time of each keypoint.

    ``covariances`` holds (first row, weight (n,), (K, n, n) px^2) of every window.
    """

    variance: Array
    suspicion: Array
    exchanged: NDArray[np.bool_]
    open: NDArray[np.bool_]
    covariances: list[tuple[int, Array, Array]]
    reach: Array
    placed_variance: float


def order(
    reviewed: ReviewedTrack,
    *,
    target_px: float,
    config: PropagationConfig = DEFAULT_PROPAGATION,
    places: int = 12,
) -> list[ReviewItem]:
    """The frames worth a click, best first; each as if those before it were settled.

    Args:
        reviewed: A track with its corrections.
        target_px: Frames in which every keypoint is expected to be closer than this are left
            out, and so are confirmed ones.
        config: The prior that propagation uses.
        places: So many frames are kept distinct; the rest follow by what is left to gain there.

    Returns:
        One item a frame. Equal gains are in the order of the frames.
    """
    if not len(reviewed.poses):
        return []
    outlook = _look(reviewed, config)
    doubt = np.where(outlook.open, outlook.variance + outlook.suspicion, 0)
    # The reviewer corrects what looks worst, not what we would choose.
    chance = doubt / np.maximum(doubt.sum(axis=1, keepdims=True), 1e-12)
    gains = chance * _gains(outlook)
    rows = np.flatnonzero((_expected(doubt) > target_px).any(axis=1))
    items = {
        int(row): ReviewItem(
            track_id=reviewed.poses.track_id,
            frame=int(reviewed.poses.frames[row]),
            keypoint=(best := int(gains[row].argmax())),
            gain_px=float(gains[row].sum()),
            reason=_reason(reviewed.poses, outlook, int(row), best),
        )
        for row in rows
    }
    ranked = _told_apart(outlook, list(items), gains.sum(axis=1), chance=chance, places=places)
    return [replace(items[row], gain_px=gain) for row, gain in ranked]


def _told_apart(
    outlook: _Outlook, rows: list[int], worth: Array, *, chance: Array, places: int
) -> list[tuple[int, float]]:
    """Rows and gains (px), best first, each after those before it are settled.

    The outlook and the worth (N,) px of a click in each row are used up.
    """
    ranked: list[tuple[int, float]] = []
    left, least = list(rows), np.inf
    while left and len(ranked) < places:
        row = left.pop(int(np.argmax(worth[left])))
        least = min(least, float(worth[row]))
        ranked.append((row, least))
        near = slice(row, row + 1)
        for k in np.flatnonzero(outlook.open[row]):
            near = _place(outlook, row, int(k))
        worth[near] = (chance[near] * _gains(outlook, rows=near)[near]).sum(axis=1)
    rest = [(row, min(least, float(worth[row]))) for row in left]
    return ranked + sorted(rest, key=lambda item: -item[1])


def expected_error(
    reviewed: ReviewedTrack, *, config: PropagationConfig = DEFAULT_PROPAGATION
) -> Array:
    """(N, K) px, how far each keypoint is expected to be off; 0 where confirmed or placed."""
    if not len(reviewed.poses):
        return np.zeros(reviewed.corrected.shape)
    outlook = _look(reviewed, config)
    return np.where(outlook.open, _expected(outlook.variance + outlook.suspicion), 0)


def clicks_left(
    reviewed: ReviewedTrack,
    *,
    target_px: float,
    most: int = 999,
    config: PropagationConfig = DEFAULT_PROPAGATION,
) -> int:
    """Clicks until the mean expected error is at most ``target_px``, taking the best each time.

    A click's help for other keypoints is not counted, so it is rather too many than too few.
    """
    if not len(reviewed.poses):
        return 0
    outlook = _look(reviewed, config)
    expected = np.where(outlook.open, _expected(outlook.variance + outlook.suspicion), 0)
    gains, total, clicks = _gains(outlook), float(expected.sum()), 0
    while clicks < most and total > target_px * expected.size:
        row, k = np.unravel_index(int(np.argmax(gains)), gains.shape)
        near = _place(outlook, int(row), int(k))
        variance = outlook.variance[near, k] + outlook.suspicion[near, k]
        now = np.where(outlook.open[near, k], _expected(variance), 0)
        total += float(now.sum() - expected[near, k].sum())
        expected[near, k] = now
        gains[near, k] = _gains(outlook, rows=near, keypoints=[int(k)])[near, 0]
        clicks += 1
    return clicks


def _look(reviewed: ReviewedTrack, config: PropagationConfig) -> _Outlook:
    """Condition every window on what is already known."""
    poses = reviewed.poses
    unit = body_size(poses)
    settled = reviewed.corrected | reviewed.confirmed[:, None]
    placed_variance = (config.placed * unit) ** 2
    known = [Measurement(int(r), int(k), None, placed_variance) for r, k in np.argwhere(settled)]
    models = error_models(poses, config=config)
    weights = blend_weights(models, len(poses))
    variance = np.zeros(settled.shape)
    covariances = []
    for model, weight in zip(models, weights, strict=True):
        rows = slice(model.first, model.first + len(model.mean))
        left, covariance = _remaining(model, known)
        variance[rows] += weight[:, None] * left
        covariances.append((model.first, weight, covariance))
    suspicion, exchanged = _suspicions(poses, settled)
    return _Outlook(
        variance=variance,
        suspicion=suspicion,
        exchanged=exchanged,
        open=~settled & (reviewed.visibility != UNLABELLED),
        covariances=covariances,
        reach=(models[0].coupling ** 2).sum(axis=1),
        placed_variance=placed_variance,
    )


def _remaining(model: ErrorModel, known: list[Measurement]) -> tuple[Array, Array]:
    """Variance (n, K) and covariance in time (K, n, n) given what is known."""
    given = condition(model, known)
    loads = given.loads.transpose(2, 1, 0)  # (K, n, m)
    covariance = model.roots @ model.roots.transpose(0, 2, 1) - loads @ loads.transpose(0, 2, 1)
    return given.variance, covariance


def _expected(variance: Array) -> Array:
    return np.asarray(_MEAN_LENGTH * np.sqrt(np.maximum(variance, 0)))


def _gains(
    outlook: _Outlook, *, rows: slice = slice(None), keypoints: list[int] | None = None
) -> Array:
    """(N, K) px that a click on each keypoint removes; 0 where settled, and outside ``rows``."""
    chosen = list(range(outlook.variance.shape[1])) if keypoints is None else keypoints
    gains = np.zeros((len(outlook.variance), len(chosen)))
    begin, end, _ = rows.indices(len(gains))
    for first, weight, covariance in outlook.covariances:
        if first >= end or first + len(weight) <= begin:
            continue
        inside = slice(first, first + len(weight))
        part = covariance[chosen]  # (k, n, n)
        before = np.maximum(np.diagonal(part, axis1=1, axis2=2), 0)
        lost = part**2 / (before[:, None, :] + outlook.placed_variance)
        share = lost / np.maximum(before[:, :, None], 1e-12)
        doubted = before + outlook.suspicion[inside][:, chosen].T
        after = _expected(doubted[:, :, None] * np.clip(1 - share, 0, 1))
        gains[inside] += weight[:, None] * (_expected(doubted)[:, :, None] - after).sum(axis=1).T
    gains *= outlook.reach[chosen]
    return np.where(outlook.open[:, chosen], gains, 0)


def _place(outlook: _Outlook, row: int, keypoint: int) -> slice:
    """Change the outlook as if the keypoint had been corrected; the rows that this reaches."""
    outlook.open[row, keypoint] = False
    outlook.suspicion[row, keypoint] = 0
    begin, end = row, row + 1
    for first, weight, covariance in outlook.covariances:
        if not first <= row < first + len(weight):
            continue
        column = covariance[keypoint, :, row - first].copy()
        spread = max(column[row - first], 0) + outlook.placed_variance
        lost = np.outer(column, column) / spread
        covariance[keypoint] -= lost
        outlook.variance[first : first + len(weight), keypoint] -= weight * np.diagonal(lost)
        begin, end = min(begin, first), max(end, first + len(weight))
    return slice(begin, end)


def _suspicions(poses: PoseSequence, settled: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """(N, K) px^2 to add to a variance, and where left and right look exchanged."""
    points, mirror = poses.keypoints.astype(np.float64), poses.skeleton.mirror
    middle = _middle_of_neighbours(points)
    as_is = np.nan_to_num(((points - middle) ** 2).sum(axis=-1))
    mirrored = np.nan_to_num(((points[:, mirror] - middle) ** 2).sum(axis=-1), nan=np.inf)
    exchanged = mirrored + mirrored[:, mirror] < 0.25 * (as_is + as_is[:, mirror])
    # Predictions tremble by less than they state; only what goes beyond is a sign.
    jump = np.maximum(as_is / 2 - 4 * spreads(poses) ** 2, 0)
    apart = np.nan_to_num(((points - points[:, mirror]) ** 2).sum(axis=-1)) / 2
    suspicion = np.maximum(jump, np.where(exchanged, apart, 0))
    return np.where(settled, 0, suspicion), exchanged & ~settled


def _middle_of_neighbours(points: Array) -> Array:
    """(N, K, 2) median of the frames on either side, without the frame itself."""
    reach = [step for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1) if step]
    padded = np.pad(points, ((_NEIGHBOURS, _NEIGHBOURS), (0, 0), (0, 0)), mode="edge")
    count = len(points)
    near = [padded[_NEIGHBOURS + step : _NEIGHBOURS + step + count] for step in reach]
    return np.asarray(np.median(np.stack(near), axis=0))


def _reason(poses: PoseSequence, outlook: _Outlook, row: int, keypoint: int) -> str:
    name = poses.skeleton.keypoints[keypoint].replace("_", " ")
    if outlook.exchanged[row, keypoint]:
        return f"{name}: left and right may be exchanged"
    if outlook.suspicion[row, keypoint] > outlook.variance[row, keypoint]:
        return f"{name} jumps against the frames around"
    expected = float(_expected(outlook.variance + outlook.suspicion)[row, keypoint])
    if poses.confidence[row, keypoint] < _LOW_CONFIDENCE:
        return f"{name}: low confidence, about {expected:.0f} px"
    return f"{name} uncertain by about {expected:.0f} px"
