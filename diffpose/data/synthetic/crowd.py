"""Random wide scenes with nobody or several people at many sizes, for the person detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.camera import Camera, look_at, perspective, unproject
from diffpose.data.synthetic.library import Library
from diffpose.data.synthetic.props import random_props
from diffpose.data.synthetic.scene import (
    Actor,
    Scene,
    random_backdrop,
    random_light,
    subframe_times,
)
from diffpose.data.synthetic.stage import SceneMix, random_actor
from diffpose.geometry import Size

_COUNT_CHANCES = (0.08, 0.28, 0.22, 0.16, 0.12, 0.08, 0.06)  # of 0 .. 6 people
_BODY_HEIGHT_M = 1.7
_SHARE_RANGE = (0.12, 1.0)  # of the picture's height


def random_crowd_scene(rng: np.random.Generator, library: Library, *, size: Size) -> Scene:
    """One picture with up to six people; some are cut by its border or covered."""
    mix = SceneMix(acrobatic=0.10, tilted=0.15)
    subframes = mix.subframes if rng.random() < 0.1 else 1
    times = subframe_times(np.zeros(1), subframes=subframes, shutter_s=rng.uniform(0.01, 0.04))
    camera, focal = _standing_camera(rng, len(times), size)
    count = int(rng.choice(len(_COUNT_CHANCES), p=_COUNT_CHANCES))
    height = _BODY_HEIGHT_M * size[0]
    common = rng.uniform(*np.log(_SHARE_RANGE))
    actors = []
    for _ in range(count):
        # People in one picture are mostly of similar size, yet every size occurs.
        log_share = common + rng.normal(0, 0.35) if rng.random() < 0.7 else None
        share = np.exp(rng.uniform(*np.log(_SHARE_RANGE)) if log_share is None else log_share)
        depth = focal * height / (float(np.clip(share, *_SHARE_RANGE)) * size[0] ** 2)
        actors.append(_placed(rng, random_actor(rng, library, times, mix=mix), camera, depth))
    photo = library.random_background(rng)
    middle = len(times) // 2
    covered = actors and rng.random() < 0.2
    props = random_props(rng, library, actors[0], camera, middle=middle) if covered else ()
    return Scene(
        actors=tuple(actors),
        props=props,
        camera=camera,
        backdrop=random_backdrop(rng, photo, camera, middle=middle, zoom=(0.6, 1.0)),
        light=random_light(rng, photo),
        subframes=subframes,
    )


def _standing_camera(rng: np.random.Generator, num_times: int, size: Size) -> tuple[Camera, float]:
    """A camera at rest, and its focal length in pixels."""
    fov = rng.uniform(0.5, 1.2)
    eye = np.array([0.0, rng.uniform(0.8, 2.5), 0.0])
    pitch = rng.normal(-0.08, 0.15 if rng.random() < 0.8 else 0.4)
    target = eye + np.array([0.0, np.sin(pitch), -np.cos(pitch)])
    roll = rng.normal(0, 0.04 if rng.random() < 0.85 else 0.3)
    matrix = perspective(fov, size) @ look_at(eye, target, roll_rad=roll)
    camera = Camera(np.tile(matrix, (num_times, 1, 1)), np.tile(eye, (num_times, 1)), size)
    return camera, float(size[0] / 2 / np.tan(fov / 2))


def _placed(rng: np.random.Generator, actor: Actor, camera: Camera, depth_m: float) -> Actor:
    """Move somebody so that the pelvis appears at a random place of the picture."""
    height, width = camera.size
    pelvis = actor.skin[0, 0, :3] @ np.append(actor.avatar.rest[0], 1.0)
    x, y = rng.uniform(0.02, 0.98) * width, rng.normal(0.55, 0.16) * height
    goal: NDArray[np.float64] = unproject(camera, np.array([x, y, depth_m]))
    return actor.moved(goal - pelvis)
