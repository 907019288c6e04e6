"""Laws of PCK."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.evaluation.pck import (
    body_axes,
    head_sizes,
    limb_pck,
    pck,
    pckh,
    torso_sizes,
    torso_tilt,
)
from diffpose.skeleton import LIMB_KEYPOINTS, LSP14

RNG = np.random.default_rng(0)


def people(count=6):
    return RNG.normal(size=(count, 14, 2)) * 50


def test_truth_itself_scores_one_and_nothing_scores_zero():
    truth = people()

    assert limb_pck(truth, truth, LSP14, threshold=0.0) == 1
    assert limb_pck(np.full_like(truth, np.nan), truth, LSP14, threshold=0.2) == 0


def test_the_torso_is_the_longer_diagonal():
    truth = np.full((1, 14, 2), np.nan)
    truth[0, LSP14.index("left_shoulder")] = (0, 0)
    truth[0, LSP14.index("right_hip")] = (30, 40)
    truth[0, LSP14.index("right_shoulder")] = (0, 0)
    truth[0, LSP14.index("left_hip")] = (6, 8)

    assert torso_sizes(truth, LSP14)[0] == pytest.approx(50)


def upright(count=1):
    """People who stand and face the camera: y points down, their left is on the picture's right."""
    truth = np.full((count, 14, 2), np.nan)
    for name, xy in (
        ("left_shoulder", (20, 0)), ("right_shoulder", (-20, 0)),
        ("left_hip", (12, 50)), ("right_hip", (-12, 50)),
    ):  # fmt: skip
        truth[:, LSP14.index(name)] = xy
    return truth


@given(st.floats(-180, 180))
def test_the_tilt_is_the_angle_by_which_somebody_upright_was_turned(degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    found = torso_tilt(upright() @ turn.T + 7, LSP14)

    np.testing.assert_allclose(found, [abs(degrees)], atol=1e-6)


def test_axes_lead_up_and_to_the_left_and_are_unknown_without_a_corner():
    people = upright(2)
    people[1, LSP14.index("left_hip")] = np.nan

    up, across = body_axes(people, LSP14)

    np.testing.assert_allclose(up, [(0, -50), (np.nan, np.nan)])
    np.testing.assert_allclose(across, [(32, 0), (np.nan, np.nan)])
    assert np.isnan(torso_tilt(people, LSP14)[1])


def test_without_a_diagonal_the_side_counts_and_without_a_side_the_person_is_left_out():
    truth = np.full((2, 14, 2), np.nan)
    truth[0, LSP14.index("left_shoulder")] = (0, 0)
    truth[0, LSP14.index("left_hip")] = (0, 7)

    np.testing.assert_allclose(torso_sizes(truth, LSP14), [7, np.nan])


def test_exactly_at_the_threshold_is_close_enough():
    truth = np.zeros((1, 1, 2))
    sizes = np.array([10.0])

    assert pck(np.array([[[2.0, 0]]]), truth, sizes=sizes, threshold=0.2)[0] == 1
    assert pck(np.array([[[2.001, 0]]]), truth, sizes=sizes, threshold=0.2)[0] == 0


def test_keypoints_without_truth_do_not_count():
    truth = people()
    predicted = truth.copy()
    truth[:, LSP14.index("left_wrist")] = np.nan
    predicted[:, LSP14.index("left_wrist")] += 1000

    assert limb_pck(predicted, truth, LSP14, threshold=0.1) == 1


def test_the_order_of_people_does_not_matter():
    truth = people(20)
    predicted = truth + RNG.normal(size=truth.shape) * 15
    order = RNG.permutation(20)

    assert limb_pck(predicted, truth, LSP14, threshold=0.2) == limb_pck(
        predicted[order], truth[order], LSP14, threshold=0.2
    )


def test_the_head_is_no_limb():
    truth = people()
    predicted = truth.copy()
    predicted[:, [LSP14.index("head"), LSP14.index("neck")]] += 1000

    assert "head" not in LIMB_KEYPOINTS
    assert limb_pck(predicted, truth, LSP14, threshold=0.0) == 1


def test_pckh_measures_by_the_head_box_s_diagonal():
    boxes = np.array([[10.0, 10, 40, 50], [np.nan] * 4])  # diagonal 50: size 30, threshold 15
    truth = np.zeros((2, 3, 2))
    predicted = np.array([[[15.0, 0], [0, 15.01], [9, 12]]] * 2)

    np.testing.assert_allclose(head_sizes(boxes), [30, np.nan])
    np.testing.assert_array_equal(pckh(predicted, truth, head_boxes=boxes), [1, 0, 1])
