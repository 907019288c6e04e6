"""DeepLabCut's tables by their written rules, read with pandas alone and with movement."""

import numpy as np
import pandas as pd
import pytest

from diffpose.errors import FormatError
from diffpose.formats.deeplabcut import (
    H5_KEY,
    read_deeplabcut,
    write_deeplabcut_csv,
    write_deeplabcut_h5,
)
from diffpose.formats.foreign import adopt
from diffpose.poses import Origin
from diffpose.skeleton import HALPE26
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
WRITERS = {"csv": write_deeplabcut_csv, "h5": write_deeplabcut_h5}


def person(track_id=0):
    """Frames 1, 2 and 6; nose unknown in frame 2, its left eye placed by a person."""
    keypoints = np.random.default_rng(track_id).uniform(1, 400, (3, 26, 2))
    keypoints[1, 0] = np.nan
    origin = np.zeros((3, 26), np.uint8)
    origin[1, 1] = Origin.CORRECTED
    confidence = np.full((3, 26), 0.5)
    confidence[1, 1] = np.nan
    return sequence(track_id, [1, 2, 6], keypoints=keypoints, origin=origin, confidence=confidence)


def load(path):
    """The table as DeepLabCut's documentation says: four heading rows, or three for one animal."""
    if path.suffix == ".h5":
        return pd.read_hdf(path, key=H5_KEY)
    levels = [line.split(",")[0] for line in path.read_text().splitlines()[:4]]
    return pd.read_csv(path, header=list(range(levels.index("coords") + 1)), index_col=0)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_lone_person_is_a_single_animal_project(tmp_path, kind):
    path = tmp_path / f"p.{kind}"

    WRITERS[kind](path, [person()], VIDEO, PROVENANCE)

    table = load(path)
    assert list(table.columns.names) == ["scorer", "bodyparts", "coords"]
    assert list(table.index) == list(range(9))
    values = table.xs("DiffPose-small", axis=1, level=0)
    for index, name in enumerate(HALPE26.keypoints):
        np.testing.assert_array_equal(
            values[name][["x", "y"]].to_numpy(np.float32)[[1, 2, 6]], person().keypoints[:, index]
        )


@pytest.mark.parametrize("kind", WRITERS)
def test_an_unknown_keypoint_has_no_place_and_likelihood_0_a_placed_one_1(tmp_path, kind):
    path = tmp_path / f"p.{kind}"

    WRITERS[kind](path, [person()], VIDEO, PROVENANCE)

    nose, eye = (load(path)["DiffPose-small"][name] for name in ("nose", "left_eye"))
    assert nose["likelihood"].tolist() == [0, 0.5, 0, 0, 0, 0, 0.5, 0, 0]
    assert nose["x"].isna().tolist() == [True, False, True, True, True, True, False, True, True]
    assert eye["likelihood"][2] == 1


@pytest.mark.parametrize("kind", WRITERS)
def test_people_come_back_by_name_with_their_ids(tmp_path, kind):
    path = tmp_path / f"p.{kind}"
    people = [person(7), person(0)]

    WRITERS[kind](path, people, VIDEO, PROVENANCE)
    read = read_deeplabcut(path)

    taken = adopt(read, VIDEO, HALPE26)
    assert taken.notes == ()
    assert read.num_frames == 9
    assert [s.track_id for s in taken.sequences] == [7, 0]
    for ours, theirs in zip(people, taken.sequences, strict=True):
        np.testing.assert_array_equal(theirs.frames, ours.frames)
        np.testing.assert_array_equal(theirs.keypoints, ours.keypoints)


def test_variances_lie_beside_the_csv_in_the_smoothers_columns(tmp_path):
    write_deeplabcut_csv(tmp_path / "p.csv", [person()], VIDEO, PROVENANCE)

    table = load(tmp_path / "p_variances.csv")["DiffPose-small"]["left_hip"]

    assert list(table.columns) == ["x", "y", "likelihood", "x_ens_var", "y_ens_var"]
    index = HALPE26.index("left_hip")
    np.testing.assert_array_equal(
        table["y_ens_var"].to_numpy(np.float32)[[1, 2, 6]], person().covariance[:, index, 1, 1]
    )


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("ids", [[0], [0, 7]])
@pytest.mark.filterwarnings("ignore")
def test_movement_reads_the_same_by_name(tmp_path, kind, ids):
    load_poses = pytest.importorskip("movement.io.load_poses")
    path = tmp_path / f"p.{kind}"
    people = [person(track_id) for track_id in ids]
    WRITERS[kind](path, people, VIDEO, PROVENANCE)

    data = load_poses.from_dlc_file(path, fps=VIDEO.fps)

    assert data.sizes["time"] == 9
    for number, one in enumerate(people):
        for name in ("nose", "right_heel"):
            place = data.position.isel(individuals=number).sel(keypoints=name).to_numpy()
            wanted = np.full((9, 2), np.nan, np.float32)
            wanted[one.frames] = one.keypoints[:, HALPE26.index(name)]
            np.testing.assert_array_equal(place.astype(np.float32), wanted)


def test_a_label_file_is_read_by_the_number_in_the_pictures_names(tmp_path):
    (tmp_path / "CollectedData_me.csv").write_text(
        "scorer,,,me,me,me,me\nbodyparts,,,right_knee,right_knee,nose,nose\ncoords,,,x,y,x,y\n"
        "labeled-data,run,img0004.png,3.5,4,,\nlabeled-data,run,img0002.png,1,2,5,6\n"
    )

    taken = adopt(
        read_deeplabcut(tmp_path / "CollectedData_me.csv"), VIDEO, HALPE26, origin=Origin.CORRECTED
    )

    (one,) = taken.sequences
    assert one.frames.tolist() == [2, 4]
    assert one.keypoints[:, HALPE26.index("right_knee")].tolist() == [[1, 2], [3.5, 4]]
    assert one.origin[:, HALPE26.index("nose")].tolist() == [Origin.CORRECTED, Origin.PREDICTED]
    assert any("another order" in note for note in taken.notes)
    assert any("left_eye" in note for note in taken.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "does not begin"),
        ("", "no table of DeepLabCut"),
        ("scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\nframe,1,2\n", "names no frame"),
        ("scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\n0,1,2\n0,1,2\n", "a frame twice"),
    ],
)
def test_another_table_is_refused(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)

    with pytest.raises(FormatError, match=words):
        read_deeplabcut(tmp_path / "t.csv")


def test_another_h5_is_refused(tmp_path):
    (tmp_path / "t.h5").write_bytes(b"no table")

    with pytest.raises(FormatError, match="no table of DeepLabCut"):
        read_deeplabcut(tmp_path / "t.h5")
    with pytest.raises(FormatError, match="no such file"):
        read_deeplabcut(tmp_path / "none.h5")
