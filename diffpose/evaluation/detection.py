"""How well boxes are found: recall, precision and average precision at one overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.geometry import box_iou


@dataclass(frozen=True)
class FoundBoxes:
    """Boxes of one picture, true and found.

    Attributes:
        truth: (N, 4) xyxy.
        boxes: (M, 4) xyxy.
        scores: (M,).
    """

    truth: NDArray[np.floating]
    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]


@dataclass(frozen=True)
class DetectionScore:
    """Rates over all pictures.

    Attributes:
        recall: Share of the true boxes that were found.
        precision: Share of the found boxes that are true; nan if none was found.
        average_precision: Area under precision over recall, all scores, COCO's 101 points.
    """

    recall: float
    precision: float
    average_precision: float


def score_detections(
    pictures: Sequence[FoundBoxes], *, min_score: float = 0.5, min_iou: float = 0.5
) -> DetectionScore:
    """Match found to true boxes, best score first, one to one within a picture (as COCO does).

    Args:
        pictures: One entry a picture.
        min_score: Recall and precision count the found boxes of at least this score.
        min_iou: Least overlap of a match.

    Raises:
        FormatError: No picture has a true box.
    """
    total = sum(len(picture.truth) for picture in pictures)
    if total == 0:
        raise FormatError("Expected at least one true box to score against, got none.")
    scores = np.concatenate([np.asarray(p.scores, np.float64) for p in pictures])
    right = np.concatenate([_matched(p, min_iou) for p in pictures])
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order]
    hits = np.cumsum(right)
    taken = int((scores >= min_score).sum())
    good = int(hits[taken - 1]) if taken else 0
    return DetectionScore(
        recall=good / total,
        precision=good / taken if taken else float("nan"),
        average_precision=_average_precision(hits, total),
    )


def best_threshold(pictures: Sequence[FoundBoxes], *, min_iou: float = 0.5) -> float:
    """The score above which detections have the best F1: harmonic mean of recall and precision.

    Raises:
        FormatError: Nothing was found, or there was nothing to find.
    """
    total = sum(len(picture.truth) for picture in pictures)
    scores = np.concatenate([np.asarray(p.scores, np.float64) for p in pictures])
    if total == 0 or not len(scores):
        raise FormatError("Expected true and found boxes to choose a threshold from, got none.")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(np.concatenate([_matched(p, min_iou) for p in pictures])[order])
    f1 = 2 * hits / (total + np.arange(1, len(hits) + 1))
    return float(scores[order][int(np.argmax(f1))])


def _matched(picture: FoundBoxes, min_iou: float) -> NDArray[np.bool_]:
    """For each found box, whether it is the first to claim a true one."""
    overlap = box_iou(np.asarray(picture.boxes), np.asarray(picture.truth))
    result = np.zeros(len(overlap), dtype=bool)
    for row in np.argsort(-np.asarray(picture.scores), kind="stable"):
        if overlap.shape[1] and overlap[row].max() >= min_iou:
            result[row] = True
            overlap[:, int(overlap[row].argmax())] = -1
    return result


def _average_precision(hits: NDArray[np.int_], total: int) -> float:
    if not len(hits):
        return 0.0
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / total, np.linspace(0, 1, 101), side="left")
    return float(np.where(at < len(hits), best_from_here[np.minimum(at, len(hits) - 1)], 0).mean())
