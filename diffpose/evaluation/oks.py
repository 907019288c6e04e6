"""OKS and its average precision, as COCO's keypoint evaluation (pycocotools) computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST_FOUND = 20  # poses a picture that count, best first
_AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


@dataclass(frozen=True)
class OksPicture:
    """The N annotated people and the M poses of one picture.

    Attributes:
        truth: (N, K, 2) pixels, NaN where not annotated; people without any do not count.
        areas: (N,) px^2 of each person's outline.
        boxes: (N, 4) xyxy.
        found: (M, K, 2) pixels; NaN, a keypoint that was not found, is at no distance from any.
        scores: (M,) of each pose.
        crowd: (N,) bool, groups: poses that fit one do not count, however many.
    """

    truth: NDArray[np.floating]
    areas: NDArray[np.floating]
    boxes: NDArray[np.floating]
    found: NDArray[np.floating]
    scores: NDArray[np.floating]
    crowd: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class OksScore:
    """COCO's ten numbers, 0 to 1; NaN where no person has such an area.

    Attributes:
        ap: Mean average precision over OKS 0.5, 0.55, ... 0.95.
        ap50: At 0.5.
        ap75: At 0.75.
        ap_medium: People of 32^2 to 96^2 pixels.
        ap_large: Larger ones.
        ar: Recall, likewise.
        ar50: At 0.5.
        ar75: At 0.75.
        ar_medium: Medium people.
        ar_large: Large people.
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    ar50: float
    ar75: float
    ar_medium: float
    ar_large: float


def oks(picture: OksPicture, sigmas: Sequence[float]) -> NDArray[np.float64]:
    """Object keypoint similarity (M, N) of each pose with each person.

    A person without keypoints has a similarity too: that of the distance by which the pose leaves
    her box, made twice as large on each side.
    """
    variances = (2 * np.asarray(sigmas, np.float64)) ** 2
    truth, found = (np.asarray(v, np.float64) for v in (picture.truth, picture.found))
    known: NDArray[np.bool_] = np.asarray(np.isfinite(truth).all(axis=-1))
    offset = found[:, None] - np.where(known[..., None], truth, 0)[None]
    low, size = picture.boxes[:, None, :2], picture.boxes[:, None, 2:] - picture.boxes[:, None, :2]
    beyond = np.maximum(0, (low - size) - found[:, None]) + np.maximum(
        0, found[:, None] - (low + 2 * size)
    )
    boxed = np.asarray(~known.any(axis=1))
    distance = np.where(boxed[None, :, None, None], beyond, offset)
    error = (distance**2).sum(axis=-1) / variances
    error /= np.asarray(picture.areas, np.float64)[None, :, None] + np.spacing(1)
    counted = known | boxed[:, None]
    near = np.where(counted[None], np.exp(-np.nan_to_num(error / 2, nan=np.inf)), 0)
    return np.asarray(near.sum(axis=-1) / counted.sum(axis=-1))


def score_oks(pictures: Sequence[OksPicture], sigmas: Sequence[float]) -> OksScore:
    """COCO's keypoint metrics over all pictures; at most 20 poses a picture count.

    Args:
        pictures: One entry a picture, those without people too.
        sigmas: K constants of the keypoints, `Skeleton.sigmas`.

    Raises:
        FormatError: Nobody has an annotated keypoint.
    """
    if not any(np.isfinite(p.truth).all(axis=-1).any() for p in pictures):
        raise FormatError("Expected at least one person with keypoints to score against, got none.")
    ranked = [_best(picture) for picture in pictures]
    similarities = [oks(picture, sigmas) for picture in ranked]
    precision, recall = {}, {}
    for name, limits in _AREAS.items():
        judged = [_judge(p, s, limits) for p, s in zip(ranked, similarities, strict=True)]
        precision[name], recall[name] = _curves(judged, [p.scores for p in ranked])
    return OksScore(
        ap=float(precision["all"].mean()),
        ap50=float(precision["all"][0]),
        ap75=float(precision["all"][5]),
        ap_medium=float(precision["medium"].mean()),
        ap_large=float(precision["large"].mean()),
        ar=float(recall["all"].mean()),
        ar50=float(recall["all"][0]),
        ar75=float(recall["all"][5]),
        ar_medium=float(recall["medium"].mean()),
        ar_large=float(recall["large"].mean()),
    )


@dataclass(frozen=True)
class _Judged:
    """What became of a picture at each of the 10 thresholds.

    Attributes:
        right: (10, M) which poses are right.
        counts: (10, M) which poses count at all.
        people: How many people count.
    """

    right: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    people: int


def _best(picture: OksPicture) -> OksPicture:
    """The best poses, best first."""
    order = np.argsort(-np.asarray(picture.scores), kind="stable")[:_MOST_FOUND]
    crowd = np.zeros(len(picture.truth), bool) if picture.crowd is None else picture.crowd
    return OksPicture(
        picture.truth, picture.areas, picture.boxes, picture.found[order], picture.scores[order],
        crowd,
    )  # fmt: skip


def _judge(
    picture: OksPicture, similarity: NDArray[np.float64], limits: tuple[float, float]
) -> _Judged:
    assert picture.crowd is not None
    areas = np.asarray(picture.areas)
    known = np.isfinite(picture.truth).all(axis=-1).any(axis=-1)
    ignored = picture.crowd | ~known | (areas < limits[0]) | (areas > limits[1])
    order = np.argsort(ignored, kind="stable")  # people that count are chosen first
    ignored, crowd = ignored[order], picture.crowd[order]
    matches = np.stack([_match(similarity[:, order], ignored, crowd, t) for t in _THRESHOLDS])
    free = np.append(ignored, False)[matches]  # -1: nobody
    size = _sizes(picture.found)
    outside = (size < limits[0]) | (size > limits[1])
    return _Judged(
        right=(matches >= 0) & ~free,
        counts=~free & ~((matches < 0) & outside[None]),
        people=int((~ignored).sum()),
    )


def _sizes(found: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area (M,) of the extent of each pose."""
    filled = np.asarray(found, np.float64)
    low = np.where(np.isnan(filled), np.inf, filled).min(axis=1)
    high = np.where(np.isnan(filled), -np.inf, filled).max(axis=1)
    return np.asarray(np.clip(high - low, 0, None).prod(axis=1))


def _match(
    similarity: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
    threshold: float,
) -> NDArray[np.int64]:
    """Person (M,) of each pose, best pose first; -1 for none.

    Each takes the most similar person who is free, and one who counts before one who does not.
    """
    result = np.full(len(similarity), -1, np.int64)
    free = np.ones(len(ignored), bool)
    for row, values in enumerate(similarity):
        able = (free | crowd) & (values >= min(threshold, 1 - 1e-10))
        for group in (able & ~ignored, able & ignored):
            if group.any():
                # The last of several equally similar people, as pycocotools has it.
                best = np.flatnonzero(group & (values == values[group].max()))[-1]
                result[row], free[best] = best, False
                break
    return result


def _curves(
    judged: Sequence[_Judged], scores: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision (10,) and recall (10,); NaN if nobody counts."""
    people = sum(j.people for j in judged)
    if people == 0:
        return np.full(10, np.nan), np.full(10, np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate([j.right for j in judged], axis=1)[:, order]
    counts = np.concatenate([j.counts for j in judged], axis=1)[:, order]
    hits, tried = np.cumsum(right & counts, axis=1), np.cumsum(counts, axis=1)
    if not hits.shape[1]:
        return np.zeros(10), np.zeros(10)
    precision = hits / np.maximum(tried, 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    average = [
        float(np.append(best, 0.0)[np.searchsorted(hit / people, _RECALLS, side="left")].mean())
        for best, hit in zip(best_from_here, hits, strict=True)
    ]
    return np.array(average), hits[:, -1] / people
