"""Drawing: colours of the sides, ellipses with known answers, pixels that must be painted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.draw import (
    SIDE_COLOURS,
    confidence_ellipse,
    draw_pose,
    line_width,
    side_colours,
    side_of,
    side_of_edge,
)
from diffpose.skeleton import COCO17, SKELETONS, Skeleton

PAIR = Skeleton("pair", ("left_hip", "left_knee"), (("left_hip", "left_knee"),), (0.1, 0.1))


def grey(height=48, width=64):
    return np.full((height, width, 3), 100, np.uint8)


def painted(frame, **options):
    """Mask of pixels that differ from an empty frame."""
    canvas = draw_pose(grey(), frame, skeleton=PAIR, **options)
    return (canvas != grey()).any(axis=-1)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_axes_of_a_diagonal_covariance_are_scaled_standard_deviations():
    axes, angle = confidence_ellipse(np.diag([9.0, 4.0]), 0.9)

    # 4.605170 is the 90 % quantile of chi-square with two degrees of freedom.
    np.testing.assert_allclose(axes**2, [9 * 4.605170186, 4 * 4.605170186])
    assert angle == 0


@given(st.floats(-1.5, 1.5), st.floats(0.1, 20), st.floats(0.1, 20))
def test_turning_the_covariance_turns_the_ellipse(turn, long, short):
    long = max(long, short * 1.1)
    flat = np.diag([long, short])

    axes, angle = confidence_ellipse(rotation(turn) @ flat @ rotation(turn).T)

    np.testing.assert_allclose(axes, confidence_ellipse(flat)[0], rtol=1e-6)
    np.testing.assert_allclose(angle, turn, atol=1e-6)


def test_ninety_percent_of_gaussian_points_lie_in_the_ellipse():
    covariance = np.array([[5.0, 2.0], [2.0, 3.0]])
    points = np.random.default_rng(0).multivariate_normal([0, 0], covariance, size=20_000)

    axes, angle = confidence_ellipse(covariance, 0.9)

    inside = (((points @ rotation(angle)) / axes) ** 2).sum(axis=-1) <= 1
    assert inside.mean() == pytest.approx(0.9, abs=0.01)


def test_ellipses_of_many_keypoints_come_at_once_and_unknown_ones_stay_unknown():
    covariance = np.full((5, 3, 2, 2), np.nan)
    covariance[0] = np.eye(2)

    axes, angle = confidence_ellipse(covariance)

    assert axes.shape == (5, 3, 2)
    assert angle.shape == (5, 3)
    assert np.isfinite(axes[0]).all()
    assert np.isnan(axes[1:]).all()


def test_drawing_leaves_the_frame_and_the_keypoints_untouched():
    frame, keypoints = grey(), np.array([[10.0, 10.0], [30.0, 30.0]])
    frame.setflags(write=False)
    keypoints.setflags(write=False)

    canvas = draw_pose(frame, keypoints, skeleton=PAIR, box=(5, 5, 40, 40))

    assert (frame == grey()).all()
    assert canvas.shape == frame.shape
    assert canvas.dtype == np.uint8
    assert (canvas != frame).any()


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_known_keypoint_has_its_sides_colour_at_its_pixel(skeleton):
    x = 20 + 12 * np.arange(len(skeleton))
    keypoints = np.stack([x, np.where(x % 24 < 12, 20, 40)], axis=-1).astype(np.float32)

    canvas = draw_pose(grey(60, 400), keypoints, skeleton=skeleton)

    for name, (column, row) in zip(skeleton.keypoints, keypoints.astype(int), strict=True):
        assert tuple(canvas[row, column]) == SIDE_COLOURS[side_of(name)], name


def test_nothing_is_painted_for_unknown_keypoints():
    assert not painted(np.full((2, 2), np.nan)).any()


def test_a_limb_needs_both_ends():
    one = painted(np.array([[10.0, 10.0], [np.nan, np.nan]]))
    both = painted(np.array([[10.0, 10.0], [50.0, 40.0]]))

    assert not one[25, 30]
    assert both[25, 30]


def test_a_keypoint_far_outside_is_left_out():
    assert not painted(np.array([[1e9, -1e9], [np.nan, np.nan]])).any()


@pytest.mark.parametrize(("confidence", "filled"), [(0.9, True), (0.05, False), (np.nan, True)])
def test_a_keypoint_that_was_not_seen_is_hollow(confidence, filled):
    mask = painted(
        np.array([[20.0, 20.0], [np.nan, np.nan]]), confidence=np.array([confidence, 1.0])
    )

    assert mask.any()
    assert mask[20, 20] == filled


def test_the_ellipse_reaches_as_far_as_its_axes():
    keypoints = np.array([[32.0, 24.0], [np.nan, np.nan]])
    covariance = np.stack([np.diag([36.0, 4.0])] * 2)

    canvas = draw_pose(grey(), keypoints, skeleton=PAIR, covariance=covariance)

    # Semi-axes 6 and 2 times sqrt(4.605) = 12.9 and 4.3 pixels, 213 the red of a left keypoint.
    assert canvas[24, [32 - 13, 32 + 13], 0].min() > 150
    assert canvas[24, [32 - 17, 32 + 17], 0].tolist() == [100, 100]
    assert canvas[[24 - 8, 24 + 8], 32, 0].tolist() == [100, 100]


def test_a_keypoint_without_covariance_has_no_ellipse():
    keypoints = np.array([[20.0, 20.0], [np.nan, np.nan]])

    without = painted(keypoints)
    unknown = painted(keypoints, covariance=np.full((2, 2, 2), np.nan))

    assert (without == unknown).all()


def test_a_box_is_drawn_on_its_border():
    mask = painted(np.full((2, 2), np.nan), box=(10, 8, 50, 40))

    assert mask[8, 30]
    assert mask[24, 50]
    assert not mask[24, 30]


@pytest.mark.parametrize(("height", "width"), [(60, 1), (240, 1), (720, 3), (2160, 9)])
def test_lines_grow_with_the_picture(height, width):
    assert line_width((height, 2 * height)) == width


def test_an_edge_belongs_to_the_side_it_names():
    assert side_of_edge(("left_hip", "left_knee")) == "left"
    assert side_of_edge(("neck", "right_shoulder")) == "right"
    assert side_of_edge(("left_hip", "right_hip")) == "centre"
    assert side_of_edge(("neck", "head")) == "centre"


def test_the_canvas_gets_the_same_colours_as_css():
    colours = side_colours(COCO17)

    assert colours[:3] == ("#f0e442", "#d55e00", "#56b4e9")
    assert len(colours) == 17
