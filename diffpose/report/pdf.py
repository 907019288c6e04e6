"""A report as a PDF to print: A4, page numbers, the same content as the web page."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus.doctemplate import BaseDocTemplate

from diffpose.formats.atomic import atomic_write_bytes
from diffpose.kinematics.records import Curve
from diffpose.report.charts import draw_curves, to_png
from diffpose.report.content import (
    CHANGE_HEADER,
    KeyFrame,
    ReportContent,
    angle_rows,
    convention_lines,
    joint_of,
    missing_lines,
    other_quantities,
)

_MARGIN = 16 * mm
_WIDTH = A4[0] - 2 * _MARGIN - 12  # reportlab's frames have 6 points of padding
_JOINTS_A_PICTURE = 3  # small enough to fill what is left of a page
_ACCENT, _LINE = colors.HexColor("#0072b2"), colors.HexColor("#d9dee3")
_LAST_NOTE = "This is no medical device; no diagnosis should rest on these numbers alone."


def write_pdf(path: Path, content: ReportContent) -> None:
    """Write the report; an old one is replaced only once the new one is complete.

    Raises:
        InputError: The folder cannot be written to.
    """
    atomic_write_bytes(path, render_pdf(content))


def render_pdf(content: ReportContent) -> bytes:
    """The PDF's bytes; equal reports give equal files."""
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=content.title,
        author="DiffPose",
        invariant=1,
    )
    document.build(_story(content), onFirstPage=_number, onLaterPages=_number)
    return buffer.getvalue()


def _number(canvas: Canvas, document: BaseDocTemplate) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(colors.HexColor("#5b6670"))
    canvas.drawRightString(A4[0] - _MARGIN, 9 * mm, f"Page {document.page}")
    canvas.drawString(_MARGIN, 9 * mm, "DiffPose")


def _styles() -> dict[str, ParagraphStyle]:
    sheet = getSampleStyleSheet()
    body = ParagraphStyle("body", parent=sheet["BodyText"], fontSize=9.5, leading=13)
    return {
        "title": ParagraphStyle("t", parent=sheet["Title"], fontSize=19, alignment=0, spaceAfter=2),
        "heading": ParagraphStyle(
            "h", parent=sheet["Heading2"], fontSize=12, textColor=_ACCENT, spaceBefore=12
        ),
        "body": body,
        "small": ParagraphStyle("s", parent=body, fontSize=8, leading=10.5, textColor="#5b6670"),
        "number": ParagraphStyle("n", parent=body, alignment=2),
        "cell": ParagraphStyle("c", parent=body, fontSize=8, leading=10.5),
        "cell number": ParagraphStyle("cn", parent=body, fontSize=8, leading=10.5, alignment=2),
    }


def _story(content: ReportContent) -> list[Flowable]:
    styles = _styles()
    measurements = content.measurements
    who = " · ".join(part for part in (content.person, content.video, content.made_on) if part)
    story: list[Flowable] = [
        Paragraph(escape(content.title), styles["title"]),
        Paragraph(escape(who), styles["small"]),
    ]
    if content.remarks:
        story += [Spacer(1, 4), Paragraph(escape(content.remarks), styles["body"])]
    if content.key_frames:
        story += [Paragraph("Key frames", styles["heading"]), _frames(content.key_frames, styles)]
    angles = [(a.label, a.smallest, a.largest, a.range_of_motion) for a in angle_rows(measurements)]
    others = [(q.label, q.text) for q in other_quantities(measurements)]
    story.append(Paragraph("Results; ± is half of the 90 % interval", styles["heading"]))
    if angles:
        header = ("Joint angle", "Smallest", "Largest", "Range of motion")
        story += [_table([header, *angles], styles, header=True), Spacer(1, 8)]
    if others or not angles:
        story.append(_table(others, styles))
    story += _charts(content, styles)
    if measurements.events:
        events = [
            (f"{e.kind.replace('_', ' ')} {e.side}".strip(), _moment(e.time_s, e.low, e.high))
            for e in measurements.events
        ]
        story += [Paragraph("Events", styles["heading"]), _table(events, styles)]
    if content.comparison:
        changes = [dataclasses.astuple(row) for row in content.comparison]
        story += [
            Paragraph("Compared with a second session", styles["heading"]),
            _table([CHANGE_HEADER, *changes], styles, header=True),
            *(Paragraph(escape(note), styles["small"]) for note in content.comparison_notes),
        ]
    conventions = convention_lines(measurements)
    if conventions:
        story.append(Paragraph("How the angles are read", styles["heading"]))
        story += [Paragraph(f"• {escape(line)}", styles["small"]) for line in conventions]
    how = [Paragraph("How this was measured", styles["heading"]), _table(content.how, styles)]
    story.append(KeepTogether(how))
    notes = [*measurements.notes, _LAST_NOTE]
    story.append(
        KeepTogether(
            [Paragraph("Read this with care", styles["heading"])]
            + [Paragraph(f"• {escape(note)}", styles["body"]) for note in notes]
        )
    )
    missing = missing_lines(measurements.quantities)
    if missing:
        story.append(Paragraph("Not measured", styles["heading"]))
        story += [Paragraph(f"• {escape(text)}", styles["small"]) for text in missing]
    return story


def _moment(time_s: float, low: float, high: float) -> str:
    known = np.isfinite([low, high]).all()
    return f"{time_s:.2f} s ({low:.2f} to {high:.2f})" if known else f"{time_s:.2f} s"


def _charts(content: ReportContent, styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    curves = content.drawn()
    if not curves:
        return []
    others = content.other.curves if content.other is not None else ()
    words = "Bands hold 90 % of what the keypoints' stated error allows. Dotted: interpolated."
    if content.other is not None:
        words += " Dashed: the second session."
    head: list[Flowable] = [
        Paragraph("Curves", styles["heading"]), Paragraph(words, styles["small"])
    ]  # fmt: skip
    story: list[Flowable] = []
    joints = list(dict.fromkeys(joint_of(curve.name) for curve in curves))
    for start in range(0, len(joints), _JOINTS_A_PICTURE):
        shown = joints[start : start + _JOINTS_A_PICTURE]
        part: list[Curve] = [curve for curve in curves if joint_of(curve.name) in shown]
        figure = draw_curves(part, events=content.measurements.events, others=others)
        wide, high = figure.get_size_inches()
        picture = io.BytesIO(to_png(figure, dpi=170))
        image = Image(picture, width=_WIDTH, height=_WIDTH * high / wide)
        story.append(KeepTogether([*head, image]))
        head = []
    return story


def _frames(frames: tuple[KeyFrame, ...], styles: dict[str, ParagraphStyle]) -> Table:
    """Three pictures a row, each with its caption below."""
    width = _WIDTH / 3 - 4
    cells = [
        [
            _image(frame.picture, width),
            Paragraph(f"{frame.time_s:.2f} s · {escape(frame.caption)}", styles["small"]),
        ]
        for frame in frames
    ]
    rows = [cells[i : i + 3] + [""] * (3 - len(cells[i : i + 3])) for i in range(0, len(cells), 3)]
    table = Table(rows, colWidths=[_WIDTH / 3] * 3, hAlign="LEFT")
    table.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "BOTTOM"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    )
    return table


def _image(picture: NDArray[np.uint8], width: float) -> Image:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    height = width * picture.shape[0] / picture.shape[1]
    return Image(io.BytesIO(encoded.tobytes()), width=width, height=height)


def _table(
    rows: Sequence[tuple[str, ...]], styles: dict[str, ParagraphStyle], *, header: bool = False
) -> Flowable:
    """The first column to the left, the others to the right; a header comes on every page."""
    if not rows:
        return Paragraph("Nothing could be measured.", styles["body"])
    many = len(rows[0]) > 4
    word, number = ("cell", "cell number") if many else ("body", "number")
    cells = [
        [
            Paragraph(escape(first), styles[word]),
            *(Paragraph(escape(text), styles[number]) for text in rest),
        ]
        for first, *rest in rows
    ]
    rest_width = {2: 0.42, 4: 0.66}.get(len(rows[0]), 0.72)
    widths = [1 - rest_width] + [rest_width / (len(rows[0]) - 1)] * (len(rows[0]) - 1)
    table = Table(
        cells,
        colWidths=[_WIDTH * width for width in widths],
        repeatRows=1 if header else 0,
        hAlign="LEFT",
    )
    bold = [("LINEBELOW", (0, 0), (-1, 0), 1.0, _ACCENT)] if header else []
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                *bold,
            ]
        )
    )
    return table
