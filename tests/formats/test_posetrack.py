"""PoseTrack files: what is written reads back, years agree, bad files are named."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import FormatError
from diffpose.formats.posetrack import (
    KEYPOINTS_2018,
    find_annotations,
    read_posetrack,
    read_posetrack_folder,
    write_posetrack,
)
from diffpose.formats.posetrack_records import (
    PoseTrackFrame,
    PoseTrackSequence,
    posetrack_image_id,
)
from diffpose.skeleton import POSETRACK15

NAME = "images/val/000342_mpii_test/000000.jpg"


def made_frame(seed=0, number=0, people=2):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(1, 500, (people, 15, 2))
    keypoints[rng.random((people, 15)) < 0.2] = np.nan
    known = np.isfinite(keypoints).all(axis=-1)
    corner = rng.uniform(0, 100, (people, 2))
    return PoseTrackFrame(
        name=f"images/val/000342_mpii_test/{number:06d}.jpg",
        keypoints=keypoints,
        image_id=posetrack_image_id("000342_mpii_test", number) or 0,
        visible=~known | (rng.random((people, 15)) < 0.7),
        boxes=np.concatenate([corner, corner + 200], axis=1),
        head_boxes=np.concatenate([corner, corner + 50], axis=1),
        track_ids=np.arange(people) + 3,
        ignore_regions=(rng.uniform(0, 500, (4, 2)),),
        size=(480, 640),
    )


def written(path, *frames):
    write_posetrack(path, PoseTrackSequence(path.stem, frames))
    return json.loads(path.read_text())


def assert_equal(read, frame):
    for name in ("keypoints", "visible", "scores", "track_ids"):
        np.testing.assert_array_equal(getattr(read, name), getattr(frame, name), err_msg=name)
    np.testing.assert_allclose(read.boxes, frame.boxes)
    np.testing.assert_allclose(read.head_boxes, frame.head_boxes)
    assert (read.name, read.image_id, read.labeled, read.size) == (
        frame.name, frame.image_id, frame.labeled, frame.size)  # fmt: skip
    for got, want in zip(read.ignore_regions, frame.ignore_regions, strict=True):
        np.testing.assert_array_equal(got, want)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), people=st.integers(0, 3))
def test_what_is_written_reads_back(tmp_path_factory, seed, people):
    path = tmp_path_factory.mktemp("posetrack") / "000342_mpii_test.json"
    frames = (made_frame(seed, 0, people), replace(made_frame(seed, 1, 0), labeled=False))

    written(path, *frames)
    read = read_posetrack(path)

    assert read.name == "000342_mpii_test"
    for got, want in zip(read.frames, frames, strict=True):
        assert_equal(got, want)


def test_scores_of_predictions_read_back_and_are_17_in_the_file(tmp_path):
    frame = replace(made_frame(), scores=np.random.default_rng(0).random((2, 15)))

    content = written(tmp_path / "a.json", frame)

    assert [len(p["scores"]) for p in content["annotations"]] == [17, 17]
    assert_equal(read_posetrack(tmp_path / "a.json").frames[0], frame)


def test_every_keypoint_lies_where_the_file_names_it(tmp_path):
    points = np.arange(30.0).reshape(1, 15, 2) + 1

    person = written(tmp_path / "a.json", PoseTrackFrame(NAME, points))["annotations"][0]

    triplets = np.array(person["keypoints"]).reshape(17, 3)
    for name, (x, y, v) in zip(KEYPOINTS_2018, triplets, strict=True):
        if name.endswith("ear"):
            assert (x, y, v) == (0, 0, 0)
        else:
            assert [x, y, v] == [*points[0, POSETRACK15.index(name)], 1]


def test_a_keypoint_marked_invisible_that_has_coordinates_is_annotated(tmp_path):
    content = written(tmp_path / "a.json", PoseTrackFrame(NAME, np.ones((1, 15, 2))))
    content["annotations"][0]["keypoints"][:3] = [7, 0, 0]  # the nose
    (tmp_path / "a.json").write_text(json.dumps(content))

    frame = read_posetrack(tmp_path / "a.json").frames[0]

    np.testing.assert_array_equal(frame.keypoints[0, POSETRACK15.index("nose")], [7, 0])
    assert not frame.visible[0, POSETRACK15.index("nose")]


def file_of_2017(frame):
    def person(row):
        head = dict(zip(("x1", "y1", "x2", "y2"), frame.head_boxes[row], strict=True))
        points = [
            {"id": [k], "x": [x], "y": [y], "is_visible": [int(frame.visible[row, k])]}
            for k, (x, y) in enumerate(frame.keypoints[row].tolist())
            if np.isfinite(x)
        ]
        return {**{key: [value] for key, value in head.items()},
                "track_id": [int(frame.track_ids[row])],
                "annopoints": [{"point": points}]}  # fmt: skip

    regions = [{"point": [{"x": [x], "y": [y]} for x, y in region.tolist()]}
               for region in frame.ignore_regions]  # fmt: skip
    entry = {"image": [{"name": frame.name}], "imgnum": [1], "is_labeled": [1],
             "ignore_regions": regions,
             "annorect": [person(row) for row in range(len(frame))]}  # fmt: skip
    return {"annolist": [entry]}


def test_a_file_of_2017_says_the_same_as_one_of_2018(tmp_path):
    frame = made_frame(4)
    (tmp_path / "a.json").write_text(json.dumps(file_of_2017(frame)))

    read = read_posetrack(tmp_path / "a.json").frames[0]

    known = np.where(np.isfinite(frame.keypoints), frame.keypoints, np.inf)
    low = np.where(known == np.inf, np.inf, known).min(axis=1)
    high = np.where(known == np.inf, -np.inf, known).max(axis=1)
    boxes = np.concatenate([(low + high) / 2 - 0.65 * (high - low),
                            (low + high) / 2 + 0.65 * (high - low)], axis=1)  # fmt: skip
    assert_equal(read, replace(frame, boxes=boxes, size=None))


def test_the_year_of_a_file_shows(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(file_of_2017(made_frame())))
    years = [read_posetrack(path).year]
    content = written(path, made_frame())
    years.append(read_posetrack(path).year)
    content["images"][0]["has_labeled_person"] = True
    path.write_text(json.dumps(content))
    years.append(read_posetrack(path).year)

    assert years == [2017, 2018, 2021]


@pytest.mark.parametrize("layout", ["annotations", "posetrack_data"])
def test_annotations_are_found_in_the_folders_of_every_year(tmp_path, layout):
    (tmp_path / layout / "val").mkdir(parents=True)

    assert find_annotations(tmp_path, "val") == tmp_path / layout / "val"
    with pytest.raises(FormatError, match="annotations/train"):
        find_annotations(tmp_path, "train")


def test_a_person_of_2017_without_points_and_of_2021_without_keypoints(tmp_path):
    content = file_of_2017(made_frame(people=1))
    content["annolist"][0]["annorect"][0]["annopoints"] = []
    (tmp_path / "a.json").write_text(json.dumps(content))
    newer = written(tmp_path / "b.json", made_frame(people=1))
    del newer["annotations"][0]["keypoints"]
    (tmp_path / "b.json").write_text(json.dumps(newer))

    for name in ("a.json", "b.json"):
        frame = read_posetrack(tmp_path / name).frames[0]
        assert len(frame) == 1
        assert not frame.annotated.any()


@pytest.mark.parametrize(
    ("folder", "number"),
    [("009473_mpii_test", 10094730012), ("000001_bonn_train", 20000010012),
     ("000003_mpiinew_test", 30000030012), ("walk", None)],
)  # fmt: skip
def test_image_ids_are_those_of_posetrack18(folder, number):
    assert posetrack_image_id(folder, 12) == number


def _twice(content, key):
    content[key].append(content[key][0])


def _swapped(content):
    names = content["categories"][0]["keypoints"]
    names[5], names[6] = names[6], names[5]


def _same_track(content):
    content["annotations"][1]["track_id"] = content["annotations"][0]["track_id"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: _twice(c, "images"), "every image id once"),
        (lambda c: _twice(c, "annotations"), "every annotation id once"),
        (_same_track, "every track id once"),
        (_swapped, "right_shoulder in place of left_shoulder"),
        (lambda c: c.update(categories=[]), "17 keypoints in the order"),
        (lambda c: c.update(images=[]), "which it does not list"),
        (lambda c: c.update(images=[], annotations=[]), "lists no pictures"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2, 3]), "got 3 numbers"),
        (lambda c: c["annotations"][0].update(scores=[1.0]), "17 scores"),
        (lambda c: c["annotations"][0].update(bbox=[0, 0, -5, 5]), "box of four"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "finite"),
        (lambda c: c["images"][0].pop("file_name"), "file_name"),
        (lambda c: c.pop("images"), "annolist"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, words):
    content = written(tmp_path / "a.json", made_frame())
    damage(content)
    (tmp_path / "a.json").write_text(json.dumps(content))

    with pytest.raises(FormatError, match=words) as caught:
        read_posetrack(tmp_path / "a.json")

    assert "a.json" in str(caught.value)


def test_an_empty_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(FormatError, match="found none"):
        read_posetrack_folder(tmp_path)

    (tmp_path / "a.json").touch()

    with pytest.raises(FormatError, match=r"a\.json is empty"):
        read_posetrack_folder(tmp_path)


def test_two_pictures_of_one_id_are_not_written(tmp_path):
    frame = made_frame()

    with pytest.raises(FormatError, match="image id once"):
        written(tmp_path / "a.json", frame, replace(frame, name="other.jpg"))
