"""Things that stand in front of people: cut-outs of photos, boards, bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.body import keypoints_3d
from diffpose.data.synthetic.camera import Camera, project, unproject
from diffpose.data.synthetic.library import Library
from diffpose.data.synthetic.scene import Actor, Prop


def random_props(
    rng: np.random.Generator, library: Library, main: Actor, camera: Camera, *, middle: int
) -> tuple[Prop, ...]:
    """One or two things that cover part of the main person at the middle time."""
    now = Camera(camera.matrices[middle][None], camera.eyes[middle][None], camera.size)
    points = project(now, keypoints_3d(main.avatar, main.skin[middle][None]))[0]
    extent = float(np.ptp(points[:, :2], axis=0).max())
    props = []
    for _ in range(int(rng.integers(1, 3))):
        centre = points[rng.integers(len(points)), :2] + rng.normal(0, 0.08 * extent, size=2)
        depth = float(points[:, 2].min()) * rng.uniform(0.4, 0.95)
        outline = centre + random_outline(rng) * extent
        props.append(flat_prop(outline, depth, now, _random_picture(rng, library)))
    return tuple(props)


def random_outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """A polygon (V, 2) about the origin, star-shaped, in shares of a person's extent."""
    kind = rng.random()
    turn = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, -sin], [sin, cos]])
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    if kind < 0.25:  # a bar or pole through the whole picture
        return corners * [rng.uniform(0.008, 0.04), 3.0] @ rotation.T
    if kind < 0.55:  # a board or box, mostly upright
        upright = rotation if rng.random() < 0.3 else np.eye(2)
        return corners * rng.uniform(0.06, 0.25, size=2) @ upright.T
    angles = np.sort(rng.uniform(0, 2 * np.pi, size=int(rng.integers(6, 14))))
    radius = rng.uniform(0.08, 0.22) * rng.uniform(0.6, 1.3, size=len(angles))
    return radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def flat_prop(
    outline: NDArray[np.floating], depth_m: float, camera: Camera, picture: NDArray[np.uint8]
) -> Prop:
    """A flat thing that faces the camera.

    Args:
        outline: (V, 2) pixels, star-shaped about its mean.
        depth_m: Distance along the viewing direction.
        camera: The outline is where the thing appears in its first picture.
        picture: RGB texture, stretched over the outline.
    """
    points = np.concatenate([outline.mean(axis=0, keepdims=True), outline])
    flat = np.concatenate([points, np.full((len(points), 1), depth_m)], axis=1)
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-6)
    rim = np.arange(1, len(points))
    faces = np.stack([np.zeros_like(rim), rim, np.roll(rim, -1)], axis=1)
    return Prop(unproject(camera, flat), (points - low) / span, faces, picture)


def _random_picture(rng: np.random.Generator, library: Library) -> NDArray[np.uint8]:
    """A plain colour or a part of a photo."""
    if rng.random() < 0.3:
        return np.full((4, 4, 3), rng.integers(0, 256, size=3), dtype=np.uint8)
    photo = library.random_background(rng)
    side = int(rng.integers(48, min(photo.shape[:2]) // 2 + 49))
    side = min(side, *photo.shape[:2])
    y, x = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    return np.ascontiguousarray(photo[y : y + side, x : x + side])
