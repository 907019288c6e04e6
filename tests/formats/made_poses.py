"""Small videos and pose sequences for the tests of the formats."""

from pathlib import Path

import numpy as np

from diffpose.poses import PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import HALPE26, Skeleton

PROVENANCE = Provenance("small", "9f" * 32, 4, 8, 7, {"note": "größer", "speed": [1, 2.5, None]})


def video(count, names=()):
    """A 640x480 video of ``count`` frames at 29.97 a second, or pictures with names."""
    return VideoInfo(
        path=Path("somewhere/run.mp4"),
        video_id="ab" * 32,
        width=640,
        height=480,
        times_s=np.arange(count) / 29.97,
        warnings=("Two frames had no time.",),
        names=names,
    )


def sequence(track_id, frames, skeleton: Skeleton = HALPE26, seed=0, **replaced):
    """Random poses with valid covariances; keyword arguments replace arrays."""
    rng = np.random.default_rng((seed, track_id))
    n, k = len(frames), len(skeleton)
    root = rng.normal(0, 3, (n, k, 2, 2))
    arrays = {
        "keypoints": rng.uniform(0, 480, (n, k, 2)),
        "confidence": rng.uniform(0, 1, (n, k)),
        "covariance": root @ root.swapaxes(-1, -2),
        "origin": np.zeros((n, k), np.uint8),
        **replaced,
    }
    return PoseSequence(
        skeleton=skeleton, track_id=track_id, frames=np.array(frames, np.int32), **arrays
    )
