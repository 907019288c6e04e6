"""How often left and right are exchanged: a Markdown table.

    python benchmarks/sides.py [--example assets/examples/walk.mp4] [--jhmdb JHMDB] \
        [--weights FILE]

A keypoint counts as exchanged where it lies nearer to the true place of the other side's than to
its own, in frames where the true two lie further apart than a twentieth of the person's height
(the larger side of the extent of the annotated keypoints). Boxes: annotated extent; one step, one
hypothesis. JHMDB: clips of walking, running and golf.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from real_clips import limbs_of, track_of

from diffpose.formats.native import read_native
from diffpose.geometry import box_of_points
from diffpose.inference.estimator import Estimator
from diffpose.inference.pipeline import estimate_poses
from diffpose.poses import SamplingConfig, Track
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of
from diffpose.video.decode import Video

PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
KINDS = ("walk", "run", "golf")
APART = 0.05


def exchanged(found, truth):
    """Counts (6, 2): exchanged and judged keypoints of each part; (N, 12, 2) limb keypoints."""
    size = np.nanmax(np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1), axis=1)
    counts = np.zeros((len(PARTS), 2), int)
    for row, part in enumerate(PARTS):
        left, right = (LIMB_KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right"))
        judged = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1) > APART * size
        for own, other in ((left, right), (right, left)):
            to_own, to_other = (
                np.linalg.norm(found[:, own] - truth[:, k], axis=-1) for k in (own, other)
            )
            counts[row] += [(judged & (to_other < to_own)).sum(), judged.sum()]
    return counts


def example(path, estimator):
    truth = read_native(path.with_suffix(".truth.json")).sequences[0]
    points = truth.keypoints
    boxes = np.stack([box_of_points(frame) for frame in points])
    track = Track(0, truth.frames, boxes, np.ones(len(boxes)))
    with Video(path) as video:
        (poses,) = estimate_poses(video, [track], estimator, SamplingConfig(1, 1))
    rows = indices_of(HALPE26, LIMB_KEYPOINTS)
    return exchanged(poses.keypoints[:, rows], points[:, rows])


def jhmdb(folder, estimator):
    table = json.loads((folder / "annotations.json").read_text())
    limbs, rows = limbs_of(table["joints"]), indices_of(HALPE26, LIMB_KEYPOINTS)
    counts = {}
    for clip in table["clips"]:
        kind = next((k for k in KINDS if clip["file"].split("/")[-1].startswith(k)), None)
        if kind is None:
            continue
        with Video(folder / clip["file"]) as video:
            points = np.array(clip["xy"], float)[: video.info.num_frames]
            inside = ((points >= 0) & (points < table["size"])).all(axis=-1)
            track = track_of(points, inside)
            (poses,) = estimate_poses(video, [track], estimator, SamplingConfig(1, 1))
        truth = np.where(inside[..., None], points, np.nan)[poses.frames]
        counts[kind] = counts.get(kind, 0) + exchanged(poses.keypoints[:, rows], truth[:, limbs])
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--example", type=Path)
    parser.add_argument("--jhmdb", type=Path)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    estimator = Estimator.load(options.weights)
    print(f"Weights {estimator.weights_hash}\n\n| clips | {' | '.join(PARTS)} |")
    print("|---" * (1 + len(PARTS)) + "|")
    counts = {}
    if options.example is not None:
        counts[options.example.stem] = example(options.example, estimator)
    if options.jhmdb is not None:
        counts |= {f"JHMDB {k}": c for k, c in jhmdb(options.jhmdb, estimator).items()}
    for name, parts in counts.items():
        cells = [f"{bad / judged:.1%}" if judged else "–" for bad, judged in parts]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
