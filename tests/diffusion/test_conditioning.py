"""Laws of conditioning: clamped keypoints win, uncertain ones weigh, the rest follows."""

from typing import Any

import pytest
import torch

from diffpose import heatmap
from diffpose.diffusion.conditioning import constrain_keypoints, reweigh
from diffpose.diffusion.sampler import sample_ddim
from diffpose.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule(1000)
CODEC: dict[str, Any] = {"size": (12, 12), "stride": 4.0, "sigma": 1.0}
FREE = float("nan")


def constraint(points, variances):
    return constrain_keypoints(
        torch.tensor([points]), torch.tensor([variances]), **CODEC, signal_scale=1.0
    )


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_clamped_joint_selects_the_mode_that_agrees_with_it():
    # Two poses of two keypoints, equally likely; the denoiser knows exactly these.
    poses = torch.tensor([[[9.5, 9.5], [9.5, 33.5]], [[33.5, 9.5], [33.5, 33.5]]])
    modes = 2 * heatmap.encode(poses, **CODEC) - 1

    def exact(x, t):
        signal, level = float(SCHEDULE.signal[t]), float(SCHEDULE.noise[t])
        miss = ((x[:, None] - signal * modes) ** 2).sum(dim=(-3, -2, -1)) / (2 * level**2)
        weights = torch.softmax(-miss, dim=-1)
        return torch.einsum("sm,mkhw->skhw", weights, modes)

    start = noise(64, 2, 12, 12)
    free = sample_ddim(exact, start, SCHEDULE, num_steps=20)
    found = sample_ddim(
        exact, start, SCHEDULE, num_steps=20,
        constrain=constraint([[33.5, 9.5], [FREE, FREE]], [0.0, 0.0]),
    )  # fmt: skip

    def share_right(x_0):
        keypoints, _ = heatmap.decode((x_0 + 1) / 2, stride=4)
        return float((keypoints[:, 1, 0] > 20).float().mean())

    assert 0.3 < share_right(free) < 0.7
    assert share_right(found) > 0.8


def test_a_placed_keypoint_is_the_exact_gaussian_and_a_free_one_is_untouched():
    x_0 = noise(6, 2, 12, 12)  # two windows would be 3 hypotheses each; here one window of 6

    found = constraint([[14.2, 30.7], [FREE, FREE]], [0.0, 0.0])(x_0)

    exact = 2 * heatmap.encode(torch.tensor([[14.2, 30.7]]), **CODEC)[0] - 1
    for hypothesis in found:
        torch.testing.assert_close(hypothesis[0], exact)
    torch.testing.assert_close(found[:, 1], x_0[:, 1])


def test_hypotheses_obey_their_own_window():
    points = torch.tensor([[[10.0, 10.0]], [[30.0, 30.0]]])
    constrain = constrain_keypoints(points, torch.zeros(2, 1), **CODEC, signal_scale=1.0)

    found = constrain(torch.zeros(6, 1, 12, 12))

    keypoints, _ = heatmap.decode((found + 1) / 2, stride=4)
    torch.testing.assert_close(keypoints[:3, 0], torch.full((3, 2), 10.0), atol=0.1, rtol=0)
    torch.testing.assert_close(keypoints[3:, 0], torch.full((3, 2), 30.0), atol=0.1, rtol=0)


@pytest.mark.parametrize(("at", "nearer"), [(14.0, 9.5), (28.0, 33.5)])
def test_an_uncertain_point_chooses_between_two_places(at, nearer):
    places = torch.tensor([[[9.5, 21.5]], [[33.5, 21.5]]])
    both = heatmap.encode(places, **CODEC).mean(dim=0, keepdim=True)

    found = constraint([[at, 21.5]], [30.0])(2 * both - 1)

    keypoints, _ = heatmap.decode((found + 1) / 2, stride=4)
    assert abs(float(keypoints[0, 0, 0]) - nearer) < 2.5


def test_more_variance_weighs_less():
    place = heatmap.encode(torch.tensor([[[20.0, 20.0]]]), **CODEC)

    x = []
    for variance in (4.0, 100.0, 1e6):
        found = constraint([[28.0, 20.0]], [variance])(2 * place - 1)
        keypoints, _ = heatmap.decode((found + 1) / 2, stride=4)
        x.append(float(keypoints[0, 0, 0]))

    assert x[0] > x[1] > x[2]
    assert x[2] == pytest.approx(20.0, abs=0.1)


def test_where_the_network_sees_nothing_the_weight_alone_remains():
    weight = heatmap.encode(torch.tensor([[[22.0, 14.0]]]), **CODEC)

    found = reweigh(torch.zeros(1, 1, 12, 12), weight, sigma=1.0)

    torch.testing.assert_close(found, weight, atol=1e-2, rtol=0)
