"""Laws of following: the box stays on a moving person, ends where she ends, and can be stopped."""

from itertools import count

import numpy as np
import pytest

from diffpose.errors import BoxError, CancelledError
from diffpose.inference.follow import follow_person
from tests.fakes import FakeEstimator, FakePoses, FakeVideo, box_around

HALF = 25.0


class Body(FakeEstimator):
    """Keypoints on a square of fixed size about the dot; none is sure where there is no dot."""

    def sample(self, features, affines, sampling, *, seeds=None):
        poses = super().sample(features, affines, sampling, seeds=seeds)
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)] * 7)[: len(self.skeleton)] * HALF
        lit = features.crops.numpy().max(axis=(1, 2, 3, 4)) > 140
        confidence = np.where(lit[:, None], 0.9, 0.1) * np.ones_like(poses.confidence)
        return FakePoses(
            poses.keypoints + square.astype(np.float32),
            confidence.astype(np.float32),
            poses.covariance,
            poses.hypotheses,
            poses.heatmaps,
        )


def walk(frame):
    return [(60.0 + 2 * frame, 100.0 + 0.5 * frame)]


def test_the_box_stays_on_the_person_both_ways():
    video = FakeVideo(walk, num_frames=50)
    box = np.array([*np.subtract(walk(25)[0], HALF), *np.add(walk(25)[0], HALF)])

    track = follow_person(video, Body(), track_id=3, frame=25, box=box)

    assert track.track_id == 3
    np.testing.assert_array_equal(track.frames, np.arange(50))
    centres = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
    truth = np.array([walk(i)[0] for i in range(50)])
    assert np.abs(centres - truth).max() < 8
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    assert (np.abs(sides / (2 * HALF) - 1.16) < 0.3).all()
    np.testing.assert_allclose(track.boxes[25], box)
    assert track.scores.sum() == 1


def test_the_track_ends_where_the_person_does():
    video = FakeVideo(lambda i: walk(i) if i < 30 else [], num_frames=60)
    box = np.array([*np.subtract(walk(20)[0], HALF), *np.add(walk(20)[0], HALF)])

    track = follow_person(video, Body(), track_id=0, frame=20, box=box, start=10)

    np.testing.assert_array_equal(track.frames, np.arange(10, 30))


def test_a_box_outside_is_refused_and_cancelling_stops():
    video = FakeVideo(walk, num_frames=30)
    asked = count()

    with pytest.raises(BoxError):
        follow_person(video, Body(), track_id=0, frame=0, box=np.array([900, 900, 950, 950.0]))
    with pytest.raises(CancelledError):
        follow_person(
            video,
            Body(),
            track_id=0,
            frame=0,
            box=np.array(box_around(walk(0)[0])),
            cancelled=lambda: next(asked) >= 5,
        )
    assert len(video.reads) < 10
