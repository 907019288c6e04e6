"""COCO files: read by COCO's own code, picked by name, in the order that was asked for."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from diffpose.errors import FormatError
from diffpose.formats.coco import read_coco_keypoints, write_coco_dataset, write_coco_results
from diffpose.poses import Origin
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15, convert
from tests.formats.made_poses import PROVENANCE, sequence, video

KPTS = "keypoints"


def load(path):
    with path.open(encoding="utf-8") as file:
        return json.load(file)


def average_precision(truth, results):
    """AP by pycocotools, which prints a lot."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), KPTS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


@pytest.mark.parametrize("names", [(), ("a.jpg", "b.jpg", "c.jpg"), ("07.jpg", "3.jpg", "0.jpg")])
def test_cocos_own_evaluation_finds_every_keypoint_where_it_is(tmp_path, names):
    people = [sequence(0, [0, 1, 2]), sequence(4, [1])]
    info = video(3, names)

    write_coco_dataset(tmp_path / "truth.json", people, info, PROVENANCE)
    write_coco_results(tmp_path / "results.json", people, info)

    ap = average_precision(tmp_path / "truth.json", tmp_path / "results.json")
    assert ap == pytest.approx(1.0)


def test_cocos_own_evaluation_notices_shuffled_keypoints(tmp_path):
    people, info = [sequence(0, [0, 1])], video(2)
    write_coco_dataset(tmp_path / "truth.json", people, info, PROVENANCE)
    write_coco_results(tmp_path / "results.json", people, info)
    results = load(tmp_path / "results.json")
    for entry in results:
        entry[KPTS] = entry[KPTS][3:] + entry[KPTS][:3]
    (tmp_path / "results.json").write_text(json.dumps(results))

    assert average_precision(tmp_path / "truth.json", tmp_path / "results.json") < 0.5


def test_a_result_has_the_17_keypoints_by_name(tmp_path):
    # POSETRACK15 begins with the right ankle and has no eyes; COCO ends with the right ankle.
    person = sequence(0, [3], POSETRACK15)

    write_coco_results(tmp_path / "r.json", [person], video(4))

    (entry,) = load(tmp_path / "r.json")
    triplets = np.array(entry[KPTS], np.float32).reshape(17, 3)
    assert (entry["image_id"], entry["category_id"]) == (3, 1)
    np.testing.assert_array_equal(triplets[16, :2], person.keypoints[0, 0])
    np.testing.assert_array_equal(triplets[16, 2], person.confidence[0, 0])
    np.testing.assert_array_equal(triplets[COCO17.index("left_eye")], [0, 0, 0])
    known = convert(person.confidence, POSETRACK15, COCO17, axis=-1)
    assert entry["score"] == pytest.approx(np.nanmean(known), abs=1e-6)
    assert set(entry) == {"image_id", "category_id", KPTS, "score"}


def test_unknown_keypoints_are_zero_and_placed_ones_are_certain(tmp_path):
    person = sequence(0, [0], COCO17)
    keypoints, confidence = person.keypoints.copy(), np.full((1, 17), 0.5)
    keypoints[0, 3] = np.nan
    confidence[0, 4] = np.nan

    person = sequence(0, [0], COCO17, keypoints=keypoints, confidence=confidence)
    write_coco_results(tmp_path / "r.json", [person], video(1))

    (entry,) = load(tmp_path / "r.json")
    assert entry[KPTS][9:12] == [0, 0, 0]
    assert entry[KPTS][14] == 1
    assert entry["score"] == pytest.approx((15 * 0.5 + 1) / 16, abs=1e-6)


def test_a_pose_of_unknown_keypoints_has_score_zero(tmp_path):
    person = sequence(0, [0], COCO17, keypoints=np.full((1, 17, 2), np.nan))

    write_coco_results(tmp_path / "r.json", [person], video(1))

    (entry,) = load(tmp_path / "r.json")
    assert entry[KPTS] == [0] * 51
    assert entry["score"] == 0


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ((), [0, 1]),
        (("b.jpg", "a.jpg"), [0, 1]),
        (("000139.jpg", "0.png"), [139, 0]),
        (("139.jpg", "000139.jpg"), [0, 1]),
        (("139.jpg", "a.jpg"), [0, 1]),
        (("1" * 16 + ".jpg", "2.jpg"), [0, 1]),
    ],
)
def test_an_image_id_is_the_frame_or_the_number_in_the_name(tmp_path, names, ids):
    write_coco_results(tmp_path / "r.json", [sequence(0, [0, 1])], video(2, names))

    entries = load(tmp_path / "r.json")
    assert [entry["image_id"] for entry in entries] == ids
    by_position = bool(names) and ids == [0, 1]
    assert [entry.get("file_name") for entry in entries] == list(
        names if by_position else (None, None)
    )


def test_results_come_in_the_order_of_the_boxes(tmp_path):
    people = [sequence(0, [0, 2]), sequence(1, [1])]

    write_coco_results(tmp_path / "r.json", people, video(3), order=[(1, 1), (0, 2), (0, 0)])

    assert [entry["image_id"] for entry in load(tmp_path / "r.json")] == [1, 2, 0]


def test_results_without_an_order_come_frame_by_frame(tmp_path):
    people = [sequence(5, [0, 2]), sequence(1, [0, 1])]

    write_coco_results(tmp_path / "r.json", people, video(3))

    entries = load(tmp_path / "r.json")
    assert [entry["image_id"] for entry in entries] == [0, 0, 1, 2]
    assert entries[0][KPTS][0] == pytest.approx(people[0].keypoints[0, 0, 0])


def test_nobody_is_an_empty_list(tmp_path):
    write_coco_results(tmp_path / "r.json", [], video(3))

    assert load(tmp_path / "r.json") == []


def test_what_made_the_results_lies_beside_them(tmp_path):
    write_coco_results(tmp_path / "r.json", [sequence(0, [0])], video(1), PROVENANCE)

    sidecar = load(tmp_path / "r.json.provenance.json")
    assert sidecar["weights"] == PROVENANCE.weights
    assert sidecar["seed"] == PROVENANCE.seed
    assert sidecar["video"]["video_id"] == video(1).video_id


def test_an_annotation_says_what_is_known_about_every_keypoint(tmp_path):
    origin, confidence = np.zeros((1, 17), np.uint8), np.full((1, 17), 0.9)
    keypoints = np.tile([[100.0, 50.0]], (17, 1))
    keypoints[1] = [160.0, 150.0]
    keypoints[2] = np.nan
    confidence[0, 3] = 0.1
    origin[0, 4], confidence[0, 4] = Origin.CORRECTED, np.nan
    covariance = np.tile(np.diag([9.0, 9.0]), (1, 17, 1, 1))
    person = sequence(
        0, [0], COCO17, keypoints=keypoints[None], confidence=confidence, covariance=covariance,
        origin=origin,
    )  # fmt: skip

    write_coco_dataset(tmp_path / "d.json", [person], video(2), PROVENANCE)

    content = load(tmp_path / "d.json")
    (annotation,) = content["annotations"]
    assert annotation[KPTS][2::3] == [2, 2, 0, 1, 2] + [2] * 12
    assert annotation[KPTS][6:9] == [0, 0, 0]
    assert annotation["num_keypoints"] == 16
    assert annotation["bbox"] == [100, 50, 60, 100]
    assert annotation["area"] == 6000
    assert annotation["source"][:5] == ["predicted", "predicted", None, "predicted", "corrected"]
    assert annotation["sigma_px"][:4] == [3, 3, None, 3]
    assert annotation["attributes"] == {
        "object_id": 1, "track_id": 1, "occluded": True, "keyframe": True,
    }  # fmt: skip
    assert (annotation["id"], annotation["track_id"], annotation["iscrowd"]) == (1, 0, 0)
    assert [image["id"] for image in content["images"]] == [0]
    assert content["info"]["provenance"]["seed"] == PROVENANCE.seed


def test_the_category_is_cocos(tmp_path):
    write_coco_dataset(tmp_path / "d.json", [], video(1), PROVENANCE)

    (category,) = load(tmp_path / "d.json")["categories"]
    official = [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
        [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ]  # fmt: skip
    assert category["keypoints"] == list(COCO17.keypoints)
    assert sorted(map(sorted, category["skeleton"])) == sorted(map(sorted, official))


def test_reading_an_annotation_file_gives_back_the_people(tmp_path):
    people = [sequence(0, [1, 2]), sequence(1, [2])]
    names = ("empty.jpg", "one.jpg", "two.jpg")

    write_coco_dataset(tmp_path / "d.json", people, video(3, names), PROVENANCE, skeleton=HALPE26)
    read = read_coco_keypoints(tmp_path / "d.json")

    assert read.keypoint_names == HALPE26.keypoints
    assert read.image_names == names
    assert read.image_sizes.tolist() == [[480, 640]] * 3
    assert [read.image_names[i] for i in read.image] == ["one.jpg", "two.jpg", "two.jpg"]
    assert read.ids.tolist() == [1, 2, 3]
    expected = np.stack([people[0].keypoints[0], people[0].keypoints[1], people[1].keypoints[0]])
    np.testing.assert_array_equal(read.keypoints[..., :2].astype(np.float32), expected)
    np.testing.assert_allclose(read.boxes[:, :2], expected.min(axis=1))
    np.testing.assert_allclose(read.boxes[:, 2:], expected.max(axis=1), rtol=1e-6)
    assert not read.crowd.any()


def test_an_annotation_file_without_people_has_empty_arrays(tmp_path):
    write_coco_dataset(tmp_path / "d.json", [], video(2, ("a.jpg", "b.jpg")), PROVENANCE)

    read = read_coco_keypoints(tmp_path / "d.json")

    assert read.image_names == ("a.jpg", "b.jpg")
    assert read.keypoints.shape == (0, 17, 3)
    assert read.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "list of results"),
        ({"images": []}, "images, annotations and categories"),
        ({"images": [], "annotations": [], "categories": [{"id": 1}]}, "has keypoints"),
        (
            {
                "images": [],
                "annotations": [{"image_id": 5, "category_id": 1, "keypoints": [1, 2, 2]}],
                "categories": [{"id": 1, "keypoints": ["head"]}],
            },
            "does not list",
        ),
        (
            {
                "images": [{"id": 5, "file_name": "a", "height": 1, "width": 1}],
                "annotations": [{"image_id": 5, "category_id": 1, "keypoints": [1, 2, 2]}],
                "categories": [{"id": 1, "keypoints": ["head"]}],
            },
            "bbox",
        ),
    ],
)
def test_files_that_are_no_annotations_are_refused(tmp_path, content, words):
    (tmp_path / "d.json").write_text(json.dumps(content))

    with pytest.raises(FormatError, match=words):
        read_coco_keypoints(tmp_path / "d.json")
