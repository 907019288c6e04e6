"""A second look: the pose in a box says where the person really is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.ops import nms

from diffpose.data.people import person_box
from diffpose.geometry import crop_affine
from diffpose.inference.interfaces import PersonFinder, Picture, PoseEstimator, Poses
from diffpose.poses import FloatArray, SamplingConfig
from diffpose.tracking.associate import Detections
from diffpose.video.crop import cut_crop

_ONE_LOOK = SamplingConfig(num_steps=1, num_hypotheses=1)
_WORTH_A_LOOK = 0.25  # score under which a detection is let go: it could not open a track
_LOOKS = 2  # the first finds the person in a loose box, the next sees it larger
_MOST = 8  # people looked at in a picture, best first
_FAINT = 0.1  # confidence of a keypoint that says nothing about where the person is
_ENOUGH = 5  # keypoints make a pose
_TRUST = 0.5  # share of the pose's extent in the new box; the rest is the detector's
_SAME = 0.5  # overlap (IoU) of two boxes of one person


def one_look(estimator: PoseEstimator, picture: Picture, boxes: FloatArray) -> Poses:
    """Quick poses (K = E = 1, the picture alone) in boxes (N, 4) xyxy of a picture."""
    affines = np.stack([crop_affine(box, size=estimator.crop_size) for box in boxes])
    crops = np.stack([cut_crop(picture, affine, size=estimator.crop_size) for affine in affines])
    maps = estimator.encode_frames(crops)
    frames = 2 * estimator.radius + 1
    windows = maps[:, None].expand(-1, frames, *(-1 for _ in maps.shape[1:]))
    return estimator.sample(estimator.fuse(windows), affines, _ONE_LOOK)


class SecondLook:
    """A person detector whose boxes are corrected by the pose network.

    A detector that is small draws its boxes loosely, and a loose box costs the pose its
    resolution. Half of the new box is the extent of the quick pose in the old one, twice. Boxes
    that meet on one person are then one.

    Args:
        detector: Finds people.
        estimator: Looks again.
    """

    def __init__(self, detector: PersonFinder, estimator: PoseEstimator) -> None:
        self.detector, self.estimator = detector, estimator
        self.weights_hash = f"{detector.weights_hash}-{estimator.weights_hash}"

    def detect(self, frames: Sequence[Picture]) -> list[Detections]:
        """Boxes (N, 4) xyxy and scores of the people in each RGB picture, best first."""
        found = self.detector.detect(frames)
        return [self._again(p, people) for p, people in zip(frames, found, strict=True)]

    def _again(self, picture: Picture, people: Detections) -> Detections:
        best = np.argsort(-people.scores, kind="stable")[:_MOST]
        worth = best[people.scores[best] >= _WORTH_A_LOOK]
        boxes, scores = people.boxes[worth], people.scores[worth]
        if not len(boxes):
            return Detections(boxes, scores)
        moved = boxes.astype(np.float32)
        for _ in range(_LOOKS):
            moved = self._closer(picture, moved)
        kept = nms(torch.from_numpy(moved), torch.tensor(scores), _SAME).numpy()
        return Detections(moved[kept], scores[kept])

    def _closer(self, picture: Picture, boxes: FloatArray) -> FloatArray:
        """The boxes (N, 4), each moved towards the pose in it."""
        poses = one_look(self.estimator, picture, boxes)
        size = picture.shape[0], picture.shape[1]
        moved = boxes.copy()
        for row, (points, confidence) in enumerate(
            zip(poses.keypoints, poses.confidence, strict=True)
        ):
            clear = confidence >= _FAINT
            if clear.sum() >= _ENOUGH:
                extent = person_box(points[clear], size=size)
                moved[row] += _TRUST * (extent - moved[row])
        return moved
