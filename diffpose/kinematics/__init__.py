"""From keypoints to angles, speeds, repetitions and gait events, each with its error."""
