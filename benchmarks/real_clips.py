"""PCK on the real clips of JHMDB, through the whole video pipeline: a Markdown table.

    python benchmarks/real_clips.py JHMDB [--steps 1] [--ensemble 1] [--still] [--paper-crops] \
        [--spacing SECONDS] [--movenet FILE]

12 limb keypoints inside the picture, error in parts of the larger side of the extent of the
annotated keypoints. Boxes: annotated extent, frame by frame. ``--still`` repeats the centre
frame through the window (T = 1 with the same weights); ``--paper-crops`` crops every window by
its own centre frame instead of sharing crops. ``--movenet`` (a file of
`diffpose train import-backbone`) scores MoveNet Thunder instead, frame by frame as in stills.py.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from stills import movenet_poses

from diffpose.geometry import box_of_points
from diffpose.inference.estimator import Estimator
from diffpose.inference.pipeline import estimate_poses
from diffpose.inference.teachers import MoveNetTeacher
from diffpose.inference.windows import DEFAULT_CHUNKS, CropSharing
from diffpose.movenet_files import load_movenet
from diffpose.poses import SamplingConfig, Track
from diffpose.skeleton import COCO17, HALPE26, LIMB_KEYPOINTS, convert, indices_of
from diffpose.video.decode import Video

SIDES = {"r_": "right_", "l_": "left_"}


class Repeating(Estimator):
    """Sees the centre frame only, repeated through the window."""

    def fuse(self, frame_features):
        centre = frame_features[:, self.radius : self.radius + 1]
        return super().fuse(centre.expand_as(frame_features))


def limbs_of(joints):
    named = [SIDES.get(j[:2], "") + j.removeprefix("r_").removeprefix("l_") for j in joints]
    return [named.index(name) for name in LIMB_KEYPOINTS]


def track_of(points, inside):
    seen = [i for i in range(len(points)) if inside[i].sum() >= 6]
    boxes = np.stack([box_of_points(points[i][inside[i]]) for i in seen])
    margin = 0.06 * (boxes[:, 2:] - boxes[:, :2])  # head and feet reach beyond the joints
    boxes += np.concatenate([-margin, margin], axis=1)
    return Track(0, np.array(seen), boxes, np.ones(len(seen)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--ensemble", type=int, default=1)
    parser.add_argument("--still", action="store_true")
    parser.add_argument("--paper-crops", action="store_true")
    parser.add_argument("--spacing", type=float, default=DEFAULT_CHUNKS.spacing_s)
    parser.add_argument("--movenet", type=Path)
    options = parser.parse_args()
    kind = Repeating if options.still else Estimator
    estimator = kind.load(options.weights)
    teacher = options.movenet and MoveNetTeacher(
        load_movenet(options.movenet), name="movenet", both_sides=True
    )
    sharing = CropSharing.FRAME if options.paper_crops else CropSharing.CHUNK
    table = json.loads((options.folder / "annotations.json").read_text())
    limbs, rows = limbs_of(table["joints"]), indices_of(HALPE26, LIMB_KEYPOINTS)
    sampling = SamplingConfig(options.steps, options.ensemble)
    chunks = replace(DEFAULT_CHUNKS, sharing=sharing, spacing_s=options.spacing)
    ratios, jitter = [], []
    for clip in table["clips"]:
        with Video(options.folder / clip["file"]) as video:
            points = np.array(clip["xy"], float)[: video.info.num_frames]
            inside = ((points >= 0) & (points < table["size"])).all(axis=-1)
            track = track_of(points, inside)
            if teacher is not None:
                pictures = [video.frame(frame) for frame in track.frames.tolist()]
                keypoints = convert(movenet_poses(teacher, pictures, track.boxes), COCO17, HALPE26)
            else:
                (poses,) = estimate_poses(video, [track], estimator, sampling, config=chunks)
                keypoints = poses.keypoints
        truth = np.where(inside[..., None], points, np.nan)[track.frames]
        size = np.nanmax(np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1), axis=1)
        found = keypoints[:, rows]
        error = np.linalg.norm(found - truth[:, limbs], axis=-1) / size[:, None]
        ratios.append(error[np.isfinite(error)])
        jitter.append(np.abs(np.diff(found, n=2, axis=0)).mean() / size.mean())
    every = np.concatenate(ratios)
    print(f"{len(table['clips'])} clips, {len(every)} keypoints, K={options.steps}, "
          f"E={options.ensemble}, {options.movenet or estimator.weights_hash}")  # fmt: skip
    print("| PCK@0.2 of the person | PCK@0.1 | jitter |\n|---|---|---|")
    print(f"| {(every <= 0.2).mean():.3f} | {(every <= 0.1).mean():.3f} | {np.mean(jitter):.4f} |")


if __name__ == "__main__":
    main()
