"""Laws of reports: everything measured is on the page, the page is whole and stands alone."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from pypdf import PdfReader

from diffpose.errors import InputError
from diffpose.kinematics.compare import compare
from diffpose.kinematics.records import Curve, Event, Measurements, Quantity
from diffpose.poses import Origin, PoseSequence, Provenance
from diffpose.report.charts import draw_curves, to_png, to_svg
from diffpose.report.content import (
    KeyFrame,
    Moment,
    ReportContent,
    angle_rows,
    change_rows,
    choose_moments,
    convention_lines,
    describe_making,
    missing_lines,
    view_of_person,
)
from diffpose.report.html import render_html, write_html
from diffpose.report.pdf import render_pdf, write_pdf
from diffpose.skeleton import HALPE26

TIMES = np.arange(60) / 30


def curve(name="left_knee", label="Left knee flexion", phase=0.0):
    values = 40 + 30 * np.sin(2 * np.pi * TIMES + phase)
    return Curve(name, label, "deg", TIMES, values, values - 4, values + 4, TIMES > 1.9)


def quantities(name="left_knee", label="Left knee flexion", more=0.0):
    return tuple(
        Quantity(f"{name}.{part}", f"{label}, {word}", value, value - 4, value + 4, "deg")
        for part, word, value in (
            ("minimum", "smallest", 10.0 + more),
            ("maximum", "largest", 70.0 + more),
            ("range_of_motion", "range of motion", 60.0),
        )
    )


def measurements():
    missing = Quantity("cadence", "Cadence", np.nan, np.nan, np.nan, "1/min", "no steps were found")
    return Measurements(
        track_id=0,
        facing="right",
        curves=(curve(), curve("right_knee", "Right knee <flexion>", np.pi)),
        quantities=(*quantities(), *quantities("right_knee", "Right knee <flexion>"), missing),
        events=(Event("heel_strike", "left", 0.4, 0.37, 0.43, 12),),
        notes=("Angles are those of the picture plane.",),
    )


def content(**changes):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :, 0] = 200
    values = {
        "title": "Gait & posture", "person": "A. Nonymous", "made_on": "2026-02-03 10:00",
        "video": "walk <1>.mp4", "how": (("Model", "small"), ("Seed", "7")),
        "measurements": measurements(), "key_frames": (KeyFrame(picture, "heel strike", 0.4),),
    }  # fmt: skip
    return ReportContent(**{**values, **changes})


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.sources, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [v for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    parser = Texts()
    parser.feed(page)
    return " ".join(" ".join(parser.text).split()), parser.sources


def test_the_page_holds_every_number_event_note_and_reason():
    text, _ = read(render_html(content()))
    for words in (
        "Gait & posture", "A. Nonymous", "walk <1>.mp4", "10.0 ± 4.0 deg", "70.0 ± 4.0 deg",
        "60.0 ± 4.0 deg", "heel strike", "0.37 to 0.43 s", "Right knee <flexion>",
        "Angles are those of the picture plane.", "Cadence: no steps were found",
        "no medical device",
    ):  # fmt: skip
        assert words in text, words


def test_the_page_stands_alone():
    page = render_html(content())
    _, sources = read(page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_the_picture_comes_back_from_the_page():
    import base64

    page = render_html(content())
    encoded = re.search(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    assert encoded
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (40, 60, 3)
    assert picture[20, 30, 2] > 150  # red stays red
    assert picture[20, 30, 0] < 60


def test_the_pdf_says_the_same():
    pdf = PdfReader(io.BytesIO(render_pdf(content())))
    text = " ".join(" ".join(page.extract_text().split()) for page in pdf.pages)
    for words in ("Gait & posture", "70.0 ± 4.0 deg", "heel strike left", "Right knee <flexion>",
                  "picture plane", "Cadence: no steps were found", "Page 1"):  # fmt: skip
        assert words in text, words
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Gait & posture"


def test_equal_reports_are_equal_files():
    assert render_html(content()) == render_html(content())
    assert render_pdf(content()) == render_pdf(content())


def test_a_report_without_any_number_is_still_a_page():
    empty = Measurements(0, "right", notes=("Nobody was seen.",))
    nothing = content(measurements=empty, key_frames=())
    assert "Nothing could be measured" in render_html(nothing)
    assert len(PdfReader(io.BytesIO(render_pdf(nothing))).pages) == 1


@pytest.mark.parametrize("write", [write_html, write_pdf])
def test_a_folder_that_is_not_there_is_named_and_nothing_is_written(tmp_path, write):
    with pytest.raises(InputError, match="does not exist"):
        write(tmp_path / "nowhere" / "report", content())
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_is_a_table_with_intervals_and_its_caveats():
    first, second = measurements(), measurements()
    second = replace(second, quantities=quantities("left_knee", "Left knee flexion", more=10.0))
    compared = compare(first, second)
    page = content(
        comparison=change_rows(compared, first, second), comparison_notes=compared.notes,
        other=second,
    )  # fmt: skip
    text, _ = read(render_html(page))
    for words in ("70.0 ± 4.0 deg 80.0 ± 4.0 deg +10.0 deg 4.3 to 15.7", "Repeatability is not"):
        assert words in text, words
    pdf = PdfReader(io.BytesIO(render_pdf(page)))
    text = " ".join(" ".join(sheet.extract_text().split()) for sheet in pdf.pages)
    assert "4.3 to 15.7" in text
    assert "Repeatability is not" in text


def test_every_measured_angle_comes_with_its_convention():
    text, _ = read(render_html(content()))
    assert text.count("Knee flexion: 0 is thigh and shank in one line; positive is shank") == 1
    assert convention_lines(Measurements(0, "right")) == []


def test_equal_reasons_are_one_line():
    missing = [Quantity(n, n, np.nan, np.nan, np.nan, "s", "too short") for n in ("a", "b")]
    assert missing_lines([*missing, *quantities()]) == ["a, b: too short"]


def test_left_and_right_of_a_joint_share_an_axis_and_bands_are_where_the_interval_is():
    figure = draw_curves(content().drawn(), others=(curve(),))
    assert len(figure.axes) == 1
    bands = figure.axes[0].collections
    heights = np.asarray(bands[0].get_paths()[0].vertices)[:, 1]
    assert heights.min() == pytest.approx(6, abs=0.2)
    assert heights.max() == pytest.approx(74, abs=0.2)
    assert to_svg(figure).startswith("<svg")
    assert to_png(figure, dpi=40).startswith(b"\x89PNG")


def test_moments_are_the_events_and_the_extremes_of_the_curve():
    moments = choose_moments([curve()], measurements())
    by_caption = {m.caption.split(": ")[-1]: curve().at(m.time_s) for m in moments}
    values = curve().values
    assert by_caption["largest, 70 ± 4 deg"] == values.max()
    assert by_caption["smallest, 10 ± 4 deg"] == values.min()
    assert Moment(0.4, "heel strike left") in moments
    assert [m.time_s for m in moments] == sorted(m.time_s for m in moments)


def test_angle_rows_pair_the_sides():
    rows = angle_rows(measurements())
    assert [row.label for row in rows] == ["Left knee flexion", "Right knee <flexion>"]
    assert rows[0].range_of_motion == "60.0 ± 4.0 deg"


def test_the_share_of_corrected_keypoints_is_said():
    keypoints = np.ones((4, 26, 2), np.float32)
    origin = np.full((4, 26), Origin.PREDICTED, np.uint8)
    origin[0, :13] = Origin.CORRECTED
    spread = np.tile(np.eye(2, dtype=np.float32), (4, 26, 1, 1))
    sequence = PoseSequence(
        HALPE26, 3, np.arange(4), keypoints, np.ones((4, 26), np.float32), spread, origin
    )
    lines = dict(describe_making(Provenance("small", "ab" * 32, 4, 8, 7), sequence, 29.97))
    assert lines["Corrected by hand"] == "12.5% of the keypoints, in 25.0% of the frames"
    assert lines["Frame rate"] == "29.97 frames/s"
    assert lines["Weights"] == "ab" * 8


def test_a_view_holds_the_person_and_stays_in_the_picture():
    picture = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    points = np.array([[150.0, 40.0], [160.0, 60.0], [np.nan, np.nan]])
    view = view_of_person(picture, points)
    assert 20 <= view.shape[0] < 100
    assert view.shape[1] < 200
    for x, y in points[:2]:
        assert (view.reshape(-1, 3) == picture[int(y), int(x)]).all(axis=1).any()
    assert view_of_person(picture, np.full((3, 2), np.nan)) is picture
    edge = view_of_person(picture, np.array([[0.0, 0.0], [199.0, 99.0]]))
    assert edge.shape == picture.shape
