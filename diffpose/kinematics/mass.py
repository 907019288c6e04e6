"""The body's centre of mass in the picture: segment masses and centres of de Leva (1996).

Adjustments to Zatsiorsky-Seluyanov's segment inertia parameters, J. Biomech. 29:1223, table 4:
trunk from mid-shoulders to mid-hips, head from vertex to neck, shank to the ankle joint. The
hand's mass is put at the wrist, as no skeleton here has hands.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from diffpose.kinematics.angles import SIDES, pick, sources_of
from diffpose.kinematics.records import Array
from diffpose.kinematics.scale import Scale
from diffpose.kinematics.series import Series, Trajectory, point_series
from diffpose.skeleton import Skeleton

Sex = Literal["female", "male", "mean"]

# From, to, share of the body's mass and place of the centre from the first end: female, male.
_SEGMENTS = {
    "head": ("head", "neck", (0.0668, 0.0694), (0.4841, 0.5002)),
    "trunk": ("mid_shoulder", "mid_hip", (0.4257, 0.4346), (0.3782, 0.4310)),
    "upper_arm": ("shoulder", "elbow", (0.0255, 0.0271), (0.5754, 0.5772)),
    "forearm": ("elbow", "wrist", (0.0138, 0.0162), (0.4559, 0.4574)),
    "hand": ("wrist", "wrist", (0.0056, 0.0061), (0.0, 0.0)),
    "thigh": ("hip", "knee", (0.1478, 0.1416), (0.3612, 0.4095)),
    "shank": ("knee", "ankle", (0.0481, 0.0433), (0.4352, 0.4395)),
    "foot": ("heel", "big_toe", (0.0129, 0.0137), (0.4014, 0.4415)),
}
_CENTRAL = ("head", "trunk")


def centre_of_mass(
    points: Array, skeleton: Skeleton, *, sex: Sex = "mean"
) -> tuple[Array, tuple[str, ...]]:
    """Centre of mass (..., N, 2) of poses (..., N, K, 2), and what had to be approximated.

    NaN in frames in which any keypoint it needs is unknown. Without feet their mass is put at
    the ankle, without the top of the head the head's at the nose.
    """
    weights = {"female": (1.0, 0.0), "male": (0.0, 1.0), "mean": (0.5, 0.5)}[sex]
    total, weight, notes = np.zeros((*points.shape[:-2], 2)), 0.0, []
    for name, (start, end, masses, centres) in _SEGMENTS.items():
        mass, centre = float(np.dot(masses, weights)), float(np.dot(centres, weights))
        for side in ("",) if name in _CENTRAL else SIDES:
            ends = [f"{side}_{part}" if side else part for part in (start, end)]
            if not all(sources_of(part, skeleton) for part in ends):
                place = f"{side}_ankle" if name == "foot" else "nose"
                ends = [place, place]
                notes.append(f"mass of the {name} put at the {place.removeprefix(f'{side}_')}")
            a, b = (pick(points, part, skeleton) for part in ends)
            total = total + mass * (a + centre * (b - a))
            weight += mass
    return total / weight, tuple(dict.fromkeys(notes))


def mass_series(trajectory: Trajectory, scale: Scale | None) -> tuple[Series, Series]:
    """Centre of mass over time: rightwards and upwards, metres with a scale, pixels without.

    Measured from the first frame in which it is known.
    """
    results = []
    for axis, sign, word in ((0, 1.0, "x"), (1, -1.0, "y")):

        def read(points: Array, axis: int = axis, sign: float = sign) -> Array:
            return sign * centre_of_mass(points, trajectory.skeleton)[0][..., axis]

        label = f"Centre of mass, {'rightwards' if axis == 0 else 'upwards'}"
        series = point_series(trajectory, read, name=f"centre_of_mass.{word}", label=label)
        results.append(in_metres(from_start(series), scale))
    return results[0], results[1]


def from_start(series: Series) -> Series:
    """The series less its first known value; each draw less the same."""
    known = np.flatnonzero(np.isfinite(series.values))
    if not len(known):
        return series
    first = float(series.values[known[0]])
    return Series(
        series.name, series.label, series.unit, series.times_s, series.values - first,
        series.draws - first, series.marked, series.reason,
    )  # fmt: skip


def in_metres(series: Series, scale: Scale | None) -> Series:
    """Pixels to metres, the scale's error in every draw; unchanged without a scale."""
    if scale is None:
        return series
    factors = scale.metres_per_px * scale.factors(len(series.draws))
    return Series(
        series.name, series.label, series.unit.replace("px", "m"), series.times_s,
        series.values * scale.metres_per_px, series.draws * factors[:, None], series.marked,
        series.reason,
    )  # fmt: skip
