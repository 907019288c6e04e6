"""Average precision of multi-person keypoints as PoseTrack's official tool, poseval, computes it.

Poses are matched to people by keypoints alone, scores then rank every keypoint by itself: a pose
that nobody can be matched to makes all its keypoints false alarms, a keypoint that a matched pose
lacks costs recall only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.evaluation.pck import head_sizes
from diffpose.formats.posetrack_records import PoseTrackFrame, PoseTrackSequence
from diffpose.geometry import points_in_polygon
from diffpose.skeleton import POSETRACK15, indices_of

THRESHOLD = 0.5
"""Part of the head size within which a keypoint is right."""

_NO_SCORE = -9999.0
_NUM_KEYPOINTS = len(POSETRACK15)
_COLUMNS = {
    "Head": ("head_top", "head_bottom", "nose"),
    **{
        part.capitalize(): (f"left_{part}", f"right_{part}")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
}


@dataclass(frozen=True)
class PoseTrackScore:
    """Average precision, 0 to 100.

    Attributes:
        keypoints: (15,) in the order of `POSETRACK15`; NaN for a keypoint that was found although
            nobody has it.
    """

    keypoints: NDArray[np.float64]

    @property
    def total(self) -> float:
        """The "Total" or "Mean" of published tables: the mean over the 15 keypoints."""
        known = self.keypoints[np.isfinite(self.keypoints)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def columns(self) -> dict[str, float]:
        """The columns of published tables: head, then left and right together, then the mean."""
        parts = {
            name: float(self.keypoints[indices_of(POSETRACK15, keypoints)].mean())
            for name, keypoints in _COLUMNS.items()
        }
        return parts | {"Mean": self.total}


def posetrack_ap(
    truth: Sequence[PoseTrackSequence], found: Sequence[PoseTrackSequence]
) -> PoseTrackScore:
    """Score predictions of the annotated sequences.

    Frames without an annotated person are left out with what was found in them; keypoints in an
    ignore region count neither as truth nor as found. Keypoints of equal score count at once,
    where poseval leaves their order to the sorting routine. If several poses of a frame fit a
    person equally well, the first one is hers, as in poseval.

    Args:
        truth: Annotations with head boxes.
        found: For each of them a sequence of that name with the same pictures, which correspond by
            name, or by position if the tool that wrote them has renamed them.

    Raises:
        FormatError: Sequences or pictures do not correspond, or a person has no head box.
    """
    check_scorable(truth)
    pairs = [
        (_clear(true, true.ignore_regions), _clear(guess, true.ignore_regions))
        for true, guess in _frame_pairs(truth, found)
        if len(true)
    ]
    judged = [_judge(true, guess) for true, guess in pairs]
    scores = np.concatenate([scores for scores, _ in judged])
    right = np.concatenate([right for _, right in judged])
    totals = np.sum([true.annotated.sum(axis=0) for true, _ in pairs], axis=0)
    given = np.isfinite(scores)
    return PoseTrackScore(
        np.array(
            [
                100 * _average_precision(scores[given[:, k], k], right[given[:, k], k], totals[k])
                for k in range(_NUM_KEYPOINTS)
            ]
        )
    )


def check_scorable(truth: Sequence[PoseTrackSequence]) -> None:
    """Whether predictions can be scored against these annotations, before hours go into them.

    Raises:
        FormatError: Nobody is annotated, or somebody outside the ignore regions has no head box.
    """
    frames = [_clear(f, f.ignore_regions) for s in truth for f in s.frames if len(f)]
    if not frames:
        raise FormatError(
            "Expected annotations of at least one person to score against, got none; "
            "the test split of PoseTrack is not public, use val."
        )
    for frame in frames:
        lacking = frame.annotated.any(axis=1) & ~(head_sizes(frame.head_boxes) > 0)
        if lacking.any():
            raise FormatError(
                "Expected a head box for everybody annotated, since it is the measure of PoseTrack "
                f"AP; {int(lacking.sum())} people in {frame.name} have none: complete bbox_head."
            )


def _frame_pairs(
    truth: Sequence[PoseTrackSequence], found: Sequence[PoseTrackSequence]
) -> list[tuple[PoseTrackFrame, PoseTrackFrame]]:
    """Each annotated frame with its predictions."""
    by_name = {sequence.name: sequence for sequence in found}
    pairs: list[tuple[PoseTrackFrame, PoseTrackFrame]] = []
    for sequence in truth:
        guess = by_name.get(sequence.name)
        if guess is None:
            raise FormatError(
                f"Expected predictions for every sequence, got none for {sequence.name}; "
                f"write them to {sequence.name}.json."
            )
        if len(guess.frames) != len(sequence.frames):
            raise FormatError(
                f"Expected the {len(sequence.frames)} pictures of {sequence.name} in its "
                f"predictions, got {len(guess.frames)}; list those without a pose too."
            )
        names = {frame.name: frame for frame in guess.frames}
        same = set(names) == {frame.name for frame in sequence.frames}
        pairs += [
            (true, names[true.name] if same else guess.frames[position])
            for position, true in enumerate(sequence.frames)
        ]
    return pairs


def _clear(frame: PoseTrackFrame, regions: Sequence[NDArray[np.float64]]) -> PoseTrackFrame:
    """Without the keypoints that lie in a region."""
    points = frame.keypoints.reshape(-1, 2)
    ignored = np.zeros(len(points), bool)
    for region in regions:
        ignored |= points_in_polygon(points, region)
    cleared = np.where(ignored[:, None], np.nan, points)
    return replace(frame, keypoints=cleared.reshape(frame.keypoints.shape))


def _judge(
    true: PoseTrackFrame, guess: PoseTrackFrame
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Score (M, 15) of every found keypoint, NaN where there is none, and whether it is right."""
    scores = np.where(np.isfinite(guess.scores), guess.scores, _NO_SCORE)
    scores = np.where(guess.annotated, scores, np.nan)
    people = np.flatnonzero(true.annotated.any(axis=1))
    right = np.zeros(scores.shape, bool)
    if not len(people) or not len(guess):
        return scores, right
    close = _close(true, guess)[:, people]
    share = close.sum(axis=2) / true.annotated[people].sum(axis=1)
    best = share.argmax(axis=1)  # each pose stands for one person only
    share[best[:, None] != np.arange(len(people))] = 0
    for person in np.flatnonzero(share.max(axis=0) > 0):
        pose = int(share[:, person].argmax())
        right[pose] = close[pose, person]
    return scores, right


def _close(true: PoseTrackFrame, guess: PoseTrackFrame) -> NDArray[np.bool_]:
    """(M, N, 15) which keypoints of M poses are right for each of N people."""
    sizes = head_sizes(true.head_boxes)
    distance = np.linalg.norm(true.keypoints[None] - guess.keypoints[:, None], axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(distance / sizes[None, :, None] <= THRESHOLD)


def _average_precision(scores: NDArray[np.float64], right: NDArray[np.bool_], total: int) -> float:
    """Area under the best precision that is reached at each recall or beyond (VOC, all points)."""
    if not len(scores):
        return 0.0
    if total == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(right[order])[last_of_score]
    precision = hits / (np.flatnonzero(last_of_score) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits / total, prepend=0.0) * best_from_here))
