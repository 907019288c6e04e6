"""Filters, derivatives, gaps: analytic answers on even and uneven times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import SettingsError
from diffpose.kinematics.derivatives import acceleration, velocity
from diffpose.kinematics.filters import Smoothing, butterworth, hampel, smooth
from diffpose.kinematics.gaps import fill_gaps

# kineticstoolkit 0.17.0: filters.butter(ts, btype="lowpass", order=2, fc=6, filtfilt=True) of
# 10 sin(2 pi t) + 3 cos(2 pi 9 t) + 20 t^2 at t = 0, 1/25, ... 15/25.
KINETICS_TOOLKIT = [
    2.999760578676689, 2.328347848073756, 4.415951916315622, 7.2110091318924665,
    8.936469478209915, 10.351035919644819, 11.173363036947576, 11.273791607418154,
    11.17778358182504, 10.314017137741194, 8.9805125716363, 7.587318257011403,
    5.817996182508095, 4.52320517382664, 2.852942849040117, -1.1046951830463523,
]  # fmt: skip


def test_butterworth_equals_kineticstoolkit():
    t = np.arange(16) / 25
    wave = 10 * np.sin(2 * np.pi * t) + 3 * np.cos(2 * np.pi * 9 * t) + 20 * t**2

    filtered = butterworth(wave, rate_hz=25, cutoff_hz=6)

    np.testing.assert_allclose(filtered, KINETICS_TOOLKIT, atol=1e-9)


def uneven_times(count: int, rate_hz: float) -> np.ndarray:
    steps = 1 / rate_hz * (1 + 0.3 * np.sin(np.arange(count - 1)))
    return np.concatenate([[0.0], np.cumsum(steps)])


@pytest.mark.parametrize("kind", ["butterworth", "savgol"])
@pytest.mark.parametrize("rate_hz", [30, 29.97, 60, 120])
@pytest.mark.parametrize("uneven", [False, True])
def test_a_slow_movement_passes_whatever_the_frame_rate(kind, rate_hz, uneven):
    count = int(3 * rate_hz)
    times = uneven_times(count, rate_hz) if uneven else np.arange(count) / rate_hz
    swing = 30 * np.sin(2 * np.pi * 0.8 * times)

    filtered, reason = smooth(swing, times, Smoothing(kind=kind))

    assert reason == ""
    inner = slice(count // 10, -count // 10)
    np.testing.assert_allclose(filtered[inner], swing[inner], atol=0.2)


def test_butterworth_removes_what_is_fast():
    times = uneven_times(200, 60)

    filtered, _ = smooth(np.sin(2 * np.pi * 15 * times), times, Smoothing(cutoff_hz=3))

    assert np.abs(filtered[20:-20]).max() < 0.02


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(0, 2**31))
def test_filters_are_linear_and_treat_rows_alike(rows, seed):
    values = np.random.default_rng(seed).normal(size=(rows, 40))
    times = np.arange(40) / 30

    whole, _ = smooth(values, times, Smoothing())
    single = np.stack([smooth(row, times, Smoothing())[0] for row in values])
    doubled, _ = smooth(2 * values + 5, times, Smoothing())

    np.testing.assert_allclose(whole, single, atol=1e-9)
    np.testing.assert_allclose(doubled, 2 * whole + 5, atol=1e-8)


def test_no_filter_changes_nothing_and_gaps_stay():
    values = np.array([0.0, 1, np.nan, 5, 0])

    filtered, reason = smooth(values, np.arange(5.0), Smoothing(kind="none"))

    np.testing.assert_array_equal(filtered, values)
    assert reason == ""


def test_nothing_leaks_across_a_gap():
    times = np.arange(60) / 30
    values = np.where(times < 1, 0.0, 100.0)
    values[29:31] = np.nan

    filtered, _ = smooth(values, times, Smoothing())

    np.testing.assert_allclose(filtered[:29], 0, atol=1e-9)
    np.testing.assert_allclose(filtered[31:], 100, atol=1e-9)


@pytest.mark.parametrize("kind", ["butterworth", "savgol"])
def test_a_stretch_too_short_for_the_filter_is_empty_and_says_so(kind):
    filtered, reason = smooth(np.arange(6.0), np.arange(6) / 30, Smoothing(kind=kind))

    assert np.isnan(filtered).all()
    assert "6 frames" in reason
    assert f"too short for the {kind} filter" in reason


def test_a_cut_off_above_half_the_frame_rate_is_refused_with_a_remedy():
    with pytest.raises(SettingsError, match="needs more than 12 frames a second"):
        smooth(np.zeros(50), np.arange(50) / 10, Smoothing(cutoff_hz=6))
    with pytest.raises(SettingsError, match="butterworth, savgol or none"):
        Smoothing(kind="kalman")  # type: ignore[arg-type]


def test_hampel_takes_out_an_outlier_and_leaves_the_rest():
    line = np.arange(20.0)
    spiked = line.copy()
    spiked[9] = 500

    cleaned = hampel(spiked, window=7, limit=3)

    assert cleaned[9] == pytest.approx(9, abs=1)
    np.testing.assert_allclose(np.delete(cleaned, 9), np.delete(line, 9), atol=1)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000))
def test_derivatives_of_a_parabola_are_exact_on_uneven_times(seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.1, 12))
    a, b, c = rng.normal(size=3) * 10

    values = a * times**2 + b * times + c

    np.testing.assert_allclose(velocity(values, times), 2 * a * times + b, atol=1e-7)
    np.testing.assert_allclose(acceleration(values, times), 2 * a, atol=1e-5)


def test_derivatives_stop_at_gaps():
    values = np.array([0, 1, 2, np.nan, 5, 6.0])

    np.testing.assert_array_equal(np.isfinite(velocity(values, np.arange(6.0))), [1, 1, 1, 0, 0, 0])


def test_gaps_are_filled_up_to_a_length_and_marked_and_zero_is_no_gap():
    times = np.arange(10) / 10
    values = np.array([np.nan, 0, 0, np.nan, 4, np.nan, np.nan, np.nan, 8, np.nan])

    filled, marked = fill_gaps(values, times, longest_s=0.2)

    np.testing.assert_allclose(filled[[1, 2, 3, 4]], [0, 0, 2, 4])
    assert np.isnan(filled[[0, 5, 6, 7, 9]]).all()
    np.testing.assert_array_equal(np.flatnonzero(marked), [3])


def test_gaps_are_filled_by_time_and_not_by_frame_number():
    filled, _ = fill_gaps(np.array([0, np.nan, 10]), np.array([0, 0.1, 1.0]), longest_s=2)

    assert filled[1] == pytest.approx(1)


def test_no_gap_is_filled_when_none_may_be():
    _, marked = fill_gaps(np.array([0, np.nan, 10]), np.array([0, 0.1, 0.2]), longest_s=0)

    assert not marked.any()
