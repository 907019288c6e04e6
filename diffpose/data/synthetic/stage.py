"""Random scenes around one person, for training the pose estimator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.appearance import random_look
from diffpose.data.synthetic.body import pose_avatar, posed_vertices
from diffpose.data.synthetic.camera import Camera, look_at, perspective, project, zoom_to
from diffpose.data.synthetic.library import Library
from diffpose.data.synthetic.motion import (
    BodyPoses,
    bend_poses,
    mirror_poses,
    mix_poses,
    random_bends,
    sample_motion,
    turn_poses,
)
from diffpose.data.synthetic.props import random_props
from diffpose.data.synthetic.scene import (
    Actor,
    Scene,
    random_backdrop,
    random_dye,
    random_light,
    subframe_times,
)
from diffpose.geometry import Size

_PEOPLE_CHANCES = (0.58, 0.25, 0.11, 0.06)  # of 0, 1, 2, 3 others
_FRAMING_STRIDE = 12


@dataclass(frozen=True)
class SceneMix:
    """How often the hard things happen in random scenes; chances are 0..1.

    ``profile`` is the chance that an upright person is turned to be seen from the side, beyond
    those that are so by chance; ``girth`` and ``tone`` are those of a body made thinner or thicker
    and of skin made lighter or darker.
    """

    acrobatic: float = 0.20
    tilted: float = 0.15
    mixed_arms: float = 0.25
    bent: float = 0.6
    blurred: float = 0.15
    covered: float = 0.30
    truncated: float = 0.14
    profile: float = 0.0
    girth: float = 0.0
    tone: float = 0.0
    subframes: int = 5


DEFAULT_MIX = SceneMix()


def random_person_scene(
    rng: np.random.Generator,
    library: Library,
    *,
    size: Size,
    times_s: NDArray[np.floating],
    mix: SceneMix = DEFAULT_MIX,
) -> Scene:
    """One main person in the middle of the picture, perhaps others, things and blur.

    Args:
        rng: Source of everything random.
        library: Material of one split.
        size: Height and width of the pictures.
        times_s: (N,) times of the pictures.
        mix: How often the hard things happen.
    """
    subframes = mix.subframes if rng.random() < mix.blurred else 1
    spacing = float(np.diff(times_s).min()) if len(times_s) > 1 else 0.03
    shutter = min(spacing, 0.05) * rng.uniform(0.4, 1.0)
    times = subframe_times(times_s, subframes=subframes, shutter_s=shutter)
    middle = len(times) // 2
    main = random_actor(rng, library, times, mix=mix)
    camera = _camera_around(rng, main, times, size=size)
    camera = _framed(rng, main, camera, middle, truncated=rng.random() < mix.truncated)
    num_others = int(rng.choice(len(_PEOPLE_CHANCES), p=_PEOPLE_CHANCES))
    others = [
        _beside(rng, random_actor(rng, library, times, mix=mix), camera, middle)
        for _ in range(num_others)
    ]
    photo = library.random_background(rng)
    props = (
        random_props(rng, library, main, camera, middle=middle)
        if rng.random() < mix.covered
        else ()
    )
    return Scene(
        actors=(main, *others),
        props=props,
        camera=camera,
        backdrop=random_backdrop(rng, photo, camera, middle=middle),
        light=random_light(rng, photo),
        subframes=subframes,
    )


def random_actor(
    rng: np.random.Generator,
    library: Library,
    times_s: NDArray[np.floating],
    *,
    mix: SceneMix,
) -> Actor:
    """Somebody doing something, pelvis above the world's origin at the middle time."""
    avatar = random_look(rng, library.random_avatar(rng), girth=mix.girth, tone=mix.tone)
    poses = random_poses(rng, library, times_s, mix=mix)
    return Actor(avatar, pose_avatar(avatar, poses), random_dye(rng))


def random_poses(
    rng: np.random.Generator, library: Library, times_s: NDArray[np.floating], *, mix: SceneMix
) -> BodyPoses:
    """A random part of a random clip, stretched, mirrored, bent, mixed and turned.

    The root lies on the vertical axis at the middle time.
    """
    poses = _random_part(rng, library, times_s)
    if rng.random() < mix.mixed_arms:
        poses = mix_poses(poses, _random_part(rng, library, times_s))
    if rng.random() < 0.5:
        poses = mirror_poses(poses)
    if rng.random() < mix.bent:
        strength = rng.uniform(0.2, 1.3)
        bends = random_bends(
            rng, arm_rad=0.45 * strength, leg_rad=0.26 * strength, trunk_rad=0.14 * strength
        )
        poses = bend_poses(poses, bends)
    middle = poses.root[len(poses.root) // 2]
    centred = BodyPoses(poses.rotations, poses.root - middle)
    turn = _random_turn(rng, mix)
    if mix.profile and rng.random() < mix.profile:
        turn = _turn_to_profile(rng, poses.rotations[len(poses.root) // 2, 0])
    turned = turn_poses(centred, turn)
    return BodyPoses(turned.rotations, turned.root + np.array([0.0, middle[1], 0.0]))


def _random_part(
    rng: np.random.Generator, library: Library, times_s: NDArray[np.floating]
) -> BodyPoses:
    motion = library.random_motion(rng)
    pace = np.exp(rng.normal(0, 0.25))
    moments = (times_s - times_s[0]) * pace
    start = rng.uniform(0, max(motion.duration_s - moments[-1], 0.0))
    return sample_motion(motion, start + moments)


def _random_turn(rng: np.random.Generator, mix: SceneMix) -> NDArray[np.float64]:
    """A turn of the whole body: any heading, sometimes leaning, sometimes any way up."""
    heading = Rotation.from_rotvec([0.0, rng.uniform(0, 2 * np.pi), 0.0])
    chance = rng.random()
    if chance < mix.acrobatic:
        return Rotation.from_quat(rng.normal(size=4)).as_matrix()
    if chance < mix.acrobatic + mix.tilted:
        direction = rng.uniform(0, 2 * np.pi)
        axis = np.array([np.cos(direction), 0.0, np.sin(direction)])
        return (Rotation.from_rotvec(axis * rng.normal(0, 0.6)) * heading).as_matrix()
    return heading.as_matrix()


def _turn_to_profile(rng: np.random.Generator, pelvis: NDArray[np.floating]) -> NDArray[np.float64]:
    """The turn that shows a body whose pelvis is rotated so from its left or right, roughly."""
    forward = pelvis @ np.array([0.0, 0.0, 1.0])
    heading = np.arctan2(forward[0], forward[2])
    wanted = rng.choice([-1.0, 1.0]) * np.pi / 2 + rng.normal(0, 0.25)
    return Rotation.from_rotvec([0.0, wanted - heading, 0.0]).as_matrix()


def random_view(rng: np.random.Generator) -> tuple[float, float, float]:
    """Distance in metres, elevation and roll in radians of a hand-held camera."""
    distance = float(np.clip(np.exp(rng.normal(1.5, 0.45)), 2.0, 14.0))
    spread = 0.18 if rng.random() < 0.75 else 0.55
    elevation = float(np.clip(rng.normal(0.08, spread), -0.7, 1.2))
    roll = float(rng.normal(0, 0.05 if rng.random() < 0.85 else 0.35))
    return distance, elevation, roll


def shake(rng: np.random.Generator, times_s: NDArray[np.floating]) -> NDArray[np.float64]:
    """Small aimless turns of a hand-held camera, (T, 3) radians."""
    strength = rng.uniform(0.0, 0.012)
    rate, phase = rng.uniform(0.5, 4.0, size=3), rng.uniform(0, 2 * np.pi, size=3)
    pan = rng.normal(0, 0.06, size=3) * (rng.random() < 0.3)
    elapsed = times_s - times_s[len(times_s) // 2]
    wobble = strength * np.sin(2 * np.pi * rate * elapsed[:, None] + phase)
    return wobble + pan * elapsed[:, None]


def _camera_around(
    rng: np.random.Generator, main: Actor, times_s: NDArray[np.floating], *, size: Size
) -> Camera:
    """A camera that looks at the main person and follows it more or less well."""
    distance, elevation, roll = random_view(rng)
    pelvis = main.skin[:, 0, :3] @ np.append(main.avatar.rest[0], 1.0)
    middle = pelvis[len(pelvis) // 2]
    eye = middle + distance * np.array([0.0, np.sin(elevation), np.cos(elevation)])
    follow = 1.0 if rng.random() < 0.5 else rng.uniform(0, 1)
    targets = middle + follow * (pelvis - middle) + distance * shake(rng, times_s)
    projection = perspective(0.9, size)
    matrices = [projection @ look_at(eye, target, roll_rad=roll) for target in targets]
    return Camera(np.stack(matrices), np.tile(eye, (len(targets), 1)), size)


def _framed(
    rng: np.random.Generator, main: Actor, camera: Camera, middle: int, *, truncated: bool
) -> Camera:
    """Cut the picture so that the person fills 55 to 80 % of it, or more where truncated."""
    vertices = posed_vertices(main.avatar, main.skin[middle][None], stride=_FRAMING_STRIDE)
    now = Camera(camera.matrices[middle][None], camera.eyes[:1], camera.size)
    points = project(now, vertices)[0, :, :2]
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    height, width = camera.size
    extent = np.array([width, height]) * rng.uniform(0.55, 0.80)
    centre = np.array([width - 1, height - 1]) / 2 + rng.normal(0, 0.02, 2) * [width, height]
    if truncated:
        extent *= rng.uniform(1.1, 1.9)
        centre += rng.uniform(-0.35, 0.35, 2) * extent
    return zoom_to(camera, box, np.concatenate([centre - extent / 2, centre + extent / 2]))


def _beside(rng: np.random.Generator, actor: Actor, camera: Camera, middle: int) -> Actor:
    """Move somebody next to the main person, before or behind, mostly overlapping it."""
    right, _, back = _axes(camera, middle)
    sideways = rng.choice([-1.0, 1.0]) * (rng.uniform(0.15, 0.7) + rng.exponential(0.25))
    distance = float(np.linalg.norm(camera.eyes[middle] - [0.0, 1.0, 0.0]))
    depth = float(np.clip(rng.normal(0.0, 1.0), -6.0, 0.45 * distance))
    depth += np.copysign(0.15, depth)
    # Away from the axis things spread with depth, so keep them at the same angle.
    offset = right * sideways * (1 - depth / distance) + back * depth
    return actor.moved(offset)


def _axes(camera: Camera, at: int) -> NDArray[np.float64]:
    """Rows: the camera's right, up and backward directions on the floor plan; unit vectors."""
    back = camera.eyes[at] * [1.0, 0.0, 1.0]
    back /= max(float(np.linalg.norm(back)), 1e-9)
    up = np.array([0.0, 1.0, 0.0])
    return np.stack([np.cross(up, back), up, back])
