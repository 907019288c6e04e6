"""Laws of the augmentation's crops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.data.augment import AugmentConfig, random_crop, turned_box
from diffpose.geometry import apply_affine

SIZE = (224, 176)
BOX = np.array([100.0, 50.0, 160.0, 250.0])
PLAIN = AugmentConfig(rotation=0, scale=0, shift=0, flip=0)


def angle_of(affine):
    return np.arctan2(affine[1, 0], affine[0, 0])


@given(st.floats(-7, 7))
def test_a_turned_box_keeps_its_centre_and_holds_the_turned_ellipse(angle):
    found = turned_box(BOX, angle)

    np.testing.assert_allclose(found[:2] + found[2:], BOX[:2] + BOX[2:])
    around = np.linspace(0, 2 * np.pi, 721)
    ellipse = np.stack([30 * np.cos(around), 100 * np.sin(around)], axis=1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    extent = np.ptp(ellipse @ turn.T, axis=0)
    np.testing.assert_allclose(found[2:] - found[:2], extent, rtol=1e-3)


def test_a_quarter_turn_exchanges_the_sides_and_half_a_turn_changes_nothing():
    np.testing.assert_allclose(turned_box(BOX, np.pi / 2), [30, 120, 230, 180])
    np.testing.assert_allclose(turned_box(BOX, np.pi), BOX)


def test_without_upending_the_crop_is_that_of_inference():
    affine, mirrored = random_crop(BOX, size=SIZE, config=PLAIN, rng=np.random.default_rng(0))

    assert not mirrored
    corners = apply_affine(affine, BOX.reshape(2, 2))
    assert angle_of(affine) == 0
    assert corners[1, 1] - corners[0, 1] == pytest.approx(224 / 1.25)


def test_upended_crops_come_at_every_angle_and_still_hold_the_person():
    config = AugmentConfig(rotation=10, scale=0, shift=0, flip=0, upend=0.5)
    rng = np.random.default_rng(1)
    around = np.linspace(0, 2 * np.pi, 90)
    person = np.stack([130 + 30 * np.cos(around), 150 + 100 * np.sin(around)], axis=1)

    angles = []
    for _ in range(2000):
        affine, _ = random_crop(BOX, size=SIZE, config=config, rng=rng)
        angles.append(angle_of(affine))
        if abs(angles[-1]) > np.deg2rad(45):
            inside = apply_affine(affine, person)
            assert (inside >= -0.5).all()
            assert (inside <= np.array(SIZE[::-1]) - 0.5).all()

    # Half of the crops lie anywhere in the circle, so a quarter of all in each half of that half.
    counts, _ = np.histogram(angles, bins=np.linspace(-np.pi, np.pi, 9))
    far = counts[[0, 1, 2, 5, 6, 7]] / len(angles)
    np.testing.assert_allclose(far, 0.5 / 8, atol=0.02)
