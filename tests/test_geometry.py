"""Laws of boxes, crops and affines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose import geometry
from diffpose.errors import BoxError

coordinates = st.floats(-500, 500)
sides = st.floats(5, 400)
sizes = st.tuples(st.integers(16, 256), st.integers(16, 256))


@given(x=coordinates, y=coordinates, w=sides, h=sides, size=sizes)
def test_crop_affine_and_its_inverse_cancel(x, y, w, h, size):
    affine = geometry.crop_affine([x, y, x + w, y + h], size=size)
    points = np.array([[x, y], [x + w, y], [0.0, 0.0]])

    back = geometry.apply_affine(
        geometry.invert_affine(affine), geometry.apply_affine(affine, points)
    )

    np.testing.assert_allclose(back, points, atol=1e-6)


@given(x=coordinates, y=coordinates, w=sides, h=sides, size=sizes)
def test_a_crop_holds_its_box_centred_and_keeps_its_aspect(x, y, w, h, size):
    affine = geometry.crop_affine([x, y, x + w, y + h], size=size, padding=1.0)
    corners = geometry.apply_affine(affine, np.array([[x, y], [x + w, y + h]]))

    np.testing.assert_allclose(
        corners.mean(axis=0), [(size[1] - 1) / 2, (size[0] - 1) / 2], atol=1e-6
    )
    assert (corners[0] >= -0.5 - 1e-6).all()
    assert (corners[1] <= np.array([size[1], size[0]]) - 0.5 + 1e-6).all()
    assert affine[0, 0] == pytest.approx(affine[1, 1])


def test_a_crop_the_size_of_the_picture_is_the_picture():
    affine = geometry.crop_affine([-0.5, -0.5, 95.5, 127.5], size=(128, 96), padding=1.0)

    np.testing.assert_allclose(affine, [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_a_mirrored_crop_exchanges_its_left_and_right_edge():
    affine = geometry.similarity(centre=(50, 50), scale=1, angle=0, size=(11, 11), mirrored=True)

    np.testing.assert_allclose(geometry.apply_affine(affine, np.array([45.0, 45.0])), [10, 0])


def test_turning_by_a_quarter_moves_right_to_down():
    affine = geometry.similarity(centre=(0, 0), scale=1, angle=np.pi / 2, size=(1, 1))

    np.testing.assert_allclose(
        geometry.apply_affine(affine, np.array([3.0, 0.0])), [0, 3], atol=1e-9
    )


def test_composition_applies_the_first_and_then_the_second():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 2, 3))
    points = rng.normal(size=(5, 2))

    together = geometry.apply_affine(geometry.compose_affines(second, first), points)

    one_by_one = geometry.apply_affine(second, geometry.apply_affine(first, points))
    np.testing.assert_allclose(together, one_by_one)


def test_covariance_is_carried_like_the_spread_of_points():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1000, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]])
    affine = geometry.similarity(centre=(4, 5), scale=2.5, angle=0.7, size=(64, 48))

    carried = geometry.apply_affine_covariance(affine, np.cov(points.T))

    np.testing.assert_allclose(carried, np.cov(geometry.apply_affine(affine, points).T), rtol=1e-6)


def test_iou_of_equal_half_and_disjoint_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])

    np.testing.assert_allclose(geometry.box_iou(boxes[:1], boxes), [[1, 1 / 3, 0]])


@pytest.mark.parametrize(
    "box",
    [[0, 0, np.nan, 5], [5, 5, 5, 9], [200, 200, 220, 220], [0, 0, 1], [-90, 0, -50, 10]],
)
def test_a_box_that_is_no_part_of_the_picture_is_refused(box):
    with pytest.raises(BoxError, match="box"):
        geometry.check_box(box, size=(100, 100))


def test_a_box_over_the_border_is_clipped():
    box = geometry.check_box([-20, 10, 50, 500], size=(100, 100))

    np.testing.assert_allclose(box, [-0.5, 10, 50, 99.5])


@given(
    seed=st.integers(0, 1000),
    count=st.integers(3, 8),
)
def test_a_polygon_holds_its_centre_not_its_corners_and_turns_with_its_points(seed, count):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    polygon = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = rng.uniform(-12, 12, (50, 2))

    inside = geometry.points_in_polygon(points, polygon)

    assert not geometry.points_in_polygon(polygon, polygon).any()
    np.testing.assert_array_equal(geometry.points_in_polygon(points, polygon[::-1]), inside)
    np.testing.assert_array_equal(
        geometry.points_in_polygon(points + 5, np.roll(polygon, 1, 0) + 5), inside
    )
    # Points on a circle make a convex polygon: inside is the same side of every edge.
    edges = np.roll(polygon, -1, axis=0) - polygon
    towards = points[:, None] - polygon
    cross = edges[:, 0] * towards[..., 1] - edges[:, 1] * towards[..., 0]
    np.testing.assert_array_equal(inside, (cross > 0).all(axis=1))


def test_the_edge_of_a_polygon_is_outside_and_nan_is_nowhere():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    points = np.array([[2, 2], [0, 2], [2, 4], [4, 4], [np.nan, 2], [-1, 0], [5, 4]])

    assert geometry.points_in_polygon(points, square).tolist() == [True] + 6 * [False]
