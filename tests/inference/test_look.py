"""Laws of the second look: boxes move towards the pose, and two on one person become one."""

import numpy as np

from diffpose.inference.look import SecondLook, one_look
from diffpose.skeleton import HALPE26
from diffpose.tracking.associate import Detections
from tests.fakes import FakePoses

PICTURE = np.zeros((240, 320, 3), np.uint8)
PERSON = np.array([100.0, 60.0, 160.0, 200.0])


class Boxes:
    """A detector that answers what it was told to."""

    weights_hash = "boxes"

    def __init__(self, boxes, scores):
        self.people = Detections(np.array(boxes, np.float32), np.array(scores, np.float32))

    def detect(self, frames):
        return [self.people for _ in frames]


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


def test_a_loose_box_moves_half_way_to_the_pose_twice():
    loose = PERSON + np.array([-60, -40, 80, 30])
    (found,) = SecondLook(Boxes([loose], [0.8]), Sees()).detect([PICTURE])
    margin = 0.06 * (PERSON[2:] - PERSON[:2]).max()
    np.testing.assert_allclose(found.boxes[0], loose + 0.75 * (PERSON - loose), atol=margin)
    np.testing.assert_allclose(found.scores, [0.8])


def test_two_boxes_on_one_person_become_the_surer_one():
    boxes = [PERSON + np.array([-30, 0, 0, 30]), PERSON + np.array([0, -30, 40, 0]), [0, 0, 20, 40]]
    (found,) = SecondLook(Boxes(boxes, [0.6, 0.9, 0.1]), Sees()).detect([PICTURE])
    np.testing.assert_allclose(found.scores, [0.9])


def test_where_no_pose_is_the_box_stays():
    detector = Boxes([PERSON + np.array([-60, -40, 80, 30])], [0.8])
    (found,) = SecondLook(detector, Sees(clear=3)).detect([PICTURE])
    np.testing.assert_array_equal(found.boxes, detector.people.boxes)


def test_nobody_stays_nobody_and_the_name_says_who_looked():
    finder = SecondLook(Boxes(np.zeros((0, 4)), []), Sees())
    assert [len(found) for found in finder.detect([PICTURE, PICTURE])] == [0, 0]
    assert finder.weights_hash == "boxes-sees"
    assert finder.detect([]) == []


def test_one_look_sees_every_box():
    poses = one_look(Sees(), PICTURE, np.stack([PERSON, PERSON + 10]))
    assert poses.keypoints.shape == (2, 26, 2)
