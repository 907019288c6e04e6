"""Joint angles as MOT are those of `measure`, with their intervals beside them."""

import numpy as np
import pandas as pd
import pytest

from diffpose.errors import FormatError
from diffpose.formats.motion import write_angles
from diffpose.kinematics.measure import MeasureSettings, measure
from tests.formats.made_poses import sequence, video

VIDEO = video(9)


def test_a_motion_has_the_measured_angles_at_true_times(tmp_path):
    person = sequence(0, range(9))

    write_angles(tmp_path / "o.mot", [person], VIDEO)

    lines = (tmp_path / "o.mot").read_text().splitlines()
    table = pd.read_csv(tmp_path / "o.mot", sep="\t", skiprows=lines.index("endheader") + 1)
    assert f"nColumns={table.shape[1]}" in lines
    np.testing.assert_allclose(table["time"], VIDEO.times_s, atol=1e-6)
    measured = measure(person, VIDEO.times_s, MeasureSettings(derivatives=False))
    knee = next(curve for curve in measured.curves if curve.name == "left_knee")
    np.testing.assert_allclose(table["left_knee"], knee.values, atol=1e-5)
    intervals = pd.read_csv(tmp_path / "o_intervals.csv").set_index("angle").loc["left_knee"]
    np.testing.assert_allclose(intervals["low_deg"], knee.low, rtol=1e-5)
    assert set(intervals["origin"]) <= {"measured", "interpolated"}


def test_people_with_one_pose_are_left_out(tmp_path):
    write_angles(tmp_path / "o.mot", [sequence(0, range(5)), sequence(7, [2])], VIDEO)

    assert {p.name for p in tmp_path.iterdir()} == {"o.mot", "o_intervals.csv"}
    with pytest.raises(FormatError, match="two poses"):
        write_angles(tmp_path / "p.mot", [sequence(7, [2])], VIDEO)
