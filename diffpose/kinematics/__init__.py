"""From keypoints to angles, speeds, repetitions and gait events, each with its error."""

from diffpose.kinematics.angles import ANGLES, FACINGS, JOINT_ANGLES
from diffpose.kinematics.filters import Smoothing
from diffpose.kinematics.measure import TASKS, MeasureSettings, measure
from diffpose.kinematics.records import Curve, Event, MeasureError, Measurements, Quantity
from diffpose.kinematics.sampling import ErrorModel

__all__ = [
    "ANGLES",
    "FACINGS",
    "JOINT_ANGLES",
    "TASKS",
    "Curve",
    "ErrorModel",
    "Event",
    "MeasureError",
    "MeasureSettings",
    "Measurements",
    "Quantity",
    "Smoothing",
    "measure",
]
