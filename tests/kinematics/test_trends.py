"""Numbers over many sessions: order, change from the first, and how sure it is."""

import csv
import datetime
import io

import numpy as np
import pytest
from scipy.stats import norm

from diffpose.kinematics import MeasureError, Measurements, Quantity
from diffpose.kinematics.table import trends_to_csv
from diffpose.kinematics.trends import DatedSession, find_trends

NAN = float("nan")


def session(day, value, *, half=3.0, more=()):
    q = Quantity("knee.maximum", "Knee, largest", value, value - half, value + half, "deg",
                 "" if np.isfinite(value) else "not seen")  # fmt: skip
    date = datetime.date(2026, 3, day)
    return DatedSession(date, f"s{day}", Measurements(0, "right", quantities=(q, *more)))


def changes(trend):
    found = [p.change for p in trend.points if p.change is not None]
    assert len(found) == len(trend.points) - 1
    return found


def test_points_are_in_order_and_changes_are_from_the_first():
    (trend,) = find_trends([session(20, 66), session(1, 60), session(9, 61)])

    assert [p.quantity.value for p in trend.points] == [60, 61, 66]
    assert trend.points[0].change is None
    assert [change.difference for change in changes(trend)] == [1, 6]
    # 6 degrees against two errors of 3 / 1.645 each.
    sd = np.hypot(3, 3) / norm.ppf(0.95)
    last = changes(trend)[-1]
    assert last.probability == pytest.approx(2 * norm.cdf(6 / sd) - 1)
    assert last.high - last.low == pytest.approx(2 * np.hypot(3, 3))


def test_a_stated_repeatability_makes_changes_less_sure():
    sessions = [session(1, 60), session(2, 66)]
    alone = changes(find_trends(sessions)[0])[0]
    stated = changes(find_trends(sessions, repeatability_sd={"knee.maximum": 3.0})[0])[0]
    assert stated.probability < alone.probability


def test_a_session_without_the_number_is_left_out_and_the_first_that_has_it_counts():
    trend = find_trends([session(1, NAN), session(2, 50), session(3, 52)])[0]
    assert [p.session.date.day for p in trend.points] == [2, 3]
    assert changes(trend)[0].difference == 2


def test_a_number_of_one_session_only_is_no_trend():
    lone = Quantity("cadence", "Cadence", 110, 108, 112, "1/min")
    found = find_trends([session(1, 60, more=(lone,)), session(2, 61)])
    assert [trend.name for trend in found] == ["knee.maximum"]


def test_too_few_sessions_and_nothing_in_common_are_refused():
    with pytest.raises(MeasureError, match="at least two sessions, got 1"):
        find_trends([session(1, 60)])
    with pytest.raises(MeasureError, match="no number in common"):
        find_trends([session(1, 60), session(2, NAN)])


def test_a_saved_session_comes_back_with_its_date():
    saved = session(7, 60).to_dict()
    assert DatedSession.from_dict(saved, file_name="x.json").date == datetime.date(2026, 3, 7)
    del saved["session"]
    named = DatedSession.from_dict(saved, file_name="knee 2025-12-24.json")
    assert named.date == datetime.date(2025, 12, 24)
    with pytest.raises(MeasureError, match="the date of x"):
        DatedSession.from_dict(saved, file_name="x.json")


def test_the_table_has_a_line_for_each_number_of_each_session():
    text = trends_to_csv(find_trends([session(1, 60), session(2, 66)]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["value"] for row in rows] == ["60", "66"]
    assert [row["change"] for row in rows] == ["", "6"]
    assert rows[1]["date"] == "2026-03-02"
