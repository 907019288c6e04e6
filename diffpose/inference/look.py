"""A quick look: the pose in a box, from one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import crop_affine
from diffpose.inference.interfaces import Picture, PoseEstimator, Poses
from diffpose.poses import FloatArray, SamplingConfig
from diffpose.video.crop import cut_crop

_ONE_LOOK = SamplingConfig(num_steps=1, num_hypotheses=1)


def one_look(estimator: PoseEstimator, picture: Picture, boxes: FloatArray) -> Poses:
    """Quick poses (K = E = 1, the picture alone) in boxes (N, 4) xyxy of a picture."""
    affines = np.stack([crop_affine(box, size=estimator.crop_size) for box in boxes])
    crops = np.stack([cut_crop(picture, affine, size=estimator.crop_size) for affine in affines])
    return look_at_crops(estimator, crops, affines)


def look_at_crops(
    estimator: PoseEstimator, crops: NDArray[np.uint8], affines: NDArray[np.float64]
) -> Poses:
    """Quick poses of crops (N, H, W, 3), whose affines (N, 2, 3) lead from the picture to them."""
    maps = estimator.encode_frames(crops)
    frames = 2 * estimator.radius + 1
    windows = maps[:, None].expand(-1, frames, *(-1 for _ in maps.shape[1:]))
    return estimator.sample(estimator.fuse(windows), affines, _ONE_LOOK)
