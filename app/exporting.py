"""Exports of the session's poses: what one would hold, and the file to download."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.jobs import run_job
from app.session import Clip, Session
from diffpose.errors import InputError
from diffpose.formats.atomic import atomic_path
from diffpose.formats.exporting import EXPORT_FORMATS, packages_missing_for, preview_export
from diffpose.workflow.exports import Exportable, of_project
from diffpose.workflow.exports import export as write_export

_NOTHING = "There are no poses yet; press Find poses first."


def export(session: Session, name: str, *, blur_faces: bool = False) -> Iterator[None]:
    """Write everybody's poses in a format and offer them; several files come as one archive."""

    def work() -> str:
        clip, found = session.require_clip(), _found(session)
        path = download_path(session, clip, _name_of(name))
        session.progress(None, f"Writing {path.name}")
        with no_room_said():
            files = write_export(
                found, name, path, video=clip.video, progress=session.progress,
                cancelled=session.cancelled, blur_faces=blur_faces,
            )  # fmt: skip
            written = files[0] if len(files) == 1 else _packed(path, files)
        count = session.download["count"] + 1 if session.download else 1
        session.download = {"path": str(written), "name": written.name, "count": count}
        return f"{written.name} is ready."

    return run_job(session, work)


def preview(session: Session, name: str) -> str:
    """What an export would write, in words; never raises for want of a clip or poses."""
    try:
        clip, exportable = session.require_clip(), _found(session)
    except InputError:
        return _NOTHING
    sequences = exportable.sequences
    path = session.folder / "exports" / file_name(clip, _name_of(name))
    found = preview_export(name, path, sequences, exportable.info)
    origins = ", ".join(f"{count} {origin}" for origin, count in found.origins.items() if count)
    people = sum(len(sequence) > 0 for sequence in sequences)
    lines = [
        f"{found.num_poses} poses of {people} {'person' if people == 1 else 'people'}",
        f"Keypoints: {origins or 'none'}, {found.num_unknown} unknown",
        f"Files: {', '.join(f'`{file}`' for file in found.files)}",
        f"The main file cannot hold: {found.loses}",
    ]
    missing = packages_missing_for(name)
    if missing:
        lines.append(f"Not installed here: `pip install {' '.join(missing)}`")
    return "\n".join(f"- {line}" for line in lines)


def format_choices() -> list[tuple[str, str]]:
    """Words for the list of formats, and their names."""
    titles = {name: chosen.title for name, chosen in EXPORT_FORMATS.items()}
    missing = {name: packages_missing_for(name) for name in titles}
    return [
        (f"{title} (needs {', '.join(missing[name])})" if missing[name] else title, name)
        for name, title in titles.items()
    ]


@contextmanager
def no_room_said() -> Iterator[None]:
    """Say a full or read-only disk in the visitor's words, without the server's folders."""
    try:
        yield
    except (InputError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise InputError(
            f"Nothing was written: {cause.strerror or cause} on the computer that runs DiffPose; "
            "make room or choose another work folder there, then try again."
        ) from error


def download_path(session: Session, clip: Clip, name: str) -> Path:
    """Where a file that the visitor downloads goes."""
    folder = session.folder / "exports"
    with no_room_said():
        folder.mkdir(parents=True, exist_ok=True)
    return folder / file_name(clip, name)


def file_name(clip: Clip, name: str) -> str:
    """The clip's name, of letters that every system takes, before a file's own."""
    stem = re.sub(r"[^\w.-]+", "_", Path(clip.name).stem).strip("_") or "clip"
    return f"{stem}.{name}"


def _name_of(name: str) -> str:
    if name not in EXPORT_FORMATS:
        raise InputError("There is no such format; choose one of the list.")
    return f"poses{EXPORT_FORMATS[name].suffix}"


def _found(session: Session) -> Exportable:
    clip, desk = session.require_clip(), session.desk
    found = None if desk is None else of_project(desk.review, clip.info)
    if found is None or not any(len(sequence) for sequence in found.sequences):
        raise InputError(_NOTHING)
    return found


def _packed(path: Path, files: Sequence[Path]) -> Path:
    """The files in one archive, which is there whole or not at all."""
    archive = path.with_suffix(f"{path.suffix}.zip")
    with (
        atomic_path(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for file in files:
            packed.write(file, file.name)
    return archive
