import numpy as np
import pytest

from diffpose.data.synthetic.render import Rendered
from diffpose.data.synthetic.truth import (
    OCCLUDED,
    OUTSIDE,
    VISIBLE,
    clipped_box,
    keypoint_visibility,
)

KEYPOINT = np.tile(np.array([10.0, 12.0, 4.0]), (1, 26, 1))  # x, y, metres


def seen(*, number: int, depth_m: float) -> Rendered:
    """A picture filled by somebody or something at one distance."""
    ids = np.full((1, 20, 30), number, dtype=np.uint8)
    depth = np.full((1, 20, 30), depth_m, dtype=np.float32)
    return Rendered(np.zeros((1, 20, 30, 3), dtype=np.uint8), ids, depth)


@pytest.mark.parametrize(
    ("number", "depth_m", "expected"),
    [
        (2, 3.99, OCCLUDED),  # somebody else in front, however little
        (2, 4.50, VISIBLE),  # somebody else behind
        (200, 1.00, OCCLUDED),  # a thing in front
        (1, 3.96, VISIBLE),  # the own skin over the joint
        (1, 3.50, OCCLUDED),  # the own body far in front of the joint
        (0, np.inf, VISIBLE),  # just beside the own outline
    ],
)
def test_a_keypoint_is_hidden_by_what_is_in_front(number, depth_m, expected):
    visibility = keypoint_visibility(KEYPOINT, seen(number=number, depth_m=depth_m), number=1)

    np.testing.assert_array_equal(visibility, expected)


@pytest.mark.parametrize("place", [(-0.6, 5, 4), (29.6, 5, 4), (5, 19.6, 4), (5, 5, -1)])
def test_a_keypoint_beyond_the_border_or_behind_the_camera_is_outside(place):
    points = np.tile(np.array(place, dtype=float), (1, 26, 1))

    visibility = keypoint_visibility(points, seen(number=0, depth_m=np.inf), number=1)

    np.testing.assert_array_equal(visibility, OUTSIDE)


def test_a_box_ends_at_the_picture():
    points = np.array([[5.0, -40.0, 3.0], [25.0, 14.0, 3.0], [90.0, 90.0, -3.0]])

    np.testing.assert_allclose(clipped_box(points, (20, 30)), [5, -0.5, 25, 14])


def test_somebody_wholly_outside_has_no_box():
    assert np.isnan(clipped_box(np.array([[-9.0, 4.0, 3.0], [-5.0, 9.0, 3.0]]), (20, 30))).all()
