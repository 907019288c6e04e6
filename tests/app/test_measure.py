"""Measuring, comparing, reporting and exporting in the app: views as laws, and a real browser."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pypdf import PdfReader

from app.measure import handlers, views
from app.measure.handlers import Choices
from diffpose.errors import InputError
from diffpose.kinematics import Curve, Event, Measurements, Quantity
from diffpose.kinematics.compare import compare
from diffpose.kinematics.trends import DatedSession, find_trends

TIMES = np.linspace(0, 100, 5001)


def curve(name="left_knee", shift=0.0):
    values = 40 + 20 * np.sin(TIMES) + shift
    return Curve(name, "Left knee flexion", "deg", TIMES, values, values - 3, values + 5,
                 np.zeros(len(TIMES), bool))  # fmt: skip


def measured(shift=0.0):
    value = Quantity("left_knee.range_of_motion", "Left knee, range", 40 + shift, 36, 44, "deg")
    missing = [Quantity(n, n, np.nan, np.nan, np.nan, "s", "no <steps>") for n in ("a", "b")]
    return Measurements(0, "right", (curve(shift=shift),), (value, *missing), (), ("A note.",))


def test_a_long_curve_is_thinned_evenly_and_its_band_with_it():
    view = views.chart_view([curve(), curve("right_knee")], plotly="x", frames=np.arange(3))
    first = view["curves"][0]
    lengths = {len(first[key]) for key in ("t", "v", "low", "high", "half", "filled")}
    assert lengths == {len(first["t"])}
    assert len(first["t"]) <= views.MOST_POINTS
    assert len(set(np.diff(first["t"]).round(6))) == 1
    assert [c["row"] for c in view["curves"]] == [0, 0]  # both sides of a joint share a row
    assert [c["colour"] for c in view["curves"]] == ["left", "right"]
    assert first["half"][0] == 4
    json.dumps(view)


def test_unknown_values_are_gaps_not_numbers():
    values = np.where(TIMES > 50, np.nan, 1.0)
    gap = Curve("x", "X", "deg", TIMES, values, values, values, np.zeros(len(TIMES), bool))
    view = views.curve_view(gap, row=0)
    assert view["v"][-1] is None
    assert view["v"][0] == 1.0


def test_equal_reasons_are_said_once_and_are_escaped():
    table = views.numbers_table(measured())
    assert table.count("no &lt;steps&gt;") == 1
    assert "a, b: no &lt;steps&gt;" in table
    assert "A note." in table


def test_a_comparison_s_table_has_first_second_and_change():
    first, second = measured(), measured(shift=10)
    table = views.comparison_table(compare(first, second), first, second)
    assert "40.0 ± 4.0 deg" in table
    assert "50.0 ± 4.0 deg" in table
    assert "+10.0 deg" in table


def test_differences_that_are_probably_real_are_bars():
    same, other = measured(), measured(shift=10)
    found = compare(same, other).curves
    (bar,) = views.chart_view(same.curves, plotly="", others=other.curves, differences=found)[
        "real"
    ]
    assert (bar["from"], bar["to"], bar["row"], bar["colour"]) == (0, 100, 0, "left")
    none = compare(same, same).curves
    assert views.chart_view(same.curves, plotly="", differences=none)["real"] == []


def test_trends_are_drawn_with_both_sides_of_a_joint_in_a_row():
    def session(day: int) -> DatedSession:
        both = [
            Quantity(f"{side.lower()}_knee.maximum", f"{side} knee <x>, largest", day, 0, 9, "deg")
            for side in ("Left", "Right")
        ]
        return DatedSession(date(2026, 3, day), "s", Measurements(0, "right", (), tuple(both)))

    trends = find_trends([session(5), session(2)])
    assert views.trend_choices(trends) == [("Knee <x>, largest", "knee.maximum")]
    view = views.trend_view(trends, ["knee.maximum"], plotly="")
    assert view["dates"] == ["2026-03-02", "2026-03-05"]
    assert [(c["row"], c["colour"], c["v"]) for c in view["curves"]] == [
        (0, "left", [2, 5]), (0, "right", [2, 5]),
    ]  # fmt: skip
    table = views.trend_table(trends)
    assert "Left knee &lt;x&gt;, largest" in table
    assert "(+3.0 deg; " in table
    json.dumps(view)


def test_moved_moves_times_only():
    later = views.moved(curve(), 2.5)
    np.testing.assert_allclose(later.times_s, TIMES + 2.5)
    np.testing.assert_array_equal(later.values, curve().values)


def test_nothing_to_measure_is_said(figures: Any):
    with pytest.raises(InputError, match="choose at least one joint"):
        Choices([], [], "auto", "none", 6.0).settings()
    session = figures.workspace.open_session("page")
    with pytest.raises(InputError, match="no video yet"):
        handlers.chosen_poses(figures.workspace, session)


@pytest.mark.browser
def test_measure_mark_report_export_compare(
    served: Any, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Another test may have built a page since: Gradio knows one folder of uploads a process.
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(served.workspace.uploads))
    page.goto(served.url)
    page.wait_for_function(
        "window.diffpose?.state.tracks.length > 0 && !window.diffpose.state.busy"
    )
    page.click("#measure-go")  # before there are poses: a sentence, no error page
    page.wait_for_selector("text=press Find poses first")
    page.click("#run")
    page.wait_for_function(
        "window.diffpose.state.poses.get(0)?.byFrame.size >= 40 && !window.diffpose.state.busy"
    )

    page.click("#measure-go")
    page.wait_for_selector('#measure-chart .dp-chart[data-drawn="1"]')
    assert "knee flexion" in page.inner_text("#measure-numbers")
    plot = page.locator("#measure-chart .dp-chart-plot").bounding_box()
    page.mouse.click(plot["x"] + plot["width"] * 0.6, plot["y"] + 90)
    page.wait_for_function("window.diffpose.state.frame > 5")
    frame = page.evaluate("window.diffpose.state.frame")

    page.click("text=Mark an event at this frame")
    page.click("#measure-mark")
    page.wait_for_function(
        "document.querySelector('#measure-events').innerText.includes('heel strike')"
    )
    assert f"{frame / 20:.2f}".rstrip("0") in page.inner_text("#measure-events")

    page.fill("#measure-date input, #measure-date textarea", "2026-03-31")
    page.click("#measure-save")
    saved = _download(page, "#measure-saved", tmp_path / "numbers.json")
    older = tmp_path / "older.json"
    older.write_text(saved.read_text().replace("2026-03-31", "2026-01-05"))

    page.click('role=tab[name="Report"]')
    page.fill("#report-person input, #report-person textarea", "Ada")
    page.click("#report-pdf")
    report = _download(page, "#report-file", tmp_path / "report.pdf")
    text = " ".join(sheet.extract_text() for sheet in PdfReader(report).pages)
    assert "Ada" in text
    assert "heel strike" in text
    with page.expect_download() as waiting:
        page.click("#export-go")
    exported = tmp_path / "second.json"
    waiting.value.save_as(exported)
    page.wait_for_function(
        "document.querySelector('#export-preview').innerText.includes('predicted')"
    )

    page.click('role=tab[name="Compare"]')
    page.click("#compare-source input")
    page.click("role=option[name=/A file/]")
    page.set_input_files("#compare-file input[type=file]", str(exported))
    page.wait_for_selector("#compare-file >> text=second.json")
    page.click("role=radio[name='By hand']")
    page.click("#compare-go")
    page.wait_for_selector('#compare-chart .dp-chart[data-drawn="1"]')
    assert "+0.0" in page.inner_text("#compare-numbers")

    page.set_input_files("#trend-files input[type=file]", [str(saved), str(older)])
    page.wait_for_selector('#trend-files [aria-label="older.json"]')
    page.click("#trend-go")
    page.wait_for_selector('#trend-chart .dp-chart[data-drawn="1"]')
    assert "2026-01-05" in page.inner_text("#trend-numbers")
    assert "(+0.0 deg; 0 % real)" in page.inner_text("#trend-numbers")


def _download(page: Any, where: str, path: Path) -> Path:
    page.wait_for_selector(f"{where} a[download]")
    with page.expect_download() as waiting:
        page.locator(f"{where} a[download]").first.click()
    waiting.value.save_as(path)
    return path


def test_an_event_lies_at_its_frame(figures: Any):
    events = [Event("a", "", 2.0, 1.9, 2.1, 40), Event("b", "", 1.0, 0.9, 1.1, 20)]
    view = views.chart_view([curve()], plotly="", events=events)
    assert [e["t"] for e in view["events"]] == [2.0, 1.0]
