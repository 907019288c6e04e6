"""What else can be looked for in a clip: walking, squats, curls, jumps, the centre of mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from diffpose.kinematics.angles import SIDES
from diffpose.kinematics.gait import measure_gait
from diffpose.kinematics.jump import measure_jumps
from diffpose.kinematics.mass import centre_of_mass, mass_series
from diffpose.kinematics.moments import Moment
from diffpose.kinematics.records import Quantity
from diffpose.kinematics.repetitions import (
    Repetition,
    find_repetitions,
    mean_series,
    repetition_quantities,
)
from diffpose.kinematics.scale import Scale
from diffpose.kinematics.series import Series, Trajectory, angle_series

Task = Literal["gait", "squat", "curl", "jump", "centre_of_mass"]
TASKS: tuple[Task, ...] = ("gait", "squat", "curl", "jump", "centre_of_mass")

NO_SCALE_NOTE = (
    "The scale is not set, so lengths are in pixels; give a known length or the person's height."
)


@dataclass(frozen=True)
class Outcome:
    """What a task adds to the measurements."""

    series: tuple[Series, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    moments: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()


def run_task(task: Task, trajectory: Trajectory, scale: Scale | None) -> Outcome:
    """One task; what it does not find it says in its notes and in its quantities' reasons."""
    if task == "gait":
        gait = measure_gait(trajectory, scale)
        notes = (f"Gait: {gait.reason}",) if gait.reason else ()
        return Outcome((), gait.quantities, gait.moments, notes)
    if task == "jump":
        jumps = measure_jumps(trajectory)
        notes = (f"Jumps: {jumps.reason}",) if jumps.reason else ()
        return Outcome((), jumps.quantities, jumps.moments, notes)
    if task == "squat":
        return _squats(trajectory)
    if task == "curl":
        return _curls(trajectory)
    return _mass(trajectory, scale)


def _squats(trajectory: Trajectory) -> Outcome:
    left, right = (angle_series(trajectory, f"{side}_knee") for side in SIDES)
    knees = mean_series(left, right, name="knees", label="Knee flexion, mean of both")
    found = find_repetitions(knees, trajectory.error)
    quantities = repetition_quantities(
        found,
        trajectory.error,
        name="squat",
        label="Squats",
        reason=knees.reason if not knees.known else "",
    )
    return Outcome((knees,), quantities, _moments(found), _none_found(found, "Squats"))


def _curls(trajectory: Trajectory) -> Outcome:
    outcomes = []
    for side in SIDES:
        elbow = angle_series(trajectory, f"{side}_elbow")
        found = find_repetitions(elbow, trajectory.error, side=side)
        quantities = repetition_quantities(
            found, trajectory.error, name=f"{side}_curl", label=f"{side.capitalize()} curls",
            reason=elbow.reason if not elbow.known else "",
        )  # fmt: skip
        outcomes.append((found, quantities))
    (left, left_numbers), (right, right_numbers) = outcomes
    both = left + right
    return Outcome((), left_numbers + right_numbers, _moments(both), _none_found(both, "Curls"))


def _moments(found: tuple[Repetition, ...]) -> tuple[Moment, ...]:
    return tuple(moment for r in found for moment in (r.start, r.peak, r.end))


def _none_found(found: tuple[Repetition, ...], word: str) -> tuple[str, ...]:
    return () if found else (f"{word}: no whole repetition in the clip.",)


def _mass(trajectory: Trajectory, scale: Scale | None) -> Outcome:
    series = mass_series(trajectory, scale)
    _, approximations = centre_of_mass(trajectory.points, trajectory.skeleton)
    notes = [f"Centre of mass: {words}." for words in approximations]
    if scale is None:
        notes.append(NO_SCALE_NOTE)
    return Outcome(series, (), (), tuple(notes))
