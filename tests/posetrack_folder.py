"""A small PoseTrack18 folder with drawn people: walking sticks with heads on a grey ground."""

from pathlib import Path

import cv2
import numpy as np

from diffpose.formats.posetrack import write_posetrack
from diffpose.formats.posetrack_records import (
    PoseTrackFrame,
    PoseTrackSequence,
    posetrack_image_id,
)
from diffpose.skeleton import POSETRACK15

SIZE = (120, 200)
NUM_FRAMES = 6
LABELED = range(1, 5)

_PLACES = {
    "head_top": (0, -40), "nose": (2, -33), "head_bottom": (0, -26),
    "left_shoulder": (8, -24), "right_shoulder": (-8, -24),
    "left_elbow": (13, -12), "right_elbow": (-13, -12),
    "left_wrist": (15, 0), "right_wrist": (-15, 0),
    "left_hip": (6, 4), "right_hip": (-6, 4),
    "left_knee": (7, 22), "right_knee": (-7, 22),
    "left_ankle": (8, 40), "right_ankle": (-8, 40),
}  # fmt: skip


def drawn_pose(x, y, phase):
    """(15, 2) of somebody whose wrists and legs swing with the phase."""
    points = np.array([_PLACES[name] for name in POSETRACK15.keypoints], np.float64)
    for name, sign in (("wrist", 1), ("knee", -1), ("ankle", -1)):
        for side, way in (("left", 1), ("right", -1)):
            points[POSETRACK15.index(f"{side}_{name}"), 0] += 5 * way * sign * np.sin(phase)
    return points + np.array([x, y])


def draw(poses, rng):
    """The people on a noisy ground, each in colours of their own."""
    picture = rng.integers(90, 130, (*SIZE, 3), dtype=np.uint8)
    for number, pose in enumerate(poses):
        colour = [(220, 60, 40), (40, 80, 220)][number % 2]
        for a, b in POSETRACK15.edge_indices:
            ends = [tuple(pose[k].round().astype(int).tolist()) for k in (a, b)]
            cv2.line(picture, ends[0], ends[1], colour, 3)
        nose = pose[POSETRACK15.index("nose")].round().astype(int)
        cv2.circle(picture, (int(nose[0]), int(nose[1])), 6, (240, 200, 170), -1)
    return picture


def _sequence(folder, split, number, rng):
    name = f"{number:06d}_mpii_test"
    (folder / "images" / split / name).mkdir(parents=True)
    frames = []
    for index in range(NUM_FRAMES):
        poses = np.stack(
            [drawn_pose(50 + 90 * p + 2 * index, 60, index + p + number) for p in range(2)]
        )
        path = f"images/{split}/{name}/{index:06d}.jpg"
        cv2.imwrite(str(folder / path), draw(poses, rng)[..., ::-1])
        labeled = index in LABELED
        shown = poses if labeled else poses[:0]
        low, high = shown.min(axis=1), shown.max(axis=1)
        head = shown[:, POSETRACK15.index("nose")]
        frames.append(
            PoseTrackFrame(
                name=path,
                keypoints=shown,
                image_id=posetrack_image_id(name, index) or 0,
                labeled=labeled,
                boxes=np.concatenate([low - 5, high + 5], axis=1),
                head_boxes=np.concatenate([head - 8, head + 8], axis=1),
                track_ids=np.arange(len(shown)),
                ignore_regions=(np.array([[0, 0], [20, 0], [20, 15], [0, 15]]),),
                size=SIZE,
            )
        )
    table = folder / "annotations" / split / f"{name}.json"
    table.parent.mkdir(parents=True, exist_ok=True)
    write_posetrack(table, PoseTrackSequence(name, tuple(frames)))


def make_posetrack(folder: Path, seed: int = 0) -> Path:
    """Two sequences for training, one for validation, 16 and 8 annotated people."""
    rng = np.random.default_rng(seed)
    for split, number in (("train", 1), ("train", 2), ("val", 3)):
        _sequence(folder, split, number, rng)
    return folder
