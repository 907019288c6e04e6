"""Whom the model fails: PCK on rendered test people by group, sex and view.

    python benchmarks/groups.py SHARDS... [--weights FILE] [--every 6]

SHARDS: files of rendered clips of the test split. Groups and sexes are those in the
avatars' names (VALID); the view is how far the shoulder line is turned away from the camera, from
the true keypoints. 12 limb keypoints inside the picture, torso-normalised, K = E = 1, true boxes.
Rendered people are alike: read this as a search for gross unfairness, not as proof of its absence.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from diffpose.data.sources import ShardSource
from diffpose.evaluation.pck import torso_sizes
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, estimate_source
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of


class EveryNth:
    """Windows around every n-th frame of every clip."""

    def __init__(self, source, radius, step):
        self.source, self.radius = source, radius
        self.rows = [
            (clip, frame)
            for clip in range(len(source))
            for frame in range(step // 2, source.num_frames(clip), step)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        clip, frame = self.rows[index]
        last = self.source.num_frames(clip) - 1
        rows = np.clip(np.arange(frame - self.radius, frame + self.radius + 1), 0, last)
        return self.source.window(clip, [int(row) for row in rows])


def view_of(points):
    """front, back, side or above by the shoulders' width and order in parts of the torso."""
    left, right = (points[HALPE26.index(f"{side}_shoulder")] for side in ("left", "right"))
    hips = (points[HALPE26.index("left_hip")] + points[HALPE26.index("right_hip")]) / 2
    neck = (left + right) / 2
    torso, up = np.linalg.norm(neck - hips), (neck - hips)
    wide = left - right
    across = (up[0] * wide[1] - up[1] * wide[0]) / max(torso, 1e-6) ** 2
    if torso < 0.5 * np.linalg.norm(left - right):
        return "along the torso"
    return "side" if abs(across) < 0.25 else "front" if across > 0 else "back"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--every", type=int, default=6)
    options = parser.parse_args()
    estimator = Estimator.load(options.weights)
    source = ShardSource(options.shards)
    names = [str(name) for path in options.shards for name in np.load(path)["identity"]]
    every = EveryNth(source, estimator.radius, options.every)
    found, truth = estimate_source(
        estimator, every, SamplingConfig(1, 1), boxes=BoxSource.ANNOTATION
    )
    visible = np.stack([source[clip].visibility[frame] for clip, frame in every.rows])
    limbs = indices_of(HALPE26, LIMB_KEYPOINTS)
    ratio = np.linalg.norm(found - truth, axis=-1) / torso_sizes(truth, HALPE26)[:, None]
    counted = (visible > 0)[:, limbs]
    close = (ratio <= 0.2)[:, limbs]
    members = defaultdict(list)
    for row, (clip, _) in enumerate(every.rows):
        parts = names[clip].removeprefix("X_").split("_")
        members["group", parts[0]].append(row)
        members["sex", parts[1]].append(row)
        members["view", view_of(truth[row])].append(row)
    print("| | | people seen | windows | PCK@0.2 |\n|---|---|---|---|---|")
    for (kind, name), rows in sorted(members.items()):
        people = {names[every.rows[row][0]].rsplit("_", 1)[0] for row in rows}
        share = close[rows][counted[rows]].mean()
        print(f"| {kind} | {name} | {len(people)} | {len(rows)} | {share:.3f} |")
    print(f"\nall {close[counted].mean():.3f}, weights {estimator.weights_hash}")


if __name__ == "__main__":
    main()
