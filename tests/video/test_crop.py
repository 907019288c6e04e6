"""A crop shows each point of the picture where its affine says, at every scale."""

import numpy as np
import pytest

from diffpose.geometry import apply_affine, crop_affine, similarity
from diffpose.video.crop import OUTSIDE, cut_crop

SIZE = (64, 48)


def blob(size: tuple[int, int], centre: np.ndarray, sigma: float) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    value = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    return np.repeat(value[..., None].round().astype(np.uint8), 3, axis=2)


def centre_of_mass(crop: np.ndarray) -> np.ndarray:
    weight = crop[..., 0].astype(float)
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.6, 0.5, 0.34, 0.25, 0.11])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_blob_lands_where_the_affine_says(scale: float, angle: float) -> None:
    at = np.array([403.3, 371.8])
    picture = blob((800, 790), at, sigma=4 / scale)
    affine = similarity(centre=(400, 370), scale=scale, angle=angle, size=SIZE)

    crop = cut_crop(picture, affine, size=SIZE)

    np.testing.assert_allclose(centre_of_mass(crop), apply_affine(affine, at), atol=0.03)


def test_fine_stripes_become_grey_instead_of_aliasing() -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    picture[:, ::2] = 255

    crop = cut_crop(picture, crop_affine([50, 50, 550, 550], size=SIZE, padding=1), size=SIZE)
    inside = crop[10:-10, 3:-3].astype(int)

    assert np.ptp(inside) <= 26
    assert abs(inside.mean() - 127.5) < 4


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_outside_of_the_picture_is_grey(scale: float) -> None:
    picture = np.zeros((40, 30, 3), np.uint8)

    away = similarity(centre=(5000, -4000), scale=scale, angle=0, size=SIZE)
    edge = similarity(centre=(0, 0), scale=scale, angle=0, size=SIZE)

    assert (cut_crop(picture, away, size=SIZE) == OUTSIDE).all()
    crop = cut_crop(picture, edge, size=SIZE)
    assert (crop[:30, :20] == OUTSIDE).all()
    assert (crop[33:36, 25:28] == 0).all()


def test_the_identity_copies() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)

    same = cut_crop(picture, np.array([[1.0, 0, 0], [0, 1, 0]]), size=SIZE)

    np.testing.assert_array_equal(same, picture)
