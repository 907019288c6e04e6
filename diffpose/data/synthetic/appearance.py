"""Avatars that differ in one thing from themselves: the tone of their skin or their girth.

A handful of people says little about groups of people: what looks like a matter of skin may be a
matter of one haircut. The same person in the same scene, changed in one thing, says what that
thing does.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.body import JOINT_OF_BONE, Avatar
from diffpose.data.synthetic.bones import LIMB_ENDS
from diffpose.errors import SettingsError
from diffpose.geometry import Size

SKIN_TONES: dict[str, tuple[float, float]] = {
    "very light": (55.0, 90.0),
    "light": (41.0, 55.0),
    "intermediate": (28.0, 41.0),
    "tan": (10.0, 28.0),
    "brown": (-30.0, 10.0),
    "dark": (-90.0, -30.0),
}
"""Classes of skin by individual typology angle, degrees (Chardon et al. 1991)."""

_BARE = 0.5  # a vertex less clothed than this is skin
_FACE_DEPTH = 0.4  # normals that point forwards this much belong to the front of the head
_MIDDLE_LIGHTNESS = 50.0
_FADE = (0.6, 1.2)  # least and most of its colour that skin keeps when its tone changes
_QUALITY = 95
_LIKE_SKIN = (22.0, 9.0, 9.0)  # from the face's L*, a*, b*: what else of a body is skin
_TRUNK = ("Hips", "Spine", "Spine1", "Spine2")


def skin_tone(avatar: Avatar) -> float:
    """Individual typology angle of the face's texture, degrees: 90 is white, -90 black.

    The angle of (L* - 50, b*) in CIELAB, of the median colour between eyes and chin.
    """
    lightness, _, yellow = _face_colour(avatar, _lab(_picture(avatar)))
    return float(np.degrees(np.arctan2(lightness - _MIDDLE_LIGHTNESS, max(yellow, 1e-6))))


def tone_class(angle: float) -> str:
    """The class in `SKIN_TONES` that a typology angle in degrees belongs to."""
    return next(name for name, (least, most) in SKIN_TONES.items() if least <= angle <= most)


def random_look(rng: np.random.Generator, avatar: Avatar, *, girth: float, tone: float) -> Avatar:
    """The person with a chance ``girth`` of another girth and ``tone`` of another skin tone.

    Girths are drawn from 0.75 to 1.55 evenly in their logarithm, typology angles from -50 to 70
    degrees evenly. Nothing is drawn for a chance of 0.
    """
    if tone and rng.random() < tone:
        avatar = with_skin_tone(avatar, float(rng.uniform(-50, 70)))
    if girth and rng.random() < girth:
        avatar = with_girth(avatar, float(np.exp(rng.uniform(np.log(0.75), np.log(1.55)))))
    return avatar


def with_skin_tone(avatar: Avatar, angle: float) -> Avatar:
    """The same person with a face of another typology angle; clothes and hair stay.

    The lightness of all bare skin is scaled, its hue kept.

    Args:
        avatar: The person.
        angle: Degrees, within -60 to 75.

    Raises:
        SettingsError: The angle is none that skin has.
    """
    if not -60 <= angle <= 75:
        raise SettingsError(f"Expected a typology angle of -60 to 75 degrees, got {angle}.")
    picture = _picture(avatar)
    lab = _lab(picture)
    face = _face_colour(avatar, lab)
    lightness, _, yellow = face
    slope = np.tan(np.radians(angle)) * max(yellow, 1e-6)
    # Darker skin has less colour, too: both parts of it fade together, so the hue stays.
    fade = np.clip((_MIDDLE_LIGHTNESS + slope) / lightness, *_FADE)
    wanted = np.clip(_MIDDLE_LIGHTNESS + slope * fade, 3.0, 97.0)
    changed = lab * [wanted / lightness, fade, fade]
    bare = cv2.GaussianBlur(_bare_texels(avatar, lab, face), (0, 0), 1.0)[..., None]
    mixed = (lab + (changed - lab) * bare).astype(np.float32)
    pixels = np.clip(cv2.cvtColor(mixed, cv2.COLOR_Lab2BGR) * 255 + 0.5, 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return replace(avatar, name=f"{avatar.name}@tone{angle:g}", texture=encoded.tobytes())


def with_girth(avatar: Avatar, factor: float) -> Avatar:
    """The same person with trunk and limbs so many times as thick; the skeleton stays.

    Every vertex moves away from, or towards, the axes of the bones that it follows. Head, hands
    and feet stay as they are.

    Raises:
        SettingsError: The factor is not within 0.5 to 2.
    """
    if not 0.5 <= factor <= 2:
        raise SettingsError(f"Expected a girth factor of 0.5 to 2, got {factor}.")
    moved = np.zeros((len(avatar.vertices), 3))
    points = avatar.vertices.astype(np.float64)
    for name, start, end in _axes(avatar):
        share = (avatar.skin_weights * (avatar.skin_joints == avatar.joint(name))).sum(axis=1)
        along = (points - start) @ (end - start) / ((end - start) @ (end - start))
        away = points - (start + np.clip(along, 0, 1)[:, None] * (end - start))
        moved += (share * (factor - 1))[:, None] * away
    vertices = (points + moved).astype(np.float32)
    return replace(avatar, name=f"{avatar.name}@girth{factor:g}", vertices=vertices)


def _axes(avatar: Avatar) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Bones that have a girth: joint, and where their axis starts and ends in the rest pose."""

    def rest(joint: str) -> NDArray[np.float64]:
        return avatar.rest[avatar.joint(joint)]

    limbs = [
        (JOINT_OF_BONE[bone], rest(JOINT_OF_BONE[bone]), rest(JOINT_OF_BONE[end]))
        for bone, (end, _) in LIMB_ENDS.items()
    ]
    trunk = [(joint, rest("Hips"), rest("Neck")) for joint in _TRUNK if joint in avatar.joints]
    return limbs + trunk


def _picture(avatar: Avatar) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.imdecode(np.frombuffer(avatar.texture, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8
    )


def _lab(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR u8 to CIELAB, L* 0..100."""
    return np.asarray(
        cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_BGR2Lab), dtype=np.float32
    )


def _face_colour(avatar: Avatar, lab: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median (L*, a*, b*) of the texture between eyes and chin."""
    nose, left_eye, right_eye = avatar.head_landmarks[:3]
    chin = avatar.head_landmarks[6]
    eyes = (left_eye + right_eye) / 2
    height = avatar.vertices[:, 1]
    wide = np.linalg.norm(left_eye - right_eye)
    face = (
        avatar.on_head
        & (avatar.normals[:, 2] > _FACE_DEPTH)
        & (height < eyes[1] - 0.15 * wide)
        & (height > chin[1])
        & (np.abs(avatar.vertices[:, 0] - nose[0]) < 0.8 * wide)
    )
    rows = np.flatnonzero(face if face.any() else avatar.on_head)
    limits = np.array(lab.shape[1::-1]) - 1
    x, y = np.clip(np.round(avatar.uv[rows] % 1.0 * limits), 0, limits).astype(int).T
    return np.median(lab[y, x], axis=0).astype(np.float64)


def _bare_texels(
    avatar: Avatar, lab: NDArray[np.float32], face: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Mask (H, W) of the texture: 1 where it shows bare skin.

    Head, neck and hands are bare, arms where they have the face's colour. Legs are taken for
    clothed: trousers are too often as brown as skin is.
    """
    size = (lab.shape[0], lab.shape[1])
    always = _covered(avatar, avatar.cloth < _BARE, size)
    arms = {avatar.joint(JOINT_OF_BONE[bone]) for bone in LIMB_ENDS if "arm" in bone}
    arm = _covered(avatar, np.isin(avatar.owner, sorted(arms)), size)
    unlike = np.abs(lab - face) / _LIKE_SKIN
    alike = cv2.morphologyEx(
        np.asarray((unlike <= 1).all(axis=2), np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    return np.maximum(always, arm * alike)


def _covered(avatar: Avatar, vertices: NDArray[np.bool_], size: Size) -> NDArray[np.float32]:
    """Texels (H, W) of the faces all of whose corners are among the vertices (V,)."""
    faces = avatar.faces[vertices[avatar.faces].all(axis=1)]
    corners = np.round(avatar.uv[faces] % 1.0 * (np.array(size[::-1]) - 1)).astype(np.int32)
    mask = np.zeros(size, np.float32)
    for triangle in corners:
        cv2.fillConvexPoly(mask, triangle, 1.0)
    return np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), dtype=np.float32)
