"""`diffpose measure` and `diffpose report`, from the outside, on an example clip's truth."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.kinematics.records import Measurements

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
TRUTH, CLIP = EXAMPLES / "walk.truth.json", EXAMPLES / "walk.mp4"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_measure_writes_all_as_json_and_the_same_as_a_table(tmp_path):
    whole, table = tmp_path / "m.json", tmp_path / "m.csv"

    first = run("measure", TRUTH, "-o", whole, "--facing", "right")
    second = run("measure", TRUTH, "-o", table, "--facing", "right")

    assert first.exit_code == 0, first.output
    assert second.exit_code == 0, second.output
    measured = Measurements.from_dict(json.loads(whole.read_text()))
    knee = measured.curve("left_knee")
    rows = [r for r in csv.DictReader(table.open()) if r["name"] == "left_knee"]
    np.testing.assert_allclose([float(r["value"]) for r in rows], knee.values, rtol=1e-5)
    assert 30 < np.ptp(knee.values) < 90  # a walking knee


def test_sessions_are_compared_in_the_order_of_their_dates(tmp_path):
    later, earlier, table = tmp_path / "b.json", tmp_path / "a 2026-01-31.json", tmp_path / "t.csv"
    for path, date in ((later, "2026-05-02"), (earlier, "2026-01-31")):
        assert run("measure", TRUTH, "-o", path, "--date", date).exit_code == 0
    content = json.loads(earlier.read_text())
    del content["session"]  # the date is then the one in the file's name
    earlier.write_text(json.dumps(content))

    result = run("compare", later, earlier, "-o", table)

    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[1].startswith("  2026-01-31: ")
    assert "change +0.0 deg" in lines[2]
    rows = list(csv.DictReader(table.open()))
    knee = [row for row in rows if row["name"] == "left_knee.range_of_motion"]
    assert [row["date"] for row in knee] == ["2026-01-31", "2026-05-02"]
    assert [row["change"] for row in knee] == ["", "0"]


def test_report_shows_key_frames_in_both_formats(tmp_path):
    page, pdf = tmp_path / "r.html", tmp_path / "r.pdf"

    for output in (page, pdf):
        result = run("report", TRUTH, "--video", CLIP, "-o", output, "--person", "Ada",
                     "--blur-faces")  # fmt: skip
        assert result.exit_code == 0, result.output

    assert page.read_text().count("data:image/jpeg") == 6
    text = PdfReader(pdf).pages[0].extract_text()
    assert "Ada" in text
    assert len(PdfReader(pdf).pages[0].images) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["measure", TRUTH, "-o", "x.txt"], ".json or .csv"),
        (["measure", TRUTH, "-o", "x.json", "--track", "9"], "Expected one of the tracks"),
        (["measure", TRUTH, "-o", "x.json", "--facing", "up"], "facing auto"),
        (["measure", TRUTH, "-o", "x.json", "--date", "May"], "2026-03-31, got 'May'"),
        (["compare", TRUTH, TRUTH], "make them with `measure`"),
        (["compare", TRUTH, "-o", "x.txt"], "ending in .csv"),
        (["report", TRUTH, "-o", "x.doc"], ".html or .pdf"),
        (["report", TRUTH, "-o", "x.html", "--video", EXAMPLES / "jumping jacks.mp4"], "another"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert list(tmp_path.iterdir()) == []
