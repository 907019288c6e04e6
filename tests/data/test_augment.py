"""Laws of the augmentation's crops."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.data.augment import (
    AugmentConfig,
    degrade,
    line_kernel,
    paste_person,
    random_crop,
    random_stretch,
    turned_box,
)
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


def picture(size=(120, 100)):
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)


CALM = AugmentConfig(colour=0, occlude=0, blur=0)


def test_an_aspect_makes_a_picture_wider_about_the_person_and_keeps_its_area():
    rng = np.random.default_rng(2)
    factors = []
    for _ in range(200):
        stretch = random_stretch(BOX, 0.3, rng)
        factors.append(stretch[0, 0] / stretch[1, 1])
        np.testing.assert_allclose(apply_affine(stretch, np.array([130, 150])), [130, 150])
        assert np.linalg.det(stretch[:, :2]) == pytest.approx(1)

    assert np.std(np.log(factors)) == pytest.approx(0.3, rel=0.15)
    assert max(np.abs(np.log(factors))) <= 0.75 + 1e-9


def test_a_crop_of_another_aspect_still_holds_the_person():
    config = AugmentConfig(rotation=0, scale=0, shift=0, aspect=0.3)
    rng = np.random.default_rng(3)
    for _ in range(100):
        affine, mirrored = random_crop(BOX, size=SIZE, config=config, rng=rng)
        corners = apply_affine(affine, BOX.reshape(2, 2))
        low, high = corners.min(axis=0), corners.max(axis=0)
        assert (low >= -0.5).all()
        assert (high <= np.array(SIZE[::-1]) - 0.5).all()
        # What fills the crop is the stretched box with a quarter around it.
        assert ((high - low) / (176, 224)).max() == pytest.approx(0.8)
        assert (np.linalg.det(affine[:, :2]) < 0) == mirrored


@pytest.mark.parametrize("name", ["low_resolution", "motion_blur", "shapes"])
def test_a_degraded_crop_depends_on_the_generator_only(name):
    config = replace(CALM, **{name: 1.0})

    first = degrade(picture(), config=config, rng=np.random.default_rng(1))
    again = degrade(picture(), config=config, rng=np.random.default_rng(1))
    other = degrade(picture(), config=config, rng=np.random.default_rng(2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != picture()).any()
    assert first.shape == picture().shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(
        degrade(picture(), config=CALM, rng=np.random.default_rng(1)), picture()
    )


@pytest.mark.parametrize("name", ["low_resolution", "motion_blur"])
def test_what_is_seen_stays_where_it_is(name):
    crops = np.zeros((1, 120, 100, 3), np.uint8)
    crops[0, 58:66, 38:46] = 255
    rows, columns = np.indices((120, 100))
    for seed in range(20):
        config = replace(CALM, **{name: 1.0})
        light = degrade(crops, config=config, rng=np.random.default_rng(seed))[0, ..., 0] / 255.0
        middle = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
        np.testing.assert_allclose(middle, (41.5, 61.5), atol=0.6)


@given(st.floats(1, 30), st.floats(0, np.pi))
def test_a_line_of_blur_is_balanced(length, angle):
    kernel = line_kernel(length=length, angle=angle)

    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    rows, columns = np.indices(kernel.shape) - len(kernel) // 2
    spread = np.array([(kernel * columns**2).sum(), (kernel * rows**2).sum()])
    expected = np.array([np.cos(angle), np.sin(angle)]) ** 2 * length**2 / 12
    np.testing.assert_allclose(spread, expected, atol=0.3 + 0.02 * length**2 / 12)


def test_shapes_hide_a_part_and_all_frames_alike():
    still = np.repeat(picture()[:1], 2, axis=0)
    for seed in range(20):
        found = degrade(still, config=replace(CALM, shapes=1), rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found[0], found[1])
        assert 0 < (found[0] != still[0]).any(axis=-1).mean() < 0.6


def test_a_second_person_stands_half_a_box_away_at_least():
    crops = np.zeros((1, 400, 400, 3), np.uint8)
    box = np.array([170.0, 140.0, 230.0, 260.0])
    red = np.zeros((60, 40, 3), np.uint8)
    red[..., 0] = 255
    around = np.array([10.0, 5.0, 30.0, 55.0])
    rows, columns = np.indices((400, 400))
    sizes = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        pasted = paste_person(crops, box, red, around, rng)[0, ..., 0] / 255.0
        middle = np.array([(pasted * columns).sum(), (pasted * rows).sum()]) / pasted.sum()
        away = np.hypot(*((middle - [200, 200]) / [60, 120]))
        assert 0.49 <= away <= 0.91
        sizes.append(np.ptp(np.flatnonzero((pasted > 0.5).any(axis=1))))
    assert min(sizes) >= 0.65 * 120
    assert max(sizes) <= 1.2 * 120
    assert not crops.any()


def only(**changes):
    off = {"occlude": 0.0, "blur": 0.0, "colour": 0.0}
    return AugmentConfig(**{**off, **changes})


@given(seed=st.integers(0, 2**32 - 1))
def test_a_passing_occluder_covers_other_places_in_other_frames(seed):
    clip = np.full((5, 64, 48, 3), 7, np.uint8)
    rng = np.random.default_rng(seed)

    shown = degrade(clip, config=only(passing=1.0), rng=rng)

    assert shown.shape == clip.shape
    assert shown.dtype == np.uint8
    assert (clip == 7).all()
    covered = (shown != 7).any(axis=-1).mean(axis=(1, 2))
    assert (covered <= 0.36**2).all()


def test_an_occluder_moves_at_a_constant_rate():
    clip = np.zeros((5, 256, 192, 3), np.uint8)
    for seed in range(200):
        shown = degrade(clip, config=only(passing=1.0), rng=np.random.default_rng(seed))
        covered = (shown != 0).any(axis=-1)
        whole = [frame for frame in covered if frame.any()]
        inside = [np.argwhere(f).mean(axis=0) for f in covered if _is_inside(f)]
        if len(whole) == 5 and len(inside) == 5:
            steps = np.diff(inside, axis=0)
            assert np.abs(steps - steps.mean(axis=0)).max() <= 1.0
            return
    pytest.fail("No occluder stayed inside the crop.")


def _is_inside(covered):
    border = np.concatenate([covered[0], covered[-1], covered[:, 0], covered[:, -1]])
    return bool(covered.any() and not border.any())


def test_a_still_has_nothing_that_passes():
    still = np.full((1, 64, 48, 3), 7, np.uint8)
    shown = degrade(still, config=only(passing=1.0), rng=np.random.default_rng(0))
    assert np.array_equal(shown, still)


def test_compression_errs_differently_in_every_frame():
    picture = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    clip = np.stack([picture] * 4)

    shown = degrade(clip, config=only(compression=1.0), rng=np.random.default_rng(2))

    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(shown, 2))
    assert np.abs(shown.astype(float).mean() - clip.mean()) < 8
