"""Made-up PoseTrack scenes: people, imperfect predictions, ignore regions, from a seed."""

import numpy as np

from diffpose.formats.posetrack_records import (
    PoseTrackFrame,
    PoseTrackSequence,
    posetrack_image_id,
)
from diffpose.skeleton import POSETRACK15

K = len(POSETRACK15)


def person(x=200.0, y=150.0, size=100.0):
    """(15, 2) of somebody with distinct joints around (x, y)."""
    angles = np.linspace(0, 2 * np.pi, K, endpoint=False)
    return np.stack([x + size * np.cos(angles), y + size * np.sin(2 * angles)], axis=1)


def frame(poses, number=0, *, scores=None, head=50.0, regions=(), sequence="000001_mpii_test"):
    """A frame of (N, 15, 2) poses with square head boxes."""
    poses = np.asarray(poses, np.float64).reshape(-1, K, 2)
    corner = np.array([30.0, 30, 30 + head, 30 + head])
    return PoseTrackFrame(
        name=f"images/val/{sequence}/{number:06d}.jpg",
        keypoints=poses,
        image_id=posetrack_image_id(sequence, number) or 0,
        scores=np.zeros(0) if scores is None else np.asarray(scores).reshape(-1, 1).repeat(K, 1),
        head_boxes=np.tile(corner, (len(poses), 1)),
        track_ids=np.arange(len(poses)),
        ignore_regions=tuple(np.asarray(region, np.float64) for region in regions),
    )


def sequence(*frames, name="000001_mpii_test"):
    return PoseTrackSequence(name, frames)


def _pose(rng, base, spread):
    moved = base + rng.normal(0, spread, (K, 2))
    moved[rng.random(K) < 0.1] = np.nan
    return moved


def _random_frames(rng, name, number):
    """Truth and predictions of one picture; scores and distances are never tied."""
    count = int(rng.integers(0, 5))
    bases = [
        person(*rng.uniform([100, 100, 40], [600, 600, 120])) + rng.normal(0, 8, (K, 2))
        for _ in range(count)
    ]
    truth = [_pose(rng, base, 0) for base in bases]
    if count and rng.random() < 0.15:
        truth[0] = np.full((K, 2), np.nan)  # a box without keypoints, as in PoseTrack21
    heads = np.array([[50, 40, 50 + side, 40 + 1.2 * side] for side in rng.uniform(20, 70, count)])
    found = [
        _pose(rng, base, rng.choice([2.0, 10.0, 25.0, 60.0]))
        for base in bases
        for _ in range(rng.integers(0, 3))
    ]
    found += [_pose(rng, person(*rng.uniform(0, 700, 2)), 20) for _ in range(rng.integers(0, 3))]
    regions = [
        rng.uniform(0, 700, 2) + 120 * np.array([[0, 0], [1, 0.1], [0.9, 1], [0.3, 0.5]])
        for _ in range(rng.integers(0, 3))
    ]
    path, image_id = f"images/val/{name}/{number:06d}.jpg", posetrack_image_id(name, number) or 0
    true = PoseTrackFrame(
        name=path,
        image_id=image_id,
        keypoints=np.array(truth).reshape(-1, K, 2),
        head_boxes=heads.reshape(-1, 4),
        track_ids=np.arange(count),
        ignore_regions=tuple(regions),
    )
    guess = PoseTrackFrame(
        name=path,
        image_id=image_id,
        keypoints=np.array(found).reshape(-1, K, 2),
        scores=rng.random((len(found), K)),
        track_ids=np.arange(len(found)),
    )
    return true, guess


def random_scene(seed):
    """Truth and predictions of some sequences."""
    rng = np.random.default_rng(seed)
    truth: list[PoseTrackSequence] = []
    found: list[PoseTrackSequence] = []
    for number in range(int(rng.integers(1, 4))):
        name = f"{number + 1:06d}_mpii_test"
        pairs = [_random_frames(rng, name, f) for f in range(int(rng.integers(1, 7)))]
        truth.append(PoseTrackSequence(name, tuple(true for true, _ in pairs)))
        found.append(PoseTrackSequence(name, tuple(guess for _, guess in pairs)))
    return truth, found


def distinct_scene(seed):
    """Truth and predictions where no pose fits two people and no person has two poses."""
    rng = np.random.default_rng(seed)
    truth: list[PoseTrackSequence] = []
    found: list[PoseTrackSequence] = []
    for number in range(2):
        name = f"{number + 1:06d}_mpii_test"
        for sequences, spread in ((truth, 0.0), (found, 15.0)):
            frames = [
                frame(
                    [person(x=1000.0 * n) + rng.normal(0, spread, (K, 2)) for n in range(4)],
                    index,
                    scores=rng.random(4),
                    sequence=name,
                )
                for index in range(3)
            ]
            sequences.append(PoseTrackSequence(name, tuple(frames)))
    return truth, found
