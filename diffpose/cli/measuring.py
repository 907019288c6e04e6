"""Commands that read poses and give numbers and pages: ``measure`` and ``report``."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from diffpose.errors import InputError, SettingsError

if TYPE_CHECKING:
    from diffpose.formats.native import NativePoses
    from diffpose.kinematics.measure import MeasureSettings
    from diffpose.kinematics.records import Measurements
    from diffpose.poses import PoseSequence

_POSES = typer.Argument(metavar="POSES", help="JSON file of `infer`.")
_TASKS = "What else to look for: gait, squat, curl, jump, centre_of_mass."


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(measure)
    app.command()(report)


def measure(
    poses: Annotated[Path, _POSES],
    output: Annotated[Path, typer.Option("--output", "-o", help=".json holds all; .csv a table.")],
    track: Annotated[int | None, typer.Option(help="Whose poses; the first track's.")] = None,
    task: Annotated[list[str] | None, typer.Option(help=_TASKS)] = None,
    facing: Annotated[str, typer.Option(help="auto, right, left, front or back.")] = "auto",
) -> None:
    """Joint angles, speeds, repetitions and gait events, each with its 90 % interval."""
    from diffpose.formats.atomic import atomic_write
    from diffpose.formats.native import read_native

    if output.suffix not in (".json", ".csv"):
        raise SettingsError(f"Expected an output ending in .json or .csv, got {output.name}.")
    content = read_native(poses)
    measured = _measure(content, _choose(content, track), _settings(task, facing))
    if output.suffix == ".json":
        atomic_write(output, json.dumps(measured.to_dict()))
    else:
        atomic_write(output, _table(measured))
    for quantity in measured.quantities:
        typer.echo(f"{quantity.label}: {quantity.text}")
    typer.echo(f"{len(measured.curves)} curves, {len(measured.events)} events: {output}")


def report(
    poses: Annotated[Path, _POSES],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .html or .pdf file.")],
    video: Annotated[
        Path | None, typer.Option(help="The video, for pictures of key frames.")
    ] = None,
    track: Annotated[int | None, typer.Option(help="Whose poses; the first track's.")] = None,
    task: Annotated[list[str] | None, typer.Option(help=_TASKS)] = None,
    facing: Annotated[str, typer.Option(help="auto, right, left, front or back.")] = "auto",
    title: Annotated[str, typer.Option(help="Heading.")] = "Movement report",
    person: Annotated[str, typer.Option(help="Who it is about.")] = "",
    remarks: Annotated[str, typer.Option(help="Your own words.")] = "",
    blur_faces: Annotated[bool, typer.Option(help="Hide every head in the pictures.")] = False,
) -> None:
    """A page to read and print: key frames, curves with bands, numbers, how it was measured."""
    from diffpose.formats.native import read_native
    from diffpose.report.content import ReportContent, choose_moments, describe_making
    from diffpose.report.html import write_html
    from diffpose.report.pdf import write_pdf
    from diffpose.report.pictures import picture_moments
    from diffpose.video.decode import Video

    if output.suffix not in (".html", ".pdf"):
        raise SettingsError(f"Expected an output ending in .html or .pdf, got {output.name}.")
    read = read_native(poses)
    sequence = _choose(read, track)
    measured = _measure(read, sequence, _settings(task, facing))
    content = ReportContent(
        title=title,
        person=person,
        made_on=datetime.now().strftime("%Y-%m-%d %H:%M"),
        video=read.info.path.name,
        how=describe_making(read.provenance, sequence, read.info.fps),
        measurements=measured,
        remarks=remarks,
    )
    if video is not None:
        moments = choose_moments(content.drawn(), measured)
        with Video(video) as opened:
            if opened.info.video_id != read.info.video_id:
                raise InputError(
                    f"Expected the video whose poses these are ({read.info.path.name}), got "
                    f"another file, {video.name}; name that video."
                )
            pictures = picture_moments(opened, read.sequences, sequence, moments, blur=blur_faces)
        content = replace(content, key_frames=tuple(pictures))
    (write_html if output.suffix == ".html" else write_pdf)(output, content)
    typer.echo(f"{len(measured.quantities)} numbers, {len(content.key_frames)} pictures: {output}")


def _choose(content: NativePoses, track: int | None) -> PoseSequence:
    by_id = {sequence.track_id: sequence for sequence in content.sequences}
    if not by_id:
        raise InputError("The file holds no poses; run `diffpose infer` on a clip with a person.")
    if track is None:
        return content.sequences[0]
    if track not in by_id:
        names = ", ".join(map(str, by_id))
        raise SettingsError(f"Expected one of the tracks {names}, got {track}.")
    return by_id[track]


def _settings(task: list[str] | None, facing: str) -> MeasureSettings:
    from diffpose.kinematics.measure import MeasureSettings

    return MeasureSettings(tasks=tuple(task or ()), facing=facing)  # type: ignore[arg-type]


def _measure(
    content: NativePoses, sequence: PoseSequence, settings: MeasureSettings
) -> Measurements:
    from diffpose.kinematics.measure import measure as measure_sequence

    return measure_sequence(sequence, content.info.times_s[sequence.frames], settings)


def _table(measured: Measurements) -> str:
    """A long table: one line for each value of each curve, then numbers and events."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["kind", "name", "unit", "time_s", "value", "low_90", "high_90", "filled"])

    def number(value: float) -> str:
        return f"{value:.6g}" if np.isfinite(value) else ""

    for curve in measured.curves:
        columns = (curve.times_s, curve.values, curve.low, curve.high, curve.marked)
        for time_s, value, low, high, filled in zip(*columns, strict=True):
            cells = [number(x) for x in (time_s, value, low, high)]
            writer.writerow(["curve", curve.name, curve.unit, *cells, int(filled)])
    for q in measured.quantities:
        cells = [number(x) for x in (q.value, q.low, q.high)]
        writer.writerow(["number", q.name, q.unit, "", *cells, 0])
    for event in measured.events:
        cells = [number(x) for x in (event.time_s, event.time_s, event.low, event.high)]
        writer.writerow(["event", f"{event.kind} {event.side}".strip(), "s", *cells, 0])
    return lines.getvalue()
