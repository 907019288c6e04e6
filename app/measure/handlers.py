"""What the tabs Measure, Compare and Report do: session and choices in, results out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from app.exporting import download_path, no_room_said
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import InputError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import read_json
from diffpose.kinematics import (
    JOINT_ANGLES,
    Event,
    Measurements,
    MeasureSettings,
    Smoothing,
    measure,
)
from diffpose.kinematics.compare import (
    Comparison,
    compare,
    offset_by_correlation,
    offset_by_event,
)
from diffpose.kinematics.scale import scale_from_height
from diffpose.kinematics.table import to_csv
from diffpose.kinematics.trends import DatedSession, Trend, find_trends, parse_date
from diffpose.poses import PoseSequence
from diffpose.report.content import (
    ReportContent,
    change_rows,
    choose_moments,
    describe_making,
    joint_of,
)
from diffpose.report.html import write_html
from diffpose.report.pdf import write_pdf
from diffpose.report.pictures import picture_moments
from diffpose.review.provenance import provenance_of
from diffpose.video.decode import Video

JOINTS = {joint_of(name): joint_of(name).capitalize() for name in JOINT_ANGLES}
TASKS = {"gait": "Walking", "squat": "Squats", "curl": "Arm curls", "jump": "Jumps"}
FILTERS = {"butterworth": "Butterworth", "savgol": "Savitzky-Golay", "none": "None"}
ALIGNMENTS = {"shape": "Shape of the curves", "event": "First event of a kind", "hand": "By hand"}


@dataclass(frozen=True)
class Choices:
    """What the Measure tab says."""

    joints: Sequence[str]
    tasks: Sequence[str]
    facing: str
    filter: str
    cutoff_hz: float
    height_cm: float | None = None

    def settings(self, sequence: PoseSequence | None = None) -> MeasureSettings:
        """For `diffpose.kinematics.measure`; lengths are in metres where a height is given."""
        if not self.joints and not self.tasks:
            raise InputError("Nothing is chosen to measure; choose at least one joint.")
        scale = None
        if sequence is not None and self.height_cm:
            scale = scale_from_height(sequence, metres=self.height_cm / 100)
        smoothing = Smoothing(kind=self.filter, cutoff_hz=self.cutoff_hz)  # type: ignore[arg-type]
        return MeasureSettings(
            angles=tuple(name for name in JOINT_ANGLES if joint_of(name) in self.joints),
            tasks=tuple(self.tasks),  # type: ignore[arg-type]
            facing=self.facing,
            smoothing=smoothing,
            derivatives=False,
            scale=scale,
        )


@dataclass(frozen=True)
class Taken:
    """Measurements, and what they were taken of: to notice when that has changed.

    Attributes:
        measurements: Of the chosen person.
        of: What `state_of` said.
    """

    measurements: Measurements
    of: tuple[object, ...]


@dataclass(frozen=True)
class Marked:
    """Events marked by hand, and in whom.

    Attributes:
        events: In order of time.
        of: Clip and person.
    """

    events: tuple[Event, ...] = ()
    of: tuple[object, ...] = ()


def state_of(session: Session) -> tuple[object, ...]:
    """Changes with the clip, the person, a new run and every correction."""
    clip, desk = session.clip, session.desk
    where = (clip.clip_id if clip else "", session.person)
    return (*where, desk.project, desk.store.revision) if desk else where


def still_true(session: Session, taken: Taken | None) -> Measurements:
    """The measurements, if what they were taken of is still what the page shows.

    Raises:
        InputError: It is not, or nothing is measured.
    """
    if taken is None:
        raise InputError("Nothing is measured yet; press Measure in the first tab.")
    if taken.of != state_of(session):
        raise InputError(
            "The clip, the person or the poses have changed since; press Measure again in the "
            "first tab."
        )
    return taken.measurements


def marked_in(session: Session, marked: Marked) -> tuple[Event, ...]:
    """The hand-marked events of the clip and person that are shown; none of another's."""
    return marked.events if marked.of == state_of(session)[:2] else ()


def chosen_poses(workspace: Workspace, session: Session) -> tuple[Clip, PoseSequence]:
    """The clip and the chosen person's poses, corrections in them."""
    clip = session.clip
    if clip is None:
        raise InputError("There is no video yet; choose an example or upload one.")
    for sequence in session.sequences():
        if sequence.track_id == session.person and len(sequence):
            return clip, sequence
    raise InputError("This person has no poses yet; press Find poses first.")


def measure_person(
    workspace: Workspace, session: Session, choices: Choices, own: Sequence[Event] = ()
) -> Taken:
    """Measure the chosen person; the reviewer's own events are kept."""
    of = state_of(session)
    clip, sequence = chosen_poses(workspace, session)
    measured = measure(sequence, clip.info.times_s[sequence.frames], choices.settings(sequence))
    events = sorted([*measured.events, *own], key=lambda event: event.time_s)
    return Taken(dataclasses.replace(measured, events=tuple(events)), of)


def event_at(session: Session, frame: int, kind: str, side: str) -> Event:
    """An event marked by hand at a frame: exact to half a frame."""
    clip = session.clip
    if clip is None or not 0 <= frame < clip.num_frames:
        raise InputError("There is no such frame; choose one of the clip.")
    word = kind.strip().lower().replace(" ", "_")
    if not word or len(word) > 40:
        raise InputError("An event needs a short name, heel strike for example.")
    time_s, half = float(clip.info.times_s[frame]), 0.5 / clip.info.fps
    return Event(word, side, time_s, time_s - half, time_s + half, frame)


def save_session(session: Session, taken: Taken | None, date: str) -> list[Path]:
    """The measurements as JSON, to compare later, and as a table, in the downloads."""
    measured, clip = still_true(session, taken), session.clip
    assert clip is not None
    dated = DatedSession(parse_date(date, "the recording"), clip.name, measured)
    files = [
        download_path(session, clip, f"{dated.date}.measured.{kind}") for kind in ("json", "csv")
    ]
    with no_room_said():
        atomic_write(files[0], json.dumps(dated.to_dict()))
        atomic_write(files[1], to_csv(measured))
    return files


def trends_of(
    session: Session, taken: Taken | None, date: str, files: Sequence[Path]
) -> tuple[Trend, ...]:
    """Numbers over saved sessions, and the one that is measured now if it is still true."""
    found = [_read_dated(path) for path in files]
    if taken is not None and taken.of == state_of(session) and session.clip is not None:
        now = DatedSession(parse_date(date, "the recording"), session.clip.name, taken.measurements)
        saved = {json.dumps(s.measurements.to_dict()) for s in found}
        if json.dumps(now.measurements.to_dict()) not in saved:
            found.append(now)
    return find_trends(found)


def _read_dated(path: Path) -> DatedSession:
    content = read_json(path)
    if not isinstance(content, dict) or "quantities" not in content:
        raise InputError(
            f"{path.name} holds no measurements; save them with Save numbers in the first tab."
        )
    return DatedSession.from_dict(content, file_name=path.name)


def shared_events(first: Measurements, second: Measurements) -> list[tuple[str, str]]:
    """Words and keys, ``kind:side``, of the events that both sessions have."""
    theirs = {(e.kind, e.side) for e in second.events}
    both = [key for e in first.events if (key := (e.kind, e.side)) in theirs]
    return [
        (f"{kind.replace('_', ' ')} {side}".strip(), f"{kind}:{side}")
        for kind, side in dict.fromkeys(both)
    ]


def compare_sessions(
    first: Measurements, second: Measurements, *, alignment: str, event: str, offset_s: float
) -> Comparison:
    """Second less first, aligned as chosen.

    Args:
        first: Its times are kept.
        second: Is moved.
        alignment: One of `ALIGNMENTS`.
        event: Of `shared_events`; empty takes the first of them.
        offset_s: Used for an alignment by hand.
    """
    if alignment == "shape":
        offset_s = _offset_by_shape(first, second)
    elif alignment == "event":
        keys = [key for _, key in shared_events(first, second)]
        if not keys:
            raise InputError(
                "The two sessions have no kind of event in common; look for walking, squats or "
                "jumps in the first tab, or align by hand."
            )
        kind, _, side = (event if event in keys else keys[0]).partition(":")
        offset_s = offset_by_event(first, second, kind=kind, side=side)
    return compare(first, second, offset_s=round(offset_s, 3))


def _offset_by_shape(first: Measurements, second: Measurements) -> float:
    known = [c.name for c in first.curves if c.known and c.unit == "deg"]
    shared = [c for c in second.curves if c.name in known and c.known]
    if not shared:
        raise InputError("The two sessions share no curve; measure the same joints in both.")
    moving = max(shared, key=lambda c: float(np.nanstd(c.values)))
    return offset_by_correlation(first, second, name=moving.name)


def write_report(
    workspace: Workspace,
    session: Session,
    taken: Taken | None,
    *,
    kind: str,
    title: str,
    person: str,
    remarks: str,
    blur: bool,
    comparison: Comparison | None = None,
    other: Measurements | None = None,
) -> Path:
    """The page in the session's folder of downloads."""
    clip, sequence = chosen_poses(workspace, session)
    measured = still_true(session, taken)
    made = provenance_of(session.require_desk().store, [sequence.track_id])
    content = ReportContent(
        title=title.strip() or "Movement report",
        person=person.strip(),
        made_on=datetime.now().strftime("%Y-%m-%d %H:%M"),
        video=clip.name,
        how=describe_making(made, sequence, clip.info.fps),
        measurements=measured,
        remarks=remarks.strip(),
        comparison=change_rows(comparison, measured, other) if comparison and other else (),
        comparison_notes=comparison.notes if comparison else (),
        other=other,
    )
    moments = choose_moments(content.drawn(), measured)
    everybody = session.sequences()
    with Video(clip.info.path, info=clip.info) as video:
        pictures = picture_moments(video, everybody, sequence, moments, blur=blur)
    content = dataclasses.replace(content, key_frames=tuple(pictures))
    path = download_path(session, clip, f"report.{kind}")
    with no_room_said():
        (write_html if kind == "html" else write_pdf)(path, content)
    return path
