"""A folder of projects: list, create, rename, copy, delete, restore."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from diffpose.errors import DiffPoseError, ProjectError
from diffpose.review.migrations import Clock, utc_now
from diffpose.review.store import Store

SUFFIX = ".diffpose"
TRASH = "trash"  # folder beside the projects; what is deleted lies in it until somebody empties it


@dataclass(frozen=True)
class ProjectInfo:
    """One line in the list of projects.

    Attributes:
        path: The file.
        name: What the reviewer calls it; the file's name if it cannot be read.
        changed_at: When it was last written.
        revision: How often.
        num_videos: Videos in it.
        num_tracks: Tracks in it.
        problem: One sentence if it cannot be opened, else empty.
    """

    path: Path
    name: str
    changed_at: datetime
    revision: int = 0
    num_videos: int = 0
    num_tracks: int = 0
    problem: str = ""


def list_projects(folder: Path | str) -> list[ProjectInfo]:
    """The projects of a folder, last changed first; those that cannot be read say why."""
    paths = sorted(Path(folder).glob(f"*{SUFFIX}"))
    found = [_describe(path) for path in paths if path.is_file()]
    return sorted(found, key=lambda info: (-info.changed_at.timestamp(), info.name))


def create_project(folder: Path | str, name: str, *, clock: Clock = utc_now) -> Store:
    """An empty project, open; two projects may have one name, their files differ."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ProjectError(f"The folder {folder} does not exist; create it first.")
    path = _free_path(folder, _checked(name))
    try:
        path.touch(exist_ok=False)  # keeps the name for us
    except OSError as error:
        raise ProjectError(f"The folder {folder} cannot be written: {error.strerror}.") from error
    store = Store(path, clock=clock)
    store.rename(name)
    return store


def rename_project(path: Path | str, name: str, *, clock: Clock = utc_now) -> None:
    """Change what a project is called; its file keeps its name, so that open pages keep theirs."""
    with _existing(path, clock) as store:
        store.rename(_checked(name))


def copy_project(path: Path | str, name: str, *, clock: Clock = utc_now) -> Path:
    """A copy under another name in the same folder, also of a project that is open."""
    path = Path(path)
    copy = _free_path(path.parent, _checked(name))
    with Store(path, clock=clock, read_only=True) as store:
        store.copy_to(copy)
    rename_project(copy, name, clock=clock)
    return copy


def delete_project(path: Path | str, *, clock: Clock = utc_now) -> Path:
    """Move a project into the trash folder beside it; the returned path restores it."""
    path = Path(path)
    try:
        with _existing(path, clock) as store:
            store.checkpoint()
    except ProjectError:
        if not path.is_file():
            raise  # a damaged file can still be thrown away
    trash = path.parent / TRASH
    trash.mkdir(exist_ok=True)
    return _move(path, _free_path(trash, path.stem))


def list_trash(folder: Path | str) -> list[ProjectInfo]:
    """What `delete_project` moved away."""
    return list_projects(Path(folder) / TRASH)


def restore_project(path: Path | str) -> Path:
    """Move a project out of the trash folder; its path among the projects."""
    path = Path(path)
    if path.parent.name != TRASH or not path.is_file():
        raise ProjectError(f"There is no deleted project {path}; choose one of the trash folder.")
    return _move(path, _free_path(path.parent.parent, path.stem))


def files_of(path: Path) -> list[Path]:
    """The project file and what SQLite keeps beside it."""
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
    return [file for file in (path, *beside) if file.exists()]


def _describe(path: Path) -> ProjectInfo:
    changed = [file.stat().st_mtime for file in files_of(path)]
    changed_at = datetime.fromtimestamp(max(changed), UTC)
    try:
        with Store(path, read_only=True) as store:
            return ProjectInfo(
                path=path,
                name=store.name,
                changed_at=changed_at,
                revision=store.revision,
                num_videos=len(store.videos()),
                num_tracks=len(store.track_ids()),
            )
    except DiffPoseError as error:
        return ProjectInfo(path, path.stem, changed_at, problem=str(error))


def _existing(path: Path | str, clock: Clock) -> Store:
    if not Path(path).is_file():
        raise ProjectError(f"There is no project file {path}; choose another.")
    return Store(path, clock=clock)


def _checked(name: str) -> str:
    if not name.strip():
        raise ProjectError("A project needs a name; got an empty one.")
    return name.strip()


def _free_path(folder: Path, name: str) -> Path:
    """A file name that nobody has, of letters, digits and dashes."""
    stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or "project"
    number, path = 1, folder / f"{stem}{SUFFIX}"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{SUFFIX}"
    return path


def _move(path: Path, target: Path) -> Path:
    # The file goes last: if the others fail to move, the project is still whole where it is.
    for file in reversed(files_of(path)):
        file.rename(target.with_name(target.name + file.name.removeprefix(path.name)))
    return target
