"""Laws of the estimator: seeds, ensembles, frames of reference, turns."""

import numpy as np
import pytest
import torch

from diffpose.diffusion.sampler import unconstrained
from diffpose.errors import SettingsError, WeightsError
from diffpose.geometry import apply_affine, crop_affine, invert_affine
from diffpose.inference.estimator import Estimator
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig
from tests.tiny import TINY

AFFINES = np.tile(np.eye(2, 3), (2, 1, 1))


@pytest.fixture(scope="module")
def estimator():
    torch.manual_seed(0)
    return Estimator(DiffPose(TINY), weights_hash="none")


@pytest.fixture(scope="module")
def features(estimator):
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    return estimator.encode(crops)


def test_equal_seeds_give_equal_poses_bit_for_bit_and_others_do_not(estimator, features):
    first, again, other = (
        estimator.sample(features, AFFINES, SamplingConfig(3, 4, seed)) for seed in (5, 5, 6)
    )

    np.testing.assert_array_equal(first.heatmaps, again.heatmaps)
    np.testing.assert_array_equal(first.hypotheses, again.hypotheses)
    assert not np.array_equal(first.heatmaps, other.heatmaps)


def test_a_larger_ensemble_keeps_the_smaller_one_s_hypotheses(estimator, features):
    few = estimator.sample(features, AFFINES, SamplingConfig(2, 2))
    many = estimator.sample(features, AFFINES, SamplingConfig(2, 5))

    np.testing.assert_allclose(many.hypotheses[:, :2], few.hypotheses, atol=1e-3)


def test_a_window_s_pose_does_not_depend_on_its_batch(estimator, features):
    both = estimator.sample(features, AFFINES, SamplingConfig(2, 3), seeds=[11, 12])
    alone = estimator.sample(features[1:2], AFFINES[1:], SamplingConfig(2, 3), seeds=[12])

    np.testing.assert_allclose(both.heatmaps[1:], alone.heatmaps, atol=1e-5)


def test_poses_come_back_in_video_pixels(estimator, features):
    affine = crop_affine([100, 50, 200, 150], size=(64, 64))
    in_crop = estimator.sample(features[:1], AFFINES[:1], SamplingConfig(1, 2))

    in_video = estimator.sample(features[:1], affine[None], SamplingConfig(1, 2))

    back = invert_affine(affine)
    np.testing.assert_allclose(
        in_video.keypoints[0], apply_affine(back, in_crop.keypoints[0]), rtol=1e-5
    )
    scale = back[0, 0]
    np.testing.assert_allclose(in_video.covariance, in_crop.covariance * scale**2, rtol=1e-4)


def test_every_step_but_the_last_is_reported_as_a_pose(estimator, features):
    seen = []

    estimator.sample(
        features, AFFINES, SamplingConfig(3, 2), on_step=lambda done, poses: seen.append(done)
    )

    assert seen == [1, 2]


@pytest.mark.parametrize("hypotheses", [1, 4])
def test_later_steps_count_as_the_hypotheses_they_are(estimator, features, hypotheses):
    """The first step counts 96 hypotheses, each later one its own, unless something is known."""

    def heatmaps(steps, **more):
        sampling = SamplingConfig(steps, hypotheses)
        return estimator.sample(features, AFFINES, sampling, **more).heatmaps

    first, alike = heatmaps(1), heatmaps(3, constrain=unconstrained)
    later = 3 * alike - first
    weight = 96 / hypotheses

    expected = (weight * first + later) / (weight + 2)
    np.testing.assert_allclose(heatmaps(3), expected, atol=1e-5)


def test_uncertainty_is_a_covariance_and_confidence_a_share(estimator, features):
    poses = estimator.sample(features, AFFINES, SamplingConfig(2, 4))

    assert np.linalg.eigvalsh(poses.covariance).min() > 0
    assert ((poses.confidence >= 0) & (poses.confidence <= 1)).all()


def test_crops_of_another_size_and_a_missing_gpu_are_refused(estimator):
    with pytest.raises(SettingsError, match="64, 64"):
        estimator.encode_frames(np.zeros((1, 32, 64, 3), np.uint8))
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="use cpu"):
            Estimator.untrained("small", device="cuda")


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="absent"):
        Estimator.load(tmp_path / "absent.safetensors")
