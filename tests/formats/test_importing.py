"""Every format that can be imported gives back the poses it was written from."""

import json

import numpy as np
import pytest

from diffpose.errors import FormatError, SettingsError
from diffpose.formats.coco_poses import read_coco_poses
from diffpose.formats.exporting import export_sequences
from diffpose.formats.foreign import adopt
from diffpose.formats.importing import find_format, import_poses
from diffpose.poses import Origin, VideoInfo
from diffpose.skeleton import COCO17, HALPE26
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
WRITTEN = {
    "json": ("json", "o.json"), "csv": ("csv", "o.csv"), "parquet": ("parquet", "o.parquet"),
    "coco-annotations": ("coco", "o.json"), "dlc-csv": ("dlc", "o.csv"), "dlc-h5": ("dlc", "o.h5"),
    "sleap": ("sleap", "o.slp"),
}  # fmt: skip


def people():
    rng = np.random.default_rng(3)
    keypoints = rng.uniform(1, 470, (3, 17, 2))
    keypoints[0, 4] = np.nan
    origin = np.zeros((3, 17), np.uint8)
    origin[1, 2] = Origin.CORRECTED
    confidence = rng.uniform(0, 1, (3, 17))
    confidence[1, 2] = np.nan
    first = sequence(
        0, [0, 1, 6], COCO17, keypoints=keypoints, origin=origin, confidence=confidence
    )
    return [first, sequence(7, [6], COCO17)]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_exported_comes_back_by_name_and_by_person(tmp_path, name):
    format_name, file = WRITTEN[name]
    export_sequences(name, tmp_path / file, people(), VIDEO, PROVENANCE)

    read = import_poses(tmp_path / file, info=VIDEO, skeleton=HALPE26)

    assert read.format_name == find_format(tmp_path / file) == format_name
    assert [s.track_id for s in read.poses.sequences] == [0, 7]
    for ours, theirs in zip(people(), read.poses.sequences, strict=True):
        assert theirs.frames.tolist() == ours.frames.tolist()
        for index, keypoint in enumerate(COCO17.keypoints):
            np.testing.assert_array_equal(
                theirs.keypoints[:, HALPE26.index(keypoint)], ours.keypoints[:, index]
            )
        assert np.isnan(theirs.keypoints[:, HALPE26.index("left_heel")]).all()


@pytest.mark.parametrize("name", sorted({*WRITTEN} - {"dlc-csv", "dlc-h5"}))
def test_corrections_come_back_as_corrections(tmp_path, name):
    _, file = WRITTEN[name]
    export_sequences(name, tmp_path / file, people(), VIDEO, PROVENANCE)

    first, second = import_poses(tmp_path / file, info=VIDEO, skeleton=COCO17).poses.sequences

    np.testing.assert_array_equal(first.origin, people()[0].origin)
    assert (second.origin == Origin.PREDICTED).all()


def test_confidence_and_size_of_the_uncertainty_come_back_from_coco(tmp_path):
    export_sequences("coco-annotations", tmp_path / "o.json", people(), VIDEO, PROVENANCE)

    first, _ = import_poses(tmp_path / "o.json", info=VIDEO, skeleton=COCO17).poses.sequences

    known = np.isfinite(people()[0].keypoints).all(axis=-1)
    np.testing.assert_allclose(first.radius[known], people()[0].radius[known], rtol=1e-5)
    np.testing.assert_array_equal(first.confidence[known], people()[0].confidence[known])


def test_our_own_file_needs_no_video_and_keeps_what_made_it(tmp_path):
    export_sequences("json", tmp_path / "o.json", people(), VIDEO, PROVENANCE)

    read = import_poses(tmp_path / "o.json", info=None)

    assert read.info.video_id == VIDEO.video_id
    assert read.provenance.weights == PROVENANCE.weights
    assert read.provenance.extra["imported"]["file"] == "o.json"
    np.testing.assert_array_equal(read.poses.sequences[0].covariance, people()[0].covariance)


def test_another_video_is_said(tmp_path):
    export_sequences("json", tmp_path / "o.json", people(), VIDEO, PROVENANCE)
    other = VideoInfo(VIDEO.path, "other", 640, 480, VIDEO.times_s)

    read = import_poses(tmp_path / "o.json", info=other)

    assert any("whose content is another" in note for note in read.poses.notes)


def test_a_video_is_asked_for_where_the_file_describes_none(tmp_path):
    export_sequences("sleap", tmp_path / "o.slp", people(), VIDEO, PROVENANCE)

    with pytest.raises(SettingsError, match="name the video"):
        import_poses(tmp_path / "o.slp", info=None)


def test_a_format_nobody_knows_is_refused(tmp_path):
    (tmp_path / "o.bvh").touch()

    with pytest.raises(FormatError, match="not known by its suffix"):
        import_poses(tmp_path / "o.bvh", info=VIDEO)
    with pytest.raises(SettingsError, match="choose one of json"):
        import_poses(tmp_path / "o.bvh", info=VIDEO, format_name="bvh")
    with pytest.raises(FormatError, match="check the name"):
        import_poses(tmp_path / "none.csv", info=VIDEO)


def coco(tmp_path, annotations, file_names, **image):
    content = {
        "images": [
            {"id": 100 + i, "file_name": name, "width": 640, "height": 480, **image}
            for i, name in enumerate(file_names)
        ],
        "annotations": [
            {"id": i + 1, "category_id": 1, "iscrowd": 0, **a} for i, a in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": ["right_knee", "left_knee"]}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    return tmp_path / "c.json"


def test_a_foreign_coco_file_is_read_by_the_numbers_in_its_file_names(tmp_path):
    path = coco(
        tmp_path,
        [{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 1]},
         {"image_id": 101, "keypoints": [5, 6, 2, 0, 0, 0]}],
        ["run/frame_000004.PNG", "run/frame_000002.PNG"],
    )  # fmt: skip

    taken = adopt(read_coco_poses(path, VIDEO), VIDEO, COCO17, origin=Origin.CORRECTED)

    (one,) = taken.sequences
    assert one.frames.tolist() == [2, 4]
    right, left = COCO17.index("right_knee"), COCO17.index("left_knee")
    np.testing.assert_array_equal(one.keypoints[:, right], [[5, 6], [1, 2]])
    np.testing.assert_array_equal(one.keypoints[:, left], [[np.nan, np.nan], [3, 4]])
    assert one.origin[1, left] == Origin.CORRECTED


def test_of_a_starting_pose_the_hidden_keypoint_is_unsure(tmp_path):
    path = coco(tmp_path, [{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 1]}], ["0.png"])

    (one,) = read_coco_poses(path, VIDEO).sequences

    assert one.confidence.tolist() == [[1, 0]]


def test_file_names_without_numbers_are_said(tmp_path):
    path = coco(tmp_path, [{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 2]}], ["a.png"])

    with pytest.raises(FormatError, match="frames 100 to 100"):
        adopt(read_coco_poses(path, VIDEO), VIDEO, COCO17)
    assert "hold no frame numbers" in read_coco_poses(path, VIDEO).notes[0]


def test_times_of_another_frame_rate_are_said(tmp_path):
    pose = {"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 2]}

    notes = read_coco_poses(coco(tmp_path, [pose], ["5.png"], time_s=0.5), VIDEO).notes

    assert "another frame rate" in notes[0]


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 2]}] * 2, "who is who"),
        ([{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 2], "track_id": 0}] * 2, "two poses"),
        ([{"image_id": 9, "keypoints": [1, 2, 2, 3, 4, 2]}], "does not list"),
        ([{"image_id": 100, "keypoints": [1, 2, 2]}], "x, y and visibility of 2"),
        ([{"image_id": 100, "keypoints": [1, 2, 2, 3, 4, 2], "source": ["guess", None]}], "guess"),
    ],
)
def test_a_coco_file_that_makes_no_sense_is_refused(tmp_path, annotations, words):
    with pytest.raises(FormatError, match=words):
        read_coco_poses(coco(tmp_path, annotations, ["0.png"]), VIDEO)


def test_pictures_are_found_by_name_and_their_people_need_no_ids(tmp_path):
    pictures = video(2, names=("a.jpg", "b.jpg"))
    pose = {"keypoints": [1, 2, 2, 3, 4, 2]}
    path = coco(tmp_path, [{"image_id": 100, **pose}, {"image_id": 100, **pose}], ["in/b.jpg"])

    read = read_coco_poses(path, pictures)

    assert [(s.track_id, s.frames.tolist()) for s in read.sequences] == [(0, [1]), (1, [1])]
    with pytest.raises(FormatError, match=r"no picture of that name"):
        read_coco_poses(coco(tmp_path, [], ["c.jpg"]), pictures)
