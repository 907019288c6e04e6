"""Pixels to metres: from a known length or the person's height, with the error of the scale.

One scale holds for one distance from the camera: for things in the plane of the movement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from diffpose.errors import SettingsError
from diffpose.kinematics.angles import SIDES, pick, sources_of
from diffpose.kinematics.records import MeasureError
from diffpose.poses import PoseSequence

# Keypoints lie inside the body: stature over the sum of segments (Sports2D), and how uncertain
# that factor is for one person.
_STATURE, _STATURE_ERROR = 1.063, 0.03
_UPRIGHT_RAD = np.radians(35)


@dataclass(frozen=True)
class Scale:
    """Metres for a pixel.

    Attributes:
        metres_per_px: At the distance of the person.
        error: Standard deviation as a share of it.
        source: How it was found, in words.
    """

    metres_per_px: float
    error: float
    source: str

    def __post_init__(self) -> None:
        if not self.metres_per_px > 0 or not 0 <= self.error < 1:
            raise SettingsError(
                "Expected metres per pixel above 0 and an error of 0 to 1, got "
                f"{self.metres_per_px} and {self.error}."
            )

    def factors(self, count: int) -> np.ndarray:
        """(count,) equally likely factors around 1: the quantiles of the scale's error."""
        return np.asarray(1 + self.error * norm.ppf((np.arange(count) + 0.5) / count))


def scale_from_length(
    first: ArrayLike, second: ArrayLike, *, metres: float, click_px: float = 2.0
) -> Scale:
    """From two points in the picture a known length apart.

    Args:
        first: (x, y) video pixels.
        second: (x, y).
        metres: The true length between them.
        click_px: Standard deviation of a click.

    Raises:
        SettingsError: The length is not positive or the points are too close to each other.
    """
    pixels = float(np.linalg.norm(np.subtract(first, second, dtype=np.float64)))
    if not metres > 0:
        raise SettingsError(f"Expected a length above 0 m, got {metres}.")
    if not pixels > 4 * click_px:
        raise SettingsError(
            f"The two points are {pixels:.1f} px apart, too close to measure by; mark a longer "
            "length."
        )
    error = float(np.sqrt(2) * click_px / pixels)
    return Scale(metres / pixels, error, f"a known length of {metres:g} m")


def scale_from_height(sequence: PoseSequence, *, metres: float) -> Scale:
    """From the person's height: the sum of the segments in frames in which the person stands.

    Raises:
        MeasureError: Keypoints are missing or the person never stands upright.
        SettingsError: The height is not that of a person.
    """
    if not 0.4 < metres < 2.8:
        raise SettingsError(f"Expected a person's height of 0.4 to 2.8 m, got {metres}.")
    skeleton = sequence.skeleton
    if not sources_of("head", skeleton):
        raise MeasureError(
            f"A scale from the height needs the top of the head, which skeleton {skeleton.name} "
            "does not have; mark a known length instead."
        )
    points = np.asarray(sequence.keypoints, dtype=np.float64)
    head, neck, hip = (pick(points, name, skeleton) for name in ("head", "mid_shoulder", "mid_hip"))
    upper = np.linalg.norm(head - neck, axis=-1) + np.linalg.norm(neck - hip, axis=-1)
    legs, leans = [], [_lean(neck, hip)]
    for side in SIDES:
        joint, knee, ankle = (
            pick(points, f"{side}_{part}", skeleton) for part in ("hip", "knee", "ankle")
        )
        sole = ankle
        if sources_of(f"{side}_heel", skeleton):
            sole = pick(points, f"{side}_heel", skeleton)
        lengths = [np.linalg.norm(a - b, axis=-1) for a, b in ((joint, knee), (knee, ankle))]
        legs.append(sum(lengths) + np.abs(sole - ankle)[..., 1])
        leans += [_lean(joint, knee), _lean(knee, ankle)]
    heights = upper + (legs[0] + legs[1]) / 2
    upright = np.isfinite(heights) & (np.max(leans, axis=0) < _UPRIGHT_RAD)
    if not upright.any():
        raise MeasureError(
            "The person never stands upright in the clip, so the height gives no scale; mark a "
            "known length instead."
        )
    typical = float(np.median(heights[upright]))
    spread = 1.4826 * float(np.median(np.abs(heights[upright] - typical))) / typical
    error = float(np.hypot(_STATURE_ERROR, spread))
    return Scale(metres / (_STATURE * typical), error, f"a height of {metres:g} m")


def _lean(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    down = lower - upper
    return np.abs(np.arctan2(down[..., 0], down[..., 1]))
