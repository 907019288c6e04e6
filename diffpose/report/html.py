"""A report as one self-contained HTML page: no script, no link to anywhere."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from numpy.typing import NDArray

from diffpose.formats.atomic import atomic_write
from diffpose.report.charts import draw_curves, to_svg
from diffpose.report.content import (
    CHANGE_HEADER,
    ReportContent,
    angle_rows,
    convention_lines,
    missing_lines,
    other_quantities,
)

_JPEG_QUALITY = 88


def render_html(content: ReportContent) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("diffpose.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measurements, curves = content.measurements, content.drawn()
    others = content.other.curves if content.other is not None else ()
    chart = to_svg(draw_curves(curves, events=measurements.events, others=others)) if curves else ""
    pictures = [
        (_data_url(frame.picture), frame.caption, f"{frame.time_s:.2f} s")
        for frame in content.key_frames
    ]
    return environment.get_template("report.html.jinja").render(
        content=content,
        chart=Markup(chart),  # our own drawing: matplotlib escapes its labels
        pictures=pictures,
        angles=angle_rows(measurements),
        quantities=other_quantities(measurements),
        missing=missing_lines(measurements.quantities),
        conventions=convention_lines(measurements),
        change_header=CHANGE_HEADER,
        events=measurements.events,
    )


def write_html(path: Path, content: ReportContent) -> None:
    """Write the page; an old one is replaced only once the new one is complete.

    Raises:
        InputError: The folder cannot be written to.
    """
    atomic_write(path, render_html(content))


def _data_url(picture: NDArray[np.uint8]) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
