"""Laws of the quick look: a pose in every box."""

import numpy as np

from diffpose.inference.look import one_look
from diffpose.skeleton import HALPE26
from tests.fakes import FakePoses

PICTURE = np.zeros((240, 320, 3), np.uint8)
PERSON = np.array([100.0, 60.0, 160.0, 200.0])


class Sees:
    """An estimator that sees one person wherever it looks, of whom some keypoints are clear."""

    weights_hash, radius, crop_size, skeleton, model_name = "sees", 1, (64, 48), HALPE26, "sees"

    def __init__(self, clear=26):
        rng = np.random.default_rng(0)
        points = rng.uniform(PERSON[:2], PERSON[2:], (26, 2))
        points[0], points[1] = PERSON[:2], PERSON[2:]
        self.points, self.confidence = points, np.full(26, 0.05)
        self.confidence[:clear] = 0.9

    def encode_frames(self, crops):
        import torch

        return torch.zeros(len(crops), 2, 4, 3)

    def fuse(self, maps):
        assert maps.shape[1:] == (3, 2, 4, 3)
        return maps

    def sample(self, features, affines, sampling, *, seeds=None):
        count = len(features)
        return FakePoses(
            np.tile(self.points, (count, 1, 1)), np.tile(self.confidence, (count, 1)),
            np.zeros((count, 26, 2, 2)), np.zeros((count, 1, 26, 2)), np.zeros((count, 26, 4, 3)),
        )  # fmt: skip


def test_one_look_sees_every_box():
    poses = one_look(Sees(), PICTURE, np.stack([PERSON, PERSON + 10]))
    assert poses.keypoints.shape == (2, 26, 2)
