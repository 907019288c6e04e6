"""Exact annotation of rendered scenes: keypoints, what is seen of them, boxes.

Visibility: 0 outside the picture, 1 occluded by another person, a thing or the person's own body,
2 visible. Pixels have their centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.body import keypoints_3d, posed_vertices
from diffpose.data.synthetic.camera import Camera, project
from diffpose.data.synthetic.render import Rendered
from diffpose.data.synthetic.scene import Actor, Scene
from diffpose.geometry import Size
from diffpose.skeleton import HALPE26

OUTSIDE, OCCLUDED, VISIBLE = 0, 1, 2

_VERTEX_STRIDE = 4
_BODY_DEPTH_M = {
    "shoulder": 0.14, "elbow": 0.12, "wrist": 0.10, "hip": 0.20, "knee": 0.14, "ankle": 0.12,
    "toe": 0.08, "heel": 0.08, "nose": 0.06, "eye": 0.06, "ear": 0.08,
    "head": 0.12, "neck": 0.16,
}  # fmt: skip
# How much of the person's own body may lie in front of a keypoint that still counts as seen.
_TOLERANCE_M = np.array([_BODY_DEPTH_M[name.split("_")[-1]] for name in HALPE26.keypoints])


@dataclass(frozen=True, eq=False)
class Annotation:
    """What is true of N pictures with P people.

    Attributes:
        keypoints: (N, P, 26, 2) f32 pixels, also where they lie outside the picture.
        visibility: (N, P, 26) u8.
        boxes: (N, P, 4) f32 xyxy around the whole mesh, hidden parts included, cut at the
            picture's border; NaN for a person wholly outside.
    """

    keypoints: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def annotate(scene: Scene, rendered: Rendered) -> Annotation:
    """Keypoints, visibility and boxes of every person of a rendered scene."""
    times = scene.truth_times
    camera = Camera(scene.camera.matrices[times], scene.camera.eyes[times], scene.camera.size)
    shape = (scene.num_frames, len(scene.actors))
    keypoints = np.empty((*shape, len(HALPE26), 2), dtype=np.float32)
    visibility = np.empty((*shape, len(HALPE26)), dtype=np.uint8)
    boxes = np.empty((*shape, 4), dtype=np.float32)
    for index, actor in enumerate(scene.actors):
        points = project(camera, keypoints_3d(actor.avatar, actor.skin[times]))
        keypoints[:, index] = points[..., :2]
        visibility[:, index] = keypoint_visibility(points, rendered, number=index + 1)
        boxes[:, index] = mesh_boxes(actor, camera, times)
    return Annotation(keypoints, visibility, boxes)


def keypoint_visibility(
    points: NDArray[np.floating], rendered: Rendered, *, number: int
) -> NDArray[np.uint8]:
    """Visibility (N, 26) of one person's keypoints.

    A keypoint is hidden if most of the 3x3 pixels around it show something in front of it. Of
    the person's own body, as much may be in front as a limb is thick, because joints lie inside it.

    Args:
        points: (N, 26, 3) x and y in pixels and depth in metres.
        rendered: The id and depth maps.
        number: The person's number in the id maps.
    """
    height, width = rendered.ids.shape[1:]
    column = np.rint(points[..., 0])
    row = np.rint(points[..., 1])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (points[..., 2] > 0)
    offsets = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)
    x = np.clip(np.where(inside, column, 0)[..., None] + offsets[:, 0], 0, width - 1).astype(int)
    y = np.clip(np.where(inside, row, 0)[..., None] + offsets[:, 1], 0, height - 1).astype(int)
    frame = np.arange(len(points))[:, None, None]
    ids, depth = rendered.ids[frame, y, x], rendered.depth[frame, y, x]
    slack = np.where(ids == number, _TOLERANCE_M[:, None], 0.0)
    covered = (depth < points[..., 2:] - slack).sum(axis=-1) >= 5
    return np.where(inside, np.where(covered, OCCLUDED, VISIBLE), OUTSIDE).astype(np.uint8)


def mesh_boxes(actor: Actor, camera: Camera, times: NDArray[np.integer]) -> NDArray[np.float64]:
    """Boxes (N, 4) around the projected mesh, cut at the picture; NaN where nothing is inside."""
    vertices = posed_vertices(actor.avatar, actor.skin[times], stride=_VERTEX_STRIDE)
    return np.stack([clipped_box(points, camera.size) for points in project(camera, vertices)])


def head_boxes(scene: Scene, actor: Actor) -> NDArray[np.float32]:
    """Boxes (N, 4) xyxy around one person's head, wherever it lies; NaN behind the camera."""
    times, camera = scene.truth_times, scene.camera
    seen = Camera(camera.matrices[times], camera.eyes[times], camera.size)
    vertices = posed_vertices(actor.avatar, actor.skin[times])[:, actor.avatar.on_head]
    points = project(seen, vertices)
    boxes = np.concatenate([points[..., :2].min(axis=1), points[..., :2].max(axis=1)], axis=-1)
    boxes[points[..., 2].min(axis=1) <= 0.1] = np.nan
    return boxes.astype(np.float32)


def clipped_box(points: NDArray[np.floating], size: Size) -> NDArray[np.float64]:
    """Box (4,) around projected points (V, 3) in front of the camera, cut at the picture."""
    seen = points[points[:, 2] > 0.1, :2]
    if not len(seen):
        return np.full(4, np.nan)
    limits = np.array([size[1], size[0]]) - 0.5
    low, high = seen.min(axis=0).clip(-0.5, limits), seen.max(axis=0).clip(-0.5, limits)
    return np.concatenate([low, high]) if (high - low).min() > 0 else np.full(4, np.nan)
