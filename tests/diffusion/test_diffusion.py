"""Laws of the schedule, the sampler and the ensemble."""

import numpy as np
import pytest
import torch

from diffpose import heatmap
from diffpose.diffusion.ensemble import combine
from diffpose.diffusion.sampler import hypothesis_noise, sample_ddim
from diffpose.diffusion.schedule import cosine_schedule, noised
from diffpose.errors import SettingsError

SCHEDULE = cosine_schedule(1000)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_signal_falls_from_one_to_nearly_nothing_and_powers_add_to_one():
    assert SCHEDULE.signal[0] == 1
    assert SCHEDULE.noise[0] == 0
    assert (SCHEDULE.signal.diff() < 0).all()
    assert SCHEDULE.signal[-1] < 1e-3
    torch.testing.assert_close(
        SCHEDULE.signal**2 + SCHEDULE.noise**2, torch.ones_like(SCHEDULE.noise)
    )


@pytest.mark.parametrize("num_steps", [1, 2, 5, 50, 1000])
def test_timesteps_run_from_the_noisiest_to_clean(num_steps):
    steps = SCHEDULE.timesteps(num_steps)

    assert (steps[0], steps[-1], len(steps)) == (1000, 0, num_steps + 1)
    assert (np.diff(steps) < 0).all()


@pytest.mark.parametrize("num_steps", [0, 1001])
def test_too_few_or_too_many_steps_are_refused(num_steps):
    with pytest.raises(SettingsError, match="1 to 1000"):
        SCHEDULE.timesteps(num_steps)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 50])
def test_a_perfect_denoiser_is_recovered(num_steps):
    truth = torch.rand(2, 3, 8, 6) * 2 - 1

    found = sample_ddim(lambda x, t: truth, noise(2, 3, 8, 6), SCHEDULE, num_steps=num_steps)

    torch.testing.assert_close(found, truth)


@pytest.mark.parametrize("num_steps", [10, 50])
def test_the_exact_denoiser_of_two_equal_points_reaches_both_half_each(num_steps):
    points = torch.tensor([[9.5, 21.5], [21.5, 9.5]])
    modes = (
        2 * heatmap.encode(points[:, None], size=(8, 8), stride=4, sigma=1.0) - 1
    )  # (2, 1, h, w)

    def exact(x, t):
        signal, level = float(SCHEDULE.signal[t]), float(SCHEDULE.noise[t])
        distance = (x[:, None] - signal * modes).square().sum(dim=(2, 3, 4))
        weights = (-distance / (2 * level**2)).softmax(dim=1)
        return torch.einsum("sm,mkhw->skhw", weights, modes)

    found = sample_ddim(exact, noise(400, 1, 8, 8), SCHEDULE, num_steps=num_steps)
    keypoints, _ = heatmap.decode((found[:, 0] + 1) / 2, stride=4)

    distances = torch.cdist(keypoints, points)
    assert (distances.min(dim=1).values < 1.0).float().mean() > 0.98
    share = (distances[:, 0] < distances[:, 1]).float().mean().item()
    assert 0.43 < share < 0.57  # 400 fair coins: 2.8 standard deviations


def test_every_step_is_reported_and_the_last_report_is_the_result():
    seen = []

    found = sample_ddim(
        lambda x, t: torch.full_like(x, t / 1000),
        noise(1, 1, 4, 4),
        SCHEDULE,
        num_steps=4,
        on_step=lambda done, x_0: seen.append((done, x_0)),
    )

    assert [done for done, _ in seen] == [1, 2, 3, 4]
    torch.testing.assert_close(seen[-1][1], found)


def test_a_constraint_wins_over_the_network():
    def pin(x_0):
        x_0 = x_0.clone()
        x_0[:, 0] = 0.25
        return x_0

    found = sample_ddim(
        lambda x, t: -torch.ones_like(x), noise(3, 2, 4, 4), SCHEDULE, num_steps=7, constrain=pin
    )

    assert torch.equal(found[:, 0], torch.full((3, 4, 4), 0.25))
    torch.testing.assert_close(found[:, 1], -torch.ones(3, 4, 4))


def test_adding_noise_keeps_unit_power():
    x_0, eps = torch.ones(1000, 1, 1, 1), noise(1000, 1, 1, 1)

    x_t = SCHEDULE.add_noise(x_0 * 0, eps, torch.full((1000,), 1000))

    assert x_t.std().item() == pytest.approx(1, abs=0.07)
    torch.testing.assert_close(
        SCHEDULE.add_noise(x_0, eps, torch.zeros(1000, dtype=torch.int64)), x_0
    )


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_noised_mixes_known_keypoints_with_the_noise_that_unknown_ones_are(share):
    schedule, count = cosine_schedule(1000), 400
    x_0, known = torch.full((count, 2, 3, 4), 0.7), torch.tensor([[True, False]] * count)

    def drawn(given):
        generator = torch.Generator().manual_seed(3)
        return noised(
            x_0, given, schedule, first_step_share=share, generator=generator
        )  # fmt: skip

    (x_t, t), (noise, again) = drawn(known), drawn(torch.zeros_like(known))

    assert torch.equal(t, again)
    assert torch.equal(x_t[:, 1], noise[:, 1])
    torch.testing.assert_close(
        x_t[:, 0],
        schedule.signal[t].float().view(-1, 1, 1) * 0.7
        + schedule.noise[t].float().view(-1, 1, 1) * noise[:, 0],
    )
    assert 1 <= t.min() <= t.max() <= 1000
    assert float((t == 1000).float().mean()) == pytest.approx(share, abs=0.06)


def test_noise_of_a_hypothesis_depends_on_its_seed_and_number_only():
    few = hypothesis_noise([7, 9], num_hypotheses=2, shape=(3, 4, 4))
    many = hypothesis_noise([9, 7], num_hypotheses=5, shape=(3, 4, 4))

    assert torch.equal(few[0], many[1, :2])
    assert torch.equal(few[1], many[0, :2])
    assert not torch.equal(few[0, 0], few[0, 1])
    assert abs(many.mean().item()) < 0.15


def test_noise_of_neighbouring_seeds_is_unrelated():
    drawn = hypothesis_noise(list(range(20)), num_hypotheses=2, shape=(1, 16, 16)).flatten(2)

    correlation = np.corrcoef(drawn.flatten(0, 1).numpy()) - np.eye(40)
    assert np.abs(correlation).max() < 0.3


def drawn(points):
    return heatmap.encode(
        torch.tensor(points, dtype=torch.float32)[None, :, None], size=(24, 24), stride=4, sigma=1.5
    )


def test_equal_hypotheses_give_one_sure_pose():
    pose = combine(drawn([[40.0, 44.0]] * 4), stride=4, sigma=1.5)

    torch.testing.assert_close(pose.keypoints[0, 0], torch.tensor([40.0, 44.0]), atol=0.1, rtol=0)
    assert pose.confidence.item() > 0.95
    assert pose.covariance[0, 0].diagonal().max().item() < 2


def test_the_covariance_of_scattered_hypotheses_is_their_scatter():
    points = [[40.0, 30.0], [40.0, 44.0], [40.0, 58.0], [40.0, 44.0]]

    pose = combine(drawn(points), stride=4, sigma=1.5)

    assert pose.covariance[0, 0, 1, 1].item() == pytest.approx(98, rel=0.05)  # 2 x 14^2 / 4
    assert pose.covariance[0, 0, 0, 0].item() < 2
    assert pose.confidence.item() < 0.6
    torch.testing.assert_close(pose.hypotheses[0, :, 0], torch.tensor(points), atol=0.1, rtol=0)


def test_every_step_s_predictions_have_the_same_mean_over_the_noise():
    """Why the estimator averages over the steps: each is unbiased, the first has no noise."""
    points = torch.tensor([[9.5, 21.5], [21.5, 9.5]])
    modes = 2 * heatmap.encode(points[:, None], size=(8, 8), stride=4, sigma=1.0) - 1
    means = []

    def exact(x, t):
        signal, level = float(SCHEDULE.signal[t]), float(SCHEDULE.noise[t])
        distance = (x[:, None] - signal * modes).square().sum(dim=(2, 3, 4))
        weights = (-distance / (2 * level**2)).softmax(dim=1)
        return torch.einsum("sm,mkhw->skhw", weights, modes)

    sample_ddim(
        exact,
        noise(2000, 1, 8, 8),
        SCHEDULE,
        num_steps=10,
        on_step=lambda done, x_0: means.append(x_0.mean(dim=0)),
    )

    for mean in means:
        torch.testing.assert_close(mean, modes.mean(dim=0), atol=0.12, rtol=0)
    torch.testing.assert_close(means[0], modes.mean(dim=0), atol=1e-2, rtol=0)


def test_the_order_of_hypotheses_does_not_matter():
    maps = torch.rand(2, 5, 3, 8, 6)

    one, other = (combine(m, stride=4, sigma=1.5) for m in (maps, maps.flip(1)))

    torch.testing.assert_close(one.keypoints, other.keypoints)
    torch.testing.assert_close(one.covariance, other.covariance, rtol=1e-4, atol=1e-3)
