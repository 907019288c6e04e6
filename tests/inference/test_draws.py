"""Laws of an estimator whose hypotheses are drawn as whole poses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffpose import heatmap
from diffpose.inference.draws import read_feet
from diffpose.inference.estimator import Estimator
from diffpose.model.coupling import Evidence, KeypointCoupling, pool
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26
from tests.tiny import TINY

AFFINES = np.tile(np.eye(2, 3), (2, 1, 1))


@pytest.fixture(scope="module", params=[False, True], ids=["one side", "both sides"])
def estimator(request):
    torch.manual_seed(0)
    network = DiffPose(replace(TINY, coupling_width=16))
    assert network.coupling is not None
    with torch.no_grad():
        network.coupling.pairs.normal_()
        network.coupling.core.normal_()
    return Estimator(network, weights_hash="none", mirrored=request.param)


@pytest.fixture(scope="module")
def features(estimator):
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    return estimator.encode(crops)


def test_the_pose_and_its_uncertainty_do_not_depend_on_steps_and_hypotheses(estimator, features):
    few = estimator.sample(features, AFFINES, SamplingConfig(1, 1))
    many = estimator.sample(features, AFFINES, SamplingConfig(4, 8))

    for name in ("keypoints", "confidence", "covariance", "heatmaps"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))
    assert many.hypotheses.shape[:2] == (2, 8)


def test_seeds_repeat_and_a_larger_ensemble_keeps_the_smaller_one(estimator, features):
    few, many, other = (
        estimator.sample(features, AFFINES, SamplingConfig(3, count, seed))
        for count, seed in ((4, 1), (9, 1), (4, 2))
    )

    np.testing.assert_allclose(many.hypotheses[:, :4], few.hypotheses, atol=1e-3)
    assert not np.array_equal(few.hypotheses, other.hypotheses)


def test_a_window_s_hypotheses_do_not_depend_on_its_batch(estimator, features):
    both = estimator.sample(features, AFFINES, SamplingConfig(2, 40), seeds=[11, 12])
    alone = estimator.sample(features[1:2], AFFINES[1:], SamplingConfig(2, 40), seeds=[12])

    np.testing.assert_allclose(both.hypotheses[1:], alone.hypotheses, atol=1e-3)


def test_every_hypothesis_has_a_placed_keypoint_where_it_was_placed(estimator, features):
    placed = torch.full((2, len(estimator.skeleton), 2), torch.nan)
    placed[:, 3] = torch.tensor([21.0, 34.0])

    free = estimator.sample(features, AFFINES, SamplingConfig(3, 6))
    held = estimator.sample(features, AFFINES, SamplingConfig(3, 6), placed=placed)

    np.testing.assert_allclose(held.hypotheses[:, :, 3], np.broadcast_to([21, 34], (2, 6, 2)))
    assert not np.array_equal(held.hypotheses[:, :, 5], free.hypotheses[:, :, 5])


def test_hypotheses_lie_in_the_crop(estimator, features):
    drawn = estimator.sample(features, AFFINES, SamplingConfig(4, 32)).hypotheses

    assert np.isfinite(drawn).all()
    assert drawn.min() >= -0.5
    assert drawn.max() <= 63.5


class NearTheAnkle(KeypointCoupling):
    """A coupling that holds a foot to be where its decided ankle is."""

    def __init__(self):
        super().__init__(len(HALPE26), (64, 48))

    def evidence(self, pooled):
        return Evidence(pooled.clamp(min=1e-6).log(), torch.zeros(pooled.shape[:2]), pooled, pooled)

    def forward(self, points, evidence, asked=None):
        cells = evidence.cells[:, asked[0]]
        side = [HALPE26.keypoints[k].partition("_")[0] for k in asked[0]]
        ankles = points[:, [HALPE26.keypoints.index(f"{name}_ankle") for name in side]]
        gain = heatmap.encode(ankles, size=cells.shape[-2:], stride=8, sigma=5.0)
        return cells + 2 * gain, torch.zeros(asked.shape)


def feet_of(maps, placed):
    model = NearTheAnkle()
    return read_feet(model, maps, model.evidence(pool(maps)), HALPE26, placed)


def maps_with(places):
    """Probabilities (1, K, 64, 48), in equal parts at each keypoint's places (crop pixels)."""
    maps = torch.zeros(1, len(HALPE26), 64, 48)
    for k, points in places.items():
        spots = heatmap.encode(torch.tensor(points), size=(64, 48), stride=4, sigma=1.25)
        maps[0, k] = spots.sum(dim=0) / spots.sum()
    return maps


def test_a_foot_is_read_at_the_leg_it_belongs_to():
    left, right, heel = (
        HALPE26.keypoints.index(n) for n in ("left_ankle", "right_ankle", "left_heel")
    )
    shoes = [[140.0, 200.0], [60.0, 200.0]]
    maps = maps_with({left: [[60.0, 190.0]], right: [[140.0, 190.0]], heel: shoes})
    maps[0, heel] += maps_with({heel: shoes[:1]})[0, heel] * 0.2  # by itself: the other foot
    maps[0, heel] /= maps[0, heel].sum()

    alone, _ = heatmap.decode(maps, stride=4)
    read = feet_of(maps, None)

    assert torch.allclose(alone[0, heel], torch.tensor(shoes[0]), atol=2)
    assert torch.allclose(read[0, heel], torch.tensor(shoes[1]), atol=2)
    others = [k for k, name in enumerate(HALPE26.keypoints) if not name.endswith(("heel", "toe"))]
    assert torch.isnan(read[0, others]).all()


def test_a_placed_ankle_decides_where_its_foot_is():
    left, heel = (HALPE26.keypoints.index(n) for n in ("left_ankle", "left_heel"))
    shoes = [[140.0, 200.0], [60.0, 200.0]]
    maps = maps_with({left: [[60.0, 190.0]], heel: shoes})
    placed = torch.full((1, len(HALPE26), 2), torch.nan)
    placed[0, left] = torch.tensor([140.0, 190.0])

    read = feet_of(maps, placed)

    assert torch.allclose(read[0, heel], torch.tensor(shoes[0]), atol=2)
