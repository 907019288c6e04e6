"""Laws of sampling again: placed points, the noise of the first time, what counts as moved."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffpose.errors import SettingsError
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.pipeline import estimate_poses, window_at
from diffpose.inference.resample import moved, resample, sampled_before
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig, Track
from tests.fakes import FakeVideo, box_around, walk
from tests.tiny import TINY

SAMPLING = SamplingConfig(2, 3)


@pytest.fixture(scope="module")
def estimator():
    torch.manual_seed(0)
    return Estimator(DiffPose(TINY), weights_hash="none")


@pytest.fixture(scope="module")
def scene():
    boxes = np.array([box_around(walk(f)[0]) for f in range(6)])
    return FakeVideo(num_frames=6), Track(0, np.arange(6), boxes, np.ones(6))


def sample(scene, estimator, placed, **more):
    video, track = scene
    return resample(
        video, track, estimator, SAMPLING, placed=placed, cache=FeatureCache(), **more
    )  # fmt: skip


def test_placed_keypoints_are_exactly_where_they_were_placed(scene, estimator):
    found = sample(scene, estimator, {(2, 4): (31.3, 17.7)}, frame=2, radius=1)

    assert found.frames == (1, 2, 3)
    np.testing.assert_array_equal(found.keypoints[1, 4], np.array([31.3, 17.7], np.float32))
    np.testing.assert_array_equal(found.hypotheses[1, :, 4], found.keypoints[[1] * 3, 4])
    assert not found.covariance[1, 4].any()


def test_without_placed_points_nothing_moves(scene, estimator):
    video, track = scene
    (first,) = estimate_poses(video, [track], estimator, SAMPLING)

    found = sample(scene, estimator, {}, frame=3)

    np.testing.assert_array_equal(found.keypoints, found.before)
    assert moved(found, first) == {}


def test_how_steadily_the_run_was_read_is_not_taken_for_movement(scene, estimator):
    video, track = scene
    (first,) = estimate_poses(video, [track], estimator, SAMPLING)
    found = sample(scene, estimator, {(3, 4): (31.3, 17.7)}, frame=3)
    elsewhere = replace(first, keypoints=first.keypoints + 1000)

    assert moved(found, elsewhere).keys() == moved(found, first).keys()


def test_what_sampling_gave_before_is_kept(scene, estimator):
    video, track = scene
    cache = FeatureCache()
    window = window_at(video, track, estimator, frame=3)
    assert window is not None

    before = sampled_before(video, window, estimator, SAMPLING, cache=cache)
    held = len(cache)
    again = sampled_before(video, window, estimator, SAMPLING, cache=cache)
    other = sampled_before(video, window, estimator, replace(SAMPLING, seed=1), cache=cache)

    assert again is before
    assert len(cache) == held + 1
    assert not np.array_equal(other, before)


def test_what_moved_is_told_and_what_was_placed_is_not(scene, estimator):
    video, track = scene
    (first,) = estimate_poses(video, [track], estimator, SAMPLING)
    found = sample(scene, estimator, {(3, 4): (31.3, 17.7)}, frame=3)
    keypoints = found.keypoints.copy()
    keypoints[0, 7] += 1000

    told = moved(replace(found, keypoints=keypoints), first)

    assert (3, 4) not in told
    (x, y), variance = told[3, 7]
    assert (x, y) == pytest.approx(keypoints[0, 7])
    assert variance > 0


def test_a_propagated_pose_pulls_its_neighbour(scene, estimator):
    video, track = scene
    (first,) = estimate_poses(video, [track], estimator, SAMPLING)
    wanted = replace(
        first,
        keypoints=np.full_like(first.keypoints, 40.0),
        covariance=np.broadcast_to(np.eye(2), first.covariance.shape),
    )

    found = sample(scene, estimator, {}, frame=3, radius=1, propagated=wanted)

    off = np.linalg.norm(found.keypoints - 40.0, axis=-1).mean(axis=1)
    before = np.linalg.norm(first.keypoints[2:5] - 40.0, axis=-1).mean(axis=1)
    assert (off[[0, 2]] < before[[0, 2]] / 2).all()
    np.testing.assert_array_equal(found.keypoints[1], found.before[1])


def test_a_frame_without_a_box_is_refused(scene, estimator):
    video, track = scene
    part = Track(0, track.frames[:2], track.boxes[:2], track.scores[:2])

    with pytest.raises(SettingsError, match="no box in frame 4"):
        sample((video, part), estimator, {}, frame=4)
