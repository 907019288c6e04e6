"""Laws of seeing both sides: an ensemble of the mirrored picture gives the mirrored pose."""

import numpy as np
import pytest
import torch

from diffpose.inference import estimator as estimator_module
from diffpose.inference.estimator import Estimator
from diffpose.inference.mirror import BothSides, mirror_heatmaps, mirrored_rows
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig
from tests.tiny import TINY

AFFINES = np.tile(np.eye(2, 3), (2, 1, 1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DiffPose(TINY)


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)


def noiseless(seeds, *, num_hypotheses, shape):
    return torch.zeros(len(seeds), num_hypotheses, *shape)


@pytest.mark.parametrize("ensemble", [1, 4])
def test_the_mirrored_picture_has_the_mirrored_pose(network, crops, ensemble, monkeypatch):
    monkeypatch.setattr(estimator_module, "hypothesis_noise", noiseless)
    estimator = Estimator(network, weights_hash="none", mirrored=True)
    sampling = SamplingConfig(2, ensemble)
    seen = estimator.sample(estimator.encode(crops), AFFINES, sampling)
    turned = np.ascontiguousarray(crops[:, :, :, ::-1])
    reflected = estimator.sample(estimator.encode(turned), AFFINES, sampling)
    expected = mirror_heatmaps(torch.from_numpy(seen.heatmaps), estimator.skeleton.mirror.tolist())
    np.testing.assert_allclose(reflected.heatmaps, expected, atol=1e-4)
    one_sided = Estimator(network, weights_hash="none")
    alone = one_sided.sample(one_sided.encode(crops), AFFINES, sampling)
    assert np.abs(alone.heatmaps - seen.heatmaps).max() > 1e-3  # or the law says nothing


def test_an_ensemble_has_as_many_hypotheses_as_asked_for_and_keeps_those_of_a_smaller(
    network, crops
):
    estimator = Estimator(network, weights_hash="none", mirrored=True)
    features = estimator.encode(crops)
    one, few, many = (
        estimator.sample(features, AFFINES, SamplingConfig(2, count)) for count in (1, 2, 5)
    )
    assert [p.hypotheses.shape[1] for p in (one, few, many)] == [1, 2, 5]
    np.testing.assert_allclose(one.keypoints, few.keypoints, atol=1e-3)
    np.testing.assert_allclose(many.hypotheses[:, :2], few.hypotheses, atol=1e-3)


def test_even_hypotheses_are_those_of_the_one_sided_estimator(network, crops):
    both, plain = (Estimator(network, weights_hash="none", mirrored=m) for m in (True, False))
    seen = both.sample(both.encode(crops), AFFINES, SamplingConfig(2, 4))
    alone = plain.sample(plain.encode(crops), AFFINES, SamplingConfig(2, 4))
    np.testing.assert_allclose(seen.hypotheses[:, ::2], alone.hypotheses[:, ::2], atol=1e-3)
    assert both.weights_hash != plain.weights_hash
    assert both.one_sided().weights_hash == plain.weights_hash
    again = both.one_sided()
    found = again.sample(again.encode(crops), AFFINES, SamplingConfig(2, 4))
    np.testing.assert_array_equal(found.hypotheses, alone.hypotheses)


def test_rows_and_windows_keep_their_order(network, crops):
    estimator = Estimator(network, weights_hash="none", mirrored=True)
    features = estimator.encode(crops)
    assert isinstance(features, BothSides)
    assert mirrored_rows(2, 3).tolist() == [False, True, False, False, True, False]
    rows = features.repeat(3)
    torch.testing.assert_close(rows.low.keys[4], features.mirrored.low.keys[1])
    torch.testing.assert_close(rows.low.keys[5], features.plain.low.keys[1])
    torch.testing.assert_close(features[1:].mirrored.low.keys[0], features.mirrored.low.keys[1])
    arrays, alone = features.to_arrays(), features.plain.to_arrays()
    assert len(arrays) == 2 * len(alone)
