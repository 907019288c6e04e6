"""PoseTrack and COCO as sources: what an example holds, and folders that lack something."""

import json
import pickle

import cv2
import numpy as np
import pytest

from diffpose.data.coco_source import load_coco
from diffpose.data.posetrack import load_posetrack
from diffpose.errors import FormatError
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15
from tests.posetrack_folder import LABELED, SIZE, make_posetrack


@pytest.fixture
def folder(tmp_path):
    return make_posetrack(tmp_path / "posetrack")


def test_everybody_in_a_labelled_frame_is_an_example(folder):
    source = load_posetrack(folder, "train", num_frames=3)

    assert len(source) == 2 * len(LABELED) * 2
    assert {person.frame for person in source.people} == set(LABELED)


def test_a_window_holds_the_neighbours_pictures_and_the_centre_s_box(folder):
    source = load_posetrack(folder, "val", num_frames=5)
    first = source.people[0]
    annotated = source.sequences[0].frames

    example = source[0]

    assert first.frame == 1
    assert len(example.frames) == 5
    assert example.frames[0].shape == (*SIZE, 3)
    names = [annotated[i].name for i in (0, 0, 1, 2, 3)]  # the first frame is repeated
    for picture, name in zip(example.frames, names, strict=True):
        np.testing.assert_array_equal(picture, source.pictures[name])
    np.testing.assert_allclose(example.boxes, np.tile(annotated[1].boxes[0], (5, 1)))
    assert np.isnan(example.keypoints[:2]).all()  # unlabelled
    for place, frame in ((2, 1), (3, 2), (4, 3)):
        np.testing.assert_allclose(
            example.keypoints[place], annotated[frame].keypoints[0], rtol=1e-6
        )


def test_keypoints_come_in_the_skeleton_asked_for(folder):
    here, there = (load_posetrack(folder, "val", skeleton=s) for s in (POSETRACK15, HALPE26))

    got, want = there[0].keypoints[2], here[0].keypoints[2]

    np.testing.assert_array_equal(
        got[HALPE26.index("neck")], want[POSETRACK15.index("head_bottom")]
    )
    np.testing.assert_array_equal(
        got[HALPE26.index("left_knee")], want[POSETRACK15.index("left_knee")]
    )
    assert np.isnan(got[HALPE26.index("left_heel")]).all()


def test_a_part_has_the_people_of_its_sequences_only(folder):
    source = load_posetrack(folder, "train")

    part = source.part([1])

    assert len(part) == len(source) // 2
    np.testing.assert_array_equal(part[0].keypoints, source[len(part)].keypoints)


def test_a_source_goes_to_another_process_as_it_is(folder):
    source = load_posetrack(folder, "val")

    copy = pickle.loads(pickle.dumps(source))

    for picture, same in zip(source[3].frames, copy[3].frames, strict=True):
        np.testing.assert_array_equal(picture, same)


def damage_table(folder, change):
    path = next((folder / "annotations" / "val").glob("*.json"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: next((f / "images" / "val").rglob("*.jpg")).unlink(), "1 are not there"),
        (lambda f: [p.unlink() for p in (f / "annotations" / "val").iterdir()], "found none"),
        (lambda f: (f / "annotations").rename(f / "labels"), "annotations/val"),
        (lambda f: damage_table(f, lambda c: c.update(annotations=[])), "the test split"),
    ],
)
def test_a_folder_that_lacks_something_is_named(folder, damage, words):
    damage(folder)

    with pytest.raises(FormatError, match=words):
        load_posetrack(folder, "val")


def test_a_damaged_picture_is_named_when_it_is_read(folder):
    source = load_posetrack(folder, "val")
    name = source.sequences[0].frames[1].name
    (folder / name).write_bytes(b"no picture")

    with pytest.raises(FormatError, match=name):
        source[0]


def make_coco(folder, names=COCO17.keypoints, people=3):
    rng = np.random.default_rng(0)
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    images = [{"id": 10 + i, "file_name": f"{i}.jpg", "height": 90, "width": 120} for i in range(2)]
    for image in images:
        cv2.imwrite(str(folder / "val2017" / image["file_name"]),
                    rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))  # fmt: skip
    keypoints = np.concatenate(
        [rng.uniform(5, 85, (people, 17, 2)), np.full((people, 17, 1), 2)], axis=2
    )
    keypoints[:, 0] = 0  # nobody's nose is annotated
    keypoints[-1] = 0
    annotations = [
        {"id": 1 + i, "image_id": 10 + i % 2, "category_id": 1, "iscrowd": int(i == 1),
         "bbox": [5.0, 5.0, 80.0, 80.0], "area": 3000.0, "num_keypoints": 16,
         "keypoints": keypoints[i].reshape(-1).tolist()}
        for i in range(people)
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(names), "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    return folder


def test_a_coco_still_has_the_annotated_keypoints_and_box(tmp_path):
    source = load_coco(make_coco(tmp_path), "val", skeleton=HALPE26)

    example = source[0]

    assert len(source) == 1  # the second is a group, the third has no keypoints
    assert example.frames[0].shape == (90, 120, 3)
    np.testing.assert_array_equal(example.boxes, [[5, 5, 85, 85]])
    assert np.isnan(example.keypoints[0, 0]).all()
    assert np.isfinite(example.keypoints[0, 1:17]).all()
    assert np.isnan(example.keypoints[0, 17:]).all()


@pytest.mark.parametrize(("key", "words"), [("images", "image id"), ("annotations", "annotation")])
def test_an_id_twice_in_a_coco_file_is_named(tmp_path, key, words):
    path = make_coco(tmp_path) / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content[key].append(content[key][0])
    path.write_text(json.dumps(content))

    with pytest.raises(FormatError, match=f"every {words}"):
        load_coco(tmp_path, "val")


def test_bad_coco_folders_are_named(tmp_path):
    with pytest.raises(FormatError, match=r"person_keypoints_val2017\.json"):
        load_coco(tmp_path, "val")

    names = ("right_eye", "left_eye", *COCO17.keypoints[2:])
    with pytest.raises(FormatError, match="in the order nose"):
        load_coco(make_coco(tmp_path / "order", names), "val")

    folder = make_coco(tmp_path / "missing")
    (folder / "val2017" / "0.jpg").unlink()
    with pytest.raises(FormatError, match=r"1 are not there, e\.g\. 0\.jpg"):
        load_coco(folder, "val")
