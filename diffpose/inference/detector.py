"""The person detector that ships with DiffPose, for the layers that do not know `tracking`."""

from __future__ import annotations

from diffpose.inference.interfaces import PersonFinder
from diffpose.tracking.detector import PersonDetector


def load_detector(*, device: str = "cpu") -> PersonFinder:
    """The detector of the embedded weights."""
    return PersonDetector.load(None, device=device)
