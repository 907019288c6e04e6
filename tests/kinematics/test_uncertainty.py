"""Draws and intervals: stated 90 % hold when the error is what the model says it is."""

from dataclasses import replace

import numpy as np
import pytest

from diffpose.errors import SettingsError
from diffpose.kinematics import ErrorModel, MeasureSettings, Smoothing, measure
from diffpose.kinematics.measure import prepare
from diffpose.kinematics.sampling import draw_trajectories, unit_errors
from diffpose.kinematics.series import angle_series, quantity
from diffpose.poses import Origin
from diffpose.skeleton import HALPE26
from tests.kinematics.people import figure, sequence_of, squats, walk

TIMES = np.arange(61) / 30
MODEL = ErrorModel(constant_share=0.3, wandering_share=0.5, correlation_s=0.2)


def test_drawn_errors_have_the_correlation_that_is_asked_for():
    errors = unit_errors(TIMES, MODEL, np.random.default_rng(0), shape=(20000,))

    together = (errors.T @ errors) / len(errors)

    lags = np.abs(TIMES[:, None] - TIMES[None])
    expected = 0.3 + 0.5 * np.exp(-lags / 0.2) + 0.2 * (lags == 0)
    np.testing.assert_allclose(together, expected, atol=0.05)


def test_draws_have_the_stated_covariance_about_the_pose():
    sequence = sequence_of(figure(TIMES[:5]))
    covariance = np.broadcast_to(np.array([[9.0, 4.0], [4.0, 4.0]]), (5, 26, 2, 2))
    sequence = replace(sequence, covariance=covariance)

    draws = draw_trajectories(
        sequence, TIMES[:5], replace(MODEL, scale=2.0), np.random.default_rng(1), num_draws=20000
    )

    off = draws[:, 2, 7] - sequence.keypoints[2, 7]
    np.testing.assert_allclose(off.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(np.cov(off.T), 4 * covariance[0, 0], rtol=0.05)


def test_uneven_times_correlate_by_seconds_and_not_by_frames():
    times = np.array([0, 0.01, 0.5])
    model = ErrorModel(constant_share=0, wandering_share=1, correlation_s=0.2)

    errors = unit_errors(times, model, np.random.default_rng(2), shape=(20000,))

    together = np.asarray(np.corrcoef(errors.T))
    np.testing.assert_allclose(together[0], [1, np.exp(-0.05), np.exp(-2.5)], atol=0.03)


def test_intervals_hold_nine_times_in_ten_on_errors_as_modelled():
    truth = squats(TIMES, depth=80)
    settings = MeasureSettings(
        angles=("left_knee",), error=MODEL, derivatives=False, tasks=("squat",), num_draws=100
    )
    true = measure(sequence_of(truth), TIMES, settings)
    rng = np.random.default_rng(7)
    noisy = draw_trajectories(sequence_of(truth, sd=1.0), TIMES, MODEL, rng, num_draws=60)

    held: dict[str, list[float]] = {"angle": [], "range": [], "time": []}
    for points in noisy:
        found = measure(sequence_of(points, sd=1.0), TIMES, settings)
        curve, wanted = found.curve("left_knee"), true.curve("left_knee").values
        held["angle"].append(((curve.low <= wanted) & (wanted <= curve.high)).mean())
        q, w = (m.quantity("left_knee.range_of_motion") for m in (found, true))
        held["range"].append(q.low <= w.value <= q.high)
        e, v = (m.events[1] for m in (found, true))
        held["time"].append(e.low <= v.time_s <= e.high)

    for name, shares in held.items():
        assert 0.8 <= np.mean(shares) < 0.99, name  # of 60: the chance of 0.9 is wide


def test_errors_that_stay_are_not_filtered_away():
    sequence = sequence_of(squats(TIMES), sd=2.0)
    fresh = ErrorModel(constant_share=0, wandering_share=0)
    staying = ErrorModel(constant_share=1, wandering_share=0)

    def width(error: ErrorModel) -> float:
        found = measure(sequence, TIMES, MeasureSettings(error=error, derivatives=False))
        return float(np.median(found.curve("left_knee").half_width))

    assert width(staying) > 1.3 * width(fresh)


def test_twice_the_error_gives_twice_the_interval():
    widths = []
    for scale in (1.0, 2.0):
        settings = MeasureSettings(error=ErrorModel(scale=scale), derivatives=False)
        found = measure(sequence_of(walk(TIMES), sd=0.5), TIMES, settings)
        widths.append(np.median(found.curve("left_hip").half_width))

    assert widths[1] == pytest.approx(2 * widths[0], rel=0.05)


def test_the_range_of_motion_interval_takes_the_noise_off_once():
    # Noise makes every draw's range larger by 4; it has made the measured one larger as well.
    found = quantity("rom", "Range", "deg", 64.0, 68 + np.linspace(-1, 1, 401))

    assert (found.low, found.high) == pytest.approx((59.1, 60.9))


def test_a_keypoint_placed_by_hand_has_a_small_error_and_not_none():
    origin = np.full((61, 26), Origin.CORRECTED, np.uint8)
    sequence = sequence_of(figure(TIMES), origin=origin)

    curve = measure(sequence, TIMES).curve("left_knee")

    assert 0.2 < np.median(curve.half_width) < 8


def test_frames_without_a_stated_error_take_the_largest_of_their_keypoint():
    sequence = sequence_of(figure(TIMES), sd=1.0)
    covariance = np.array(sequence.covariance)
    covariance[20:25] = np.nan
    sequence = replace(sequence, covariance=covariance)

    trajectory, _ = prepare(sequence, TIMES, MeasureSettings(smoothing=Smoothing(kind="none")))

    assert np.isfinite(trajectory.draws).all()
    spread = trajectory.draws[:, :, HALPE26.index("left_knee"), 0].std(axis=0)
    assert spread[22] == pytest.approx(spread[10], rel=0.2)


def test_poses_without_any_uncertainty_have_values_and_a_reason():
    sequence = sequence_of(squats(TIMES))
    sequence = replace(sequence, covariance=np.full((61, 26, 2, 2), np.nan))

    found = measure(sequence, TIMES, MeasureSettings(tasks=("squat",)))

    assert found.curve("left_knee").known
    assert np.isnan(found.curve("left_knee").low).all()
    assert "no uncertainty" in found.curve("left_knee").reason
    assert "error not known" in found.quantity("left_knee.maximum").text


def test_a_point_at_the_edge_of_a_gap_stays_unknown_in_every_draw():
    points = squats(TIMES)
    points[:10, HALPE26.index("left_ankle")] = np.nan
    trajectory, _ = prepare(sequence_of(points, sd=1.0), TIMES, MeasureSettings())

    series = angle_series(trajectory, "left_knee")

    np.testing.assert_array_equal(np.isnan(series.values), np.isnan(series.draws).all(axis=0))
    assert np.isnan(series.values[:10]).all()


@pytest.mark.parametrize(
    "wrong", [{"constant_share": 0.8, "wandering_share": 0.5}, {"scale": -1}, {"correlation_s": 0}]
)
def test_shares_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="Expected"):
        ErrorModel(**wrong)
