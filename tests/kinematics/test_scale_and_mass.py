"""Scale with its error; centre of mass of figures whose answer is known."""

import numpy as np
import pytest

from diffpose.errors import SettingsError
from diffpose.kinematics import MeasureError
from diffpose.kinematics.mass import _SEGMENTS, centre_of_mass
from diffpose.kinematics.scale import Scale, scale_from_height, scale_from_length
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15, convert
from tests.kinematics.people import figure, sequence_of

TIMES = np.arange(10) / 30


def test_a_known_length_gives_the_scale_and_its_error():
    scale = scale_from_length((0, 0), (300, 400), metres=2.0, click_px=2.0)

    assert scale.metres_per_px == pytest.approx(0.004)
    assert scale.error == pytest.approx(2 * np.sqrt(2) / 500)


def test_the_factors_of_a_scale_have_its_error():
    factors = Scale(0.01, 0.04, "").factors(999)

    assert factors.mean() == pytest.approx(1)
    assert factors.std() == pytest.approx(0.04, rel=0.02)


@pytest.mark.parametrize(
    ("first", "second", "metres", "words"),
    [((0, 0), (3, 0), 1.0, "too close"), ((0, 0), (300, 0), 0.0, "above 0 m")],
)
def test_a_length_that_gives_no_scale_is_refused(first, second, metres, words):
    with pytest.raises(SettingsError, match=words):
        scale_from_length(first, second, metres=metres)


def test_a_persons_height_gives_the_scale():
    # Head 25, trunk 50, legs 80 and 5 from the ankle to the sole: 160 px between keypoints.
    scale = scale_from_height(sequence_of(figure(TIMES)), metres=1.7)

    assert scale.metres_per_px == pytest.approx(1.7 / (160 * 1.063))
    assert scale.error == pytest.approx(0.03, abs=1e-6)


def test_a_height_needs_a_head_and_somebody_who_stands():
    standing, lying = figure(TIMES), figure(TIMES)[..., ::-1]

    with pytest.raises(MeasureError, match="top of the head"):
        scale_from_height(sequence_of(standing, skeleton=COCO17), metres=1.7)
    with pytest.raises(MeasureError, match="never stands upright"):
        scale_from_height(sequence_of(lying), metres=1.7)
    with pytest.raises(SettingsError, match=r"0\.4 to 2\.8 m"):
        scale_from_height(sequence_of(standing), metres=170)


def test_segment_masses_sum_to_the_body():
    for sex in (0, 1):
        total = sum(
            segment[2][sex] * (1 if name in ("head", "trunk") else 2)
            for name, segment in _SEGMENTS.items()
        )
        assert total == pytest.approx(1.0, abs=2e-3)


def test_the_centre_of_mass_of_somebody_standing_is_near_the_hips():
    """At 55 to 57 % of a standing man's height in the literature."""
    points = figure(TIMES)
    centre, notes = centre_of_mass(points, HALPE26, sex="male")
    ground = points[0, :, 1].max()
    top = points[0, HALPE26.index("head"), 1]

    assert 0.52 < (ground - centre[0, 1]) / (ground - top) < 0.60
    assert notes == ()


def test_the_centre_of_mass_moves_with_the_body_and_mirrors_with_it():
    points = figure(TIMES, left_hip=40.0, right_elbow=90.0)
    centre, _ = centre_of_mass(points, HALPE26)

    moved, _ = centre_of_mass(points + np.array([5.0, -3.0]), HALPE26)
    mirrored, _ = centre_of_mass((points * [-1, 1])[:, HALPE26.mirror], HALPE26)

    np.testing.assert_allclose(moved, centre + np.array([5.0, -3.0]))
    np.testing.assert_allclose(mirrored, centre * [-1, 1])


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_skeletons_without_feet_say_what_was_approximated(skeleton):
    points = figure(TIMES)
    exact, _ = centre_of_mass(points, HALPE26)

    near, notes = centre_of_mass(
        np.asarray(convert(points, HALPE26, skeleton), np.float64), skeleton
    )

    assert "mass of the foot put at the ankle" in notes
    assert ("mass of the head put at the nose" in notes) == (skeleton is COCO17)
    np.testing.assert_allclose(near, exact, atol=2)
