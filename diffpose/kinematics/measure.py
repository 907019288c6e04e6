"""The front door: poses and times in, curves, numbers and events with 90 % intervals out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import SettingsError
from diffpose.kinematics.angles import FACINGS, JOINT_ANGLES, SIDES, find_angle
from diffpose.kinematics.facing import Facing, decide_facing
from diffpose.kinematics.filters import Smoothing
from diffpose.kinematics.moments import Moment, events_of
from diffpose.kinematics.records import Array, MeasureError, Measurements, Quantity
from diffpose.kinematics.sampling import ErrorModel, draw_trajectories, num_draws_for
from diffpose.kinematics.scale import Scale
from diffpose.kinematics.series import (
    Series,
    Trajectory,
    angle_series,
    consecutive,
    derivative_series,
    quantity,
)
from diffpose.kinematics.tasks import TASKS, Task, run_task
from diffpose.poses import PoseSequence

CAMERA_NOTE = (
    "All angles and lengths are measured in the picture plane. The error stated is that of the "
    "keypoints; what a camera that does not look at right angles at the movement adds is not in it."
)
GAP_NOTE = "Marked stretches were interpolated over gaps; their true error is larger than stated."


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured, and how.

    Attributes:
        angles: Names from `diffpose.kinematics.angles.ANGLES`.
        tasks: What else to look for: ``gait``, ``squat``, ``curl``, ``jump``,
            ``centre_of_mass``.
        facing: ``auto``, or ``right``, ``left``, ``front``, ``back`` to override it.
        smoothing: The filter of all curves.
        longest_gap_s: Longest gap that is filled.
        scale: Pixels to metres (`diffpose.kinematics.scale`); None: lengths stay in pixels.
        least_confidence: Keypoints below are treated as not known; those placed by hand never.
        derivatives: Also angular velocity and acceleration.
        error: How keypoint errors are made up.
        num_draws: Drawn trajectories; fewer for very long clips.
        seed: Of the draws: equal seeds give equal intervals.
    """

    angles: tuple[str, ...] = JOINT_ANGLES
    tasks: tuple[Task, ...] = ()
    facing: str = "auto"
    smoothing: Smoothing = field(default_factory=Smoothing)
    longest_gap_s: float = 0.2
    scale: Scale | None = None
    least_confidence: float = 0.0
    derivatives: bool = True
    error: ErrorModel = field(default_factory=ErrorModel)
    num_draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.angles:
            find_angle(name)
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown:
            raise SettingsError(f"Expected tasks of {', '.join(TASKS)}, got {unknown[0]!r}.")
        if self.facing != "auto" and self.facing not in FACINGS:
            raise SettingsError(f"Expected facing auto, {', '.join(FACINGS)}, got {self.facing!r}.")
        if self.longest_gap_s < 0 or not 0 <= self.least_confidence <= 1:
            raise SettingsError(
                "Expected a longest gap of at least 0 s and a least confidence of 0 to 1, got "
                f"{self.longest_gap_s} and {self.least_confidence}."
            )
        if not 40 <= self.num_draws <= 5000 or self.seed < 0:
            raise SettingsError(
                f"Expected 40 to 5000 draws and a seed of at least 0, got {self.num_draws} "
                f"and {self.seed}."
            )


def measure(
    sequence: PoseSequence,
    times_s: NDArray[np.floating],
    settings: MeasureSettings | None = None,
) -> Measurements:
    """Everything the settings ask for, of one person.

    Args:
        sequence: Poses with their calibrated covariance; corrections already in it.
        times_s: (N,) seconds of the sequence's frames: ``info.times_s[sequence.frames]``.
        settings: What and how; None takes the defaults.

    Returns:
        Curves, numbers and events. What cannot be measured is there with a reason in words.

    Raises:
        MeasureError: There are no frames, or the times do not fit them.
        SettingsError: The filter's cut-off is too high for the clip's frame rate.
    """
    chosen = settings if settings is not None else MeasureSettings()
    trajectory, facing = prepare(sequence, times_s, chosen)
    angles = {name: angle_series(trajectory, name) for name in chosen.angles}
    everything = list(angles.values())
    quantities = angle_quantities(angles, factor=chosen.error.extreme_factor)
    notes = [CAMERA_NOTE]
    moments: list[Moment] = []
    for task in chosen.tasks:
        outcome = run_task(task, trajectory, chosen.scale)
        everything.extend(outcome.series)
        quantities.extend(outcome.quantities)
        moments.extend(outcome.moments)
        notes.extend(outcome.notes)
    if chosen.derivatives:
        rates = [derivative_series(series) for series in everything if series.known]
        everything.extend(series for pair in rates for series in pair)
    if not facing.certain:
        notes.append(f"Facing {facing.direction}: {facing.reason}")
    if any(series.marked.any() for series in everything):
        notes.append(GAP_NOTE)
    return Measurements(
        track_id=sequence.track_id,
        facing=facing.direction,
        curves=tuple(series.curve() for series in everything),
        quantities=tuple(quantities),
        events=events_of(moments, trajectory.times_s, trajectory.frames),
        notes=tuple(notes),
        settings=json.loads(json.dumps(asdict(chosen))),
    )


def prepare(
    sequence: PoseSequence, times_s: NDArray[np.floating], settings: MeasureSettings
) -> tuple[Trajectory, Facing]:
    """The trajectory with its draws, and how the person faces.

    Raises:
        MeasureError: There are no frames, or the times do not fit them.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if times.shape != (len(sequence),):
        raise MeasureError(
            f"Expected a time for each of the {len(sequence)} frames of the sequence, got "
            f"{times.shape}; take times_s[sequence.frames]."
        )
    if len(times) < 2 or not np.all(np.diff(times) > 0):
        raise MeasureError(
            f"Expected at least two frames with increasing times, got {len(times)} frames."
        )
    known = _confident(sequence, settings.least_confidence)
    whole, times = consecutive(known, times)
    decided = decide_facing(whole)
    if settings.facing != "auto":
        decided = Facing(settings.facing, True, "Set by hand.")
    draws = draw_trajectories(
        whole,
        times,
        settings.error,
        np.random.default_rng(settings.seed),
        num_draws=num_draws_for(settings.num_draws, len(whole), len(whole.skeleton)),
    )
    trajectory = Trajectory(
        skeleton=whole.skeleton,
        frames=whole.frames,
        times_s=times,
        points=np.asarray(whole.keypoints, dtype=np.float64),
        draws=draws,
        facing=decided.direction,
        smoothing=settings.smoothing,
        longest_gap_s=settings.longest_gap_s,
        error=settings.error,
    )
    return trajectory, decided


def _confident(sequence: PoseSequence, least: float) -> PoseSequence:
    if least <= 0:
        return sequence
    doubtful = sequence.confidence < least  # NaN, a keypoint placed by hand, is never below
    return PoseSequence(
        skeleton=sequence.skeleton,
        track_id=sequence.track_id,
        frames=sequence.frames,
        keypoints=np.where(doubtful[..., None], np.nan, sequence.keypoints),
        confidence=sequence.confidence,
        covariance=sequence.covariance,
        origin=sequence.origin,
    )


def angle_quantities(angles: dict[str, Series], *, factor: float) -> list[Quantity]:
    """Smallest, largest and range of every joint angle, and left against right.

    ``factor``: `ErrorModel.extreme_factor`.
    """
    results = []
    for name, series in angles.items():
        if name.endswith("_segment"):
            continue
        smallest, largest = _extreme(series, np.argmin), _extreme(series, np.argmax)
        for part, word, (value, draws) in (
            ("minimum", "smallest", smallest),
            ("maximum", "largest", largest),
            ("range_of_motion", "range of motion",
             (largest[0] - smallest[0], largest[1] - smallest[1])),
        ):  # fmt: skip
            found = quantity(
                f"{name}.{part}", f"{series.label}, {word}", "deg", value, draws,
                reason=series.reason, factor=factor,
            )  # fmt: skip
            if part == "range_of_motion" and found.low < 0:
                found = replace(found, low=0.0)
            results.append(found)
    return results + _symmetry(angles, factor)


def _extreme(series: Series, find: Callable[[Array], np.intp]) -> tuple[float, Array]:
    """The extreme and, in every draw, the angle of the same frame.

    The extreme of a draw itself would say more about the noise than about the movement: each frame
    is another chance to be extreme. `ErrorModel.extreme_factor` pays for having chosen the frame.
    """
    known = np.flatnonzero(np.isfinite(series.values))
    if not len(known):
        return np.nan, np.full(len(series.draws), np.nan)
    frame = known[find(series.values[known])]
    value = float(series.values[frame])
    # A draw beyond half a turn is the same direction, reached the other way round.
    off = (series.draws[:, frame] - value + 180) % 360 - 180
    return value, value + off


def _range(series: Series) -> tuple[float, Array]:
    largest, smallest = _extreme(series, np.argmax), _extreme(series, np.argmin)
    return largest[0] - smallest[0], largest[1] - smallest[1]


def _symmetry(angles: dict[str, Series], factor: float) -> list[Quantity]:
    results = []
    for name, left in angles.items():
        other = name.replace("left_", "right_")
        if not name.startswith("left_") or name.endswith("_segment") or other not in angles:
            continue
        right = angles[other]
        (a, a_draws), (b, b_draws) = _range(left), _range(right)
        joint = name.removeprefix(f"{SIDES[0]}_")
        label = f"{joint.capitalize()}, range of motion left minus right"
        reason = left.reason or right.reason
        results.append(
            quantity(
                f"{joint}.asymmetry",
                label,
                "deg",
                a - b,
                a_draws - b_draws,
                reason=reason,
                factor=factor,
            )
        )
        index, index_draws = _index(a, b), _index(a_draws, b_draws)
        results.append(
            quantity(f"{joint}.symmetry_index", f"{joint.capitalize()}, symmetry index", "%",
                     float(index), np.asarray(index_draws), reason=reason, factor=factor)
        )  # fmt: skip
    return results


def _index(left: Array | float, right: Array | float) -> Array:
    """100 (L - R) / mean of both: 0 is symmetric, positive means more on the left."""
    mean = (np.asarray(left) + np.asarray(right)) / 2
    safe = np.where(np.abs(mean) > 1e-9, mean, np.nan)
    return np.asarray(100 * (np.asarray(left) - np.asarray(right)) / safe)
