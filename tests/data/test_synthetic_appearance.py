"""Laws of people who are changed in one thing."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from diffpose.data.synthetic.appearance import (
    SKIN_TONES,
    random_look,
    skin_tone,
    tone_class,
    with_girth,
    with_skin_tone,
)
from diffpose.data.synthetic.body import load_avatar
from diffpose.errors import SettingsError
from tests.data.box_people import write_avatar

SIDE = 128
CLOTH_BGR = (90, 160, 40)


@pytest.fixture(scope="module")
def avatar(tmp_path_factory):
    """A person whose texture is skin on its left half and cloth on its right."""
    plain = load_avatar(write_avatar(tmp_path_factory.mktemp("people") / "Box_F_1_Casual.npz"))
    picture = np.full((SIDE, SIDE, 3), (120, 150, 200), np.uint8)
    picture[:, SIDE // 2 :] = CLOTH_BGR
    spread = np.tile([[0.1, 0.1], [0.4, 0.1], [0.1, 0.9], [0.4, 0.9]], (2, 1))
    uv = np.tile(spread, (len(plain.vertices) // 8, 1))
    uv[plain.cloth > 0.5, 0] += 0.5
    texture = cv2.imencode(".png", picture)[1].tobytes()
    return replace(plain, uv=uv.astype(np.float32), texture=texture)


def picture_of(avatar):
    return cv2.imdecode(np.frombuffer(avatar.texture, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("angle", [-55, -30, -5, 10, 30, 50, 65])
def test_skin_gets_the_tone_that_is_asked_for(avatar, angle):
    assert skin_tone(with_skin_tone(avatar, angle)) == pytest.approx(angle, abs=6)


@pytest.mark.parametrize(("first", "last"), [(-45, 40), (60, -30), (10, 20)])
def test_the_last_tone_counts(avatar, first, last):
    twice = with_skin_tone(with_skin_tone(avatar, first), last)

    assert skin_tone(twice) == pytest.approx(last, abs=8)


def test_clothes_keep_their_colour(avatar):
    cloth = picture_of(with_skin_tone(avatar, -40))[:, SIDE // 2 + 16 :]

    np.testing.assert_allclose(cloth, np.broadcast_to(CLOTH_BGR, cloth.shape), atol=4)


def test_every_tone_has_a_class():
    for name, (least, most) in SKIN_TONES.items():
        assert tone_class((least + most) / 2) == name
    assert {tone_class(angle) for angle in range(-90, 91)} == set(SKIN_TONES)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_limbs_are_so_many_times_as_thick(avatar, factor):
    thick = with_girth(avatar, factor)

    # A forearm's box: its axis runs along x through (y, z) = (1.45, 0), at 0.04 m.
    owner = avatar.skin_joints[:, 0] == avatar.joint("LeftForeArm")
    inside = owner & (avatar.vertices[:, 0] > 0.44) & (avatar.vertices[:, 0] < 0.71)
    assert inside.sum() == 8
    before, after = (a.vertices[inside] - [0, 1.45, 0] for a in (avatar, thick))
    np.testing.assert_allclose(after[:, 1:], factor * before[:, 1:], atol=1e-4)
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-4)


@pytest.mark.parametrize("factor", [0.5, 0.9, 2.0])
def test_thinning_undoes_thickening(avatar, factor):
    back = with_girth(with_girth(avatar, factor), 1 / factor)

    np.testing.assert_allclose(back.vertices, avatar.vertices, atol=1e-5)


def test_skeleton_head_hands_and_feet_stay(avatar):
    thick = with_girth(avatar, 1.7)

    for before, after in zip(avatar.keypoint_anchors, thick.keypoint_anchors, strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)
    kept = np.isin(
        avatar.skin_joints[:, 0],
        [avatar.joint(n) for n in ("Head", "LeftHand", "RightHand", "LeftFoot", "RightToeBase")],
    )
    np.testing.assert_array_equal(thick.vertices[kept], avatar.vertices[kept])
    assert np.abs(thick.vertices - avatar.vertices)[~kept].max() > 0.02


def test_changed_people_have_other_names(avatar):
    """The renderer keeps meshes and textures by name."""
    names = {avatar.name, with_girth(avatar, 1.2).name, with_skin_tone(avatar, 20).name}

    assert len(names) == 3
    assert with_girth(avatar, 1.2).identity == avatar.identity


def test_nothing_is_drawn_for_no_chance(avatar):
    rng = np.random.default_rng(3)

    same = random_look(rng, avatar, girth=0.0, tone=0.0)

    assert same is avatar
    assert rng.random() == np.random.default_rng(3).random()


def test_a_sure_chance_changes_both(avatar):
    other = random_look(np.random.default_rng(3), avatar, girth=1.0, tone=1.0)

    assert not np.array_equal(other.vertices, avatar.vertices)
    assert other.texture != avatar.texture


@pytest.mark.parametrize("change", [lambda a: with_girth(a, 3), lambda a: with_skin_tone(a, 89)])
def test_what_no_body_has_is_refused(avatar, change):
    with pytest.raises(SettingsError, match="Expected"):
        change(avatar)
