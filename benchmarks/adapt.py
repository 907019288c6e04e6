"""What adapting to a project is worth on real clips with labels: a Markdown table.

    python benchmarks/adapt.py JHMDB [--clips golf_00 walk_02 ...] [--every 4] [--seconds 120]

A simulated reviewer places the annotated limb keypoints of every fourth frame; the model adapts;
the table holds the error on the frames in between, which nobody corrected, with the shipped and
with the adapted model, and what the app would have said: held-out error and whether it helps.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from real_clips import limbs_of, track_of

from diffpose.inference.adapt import AdaptConfig, Lesson, adapt, with_tensors
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.pipeline import estimate_poses
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of
from diffpose.video.decode import Video


def truth_of(clip, table, video):
    """(N, 26, 2) px, NaN where not annotated or outside the picture; and the person's boxes."""
    limbs, rows = limbs_of(table["joints"]), indices_of(HALPE26, LIMB_KEYPOINTS)
    points = np.array(clip["xy"], float)[: video.info.num_frames]
    inside = ((points >= 0) & (points < table["size"])).all(axis=-1)
    truth = np.full((len(points), len(HALPE26), 2), np.nan)
    truth[:, rows] = np.where(inside[..., None], points, np.nan)[:, limbs]
    return truth, track_of(points, inside)


def measure(path, clip, table, *, estimator, every, config):
    with Video(path) as video:
        truth, track = truth_of(clip, table, video)
        used = track.frames[::every]
        rest = np.setdiff1d(track.frames, used)
        known = np.where(np.isfinite(truth[used]).all(axis=-1), 0.0, np.nan)
        began = time.process_time()
        found = adapt(video, [Lesson(track, used, truth[used], known)], estimator,
                      cache=FeatureCache(), config=config)  # fmt: skip
        seconds = time.process_time() - began
        errors = []
        for model in (estimator, with_tensors(estimator, found.tensors)):
            (poses,) = estimate_poses(video, [track], model, config.judged)
            rows = np.searchsorted(poses.frames, rest)
            errors.append(np.linalg.norm(poses.keypoints[rows] - truth[rest], axis=-1))
    return found, *(float(np.nanmean(error)) for error in errors), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", nargs="*")
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1e9, help="budget of a training")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    estimator, config = Estimator.load(options.weights), AdaptConfig(seconds=options.seconds)
    table = json.loads((options.folder / "annotations.json").read_text())
    print(f"weights {estimator.weights_hash}, every {options.every}th frame corrected\n")
    print("| clip | corrected frames | held-out error, px | 90 % of the change | helps | "
          "error in between, px | processor time |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for clip in table["clips"]:
        name = Path(clip["file"]).stem
        if options.clips and name not in options.clips:
            continue
        found, before, after, seconds = measure(
            options.folder / clip["file"], clip, table, estimator=estimator,
            every=options.every, config=config,
        )  # fmt: skip
        low, high = found.change_px
        print(f"| {name} | {found.frames} | {found.before_px:.1f} → {found.after_px:.1f} "
              f"| {low:+.1f} to {high:+.1f} | {'yes' if found.improved else 'no'} "
              f"| {before:.1f} → {after:.1f} | {seconds:.0f} s |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
