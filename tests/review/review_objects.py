"""Small projects and sessions with answers known by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from diffpose.poses import PoseSequence, VideoInfo
from diffpose.review.store import Store
from diffpose.skeleton import HALPE26, Skeleton

VIDEO = VideoInfo(Path("clip.mp4"), "abc", 640, 480, np.arange(40) / 25)
K = len(HALPE26)


def clock() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def predictions(
    track_id: int = 0, frames: int = 12, *, seed: int = 0, skeleton: Skeleton = HALPE26
) -> PoseSequence:
    random, num = np.random.default_rng(seed), len(skeleton)
    covariance = np.broadcast_to(np.eye(2) * 9, (frames, num, 2, 2))
    return PoseSequence(
        skeleton=skeleton,
        track_id=track_id,
        frames=np.arange(2, 2 + frames),
        keypoints=random.uniform(50, 400, (frames, num, 2)),
        confidence=random.uniform(0.2, 1, (frames, num)),
        covariance=covariance,
    )


def project(path: Path, *tracks: PoseSequence) -> Store:
    store = Store(path, clock=clock)
    store.add_video(VIDEO)
    for track in tracks or (predictions(),):
        store.add_predictions(track, video_id=VIDEO.video_id)
    return store
