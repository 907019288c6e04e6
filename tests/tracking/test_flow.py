"""Laws of following points: a known motion is found, and what is lost is said to be."""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import crop_affine
from diffpose.tracking.flow import Flow, find_flow, follow

BOX = np.array([60.0, 40.0, 180.0, 200.0])
AFFINE = crop_affine(BOX, size=(256, 192))


def texture(seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, (240, 240, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def shifted(picture: NDArray[np.uint8], dx: float, dy: float) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    moved = cv2.warpAffine(picture, matrix, (240, 240), borderMode=cv2.BORDER_REFLECT)
    return moved.astype(np.uint8)


def constant(dx: float, dy: float) -> Flow:
    field = np.broadcast_to(np.array([dx, dy], np.float16), (256, 192, 2))
    return Flow(AFFINE, field, -field)


def test_a_shifted_picture_moves_every_point_by_the_shift_in_video_pixels() -> None:
    picture = texture()
    flow = find_flow(picture, shifted(picture, 3.0, -2.0), AFFINE)
    points = np.array([[90.0, 80.0], [120.0, 120.0], [150.0, 160.0]])

    trails = follow(lambda frame: flow, 0, points, direction=1, most=1)

    np.testing.assert_allclose(trails.steps[0], np.tile([3.0, -2.0], (3, 1)), atol=0.3)
    assert (trails.misses[0] < 0.3).all()


def test_there_and_back_ends_where_it_began() -> None:
    picture = texture(1)
    pictures = [shifted(picture, 2.0 * i, 1.0 * i) for i in range(5)]
    flows = [find_flow(a, b, AFFINE) for a, b in itertools.pairwise(pictures)]
    start = np.array([[110.0, 110.0]])

    there = follow(lambda f: flows[f] if f < 4 else None, 0, start, direction=1, most=9)
    end = start + there.steps.sum(axis=0)
    back = follow(lambda f: flows[f] if f >= 0 else None, 4, end, direction=-1, most=9)

    assert len(there) == len(back) == 4
    np.testing.assert_allclose(end + back.steps.sum(axis=0), start, atol=0.6)


def test_a_step_of_the_crop_is_scaled_to_the_video() -> None:
    scale = np.sqrt(np.linalg.det(AFFINE[:, :2]))

    start = np.array([[100.0, 100.0]])
    trails = follow(lambda f: constant(4.0, 0.0), 7, start, direction=1, most=2)

    np.testing.assert_allclose(trails.steps[:, 0], [[4 / scale, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(trails.misses, 0, atol=1e-9)


def test_flows_that_contradict_each_other_are_a_miss() -> None:
    flow = Flow(AFFINE, constant(4, 0).forward, constant(4, 0).forward)
    scale = np.sqrt(np.linalg.det(AFFINE[:, :2]))

    trails = follow(lambda f: flow, 0, np.array([[100.0, 100.0]]), direction=1, most=1)

    np.testing.assert_allclose(trails.misses, 8 / scale, rtol=1e-6)


def test_a_point_outside_the_crop_is_lost_and_stays_lost_alone() -> None:
    points = np.array([[100.0, 100.0], [-500.0, 3.0]])

    trails = follow(lambda f: constant(1, 1), 0, points, direction=1, most=3)

    assert np.isfinite(trails.steps[:, 0]).all()
    assert np.isnan(trails.steps[:, 1]).all()
    assert np.isnan(trails.misses[:, 1]).all()


def test_without_a_motion_the_walk_ends() -> None:
    trails = follow(lambda f: None, 0, np.array([[1.0, 2.0]]), direction=1, most=3)
    assert trails.steps.shape == (0, 1, 2)
    assert trails.misses.shape == (0, 1)
