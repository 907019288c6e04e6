"""Hypotheses that are whole poses: laws with an exact denoiser of known poses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffpose.diffusion.joint import Condition, deciding_order, draw_poses, hypothesis_uniforms

SIZE, STRIDE, WIDTH = (16, 12), 4.0, 0.6


def exact(poses: Tensor, weights: Tensor) -> Condition:
    """The denoiser of a world in which only some poses exist (P, K, 2) crop pixels.

    Given the decided keypoints it knows how likely each pose is (Bayes), and of an undecided
    keypoint it states the mixture of where these poses have it.
    """
    rows = torch.arange(SIZE[0]).float() * STRIDE + (STRIDE - 1) / 2
    columns = torch.arange(SIZE[1]).float() * STRIDE + (STRIDE - 1) / 2
    sd = WIDTH * STRIDE

    def condition(points: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        gap = torch.nan_to_num(points[:, None] - poses[None]).square().sum(dim=-1)  # (R, P, K)
        chance = (weights.log() - gap.sum(dim=-1) / (2 * sd**2)).softmax(dim=-1)
        at = poses[:, asked].transpose(0, 1)  # (R, P, G, 2)
        x = torch.exp(-((columns - at[..., :1]) ** 2) / (2 * sd**2))
        y = torch.exp(-((rows - at[..., 1:]) ** 2) / (2 * sd**2))
        maps = torch.einsum("rp,rpgh,rpgw->rghw", chance, y, x)
        return maps.clamp(min=1e-12).log(), torch.full(asked.shape, -30.0)

    return condition


POSES = torch.tensor(
    [
        [[24.0, 10.0], [12.0, 30.0], [12.0, 50.0], [34.0, 30.0], [34.0, 50.0]],
        [[24.0, 10.0], [34.0, 30.0], [34.0, 50.0], [12.0, 30.0], [12.0, 50.0]],
    ]
)
ORDER = torch.arange(5)[None]


def drawn(
    num_steps: int, *, count: int = 400, known: Tensor | None = None, seed: int = 3
) -> Tensor:
    uniforms = hypothesis_uniforms([seed], num_hypotheses=count, num_keypoints=5)
    condition = exact(POSES, torch.tensor([0.5, 0.5]))
    return draw_poses(condition, ORDER, uniforms, num_steps=num_steps, stride=STRIDE, known=known)[
        0
    ]


def whole(poses: Tensor) -> Tensor:
    """(S, P) which of the two poses a hypothesis is, keypoint for keypoint."""
    return ((poses[:, None] - POSES).norm(dim=-1) < 3).all(dim=-1)


def test_every_hypothesis_is_one_of_two_equally_likely_poses_and_each_comes_half_the_time() -> None:
    found = whole(drawn(5))

    assert found.any(dim=1).all()
    share = found[:, 0].float().mean()
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 400)


def test_a_placed_keypoint_of_one_pose_leaves_only_that_one() -> None:
    known = torch.full((1, 5, 2), torch.nan)
    known[0, 2] = POSES[1, 2]

    found = drawn(5, known=known)

    assert whole(found)[:, 1].all()
    assert torch.equal(found[:, 2], POSES[1, 2].expand(400, 2))


def test_one_step_draws_keypoints_independently() -> None:
    found = whole(drawn(1)).any(dim=1).float().mean()

    assert abs(found - 2 * 0.5**4) < 4 * math.sqrt(0.125 * 0.875 / 400)


def test_more_steps_give_more_whole_poses() -> None:
    shares = [float(whole(drawn(steps)).any(dim=1).float().mean()) for steps in (1, 2, 3, 5)]

    assert shares == sorted(shares)
    assert shares[-1] == 1


@settings(max_examples=20, deadline=None)
@given(weight=st.floats(0.1, 0.9), seed=st.integers(0, 10_000))
def test_poses_come_as_often_as_they_are_likely(weight: float, seed: int) -> None:
    uniforms = hypothesis_uniforms([seed], num_hypotheses=300, num_keypoints=5)
    condition = exact(POSES, torch.tensor([weight, 1 - weight]))

    found = draw_poses(condition, ORDER, uniforms, num_steps=5, stride=STRIDE)[0]

    share = whole(found)[:, 0].float().mean()
    assert abs(share - weight) < 5 * math.sqrt(weight * (1 - weight) / 300)


def test_seeds_repeat_and_a_larger_ensemble_keeps_the_smaller_one() -> None:
    few, many = drawn(4, count=8), drawn(4, count=32)

    assert torch.equal(few, many[:8])
    assert torch.equal(few, drawn(4, count=8))
    assert not torch.equal(few, drawn(4, count=8, seed=4))


def test_a_hypothesis_lies_at_the_peak_and_not_somewhere_in_its_blur() -> None:
    off = (drawn(5)[:, 0] - POSES[0, 0]).norm(dim=-1)

    assert off.max() < 0.25 * STRIDE


def test_a_keypoint_that_probably_lies_outside_decides_nothing() -> None:
    asked_with: list[Tensor] = []

    def condition(points: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        asked_with.append(points.clone())
        logits, outside = exact(POSES, torch.tensor([0.5, 0.5]))(points, asked)
        return logits, torch.where(asked == 0, 30.0, outside)

    uniforms = hypothesis_uniforms([0], num_hypotheses=2, num_keypoints=5)
    draw_poses(condition, ORDER, uniforms, num_steps=5, stride=STRIDE)

    assert torch.isnan(asked_with[1][:, 0]).all()
    assert torch.isfinite(asked_with[2][:, 1]).all()


def test_the_most_certain_keypoint_is_decided_first() -> None:
    spread = np.array([3.0, 0.5, 1.5])
    grid = np.indices(SIZE).astype(float)
    away = ((grid - np.array([8, 6])[:, None, None]) ** 2).sum(axis=0)
    maps = np.exp(-away / (2 * spread[:, None, None] ** 2))
    maps /= maps.sum(axis=(1, 2), keepdims=True)

    order = deciding_order(torch.from_numpy(maps)[None])

    assert order.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_a_window_does_not_depend_on_its_batch(num_steps: int) -> None:
    weights = torch.tensor([0.5, 0.5])
    uniforms = hypothesis_uniforms([5, 6], num_hypotheses=3, num_keypoints=5)

    both = draw_poses(
        exact(POSES, weights), ORDER.repeat(2, 1), uniforms, num_steps=num_steps, stride=STRIDE
    )
    alone = draw_poses(
        exact(POSES, weights), ORDER, uniforms[1:], num_steps=num_steps, stride=STRIDE
    )

    assert torch.equal(both[1:], alone)
