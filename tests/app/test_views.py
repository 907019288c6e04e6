import base64
import json

import numpy as np

from app import views
from diffpose.geometry import apply_affine, crop_affine
from diffpose.poses import Track
from diffpose.skeleton import COCO17, HALPE26


def test_rows_keep_a_pose_to_a_hundredth_of_a_pixel() -> None:
    points = np.array([[10.123, 20.456], [np.nan, 1.0]])
    spread = np.array([[[4.0, 1.0], [1.0, 9.0]]] * 2)

    rows = views.pose_rows(points, np.array([0.5, 0.9]), spread)

    assert rows == [[10.12, 20.46, 0.5, 4.0, 1.0, 9.0], None]


def test_a_placed_keypoint_has_no_confidence_but_a_place() -> None:
    rows = views.pose_rows(np.array([[1.0, 2.0]]), np.array([np.nan]), np.full((1, 2, 2), np.nan))

    assert rows == [[1.0, 2.0, None, None, None, None]]
    json.dumps(rows, allow_nan=False)


def test_a_heatmap_lies_where_its_crop_lies() -> None:
    crop = crop_affine([100, 50, 180, 250], size=(128, 96))
    heatmap = np.zeros((32, 24), np.float32)
    heatmap[5, 7] = 1.0

    view = views.heat_view(heatmap, crop, crop_size=(128, 96))

    levels = np.frombuffer(base64.b64decode(view["data"]), np.uint8).reshape(view["h"], view["w"])
    assert np.argwhere(levels == 255).tolist() == [[5, 7]]
    # Cell (7, 5) of stride 4 has its centre at crop pixel (4 * 7 + 1.5, 4 * 5 + 1.5).
    in_video = apply_affine(np.reshape(view["affine"], (2, 3)), np.array([7.0, 5.0]))
    assert np.allclose(apply_affine(crop, in_video), [29.5, 21.5])


def test_people_are_counted_from_one_and_times_are_seconds() -> None:
    boxes = np.tile([0.0, 0, 10, 10], (31, 1))
    track = Track(1, np.arange(30, 61), boxes, np.ones(31))

    assert views.person_choices({1: track}, 30.0) == [("Person 2 (1.0 to 2.0 s)", 1)]


def test_the_skeleton_says_a_colour_for_everything_it_draws() -> None:
    view = views.skeleton_view(COCO17)

    assert len(view["colours"]) == len(view["keypoints"]) == 17
    assert len(view["edge_colours"]) == len(view["edges"])
    json.dumps(view)


def test_an_unknown_keypoint_of_a_hypothesis_is_null() -> None:
    ghosts = views.ghosts_view(np.array([[[1.0, 2.0], [np.nan, 3.0]]]))

    assert ghosts == [[[1.0, 2.0], None]]


def test_an_ensemble_says_what_else_it_holds_possible() -> None:
    right = [("right_" in name and name[6] != "e") for name in HALPE26.keypoints]  # not the face
    pose = np.stack([np.array(right) * 200, np.arange(26) // 2 * 20], axis=-1).astype(np.float32)
    elsewhere = pose.copy()
    elsewhere[HALPE26.keypoints.index("left_wrist")] += 300

    assert views.explanations_view(pose[None], HALPE26) == ""
    assert views.explanations_view(np.stack([pose] * 4), HALPE26) == "all 4 agree"
    said = views.explanations_view(np.stack([pose, pose, pose, elsewhere]), HALPE26)
    assert said == "otherwise: left hand 25%"
    exchanged = np.stack([pose, pose, pose[HALPE26.mirror]])
    assert views.explanations_view(exchanged, HALPE26) == "otherwise: left and right exchanged 33%"
