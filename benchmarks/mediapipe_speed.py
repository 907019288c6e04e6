"""MediaPipe Pose (full model) on the frames of a clip, for the table of benchmarks/speed.py.

    python benchmarks/mediapipe_speed.py CLIP [--frames 150]

Runs in an environment of its own (`pip install mediapipe==0.10.21`): it pins an older numpy.
"""

import argparse
import time

import cv2
import mediapipe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("clip")
parser.add_argument("--frames", type=int, default=150)
options = parser.parse_args()
pose = mediapipe.solutions.pose.Pose(model_complexity=1)
reader = cv2.VideoCapture(options.clip)
start, count, seen = time.perf_counter(), 0, 0
while count < options.frames:
    ok, picture = reader.read()
    if not ok:
        break
    found = pose.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    count, seen = count + 1, seen + (found.pose_landmarks is not None)
rate = count / (time.perf_counter() - start)
print(f"| MediaPipe Pose full | {rate:.1f} fps, found somebody in {seen} of {count} |")
