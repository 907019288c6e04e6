"""What the browser receives of a project: reviewed tracks to JSON values. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.views import Json, alternative_words, ghosts_view, pose_rows
from diffpose.poses import Origin
from diffpose.review.alternatives import Alternative
from diffpose.review.corrections import OCCLUDED, ReviewedTrack
from diffpose.review.learning import Learned
from diffpose.review.library import ProjectInfo
from diffpose.review.models import AdaptedModel
from diffpose.review.queue import ReviewItem
from diffpose.review.suggestions import Suggestion, moves
from diffpose.skeleton import Skeleton

CORRECTED, HIDDEN, OUTSIDE, SUGGESTED = 1, 2, 4, 8
"""Bits of a keypoint's mark; `canvas/trails.js` has the same."""


def changed_rows(before: ReviewedTrack, after: ReviewedTrack) -> NDArray[np.intp]:
    """Rows of ``after`` that are new or differ from ``before``."""
    _, old, new = np.intersect1d(before.poses.frames, after.poses.frames, return_indices=True)
    pairs = [
        (before.poses.keypoints, after.poses.keypoints),
        (before.poses.covariance, after.poses.covariance),
        (before.poses.confidence, after.poses.confidence),
        (before.poses.origin, after.poses.origin),
        (before.visibility, after.visibility),
        (before.corrected, after.corrected),
        (before.confirmed, after.confirmed),
    ]
    differs = np.ones(len(after.poses), bool)
    differs[new] = False
    for was, now in pairs:
        same = (was[old] == now[new]) | ((was[old] != was[old]) & (now[new] != now[new]))
        differs[new] |= ~same.reshape(len(same), -1).all(axis=1)
    return np.flatnonzero(differs)


def track_view(reviewed: ReviewedTrack, before: ReviewedTrack | None) -> Json:
    """The poses, marks and confirmations of a track: all, or what differs from ``before``."""
    whole = before is None or before.poses.skeleton != reviewed.poses.skeleton
    poses, marks = reviewed.poses, _marks(reviewed)
    chosen, gone = np.arange(len(poses)), np.empty(0, int)
    if before is not None and not whole:
        chosen = changed_rows(before, reviewed)
        gone = np.setdiff1d(before.poses.frames, poses.frames)
    return {
        "track": poses.track_id,
        "whole": whole,
        "frames": poses.frames[chosen].tolist(),
        "gone": gone.tolist(),
        "poses": [
            pose_rows(poses.keypoints[r], poses.confidence[r], poses.covariance[r]) for r in chosen
        ],
        "marks": marks[chosen].tolist(),
        "confirmed": reviewed.confirmed[chosen].tolist(),
    }


def suggestion_view(suggestion: Suggestion, reviewed: ReviewedTrack) -> Json | None:
    """The poses that would change, as they would be; None if nothing would."""
    frames, poses, far = [], [], moves(suggestion, reviewed)
    for index, frame in enumerate(suggestion.frames):
        row = reviewed.row(frame)
        if row is None or not far[index].any():
            continue
        new, old = suggestion.keypoints[index], reviewed.poses.keypoints[row]
        known = np.isfinite(new).all(axis=-1)
        keep = known[:, None]
        frames.append(int(frame))
        poses.append(
            pose_rows(
                np.where(keep, new, old),
                np.where(known, suggestion.confidence[index], reviewed.poses.confidence[row]),
                np.where(
                    keep[..., None], suggestion.covariance[index], reviewed.poses.covariance[row]
                ),
            )
        )
    return {"frames": frames, "poses": poses, "moved": int(far.sum())} if frames else None


def alternative_view(alternative: Alternative, skeleton: Skeleton) -> Json:
    """Another pose, the keypoints that differ, how likely it is, and words for it."""
    changed = list(alternative.keypoints_changed)
    return {
        "pose": ghosts_view(alternative.keypoints[None])[0],
        "keypoints": changed,
        "share": round(alternative.share, 3),
        "words": alternative_words(alternative, skeleton),
    }


def queue_view(items: Sequence[ReviewItem], *, left: int, target_px: float, most: int) -> Json:
    """The first items of the queue, and about how many clicks are worth it."""
    return {
        "left": left,
        "target": target_px,
        "frames": len(items),
        "items": [
            {
                "track": item.track_id,
                "frame": item.frame,
                "keypoint": item.keypoint,
                "reason": item.reason,
            }
            for item in items[:most]
        ],
    }


def learning_view(learned: Learned, adapted: AdaptedModel | None, *, offered: bool) -> Json:
    """What the project has taught the model, in sentences, and what could be done."""
    return {
        "learned": learned.words,
        "adapted": str(adapted.report.get("words", "")) if adapted else None,
        "offered": offered,
    }


def project_view(info: ProjectInfo) -> Json:
    """One line of the list of projects."""
    return {
        "id": info.path.stem,
        "name": info.name,
        "changed": info.changed_at.timestamp(),
        "problem": bool(info.problem),
    }


def _marks(reviewed: ReviewedTrack) -> NDArray[np.int64]:
    """(N, K) bits."""
    known = np.isfinite(reviewed.poses.keypoints).all(axis=-1)
    return np.asarray(
        CORRECTED * reviewed.corrected
        + HIDDEN * (reviewed.visibility == OCCLUDED)
        + OUTSIDE * (reviewed.corrected & ~known)
        + SUGGESTED * (reviewed.poses.origin == Origin.RESAMPLED)
    )
