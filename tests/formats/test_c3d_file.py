"""C3D by the user guide: read with py-c3d, and with ezc3d."""

from dataclasses import replace

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.formats.c3d import write_c3d
from diffpose.poses import Origin, VideoInfo
from diffpose.skeleton import HALPE26, Skeleton
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
UNSEEN = 4
pytestmark = pytest.mark.filterwarnings("ignore:No analog data")


def person(track_id=0):
    keypoints = np.random.default_rng(track_id).uniform(1, 400, (3, 26, 2))
    keypoints[1, UNSEEN] = np.nan
    return sequence(track_id, [1, 2, 5], keypoints=keypoints)


def load(path):
    """Labels, rate, unit, frame numbers, and (N, M, 5) of x, y, z, residual byte, cameras."""
    c3d = pytest.importorskip("c3d")
    with path.open("rb") as file:
        reader = c3d.Reader(file)
        frames = [(number, points.copy()) for number, points, _ in reader.read_frames()]
        unit = reader.get("POINT:UNITS").string_value.strip()
        labels = [label.strip() for label in reader.point_labels]
        scale = abs(reader.point_scale)
        return labels, reader.point_rate, unit, frames, scale


def test_points_come_back_by_name_with_gaps(tmp_path):
    write_c3d(tmp_path / "o.c3d", [person()], VIDEO, PROVENANCE)

    labels, rate, unit, frames, _ = load(tmp_path / "o.c3d")
    assert labels == list(HALPE26.keypoints)
    assert rate == pytest.approx(29.97, rel=1e-6)
    assert unit == "px"
    assert [number for number, _ in frames] == [2, 3, 4, 5, 6]  # the video's first frame is 1
    points = np.stack([values for _, values in frames])
    unknown = points[..., 3] == -1
    assert unknown[[2, 3]].all()
    assert unknown[1].nonzero()[0].tolist() == [UNSEEN]
    for row, pose in ((0, 0), (4, 2)):
        np.testing.assert_allclose(points[row, :, :2], person().keypoints[pose], rtol=1e-6)
        assert (points[row, :, 2] == 0).all()


def test_residuals_are_the_uncertainty_and_0_where_nothing_was_measured(tmp_path):
    origin = np.zeros((3, 26), np.uint8)
    origin[0, 0], origin[0, 1] = Origin.CORRECTED, Origin.INTERPOLATED
    one = replace(person(), origin=origin)

    write_c3d(tmp_path / "o.c3d", [one], VIDEO, PROVENANCE)

    _, _, _, frames, scale = load(tmp_path / "o.c3d")
    first = frames[0][1]
    assert first[:2, 3:].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_allclose(first[2:, 3], one.radius[0, 2:], atol=scale)
    assert (first[2:, 4] == 1).all()  # one camera


def test_ezc3d_reads_the_same(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    write_c3d(tmp_path / "o.c3d", [person(), person(7)], VIDEO, PROVENANCE)

    file = ezc3d.c3d(str(tmp_path / "o.c3d"))

    labels = file["parameters"]["POINT"]["LABELS"]["value"]
    points = file["data"]["points"][:, labels.index("7:left_hip")]
    index = HALPE26.index("left_hip")
    np.testing.assert_allclose(points[:2, [0, 1, 4]].T, person(7).keypoints[:, index], rtol=1e-6)
    assert np.isnan(points[:3, [2, 3]]).all()
    assert file["parameters"]["DIFFPOSE"]["WEIGHTS"]["value"] == [PROVENANCE.weights]
    assert file["header"]["points"]["first_frame"] == 1  # ezc3d counts from 0


def test_many_people_and_a_long_video_are_read_whole(tmp_path):
    c3d = pytest.importorskip("c3d")
    info = VideoInfo(VIDEO.path, "id", 640, 480, np.arange(70_000) / 25)
    pair = Skeleton("pair", ("neck", "hip"), (), (0.1, 0.1))
    crowd = [sequence(number, [3], HALPE26) for number in range(11)]

    write_c3d(tmp_path / "crowd.c3d", crowd, VIDEO, PROVENANCE)
    write_c3d(tmp_path / "long.c3d", [sequence(0, [0, 69_999], pair)], info, PROVENANCE)

    with (tmp_path / "crowd.c3d").open("rb") as file:
        reader = c3d.Reader(file)
        assert reader.point_used == 11 * 26
        assert reader.get("POINT:LABELS2").string_array[-1].strip() == "10:right_heel"
    with (tmp_path / "long.c3d").open("rb") as file:
        assert c3d.Reader(file).last_frame == 70_000


def test_two_people_have_their_ids_before_the_names_and_share_the_frames(tmp_path):
    other = sequence(7, [4])

    write_c3d(tmp_path / "o.c3d", [person(), other], VIDEO, PROVENANCE)

    labels, _, _, frames, _ = load(tmp_path / "o.c3d")
    assert labels[26] == "7:nose"
    points = dict(frames)
    np.testing.assert_allclose(points[5][26:, :2], other.keypoints[0], rtol=1e-6)
    assert (points[2][26:, 3] == -1).all()


def test_with_a_scale_the_unit_is_millimetres_with_y_up(tmp_path):
    keypoints = np.full((1, 26, 2), 100.0)
    keypoints[0, 0] = [100, 479]

    write_c3d(
        tmp_path / "o.c3d", [sequence(0, [0], keypoints=keypoints)], VIDEO, PROVENANCE,
        metres_per_px=0.001,
    )  # fmt: skip

    _, _, unit, frames, _ = load(tmp_path / "o.c3d")
    assert unit == "mm"
    np.testing.assert_allclose(frames[0][1][0, :3], [100, 0, 0], atol=1e-4)
    np.testing.assert_allclose(frames[0][1][1, :3], [100, 379, 0], atol=1e-4)


def test_uneven_times_are_refused_because_the_file_would_lie(tmp_path):
    info = VideoInfo(VIDEO.path, "id", 640, 480, np.array([0.0, 0.04, 0.08, 0.2, 0.24]))

    with pytest.raises(FormatError, match="unevenly spaced"):
        write_c3d(tmp_path / "o.c3d", [sequence(0, [0, 4])], info, PROVENANCE)

    write_c3d(tmp_path / "o.c3d", [sequence(0, [0, 2])], info, PROVENANCE)
    assert load(tmp_path / "o.c3d")[1] == pytest.approx(25)
