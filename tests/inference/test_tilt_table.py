"""The table of limb PCK by how people lie in the picture."""

import numpy as np

from diffpose.inference.evaluate import tilt_table
from diffpose.skeleton import LSP14


def people(angles):
    """Random limbs about an upright torso, each turned by its angle in degrees."""
    truth = np.random.default_rng(0).normal(0, 40, (len(angles), 14, 2))
    for side, x in (("left", 20), ("right", -20)):
        truth[:, LSP14.index(f"{side}_shoulder")] = (x, 0)
        truth[:, LSP14.index(f"{side}_hip")] = (x, 50)
    for person, angle in zip(truth, np.deg2rad(angles), strict=True):
        cos, sin = np.cos(angle), np.sin(angle)
        person[:] = person @ np.array([[cos, sin], [-sin, cos]])
    return truth


def test_everybody_whose_torso_is_known_stands_in_one_row():
    truth = people([0, 10, 45, -45, 90, 150, 180, 180])
    truth[7, LSP14.index("left_hip")] = np.nan
    found = truth.copy()
    found[[4, 5]] += 1000

    lines = tilt_table(found, truth, LSP14).splitlines()[2:]

    assert lines == [
        "| 0 to 30 | 2 | 1.000 | 1.000 |",
        "| 30 to 60 | 2 | 1.000 | 1.000 |",
        "| 60 to 120 | 1 | 0.000 | 0.000 |",
        "| 120 to 180 | 2 | 0.500 | 0.500 |",
    ]


def test_rows_without_people_are_left_out():
    truth = people([100])

    assert len(tilt_table(truth, truth, LSP14).splitlines()) == 3
