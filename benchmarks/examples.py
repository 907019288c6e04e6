"""Error and stated uncertainty on the rendered example clips, whose poses are known exactly.

    python benchmarks/examples.py

Frames 20 to 49, boxes around the true keypoints. "90 % ellipses" is the share of the true keypoints
inside the ellipse that says it holds 90 %.
"""

from pathlib import Path

import numpy as np

from diffpose.formats.native import read_native
from diffpose.geometry import box_of_points
from diffpose.inference.estimator import Estimator
from diffpose.inference.pipeline import estimate_poses
from diffpose.poses import SamplingConfig, Track
from diffpose.video.decode import Video

FRAMES = np.arange(20, 50)
INSIDE = -2 * np.log(0.1)  # 90 % quantile of chi-square with two degrees of freedom


def main():
    estimator = Estimator.load()
    print("| clip | K, E | median error / height | 90 % ellipses hold |\n|---|---|---|---|")
    for path in sorted(Path("assets/examples").glob("*.mp4")):
        truth = read_native(path.with_suffix(".truth.json")).sequences[0].keypoints[FRAMES]
        boxes = np.stack([box_of_points(points) for points in truth])
        height = np.median(boxes[:, 3] - boxes[:, 1])
        track = Track(0, FRAMES, boxes, np.ones(len(FRAMES)))
        for steps, ensemble in ((1, 1), (4, 8)):
            with Video(path) as video:
                (poses,) = estimate_poses(
                    video, [track], estimator, SamplingConfig(steps, ensemble), start=20, stop=50
                )
            miss = poses.keypoints - truth
            error = np.median(np.linalg.norm(miss, axis=-1)) / height
            distance = np.einsum("nki,nkij,nkj->nk", miss, np.linalg.inv(poses.covariance), miss)
            held = (distance <= INSIDE).mean()
            print(f"| {path.stem} | {steps}, {ensemble} | {error:.3f} | {held:.0%} |")


if __name__ == "__main__":
    main()
