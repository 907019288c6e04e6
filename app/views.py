"""What the canvas and the timeline receive: domain records to JSON values. Pure functions.

A pose travels as one row a keypoint, ``[x, y, confidence, cxx, cxy, cyy]`` in video pixels and
pixels squared, null where the keypoint is unknown; confidence is null where a person placed it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.draw import SIDE_COLOURS, side_colours, side_of_edge
from diffpose.geometry import Size, compose_affines, invert_affine
from diffpose.poses import FloatArray, Hypotheses, Track
from diffpose.review.alternatives import Alternative, cluster
from diffpose.skeleton import Skeleton

Json = dict[str, Any]
Row = list[float | None] | None
Rows = list[Row]


def skeleton_view(skeleton: Skeleton) -> Json:
    """Names, limbs and their colours."""
    limbs = ["#" + bytes(SIDE_COLOURS[side_of_edge(edge)]).hex() for edge in skeleton.edges]
    return {
        "keypoints": list(skeleton.keypoints),
        "edges": skeleton.edge_indices.tolist(),
        "colours": list(side_colours(skeleton)),
        "edge_colours": limbs,
    }


def pose_rows(keypoints: FloatArray, confidence: FloatArray, covariance: FloatArray) -> Rows:
    """One pose, (K, 2), (K,) and (K, 2, 2), as rows for the browser."""
    rows: Rows = []
    for point, sure, spread in zip(keypoints, confidence, covariance, strict=True):
        if not np.isfinite(point).all():
            rows.append(None)
            continue
        values = (*point, sure, spread[0, 0], spread[0, 1], spread[1, 1])
        rows.append([_number(value) for value in values])
    return rows


def point_rows(keypoints: FloatArray) -> Rows:
    """A pose that is only known by its points, (K, 2)."""
    nothing = np.full(len(keypoints), np.nan)
    return pose_rows(keypoints, nothing, np.full((len(keypoints), 2, 2), np.nan))


def poses_part(frames: Iterable[int], poses: Iterable[Rows], gone: Iterable[int] = ()) -> Json:
    """Some frames' poses; ``gone`` are frames whose poses are no longer true."""
    return {"frames": list(frames), "poses": list(poses), "gone": list(gone)}


def tracks_view(tracks: Mapping[int, Track]) -> Json:
    """Everybody's boxes, video pixels."""
    return {
        "tracks": [
            {
                "id": track_id,
                "frames": track.frames.tolist(),
                "boxes": np.round(track.boxes.astype(np.float64), 1).tolist(),
            }
            for track_id, track in sorted(tracks.items())
        ]
    }


def heat_view(heatmap: FloatArray, crop: FloatArray, *, crop_size: Size) -> Json:
    """One keypoint's heatmap, (h, w) in 0..1, and the affine that lays it over the video.

    Cell centres lie at integers; cell (0, 0) of stride s has its centre at crop pixel (s - 1) / 2.
    """
    height, width = heatmap.shape
    sx, sy = crop_size[1] / width, crop_size[0] / height
    to_crop = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])
    to_video = compose_affines(invert_affine(np.asarray(crop, dtype=np.float64)), to_crop)
    levels = np.rint(np.clip(np.nan_to_num(heatmap), 0, 1) * 255).astype(np.uint8)
    return {
        "w": width,
        "h": height,
        "data": base64.b64encode(levels.tobytes()).decode("ascii"),
        "affine": to_video.ravel().tolist(),
    }


def explanations_view(hypotheses: FloatArray, skeleton: Skeleton) -> str:
    """What an ensemble says besides the usual pose, in words; empty for a single hypothesis.

    Args:
        hypotheses: (S, K, 2) of one frame.
        skeleton: Their keypoints.
    """
    if len(hypotheses) < 2:
        return ""
    sampled = Hypotheses(0, hypotheses, np.ones(hypotheses.shape[:2], np.float32))
    shares: dict[str, float] = {}
    for other in cluster(sampled, skeleton):
        words = alternative_words(other, skeleton)
        shares[words] = shares.get(words, 0.0) + other.share
    if not shares:
        return f"all {len(hypotheses)} agree"
    return "otherwise: " + ", ".join(f"{words} {share:.0%}" for words, share in shares.items())


_PARTS = (  # the first that has a keypoint of the alternative names it
    ("leg", ("hip", "knee")),
    ("foot", ("ankle", "heel", "toe")),
    ("arm", ("shoulder", "elbow")),
    ("hand", ("wrist",)),
)


def alternative_words(alternative: Alternative, skeleton: Skeleton) -> str:
    """Which part of the body lies elsewhere in an alternative."""
    if alternative.is_swap:
        return "left and right exchanged"
    names = [skeleton.keypoints[k] for k in alternative.keypoints_changed]
    for part, words in _PARTS:
        for name in names:
            side, _, rest = name.partition("_")
            if rest and any(word in rest for word in words):
                return f"{side} {part}"
    return "head and trunk"


def ghosts_view(hypotheses: FloatArray) -> list[list[list[float] | None]]:
    """Sampled poses (S, K, 2), null for unknown keypoints."""
    return [
        [np.round(point, 1).tolist() if np.isfinite(point).all() else None for point in pose]
        for pose in np.asarray(hypotheses, dtype=np.float64)
    ]


def person_choices(tracks: Mapping[int, Track], fps: float) -> list[tuple[str, int]]:
    """Words for the list of people, and their ids."""
    return [
        (f"{person_name(track_id)} ({_seconds(track.frames, fps)})", track_id)
        for track_id, track in sorted(tracks.items())
    ]


def person_name(track_id: int) -> str:
    """What the page calls a track: people are counted from 1."""
    return f"Person {track_id + 1}"


def keypoint_choices(skeleton: Skeleton) -> list[tuple[str, int]]:
    """Words for the list of keypoints, and their indices."""
    return [(name.replace("_", " "), index) for index, name in enumerate(skeleton.keypoints)]


def times_view(times_s: FloatArray, truth: Sequence[list[Rows]] | None) -> Json:
    """Time of every frame in seconds, and where known the true poses of every frame."""
    return {"times": np.round(times_s, 5).tolist(), "truth": truth}


def model_view(adapted_words: str) -> Json:
    """Which model is active: the shipped one, or one that words tell about."""
    return {"words": adapted_words or "Shipped model", "adapted": bool(adapted_words)}


def _seconds(frames: NDArray[np.integer[Any]], fps: float) -> str:
    if len(frames) < 2:
        return f"frame {int(frames[0]) + 1}"
    return f"{frames[0] / fps:.1f} to {frames[-1] / fps:.1f} s"


def _number(value: float) -> float | None:
    return round(float(value), 2) if math.isfinite(value) else None
