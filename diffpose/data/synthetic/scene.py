"""A scene: who stands where, what covers them, seen by which camera, in which light.

A scene lists all its sub-frames: N pictures of S sub-frames each, averaged for motion blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.body import Avatar
from diffpose.data.synthetic.camera import Camera, project, unproject


@dataclass(frozen=True, eq=False)
class Actor:
    """A posed person.

    Attributes:
        avatar: Whose body.
        skin: (T, J, 4, 4) rigid transforms from the rest pose to the world, metres.
        dye: (3, 3) f64, carries RGB of the clothes' texture to RGB of the dyed clothes.
    """

    avatar: Avatar
    skin: NDArray[np.float64]
    dye: NDArray[np.float64]

    def moved(self, offset: NDArray[np.floating]) -> Actor:
        """The same person, shifted by (3,) metres."""
        skin = self.skin.copy()
        skin[..., :3, 3] += offset
        return Actor(self.avatar, skin, self.dye)


@dataclass(frozen=True, eq=False)
class Prop:
    """A flat thing that stands still and may cover people.

    Attributes:
        vertices: (V, 3) world metres.
        uv: (V, 2) texture coordinates, v down.
        faces: (F, 3) triangles.
        picture: RGB uint8 (H, W, 3) texture.
    """

    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    faces: NDArray[np.int64]
    picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The photo behind everything.

    Attributes:
        picture: RGB uint8, ``margin`` pixels larger than the scene's picture on every side.
        margin: Pixels.
        shift: (T, 2) pixels by which the photo is moved at every time.
    """

    picture: NDArray[np.uint8]
    margin: int
    shift: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Light:
    """One sun and a sky.

    Attributes:
        direction: (3,) towards the sun.
        sun: (3,) its linear RGB strength.
        sky: (3,) light from above.
        ground: (3,) light from below.
        gloss: Strength of highlights, unitless.
    """

    direction: NDArray[np.float64]
    sun: NDArray[np.float64]
    sky: NDArray[np.float64]
    ground: NDArray[np.float64]
    gloss: float


@dataclass(frozen=True, eq=False)
class Scene:
    """All that the renderer needs; the first actor is the main person.

    Attributes:
        actors: People.
        props: Things in front of them.
        camera: T = N * subframes times.
        backdrop: The photo behind.
        light: The light on people and props.
        subframes: Pictures averaged into one, odd; the middle one is the truth.
    """

    actors: tuple[Actor, ...]
    props: tuple[Prop, ...]
    camera: Camera
    backdrop: Backdrop
    light: Light
    subframes: int = 1

    @property
    def num_frames(self) -> int:
        """How many pictures the scene gives."""
        return len(self.camera.matrices) // self.subframes

    @property
    def truth_times(self) -> NDArray[np.int64]:
        """The sub-frame (N,) that each picture's annotation describes."""
        return np.arange(self.num_frames) * self.subframes + self.subframes // 2


def subframe_times(
    times_s: NDArray[np.floating], *, subframes: int, shutter_s: float
) -> NDArray[np.float64]:
    """Times (N * subframes,) of the sub-frames, spread over the open shutter around each time."""
    spread = (np.arange(subframes) - (subframes - 1) / 2) / subframes * shutter_s
    return (np.asarray(times_s)[:, None] + spread).ravel()


def random_dye(rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour change of the clothes: a turn of the hue and a gain per channel."""
    if rng.random() < 0.3:
        return np.eye(3)
    grey_axis = np.ones(3) / np.sqrt(3)
    turn = Rotation.from_rotvec(grey_axis * rng.uniform(0, 2 * np.pi)).as_matrix()
    return rng.uniform(0.45, 1.25, size=(3, 1)) * turn


def random_light(rng: np.random.Generator, photo: NDArray[np.uint8]) -> Light:
    """A light whose ambient part takes on the colour and a bit of the brightness of a photo."""
    mean = photo.reshape(-1, 3).mean(axis=0) / 255.0
    cast = mean / max(float(mean.mean()), 0.05)
    cast = 1.0 + rng.uniform(0.1, 0.7) * (np.clip(cast, 0.6, 1.5) - 1.0)
    exposure = np.exp(rng.normal(0, 0.25)) * (0.75 + 0.5 * float(mean.mean()))
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.3)
    direction = np.array([np.cos(azimuth), height, np.sin(azimuth)])
    contrast = rng.uniform(0.1, 1.0)
    warmth = 1.0 + rng.uniform(-0.12, 0.12) * np.array([1.0, 0.0, -1.0])
    return Light(
        direction=direction / np.linalg.norm(direction),
        sun=exposure * contrast * 1.1 * warmth,
        sky=exposure * (0.85 - 0.45 * contrast) * cast,
        ground=exposure * (0.55 - 0.4 * contrast) * cast,
        gloss=float(rng.uniform(0.0, 0.12)),
    )


def random_backdrop(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    camera: Camera,
    *,
    middle: int,
    zoom: tuple[float, float] = (0.35, 1.0),
) -> Backdrop:
    """A random part of a photo that follows the camera's turns as something far away would.

    Args:
        rng: Source of the part, flip, blur and brightness.
        photo: RGB uint8, any size.
        camera: Whose turns the photo follows.
        middle: The time at which the photo lies centred.
        zoom: Range of the part's size as a share of the largest part that fits.
    """
    height, width = camera.size
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 60.0])
    far = unproject(camera, centre, at=middle)
    shift = project(camera, np.broadcast_to(far, (len(camera.eyes), 3)))[:, :2] - centre[:2]
    limit = max(height, width) * 0.6
    shift = np.clip(shift, -limit, limit)
    margin = int(np.ceil(np.abs(shift).max())) + 1
    full = np.array([width, height]) + 2 * margin
    picture = _random_part(rng, photo, full, rng.uniform(*zoom))
    return Backdrop(_random_finish(rng, picture), margin, shift)


def _random_part(
    rng: np.random.Generator, photo: NDArray[np.uint8], full: NDArray[np.int64], share: float
) -> NDArray[np.uint8]:
    """A part of a photo, ``share`` of the largest that fits, resized to ``full`` (w, h)."""
    available = np.array(photo.shape[1::-1])
    part = (full * (available / full).min() * share).astype(int)
    x, y = (int(rng.integers(0, rest + 1)) for rest in available - part)
    picture = photo[y : y + part[1], x : x + part[0]]
    how = cv2.INTER_AREA if part[0] > full[0] else cv2.INTER_LINEAR
    return cv2.resize(picture, full.tolist(), interpolation=how).astype(np.uint8, copy=False)


def _random_finish(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Perhaps flip and blur a photo, and change its brightness."""
    finished: NDArray[Any] = picture[:, ::-1] if rng.random() < 0.5 else picture
    if rng.random() < 0.35:
        finished = cv2.GaussianBlur(finished, (0, 0), float(rng.uniform(0.5, 4.0)))
    gain = np.exp(rng.normal(0, 0.15))
    return np.clip(finished * gain + rng.normal(0, 8), 0, 255).astype(np.uint8)
