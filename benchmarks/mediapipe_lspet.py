"""MediaPipe Pose (full model) on LSPET val, scored as `diffpose evaluate lspet` scores.

    PYTHONPATH=. python benchmarks/mediapipe_lspet.py LSPET

Static mode on whole pictures; a person who is not found misses all keypoints. Runs in an
environment of its own (`pip install mediapipe==0.10.21`).
"""

import sys
from pathlib import Path

import mediapipe
import numpy as np

from diffpose.data.sources import load_lspet
from diffpose.evaluation.pck import limb_pck
from diffpose.skeleton import COCO17, LIMB_KEYPOINTS

LANDMARKS = mediapipe.solutions.pose.PoseLandmark


def main(folder):
    source = load_lspet(folder, "val", COCO17)
    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)
    found = np.full((len(source), len(COCO17), 2), np.nan)
    for index, picture in enumerate(source.pictures):
        seen = pose.process(picture).pose_landmarks
        if seen is not None:
            for name in LIMB_KEYPOINTS:
                mark = seen.landmark[LANDMARKS[name.upper()]]
                place = np.array([mark.x * picture.shape[1], mark.y * picture.shape[0]]) - 0.5
                found[index, COCO17.index(name)] = place
    missed = np.isnan(found).all(axis=(1, 2)).sum()
    scores = [limb_pck(found, source.keypoints, COCO17, threshold=t) for t in (0.2, 0.1)]
    print(f"| MediaPipe Pose full | {scores[0]:.3f} | {scores[1]:.3f} | {missed} not found |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
