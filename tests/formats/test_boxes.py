"""Boxes keep their order, find their picture, and say what is wrong with them."""

import json

import numpy as np
import pytest

from diffpose.errors import BoxError, FormatError
from diffpose.formats.boxes import read_boxes
from tests.formats.made_poses import video

PICTURES = ("a.jpg", "b.jpg", "night/c.d.png")


def read(tmp_path, entries, info):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(entries))
    return read_boxes(path, info)


def test_boxes_come_in_the_order_of_the_file_as_xyxy(tmp_path):
    entries = [
        {"image": 7, "bbox": [10, 20, 30, 40]},
        {"image": 0, "bbox": [1.5, 2.5, 10, 10]},
        {"image": 7, "bbox": [100, 20, 30, 40]},
    ]

    boxes = read(tmp_path, entries, video(8))

    assert [frame for frame, _ in boxes] == [7, 0, 7]
    np.testing.assert_array_equal(boxes[0][1], [10, 20, 40, 60])
    np.testing.assert_array_equal(boxes[1][1], [1.5, 2.5, 11.5, 12.5])


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("b.jpg", 1),
        ("b", 1),
        ("photos/b.jpg", 1),
        ("photos/b", 1),
        ("photos\\b.jpg", 1),
        ("night/c.d.png", 2),
        ("night/c.d", 2),
        ("c.d.png", 2),
        ("c.d", 2),
        (2, 2),
    ],
)
def test_a_picture_is_found_with_and_without_folder_and_extension(tmp_path, name, frame):
    boxes = read(tmp_path, [{"image": name, "bbox": [0, 0, 9, 9]}], video(3, PICTURES))

    assert boxes[0][0] == frame


def test_the_whole_name_wins_over_a_part_of_another(tmp_path):
    info = video(3, ("x/a.jpg", "a.jpg", "a"))

    boxes = read(tmp_path, [{"image": n, "bbox": [0, 0, 9, 9]} for n in ("a", "a.jpg")], info)

    assert [frame for frame, _ in boxes] == [2, 1]


def test_a_box_is_clipped_to_the_picture(tmp_path):
    boxes = read(tmp_path, [{"image": 0, "bbox": [-50, 400, 100, 200]}], video(1))

    np.testing.assert_array_equal(boxes[0][1], [-0.5, 400, 50, 479.5])


def test_no_boxes_are_no_boxes(tmp_path):
    assert read(tmp_path, [], video(1)) == []


@pytest.mark.parametrize(
    ("entry", "error", "words"),
    [
        ({"image": 3, "bbox": [0, 0, 9, 9]}, FormatError, "frame 3 is not in"),
        ({"image": -1, "bbox": [0, 0, 9, 9]}, FormatError, "frame -1 is not in"),
        ({"image": True, "bbox": [0, 0, 9, 9]}, FormatError, "name or a frame index"),
        ({"image": None, "bbox": [0, 0, 9, 9]}, FormatError, "name or a frame index"),
        ({"image": "z.jpg", "bbox": [0, 0, 9, 9]}, FormatError, "no picture is called 'z.jpg'"),
        ({"image": "b.png", "bbox": [0, 0, 9, 9]}, FormatError, "no picture is called 'b.png'"),
        ({"image": 0, "bbox": [0, 0, 9]}, FormatError, "four numbers"),
        ({"image": 0, "bbox": "0 0 9 9"}, FormatError, "four numbers"),
        ({"image": 0, "bbox": [0, 0, "9", 9]}, FormatError, "four numbers"),
        ({"image": 0}, FormatError, "Entry 1 of boxes.json"),
        ([0, 0, 9, 9], FormatError, "Entry 1 of boxes.json"),
        ({"image": 0, "bbox": [0, 0, float("nan"), 9]}, BoxError, "finite"),
        ({"image": 0, "bbox": [0, 0, float("inf"), 9]}, BoxError, "finite"),
        ({"image": 0, "bbox": [0, 0, 0, 9]}, BoxError, "x1 < x2"),
        ({"image": 0, "bbox": [10, 10, -5, 9]}, BoxError, "x1 < x2"),
        ({"image": 0, "bbox": [700, 10, 50, 50]}, BoxError, "outside"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_wrong(tmp_path, entry, error, words):
    good = {"image": 0, "bbox": [0, 0, 9, 9]}

    with pytest.raises(error, match=words) as caught:
        read(tmp_path, [good, entry], video(3, PICTURES))

    assert "Entry 1" in str(caught.value)


def test_a_video_has_no_picture_names(tmp_path):
    with pytest.raises(FormatError, match="give a frame index"):
        read(tmp_path, [{"image": "a.jpg", "bbox": [0, 0, 9, 9]}], video(3))


def test_a_name_of_two_pictures_must_be_whole(tmp_path):
    with pytest.raises(FormatError, match=r"may be a\.jpg, a\.png"):
        read(tmp_path, [{"image": "a", "bbox": [0, 0, 9, 9]}], video(2, ("a.jpg", "a.png")))


def test_a_file_that_is_no_list_is_refused(tmp_path):
    with pytest.raises(FormatError, match="Expected a list"):
        read(tmp_path, {"image": 0, "bbox": [0, 0, 9, 9]}, video(1))
