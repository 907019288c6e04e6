"""TRC and MOT by OpenSim's rules, read by a parser of those rules and by opensim where it is."""

import numpy as np
import pytest

from diffpose.errors import FormatError, SettingsError
from diffpose.formats.opensim import write_mot, write_trc
from diffpose.poses import VideoInfo
from diffpose.skeleton import HALPE26
from tests.formats.made_poses import sequence, video

VIDEO = video(9)
TIMES_S = np.array([0.0, 0.04, 0.08, 0.2, 0.24])


def person(track_id=0):
    keypoints = np.random.default_rng(track_id).uniform(1, 400, (3, 26, 2))
    keypoints[1, 25] = np.nan  # the last cells of a row
    return sequence(track_id, [1, 2, 5], keypoints=keypoints)


def read_trc(path):
    """Frames, times, and positions by marker, as OpenSim's adapter reads them."""
    lines = path.read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    markers = [name for name in lines[3].split("\t")[2:] if name]
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    rows = [line.split("\t") for line in lines[5:] if line.strip()]
    assert len(rows) == int(head["NumFrames"])
    assert len(markers) == int(head["NumMarkers"])
    assert {len(row) for row in rows} == {2 + 3 * len(markers)}
    table = np.array(rows, float)
    places = {name: table[:, 2 + 3 * i : 5 + 3 * i] for i, name in enumerate(markers)}
    return head, table[:, 0].astype(int), table[:, 1], places


def test_markers_are_pixels_by_name_at_true_times_and_gaps_are_not_zero(tmp_path):
    write_trc(tmp_path / "walk_px.trc", [person()], VIDEO)

    head, frames, times_s, places = read_trc(tmp_path / "walk_px.trc")
    assert head["Units"] == "px"
    assert float(head["DataRate"]) == pytest.approx(29.97)
    assert frames.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(times_s, VIDEO.times_s[1:6], atol=1e-6)
    for index, name in enumerate(HALPE26.keypoints):
        wanted = np.full((5, 3), np.nan)
        wanted[[0, 1, 4], :2] = person().keypoints[:, index]
        wanted[np.isfinite(wanted[:, 0]), 2] = 0
        np.testing.assert_allclose(places[name], wanted, atol=1e-5)


def test_with_a_scale_markers_are_metres_and_y_is_up(tmp_path):
    keypoints = np.full((1, 26, 2), 1.0)
    keypoints[0, 0] = [100, 479]

    write_trc(
        tmp_path / "o.trc", [sequence(0, [0], keypoints=keypoints)], VIDEO, metres_per_px=0.01
    )

    head, _, _, places = read_trc(tmp_path / "o.trc")
    assert head["Units"] == "m"
    assert places["nose"].tolist() == [[1, 0, 0]]
    assert places["neck"].tolist() == [[0.01, 4.78, 0]]


def test_several_people_are_several_files(tmp_path):
    write_trc(tmp_path / "o.trc", [person(0), person(7), sequence(9, [])], VIDEO)

    assert {p.name for p in tmp_path.iterdir()} == {"o_track_0.trc", "o_track_7.trc"}
    _, _, _, places = read_trc(tmp_path / "o_track_7.trc")
    np.testing.assert_allclose(places["nose"][0, :2], person(7).keypoints[0, 0], atol=1e-5)


def test_times_of_an_uneven_video_are_its_own(tmp_path):
    info = VideoInfo(VIDEO.path, "id", 640, 480, TIMES_S)

    write_trc(tmp_path / "o.trc", [sequence(0, [1, 4])], info)

    np.testing.assert_allclose(read_trc(tmp_path / "o.trc")[2], TIMES_S[1:])


@pytest.mark.parametrize("scale", [0, -1, np.nan])
def test_a_scale_that_is_not_positive_is_refused(tmp_path, scale):
    with pytest.raises(SettingsError, match="positive"):
        write_trc(tmp_path / "o.trc", [person()], VIDEO, metres_per_px=scale)


def test_a_motion_counts_its_time_column_and_has_no_spaces_in_names(tmp_path):
    write_mot(tmp_path / "o.mot", TIMES_S[:2], {"right knee": [1, np.nan], "left_knee": [3, 4]})

    assert (tmp_path / "o.mot").read_text().splitlines() == [
        "Coordinates", "version=1", "nRows=2", "nColumns=3", "inDegrees=yes", "endheader",
        "time\tright_knee\tleft_knee", "0.000000\t1.00000\t3.00000", "0.040000\tnan\t4.00000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("times_s", "columns", "words"),
    [
        ([0, 0], {"a": [1, 2]}, "increasing times"),
        ([], {}, "increasing times"),
        ([0, 1], {"a b": [1, 2], "a_b": [1, 2]}, "different names"),
        ([0, 1], {"time": [1, 2]}, "different names"),
        ([0, 1], {"a": [1]}, "Expected 2 values of a"),
    ],
)
def test_a_motion_that_makes_no_sense_is_refused(tmp_path, times_s, columns, words):
    with pytest.raises(FormatError, match=words):
        write_mot(tmp_path / "o.mot", times_s, columns)


def test_opensim_reads_the_same(tmp_path):
    opensim = pytest.importorskip("opensim")
    write_trc(tmp_path / "o.trc", [person()], VIDEO, metres_per_px=0.001)
    write_mot(tmp_path / "o.mot", TIMES_S, {"knee": np.arange(5.0)})

    table = opensim.TimeSeriesTableVec3(str(tmp_path / "o.trc"))
    motion = opensim.Storage(str(tmp_path / "o.mot"))

    assert list(table.getColumnLabels()) == list(HALPE26.keypoints)
    np.testing.assert_allclose(table.getIndependentColumn(), VIDEO.times_s[1:6], atol=1e-6)
    nose = table.getRowAtIndex(4)[0].to_numpy()
    x, y = person().keypoints[2, 0]
    np.testing.assert_allclose(nose, [x / 1000, (479 - y) / 1000, 0], atol=1e-5)
    assert np.isnan(table.getRowAtIndex(1)[25].to_numpy()).all()
    assert motion.getSize() == 5
    assert motion.isInDegrees()
