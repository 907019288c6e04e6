"""Longer clips of several people with exact truth, for examples and held-out tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.body import pose_avatar
from diffpose.data.synthetic.camera import Camera, look_at, perspective
from diffpose.data.synthetic.degrade import random_degradation
from diffpose.data.synthetic.library import Library
from diffpose.data.synthetic.motion import (
    BodyPoses,
    Motion,
    mirror_poses,
    sample_motion,
    turn_poses,
)
from diffpose.data.synthetic.props import random_props
from diffpose.data.synthetic.render import Renderer
from diffpose.data.synthetic.scene import (
    Actor,
    Scene,
    random_backdrop,
    random_dye,
    random_light,
    subframe_times,
)
from diffpose.data.synthetic.stage import shake
from diffpose.data.synthetic.truth import annotate, head_boxes
from diffpose.errors import SettingsError
from diffpose.geometry import Size

_FOV_RAD = 0.7
_BODY_HEIGHT_M = 1.75
_TRAVELS_M = 0.5
_SUBFRAMES = 5


@dataclass(frozen=True)
class ClipPlan:
    """What a clip should show.

    Attributes:
        name: Names the clip and, with the seed, decides everything random in it.
        size: Height and width of the pictures.
        num_frames: How many pictures.
        fps: Pictures a second.
        num_people: How many people.
        motions: Regular expression that the labels of the motions must contain.
        arrangement: ``crossing``: those who walk pass each other in the middle of the picture
            at the clip's middle; ``apart``: everybody has a lane.
        person_height: Height of a standing person as a share of the picture's.
        shutter: How long the shutter is open, as a share of the time between frames; 0 renders
            no motion blur.
        num_props: Things in front of the first person.
        degraded: Chance of noise, low resolution and compression, 0..1.
    """

    name: str
    size: Size = (360, 640)
    num_frames: int = 90
    fps: float = 30.0
    num_people: int = 2
    motions: str = "walk"
    arrangement: Literal["crossing", "apart"] = "crossing"
    person_height: float = 0.6
    shutter: float = 0.0
    num_props: int = 0
    degraded: float = 0.0

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.num_people < 1 or self.fps <= 0:
            raise SettingsError(
                "Expected at least one frame, one person and a positive frame rate, got "
                f"{self.num_frames = }, {self.num_people = }, {self.fps = }."
            )


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A rendered clip and what is true of it.

    Attributes:
        name: Of the plan.
        frames: RGB uint8 (N, H, W, 3).
        fps: Pictures a second.
        keypoints: (N, P, 26, 2) f32 HALPE-26 pixels, also where they lie outside.
        visibility: (N, P, 26) u8: 0 outside the picture, 1 occluded, 2 visible.
        boxes: (N, P, 4) f32 xyxy, cut at the picture; NaN while a person is outside.
        head_boxes: (N, P, 4) f32 xyxy around the head's mesh, also where it lies outside.
        masks: (N, H, W) u8: 1 to P where that person is seen, 0 elsewhere.
        identities: P names of who was rendered.
    """

    name: str
    frames: NDArray[np.uint8]
    fps: float
    keypoints: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    head_boxes: NDArray[np.float32]
    masks: NDArray[np.uint8]
    identities: tuple[str, ...]


def render_clip(library: Library, plan: ClipPlan, *, seed: int = 0) -> SyntheticClip:
    """Render a clip; the same library, plan and seed give the same clip.

    Args:
        library: Avatars, motions and photos to choose from.
        plan: What it should show.
        seed: Other seeds give other clips.

    Raises:
        SettingsError: No motion of the library has a label that fits the plan.
    """
    rng = np.random.default_rng([seed, *plan.name.encode()])
    scene = clip_scene(rng, library, plan)
    with Renderer(plan.size) as renderer:
        rendered = renderer.render(scene)
    annotation = annotate(scene, rendered)
    frames = rendered.frames
    if rng.random() < plan.degraded:
        frames = random_degradation(rng, frames)
    return SyntheticClip(
        name=plan.name,
        frames=frames,
        fps=plan.fps,
        keypoints=annotation.keypoints,
        visibility=annotation.visibility,
        boxes=annotation.boxes,
        head_boxes=np.stack([head_boxes(scene, actor) for actor in scene.actors], axis=1),
        masks=np.where(rendered.ids <= len(scene.actors), rendered.ids, 0).astype(np.uint8),
        identities=tuple(actor.avatar.identity for actor in scene.actors),
    )


def clip_scene(rng: np.random.Generator, library: Library, plan: ClipPlan) -> Scene:
    """The scene of a planned clip, ready to be rendered."""
    subframes = _SUBFRAMES if plan.shutter > 0 else 1
    times = subframe_times(
        np.arange(plan.num_frames) / plan.fps,
        subframes=subframes,
        shutter_s=plan.shutter / plan.fps,
    )
    candidates = [m for m in library.motions if re.search(plan.motions, m.label)]
    if not candidates:
        raise SettingsError(
            f"No motion of this split has a label with {plan.motions!r}; choose other words."
        )
    actors = [_in_lane(rng, library, plan, candidates, times, lane) for lane in _lanes(plan)]
    camera = _tripod(rng, plan, times)
    middle = len(times) // 2
    photo = library.random_background(rng)
    props = [
        prop
        for _ in range(plan.num_props)
        for prop in random_props(rng, library, actors[0], camera, middle=middle)[:1]
    ]
    return Scene(
        actors=tuple(actors),
        props=tuple(props),
        camera=camera,
        backdrop=random_backdrop(rng, photo, camera, middle=middle, zoom=(0.9, 1.0)),
        light=random_light(rng, photo),
        subframes=subframes,
    )


def _lanes(plan: ClipPlan) -> NDArray[np.float64]:
    """Sideways place and depth (P, 2) in metres of everybody at the middle time."""
    order = np.arange(plan.num_people)
    if plan.arrangement == "crossing":
        return np.stack([0.25 * (order % 3 - 1), -0.7 * order], axis=1)
    height_m = _BODY_HEIGHT_M / plan.person_height
    width_m = height_m * plan.size[1] / plan.size[0]
    sideways = ((order + 0.5) / plan.num_people - 0.5) * width_m
    return np.stack([sideways, np.zeros(plan.num_people)], axis=1)


def _in_lane(
    rng: np.random.Generator,
    library: Library,
    plan: ClipPlan,
    candidates: Sequence[Motion],
    times_s: NDArray[np.float64],
    lane: NDArray[np.float64],
) -> Actor:
    """Somebody whose way runs along the picture in crossings, and anywhere else towards us."""
    duration = float(times_s[-1] - times_s[0])
    long_enough = [m for m in candidates if m.duration_s >= duration]
    longest = max(candidates, key=lambda m: m.duration_s)
    pool = long_enough or [longest]
    motion = pool[rng.integers(len(pool))]
    start = rng.uniform(0, max(motion.duration_s - duration, 0.0))
    poses = sample_motion(motion, _to_and_fro(start + times_s - times_s[0], motion.duration_s))
    if rng.random() < 0.5:
        poses = mirror_poses(poses)
    way = (poses.root[-1] - poses.root[0])[[0, 2]]
    if plan.arrangement == "crossing" and np.linalg.norm(way) > _TRAVELS_M:
        goal = 0.0 if round(lane[1] / 0.7) % 2 == 0 else np.pi
        heading = goal + rng.normal(0, 0.15) + np.arctan2(way[1], way[0])
    else:
        heading = rng.normal(0, 0.7)
    centred = BodyPoses(poses.rotations, poses.root - poses.root[len(times_s) // 2] * [1, 0, 1])
    turn = Rotation.from_rotvec([0.0, heading, 0.0]).as_matrix()
    avatar = library.random_avatar(rng)
    actor = Actor(avatar, pose_avatar(avatar, turn_poses(centred, turn)), random_dye(rng))
    return actor.moved(np.array([lane[0], 0.0, lane[1]]))


def _to_and_fro(times_s: NDArray[np.float64], duration_s: float) -> NDArray[np.float64]:
    """Times of a clip that runs backwards when it has reached its end, and forwards again."""
    if duration_s <= 0:
        return np.zeros_like(times_s)
    return duration_s - np.abs(np.mod(times_s, 2 * duration_s) - duration_s)


def _tripod(rng: np.random.Generator, plan: ClipPlan, times_s: NDArray[np.float64]) -> Camera:
    """A hand-held camera in front of the scene."""
    distance = _BODY_HEIGHT_M / plan.person_height / (2 * np.tan(_FOV_RAD / 2))
    target = np.array([0.0, 0.95, 0.0])
    eye = target + np.array([0.0, rng.uniform(-0.1, 0.6), distance])
    targets = target + distance * 0.5 * shake(rng, times_s)
    matrices = [perspective(_FOV_RAD, plan.size) @ look_at(eye, t) for t in targets]
    return Camera(np.stack(matrices), np.tile(eye, (len(targets), 1)), plan.size)
