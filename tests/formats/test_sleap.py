"""SLEAP's labels, read with HDF5 alone by the format's rules and with sleap-io."""

import json

import h5py
import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.formats.foreign import adopt
from diffpose.formats.sleap import read_sleap, write_sleap
from diffpose.poses import Origin
from diffpose.skeleton import HALPE26, Skeleton
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
PAIR = Skeleton(
    "pair", ("left_hip", "right_hip", "neck"), (("left_hip", "right_hip"),), (0.1, 0.1, 0.1)
)


def people():
    """Track 0 with a gap, an unknown and a corrected keypoint; track 7 in one of its frames."""
    keypoints = np.random.default_rng(0).uniform(1, 400, (2, 3, 2))
    keypoints[0, 2] = np.nan
    origin = np.zeros((2, 3), np.uint8)
    origin[1, 0] = Origin.CORRECTED
    return [
        sequence(0, [1, 6], PAIR, keypoints=keypoints, origin=origin),
        sequence(7, [6], PAIR),
    ]


def predicted():
    return [sequence(0, [1, 6], PAIR, keypoints=np.full((2, 3, 2), 99.0))]


def test_the_tables_follow_sleaps_layout(tmp_path):
    write_sleap(tmp_path / "p.slp", people(), VIDEO, PROVENANCE, queue=[6, 3])

    with h5py.File(tmp_path / "p.slp") as file:
        frames, instances = file["frames"][()], file["instances"][()]
        points, model = file["points"][()], file["pred_points"][()]
        metadata = json.loads(file["metadata"].attrs["json"])
        tracks = [json.loads(text) for text in file["tracks_json"][()]]
        queue = [json.loads(text)["frame_idx"] for text in file["suggestions_json"][()]]
    assert frames["frame_idx"].tolist() == [1, 6]
    assert instances["instance_type"].tolist() == [1, 1, 0, 1]
    assert instances["from_predicted"].tolist() == [-1, -1, 1, -1]
    assert [tracks[i][1] for i in instances["track"]] == ["0", "0", "0", "7"]
    assert queue == [6, 3]
    assert metadata["provenance"]["weights"] == PROVENANCE.weights
    assert [node["name"] for node in metadata["nodes"]] == list(PAIR.keypoints)
    assert points["complete"].tolist() == [True, False, False]
    first = model[: len(PAIR)]
    np.testing.assert_array_equal(first["x"].astype("f4"), people()[0].keypoints[0, :, 0])
    assert first["visible"].tolist() == [True, True, False]


def test_a_corrected_keypoint_is_unknown_in_the_prediction_unless_that_is_given(tmp_path):
    for name, given in (("without", ()), ("with", predicted())):
        write_sleap(tmp_path / name, people(), VIDEO, PROVENANCE, predictions=given)

    with h5py.File(tmp_path / "without") as without, h5py.File(tmp_path / "with") as given:
        assert np.isnan(without["pred_points"]["x"][3])
        assert np.isfinite(without["pred_points"]["x"][4])
        assert given["pred_points"]["x"][3:6].tolist() == [99, 99, 99]


def test_reading_gives_back_poses_by_name_and_what_was_corrected(tmp_path):
    write_sleap(tmp_path / "p.slp", people(), VIDEO, PROVENANCE)

    taken = adopt(read_sleap(tmp_path / "p.slp"), VIDEO, PAIR)

    assert taken.notes == ()
    assert [s.track_id for s in taken.sequences] == [0, 7]
    for ours, theirs in zip(people(), taken.sequences, strict=True):
        np.testing.assert_array_equal(theirs.frames, ours.frames)
        np.testing.assert_array_equal(theirs.keypoints, ours.keypoints)
        np.testing.assert_array_equal(theirs.origin, ours.origin)


@pytest.mark.filterwarnings("ignore")
def test_sleap_io_reads_the_same_with_links_and_queue(tmp_path):
    sleap_io = pytest.importorskip("sleap_io")
    write_sleap(tmp_path / "p.slp", people(), VIDEO, PROVENANCE, queue=[6])

    labels = sleap_io.load_slp(str(tmp_path / "p.slp"), open_videos=False)

    assert labels.provenance["num_hypotheses"] == PROVENANCE.num_hypotheses
    assert [s.frame_idx for s in labels.suggestions] == [6]
    assert list(labels.video.shape) == [9, 480, 640, 3]
    assert {frozenset(pair) for pair in labels.skeleton.symmetry_names} == {
        frozenset(("left_hip", "right_hip"))
    }
    (user,) = [i for frame in labels for i in frame.user_instances]
    assert user.track.name == "0"
    assert user.from_predicted is not None
    for name, xy in zip(PAIR.keypoints, people()[0].keypoints[1], strict=True):
        np.testing.assert_array_equal(np.float32(user[name]["xy"]), xy)


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_sleap_io_is_read_with_its_user_instances(tmp_path):
    sleap_io = pytest.importorskip("sleap_io")
    skeleton = sleap_io.Skeleton(["right_hip", "left_hip"], name="own")
    clip = sleap_io.Video(
        "run.mp4", open_backend=False, backend_metadata={"shape": [9, 480, 640, 3]}
    )
    track = sleap_io.Track("Anna")
    model = sleap_io.PredictedInstance.from_numpy(
        np.array([[1.0, 2], [3, 4]]), skeleton=skeleton, point_scores=np.array([0.5, 0.25]),
        score=0.5, track=track,
    )  # fmt: skip
    user = sleap_io.Instance.from_numpy(
        np.array([[5.0, 6], [np.nan, np.nan]]), skeleton=skeleton, track=track,
        from_predicted=model,
    )  # fmt: skip
    frames = [
        sleap_io.LabeledFrame(clip, 2, [model]),
        sleap_io.LabeledFrame(clip, 4, [user]),
    ]
    sleap_io.save_slp(sleap_io.Labels(frames), str(tmp_path / "own.slp"))

    taken = adopt(read_sleap(tmp_path / "own.slp"), VIDEO, PAIR)

    (one,) = taken.sequences
    assert one.frames.tolist() == [2, 4]
    np.testing.assert_array_equal(one.keypoints[:, 1], [[1, 2], [5, 6]])
    np.testing.assert_array_equal(one.keypoints[:, 0], [[3, 4], [np.nan, np.nan]])
    assert one.origin.tolist() == [[0, 0, 0], [0, Origin.CORRECTED, 0]]
    assert any("Anna" in note for note in taken.notes)
    assert any("another order" in note for note in taken.notes)


def test_another_file_and_a_newer_format_are_refused(tmp_path):
    (tmp_path / "t.slp").write_bytes(b"no labels")
    write_sleap(tmp_path / "new.slp", people(), VIDEO, PROVENANCE)
    with h5py.File(tmp_path / "new.slp", "a") as file:
        file["metadata"].attrs["format_id"] = 3.0

    with pytest.raises(FormatError, match="no file of SLEAP"):
        read_sleap(tmp_path / "t.slp")
    with pytest.raises(FormatError, match="newer"):
        read_sleap(tmp_path / "new.slp")
    with pytest.raises(FormatError, match="no such file"):
        read_sleap(tmp_path / "none.slp")


def test_a_video_of_another_size_is_refused(tmp_path):
    write_sleap(tmp_path / "p.slp", [sequence(0, [0], HALPE26)], VIDEO, PROVENANCE)
    other = type(VIDEO)(VIDEO.path, "cd", 1280, 720, VIDEO.times_s)

    with pytest.raises(FormatError, match="640x480"):
        adopt(read_sleap(tmp_path / "p.slp"), other, HALPE26)
