"""Commands that give numbers and pages: ``measure``, ``compare`` and ``report``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffpose.errors import InputError, SettingsError

if TYPE_CHECKING:
    from diffpose.formats.native import NativePoses
    from diffpose.kinematics.measure import MeasureSettings
    from diffpose.kinematics.records import Measurements
    from diffpose.kinematics.trends import DatedSession
    from diffpose.poses import PoseSequence

_POSES = typer.Argument(metavar="POSES", help="JSON file of `infer`.")
_TASKS = "What else to look for: gait, squat, curl, jump, centre_of_mass."


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(measure)
    app.command()(compare)
    app.command()(report)


def measure(
    poses: Annotated[Path, _POSES],
    output: Annotated[Path, typer.Option("--output", "-o", help=".json holds all; .csv a table.")],
    track: Annotated[int | None, typer.Option(help="Whose poses; the first track's.")] = None,
    task: Annotated[list[str] | None, typer.Option(help=_TASKS)] = None,
    facing: Annotated[str, typer.Option(help="auto, right, left, front or back.")] = "auto",
    date: Annotated[str, typer.Option(help="When it was recorded: 2026-03-31; today.")] = "",
) -> None:
    """Joint angles, speeds, repetitions and gait events, each with its 90 % interval."""
    from diffpose.formats.atomic import atomic_write
    from diffpose.formats.native import read_native
    from diffpose.kinematics.table import to_csv
    from diffpose.kinematics.trends import DatedSession, parse_date

    if output.suffix not in (".json", ".csv"):
        raise SettingsError(f"Expected an output ending in .json or .csv, got {output.name}.")
    day = parse_date(date or datetime.now().date().isoformat(), poses.name)
    content = read_native(poses)
    measured = _measure(content, _choose(content, track), _settings(task, facing))
    if output.suffix == ".json":
        session = DatedSession(day, content.info.path.stem, measured)
        atomic_write(output, json.dumps(session.to_dict()))
    else:
        atomic_write(output, to_csv(measured))
    for quantity in measured.quantities:
        typer.echo(f"{quantity.label}: {quantity.text}")
    typer.echo(f"{len(measured.curves)} curves, {len(measured.events)} events: {output}")


def compare(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="MEASURED...", help="JSON files of `measure`.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv table; else printed only.")
    ] = None,
) -> None:
    """Each number over two or more sessions, and how probably its change from the first is real."""
    from diffpose.formats.atomic import atomic_write
    from diffpose.kinematics.table import trends_to_csv
    from diffpose.kinematics.trends import find_trends

    if output is not None and output.suffix != ".csv":
        raise SettingsError(f"Expected an output ending in .csv, got {output.name}.")
    trends = find_trends([_read_session(path) for path in sessions])
    if output is not None:
        atomic_write(output, trends_to_csv(trends))
    for trend in trends:
        typer.echo(trend.label)
        for point in trend.points:
            since = f"; {point.change.text}" if point.change is not None else ""
            typer.echo(f"  {point.session.date}: {point.quantity.text}{since}")


def report(
    poses: Annotated[Path, _POSES],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .html or .pdf file.")],
    video: Annotated[
        Path | None, typer.Option(help="The video, for pictures of key frames.")
    ] = None,
    track: Annotated[int | None, typer.Option(help="Whose poses; the first track's.")] = None,
    task: Annotated[list[str] | None, typer.Option(help=_TASKS)] = None,
    facing: Annotated[str, typer.Option(help="auto, right, left, front or back.")] = "auto",
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Movement report",
    person: Annotated[str, typer.Option(help="The subject.")] = "",
    remarks: Annotated[str, typer.Option(help="Notes under the title.")] = "",
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
            opened.show_as(read.info)
            pictures = picture_moments(opened, read.sequences, sequence, moments, blur=blur_faces)
        content = replace(content, key_frames=tuple(pictures))
    (write_html if output.suffix == ".html" else write_pdf)(output, content)
    typer.echo(f"{len(measured.quantities)} numbers, {len(content.key_frames)} pictures: {output}")


def _read_session(path: Path) -> DatedSession:
    from diffpose.formats.common import read_json
    from diffpose.kinematics.trends import DatedSession

    content = read_json(path)
    if not isinstance(content, dict) or "quantities" not in content:
        raise InputError(f"Expected measurements in {path.name}; make them with `measure`.")
    return DatedSession.from_dict(content, file_name=path.name)


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
