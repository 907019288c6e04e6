"""Laws of people packs: what is held out stays so, and labels lie where the picture has them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from diffpose.data.people_packs import (
    PeopleSource,
    load_people,
    read_packs,
    read_people_labels,
)
from diffpose.errors import FormatError
from diffpose.skeleton import COCO17, HALPE26
from tests.data.people_folder import DOT, drawn, write_dot_labels, write_people, write_tar


@pytest.fixture
def people(tmp_path):
    dots = write_people(tmp_path / "people")
    write_dot_labels(tmp_path / "labels.npz", dots)
    return tmp_path, dots


def brightest(picture):
    weight = np.clip(picture[..., 0].astype(float) - 90, 0, None)
    rows, columns = np.indices(weight.shape)
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_packs_are_read_in_order_and_the_held_out_one_is_not(people):
    folder, _ = people  # the files of coco_mini are not even there

    pictures = read_packs(folder / "people")

    assert [p.name for p in pictures[:2]] == ["first0.png", "first1.png"]
    assert {p.pack for p in pictures} == {"first", "second"}
    assert pictures[0].boxes is not None
    np.testing.assert_array_equal(pictures[0].boxes, [[10, 5, 80, 110]])
    assert pictures[-1].boxes is None
    assert [p.pack for p in read_packs(folder / "people", packs=["second"])] == ["second"] * 4
    with pytest.raises(FormatError, match="no pack coco_mini"):
        read_packs(folder / "people", packs=["coco_mini"])


def test_a_pack_that_people_labelled_keeps_their_keypoints(people):
    folder = people[0] / "people"
    index = json.loads((folder / "index.json").read_text())
    index["labelled"].append({"name": "sweetk_hpd2d", "json": "labelled/sweetk.json"})
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "labelled").mkdir()
    write_tar(folder / "labelled" / "sweetk.tar", {"x.png": drawn((30, 40))})
    annotations = {
        "categories": [{"keypoints": ["left_wrist", "upper_neck", "thorax", "right_hip"]}],
        "images": [{"id": 7, "file_name": "x.png"}],
        "annotations": [
            {"image_id": 7, "bbox": [10, 20, 30, 40],
             "keypoints": [30, 40, 2, 5, 6, 2, 7, 8, 2, 0, 0, 0]}
        ],
    }  # fmt: skip
    (folder / "labelled" / "sweetk.json").write_text(json.dumps(annotations))

    (picture,) = read_packs(folder, packs=["sweetk_hpd2d"])

    assert picture.keypoints is not None
    assert picture.boxes is not None
    np.testing.assert_array_equal(picture.boxes, [[10, 20, 40, 60]])
    known = np.flatnonzero(np.isfinite(picture.keypoints[0]).all(axis=1))
    assert [HALPE26.keypoints[k] for k in known] == ["left_wrist", "neck"]
    np.testing.assert_array_equal(picture.keypoints[0, known], [[30, 40], [5, 6]])


@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 2 / 3])
def test_a_label_lies_where_the_picture_has_it_after_unstretching(tmp_path, aspect):
    dots = write_people(tmp_path / "people", stretched=True)
    write_dot_labels(tmp_path / "labels.npz", dots, aspect=aspect)

    source = load_people(tmp_path / "people", tmp_path / "labels.npz", skeleton=HALPE26)

    assert len(source) == 8
    for index in range(8):
        example = source[index]
        height, width = example.frames[0].shape[:2]
        assert width / height == pytest.approx(90 / 120 * aspect, rel=0.02)
        found = brightest(example.frames[0])
        np.testing.assert_allclose(found, example.keypoints[0, DOT], atol=0.3)
        assert np.isnan(np.delete(example.keypoints[0], DOT, axis=0)).all()
        box = example.boxes[0]
        assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(70 / 105 * aspect, rel=0.02)
        assert example.weights is not None
        assert example.weights[DOT] == np.float32(0.7)


def test_pictures_stay_encoded_and_examples_have_the_wanted_skeleton(people):
    folder, _ = people
    source = load_people(folder / "people", folder / "labels.npz", skeleton=COCO17)

    assert isinstance(source.pictures[0].content, bytes)
    assert source[0].keypoints.shape == (1, 17, 2)
    assert source[0].weights is not None
    assert source[0].weights.shape == (17,)
    np.testing.assert_array_equal(source[3].frames[0], source[3].frames[0])


def test_labels_of_other_pictures_are_refused(people):
    folder, _ = people
    labels = read_people_labels(folder / "labels.npz")
    names = labels.names.copy()
    names[2] = "gone.png"

    with pytest.raises(FormatError, match=r"1 are not there, e\.g\. first/gone\.png"):
        PeopleSource(read_packs(folder / "people"), replace(labels, names=names))
    with pytest.raises(FormatError, match="Expected boxes of shape"):
        replace(labels, boxes=labels.boxes[:3])


def test_other_files_are_refused(people):
    folder, _ = people
    (folder / "other.npz").write_bytes(b"nothing")

    with pytest.raises(FormatError, match="pseudo-label"):
        read_people_labels(folder / "other.npz")
    with pytest.raises(FormatError, match="check the path"):
        read_packs(folder)
    (folder / "people" / "stills" / "second.tar").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="check the path"):
        read_packs(folder / "people")


def test_a_damaged_picture_is_named(people):
    folder, _ = people
    picture = replace(read_packs(folder / "people")[0], content=b"nothing")

    with pytest.raises(FormatError, match=r"first0\.png of first"):
        picture.decode()
