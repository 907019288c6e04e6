"""Laws of the heatmap codec."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffpose import heatmap

SIZE, STRIDE = (40, 32), 4


@given(x=st.floats(3, 124), y=st.floats(3, 156), sigma=st.floats(1.0, 3.0))
def test_round_trip_is_far_under_half_a_cell(x, y, sigma):
    truth = torch.tensor([[x, y]], dtype=torch.float64)

    maps = heatmap.encode(truth, size=SIZE, stride=STRIDE, sigma=sigma)
    found, peak = heatmap.decode(maps, stride=STRIDE)

    assert (found - truth).abs().max() < STRIDE / 2
    border = min(x, y, 127 - x, 159 - y) < 2 * STRIDE
    if not border:  # the parabola through logarithms is exact for a Gaussian
        assert (found - truth).abs().max() < 0.05
        assert peak.item() == pytest.approx(1, abs=0.01)


def test_an_unknown_keypoint_gives_an_empty_map():
    maps = heatmap.encode(torch.full((1, 2), math.nan), size=SIZE, stride=STRIDE, sigma=2)

    assert maps.abs().max() == 0


def test_cells_and_pixels_are_inverse_and_cell_zero_is_the_middle_of_its_pixels():
    cells = torch.tensor([[0.0, 0.0], [1.0, 2.0]])

    pixels = heatmap.to_pixels(cells, stride=4)

    assert pixels.tolist() == [[1.5, 1.5], [5.5, 9.5]]
    assert torch.equal(heatmap.to_cells(pixels, stride=4), cells)


def test_mass_is_the_sum_of_a_gaussian_inside_the_map():
    maps = heatmap.encode(torch.tensor([[63.0, 70.0]]), size=SIZE, stride=STRIDE, sigma=1.5)

    assert maps.sum().item() == pytest.approx(heatmap.mass(1.5), rel=1e-3)


def test_spread_of_a_drawn_gaussian_is_the_floor():
    truth = torch.tensor([[63.5, 71.5]])
    maps = heatmap.encode(truth, size=SIZE, stride=STRIDE, sigma=1.5)

    covariance = heatmap.spread(maps, truth, stride=STRIDE, sigma=1.5)

    torch.testing.assert_close(covariance[0], torch.eye(2) * STRIDE**2 / 12, atol=0.05, rtol=0)


def test_spread_of_a_wider_gaussian_is_what_it_is_wider():
    truth = torch.tensor([[63.5, 71.5]])
    maps = heatmap.encode(truth, size=SIZE, stride=STRIDE, sigma=2.5)

    covariance = heatmap.spread(maps, truth, stride=STRIDE, sigma=1.5)

    expected = torch.eye(2) * (2.5**2 - 1.5**2) * STRIDE**2
    torch.testing.assert_close(covariance[0], expected, atol=0.2, rtol=0)


def test_spread_of_two_equal_points_is_along_their_line():
    left, right = torch.tensor([[31.5, 71.5]]), torch.tensor([[95.5, 71.5]])
    both = heatmap.encode(torch.stack([left, right]), size=SIZE, stride=STRIDE, sigma=1.5)
    maps = both.mean(dim=0)

    covariance = heatmap.spread(maps, (left + right) / 2, stride=STRIDE, sigma=1.5)[0]

    assert covariance[0, 0].item() == pytest.approx(32**2, rel=0.02)
    assert covariance[1, 1].item() == pytest.approx(STRIDE**2 / 12, abs=0.1)
    assert covariance[0, 1].item() == pytest.approx(0, abs=0.5)


@given(st.integers(0, 2**31))
def test_spread_is_always_positive_definite(seed):
    maps = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(seed))
    centre, _ = heatmap.decode(maps, stride=4)

    covariance = heatmap.spread(maps, centre, stride=4, sigma=1.5)

    assert torch.linalg.eigvalsh(covariance).min() > 0
