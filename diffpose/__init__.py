"""DiffPose: human poses from video with calibrated uncertainty.

Importing this package needs numpy only; the network lives in `diffpose.inference`.
"""

from diffpose.poses import (
    Hypotheses,
    Origin,
    PoseSequence,
    SamplingConfig,
    Track,
    VideoInfo,
    Window,
)
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15, Skeleton

__version__ = "0.2.0"

__all__ = [
    "COCO17",
    "HALPE26",
    "POSETRACK15",
    "Hypotheses",
    "Origin",
    "PoseSequence",
    "SamplingConfig",
    "Skeleton",
    "Track",
    "VideoInfo",
    "Window",
    "__version__",
]
