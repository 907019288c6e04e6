"""Poses to be judged by eye: whole person, face and feet of a few frames of each clip.

    python benchmarks/looks.py VIDEO... --output looks.png [--frames 6] [--without-picture]

The people are found by the detector; the one seen longest is shown. ``--without-picture`` draws
the poses alone, for places where the pictures may not go.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from diffpose.draw import draw_pose
from diffpose.errors import NoPersonError
from diffpose.geometry import apply_affine, crop_affine
from diffpose.inference.detector import load_detector
from diffpose.inference.estimator import Estimator
from diffpose.inference.pipeline import detect_tracks, estimate_poses
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, indices_of
from diffpose.video.crop import cut_crop
from diffpose.video.decode import Video

FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
FOOT = ("ankle", "heel", "big_toe", "small_toe")
FEET = tuple(f"{side}_{part}" for side in ("left", "right") for part in FOOT)
PARTS = {"person": ((360, 240), None), "face": ((120, 240), FACE), "feet": ((150, 240), FEET)}


def tiles(picture, pose, box):
    """Person, face and feet of one frame, each (h, w, 3)."""
    keypoints, confidence = pose
    for size, names in PARTS.values():
        area = box
        if names:
            points = keypoints[list(indices_of(HALPE26, names))]
            middle, reach = points.mean(axis=0), 0.12 * (box[3] - box[1])
            reach = max(reach, 0.6 * np.ptp(points, axis=0).max())
            area = np.concatenate([middle - reach, middle + reach])
        affine = crop_affine(area, size=size, padding=1.1)
        yield draw_pose(
            cut_crop(picture, affine, size=size),
            apply_affine(affine, keypoints),
            skeleton=HALPE26,
            confidence=confidence,
        )


def row_of(path, *, estimator, detector, count, without_picture):
    with Video(path) as video:
        tracks = detect_tracks(video, detector)
        track = max(tracks, key=lambda t: len(t.frames))
        (poses,) = estimate_poses(video, [track], estimator, SamplingConfig(2, 4))
        boxes = dict(zip(track.frames.tolist(), track.boxes, strict=True))
        columns = []
        for row in np.linspace(0, len(poses) - 1, count + 2).astype(int)[1:-1]:
            frame = int(poses.frames[row])
            picture = video.frame(frame)
            if without_picture:
                picture = np.full_like(picture, 244)
            pose = poses.keypoints[row], poses.confidence[row]
            columns.append(np.vstack(list(tiles(picture, pose, boxes[frame]))))
    return np.hstack(columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--without-picture", action="store_true")
    options = parser.parse_args()
    estimator = Estimator.load(options.weights)
    how = {"estimator": estimator, "detector": load_detector(), "count": options.frames,
           "without_picture": options.without_picture}  # fmt: skip
    rows = []
    for path in options.videos:
        try:
            rows.append(row_of(path, **how))
        except NoPersonError as error:
            print(error)
    cv2.imwrite(str(options.output), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
