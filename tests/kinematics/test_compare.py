"""Two sessions: alignment, differences, and the probability that they are real."""

import json

import numpy as np
import pytest

from diffpose.kinematics import MeasureError, MeasureSettings, measure
from diffpose.kinematics.compare import (
    compare,
    cycle_sd,
    offset_by_correlation,
    offset_by_event,
    repeatability,
)
from diffpose.kinematics.records import Curve, Event, Measurements
from tests.kinematics.people import sequence_of, squats, walk

TIMES = np.arange(181) / 30
SETTINGS = MeasureSettings(
    angles=("left_knee", "left_shoulder"), tasks=("squat",), derivatives=False, num_draws=100
)


def session(depth=90.0, late=0.0, sd=0.0, settings=SETTINGS):
    points = squats(np.clip(TIMES - late, 0, None), depth=depth)
    return measure(sequence_of(points, sd=sd), TIMES, settings)


def test_a_session_does_not_differ_from_itself():
    comparison = compare(session(sd=1.0), session(sd=1.0))

    for curve in comparison.curves:
        np.testing.assert_allclose(curve.difference, 0, atol=1e-9)
        np.testing.assert_allclose(curve.probability, 0, atol=1e-9)


def test_alignment_by_event_and_by_correlation_finds_the_delay():
    first, second = session(), session(late=0.7)

    by_event = offset_by_event(first, second, kind="repetition_peak")
    by_look = offset_by_correlation(first, second, name="left_knee")

    assert by_event == pytest.approx(-0.7, abs=0.01)
    assert by_look == pytest.approx(-0.7, abs=0.04)
    aligned = compare(first, second, offset_s=by_event)
    knee = next(c for c in aligned.curves if c.name == "left_knee")
    both = np.isfinite(knee.difference)
    assert both.sum() > 120
    assert np.abs(knee.difference[both][15:-15]).max() < 1.5


def test_a_change_is_more_probable_the_larger_it_is_and_the_smaller_the_error():
    def probability(depth, sd):
        comparison = compare(session(90, sd=sd), session(depth, sd=sd), repeatability_sd={})
        name = "left_knee.maximum"
        return next(q.probability for q in comparison.quantities if q.name == name)

    assert probability(92, 1.0) < probability(96, 1.0) < probability(110, 1.0)
    assert probability(96, 2.0) < probability(96, 0.5)
    assert probability(110, 0.5) > 0.99


def test_repeatability_makes_a_change_less_probable_by_its_own_share():
    first, second = session(90), session(96)
    stated = {"left_knee.maximum": 2.0}

    changed = compare(first, second, repeatability_sd=stated).quantities
    knee = next(q for q in changed if q.name == "left_knee.maximum")

    # 6 degrees against sqrt(2) * 2: 2.12 standard deviations.
    assert knee.probability == pytest.approx(0.966, abs=0.003)
    assert knee.high - knee.low == pytest.approx(2 * 1.645 * 2 * np.sqrt(2), rel=0.01)
    assert "97 % probability that it is real" in knee.text


def test_a_comparison_without_repeatability_says_so():
    times = TIMES[:100]
    short = measure(sequence_of(squats(times)), times, SETTINGS)

    assert any("Repeatability is not known" in note for note in compare(short, short).notes)


def test_cycles_with_a_known_spread_have_that_repeatability():
    times = np.arange(601) / 100
    heights = np.repeat([10.0, 12.0, 14.0, 16.0, 18.0, 20.0], 100)
    values = np.append(heights, 20.0)
    curve = Curve("c", "C", "deg", times, values, values, values, np.zeros(601, bool))
    starts = [Event("repetition_start", "", t + 0.0, t, t, 0) for t in range(7)]

    assert cycle_sd(curve, starts) == pytest.approx(np.std(heights, ddof=1), rel=0.1)
    assert np.isnan(cycle_sd(curve, starts[:3]))
    spread = repeatability(Measurements(0, "right", (curve,), events=tuple(starts)))
    assert spread["c.minimum"] == pytest.approx(np.std(heights[::100], ddof=1))
    assert spread["c"] == cycle_sd(curve, starts)


def test_a_walk_of_many_strides_knows_its_repeatability():
    points = walk(TIMES)
    found = measure(sequence_of(points), TIMES, MeasureSettings(tasks=("gait",), derivatives=False))

    spread = repeatability(found)

    assert spread["left_knee"] < 0.5
    assert not any("Repeatability is not known" in n for n in compare(found, found).notes)


def test_wrong_alignments_are_refused_with_a_remedy():
    first, second = session(), session()

    with pytest.raises(MeasureError, match="align by hand"):
        offset_by_event(first, second, kind="heel_strike")
    with pytest.raises(MeasureError, match="choose another offset"):
        compare(first, second, offset_s=60)
    with pytest.raises(MeasureError, match="does not move enough"):
        offset_by_correlation(first, second, name="left_shoulder")


def test_sessions_seen_from_different_sides_are_noted():
    times, mirrored = TIMES, squats(TIMES) * [-1, 1]
    left = measure(sequence_of(mirrored), times, SETTINGS)

    assert any("other side of the body" in note for note in compare(session(), left).notes)


def test_a_comparison_is_plain_json():
    json.dumps(compare(session(), session(late=1.0), offset_s=-1.0).to_dict(), allow_nan=False)
