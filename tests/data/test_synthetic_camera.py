import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.data.synthetic.camera import (
    Camera,
    look_at,
    perspective,
    project,
    unproject,
    zoom_to,
)

SIZE = (120, 160)
TARGET = np.array([1.0, 0.5, -2.0])
angles = st.floats(-1.2, 1.2)


def camera(azimuth: float = 0.3, elevation: float = 0.2, roll: float = 0.0) -> Camera:
    direction = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    eye = TARGET + 4 * direction
    matrix = perspective(0.8, SIZE) @ look_at(eye, TARGET, roll_rad=roll)
    return Camera(matrix[None], eye[None], SIZE)


@settings(max_examples=30, deadline=None)
@given(azimuth=angles, elevation=angles, roll=angles)
def test_what_the_camera_looks_at_is_in_the_middle(azimuth, elevation, roll):
    x, y, depth = project(camera(azimuth, elevation, roll), TARGET[None])[0]

    assert (x, y) == pytest.approx((79.5, 59.5))
    assert depth == pytest.approx(4.0)


def test_up_in_the_world_is_up_in_the_picture():
    above = project(camera(), TARGET[None] + [0, 0.1, 0])[0]

    assert above[1] < 59.5
    assert above[0] == pytest.approx(79.5)


def test_the_field_of_view_spans_the_height():
    straight = camera(azimuth=0.0, elevation=0.0)
    top = TARGET + np.array([0.0, 4 * np.tan(0.4), 0.0])

    assert project(straight, top[None])[0, 1] == pytest.approx(-0.5)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-200, 300), y=st.floats(-200, 300), depth=st.floats(0.5, 50))
def test_unprojecting_is_the_inverse_of_projecting(x, y, depth):
    pixel = np.array([[x, y, depth]])

    there_and_back = project(camera(roll=0.4), unproject(camera(roll=0.4), pixel))

    np.testing.assert_allclose(there_and_back, pixel, atol=1e-6)


def test_zooming_carries_the_box_to_its_goal():
    points = TARGET + np.array([[-0.5, -0.9, 0.0], [0.5, 0.9, 0.0]])
    before = camera(azimuth=0.0, elevation=0.0)
    low, high = project(before, points[None])[0, :, :2][[0, 1]]
    box = [low[0], high[1], high[0], low[1]]

    after = zoom_to(before, box, [20, 10, 60, 110])

    seen = project(after, points[None])[0, :, :2]
    assert seen.mean(axis=0) == pytest.approx([40, 60])
    assert np.ptp(seen[:, 1]) == pytest.approx(100)
