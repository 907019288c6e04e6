"""The person detector that ships with DiffPose, for the layers that do not know `tracking`."""

from __future__ import annotations

from diffpose.inference.estimator import Estimator
from diffpose.inference.interfaces import PersonFinder, PoseEstimator
from diffpose.inference.look import SecondLook
from diffpose.tracking.detector import PersonDetector


def load_detector(estimator: PoseEstimator, *, device: str = "cpu") -> PersonFinder:
    """The detector of the embedded weights; the estimator looks at its boxes again."""
    if isinstance(estimator, Estimator):
        estimator = estimator.one_sided()
    return SecondLook(PersonDetector.load(None, device=device), estimator)
