"""A folder of projects: list, create, rename, copy, delete, restore."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from diffpose.errors import DiffPoseError, ProjectError
from diffpose.poses import PoseSequence, Provenance, Track, VideoInfo
from diffpose.review.limits import MAX_NAME
from diffpose.review.migrations import Clock, utc_now
from diffpose.review.opening import PART, explained_os, remove_database, unfinished_name
from diffpose.review.store import Store

SUFFIX = ".diffpose"
TRASH = "trash"  # folder next to the projects; what is deleted stays in it until it is emptied
_HALF_MADE = re.compile(
    rf"(\.[0-9a-f]{{16}}|.*{re.escape(SUFFIX)}){re.escape(PART)}(-wal|-shm|-journal)?"
)
_STALE_S = 3600.0


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
    """The projects of a folder, last changed first; those that cannot be read say why.

    What killed programs left half made in the folder is deleted.
    """
    folder = Path(folder)
    _tidy(folder)
    found = [_describe(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    listed = [info for info in found if info is not None]
    return sorted(listed, key=lambda info: (-info.changed_at.timestamp(), info.name))


def create_project(folder: Path | str, name: str, *, clock: Clock = utc_now) -> Store:
    """An empty project, open; two projects may have one name, their files differ."""
    folder = Path(folder)
    with unfinished(folder, name) as path:
        with Store(path, clock=clock) as store:
            store.rename(name)
            store.checkpoint()
        made = publish(path, folder, name)
    return Store(made, clock=clock)


def check_new(path: Path) -> None:
    """Refuse a name under which something lies already.

    Raises:
        ProjectError: There is such a file; a project may hold corrections and is never replaced.
    """
    if path.exists():
        raise ProjectError(
            f"{path} exists already, and a project is never overwritten; choose another name, or "
            "move that file away."
        )


def write_project(
    path: Path,
    video: VideoInfo,
    people: Iterable[tuple[PoseSequence, Track]],
    provenance: Provenance,
    *,
    clock: Clock = utc_now,
) -> None:
    """Write a new project file with the poses of one video; the file appears when it is whole.

    Args:
        path: The file, which must not exist.
        video: The video of the poses.
        people: Poses and boxes of each person; a person without poses is left out.
        provenance: How the poses were made.
        clock: Now, with its time zone.

    Raises:
        ProjectError: The file exists, or the folder cannot be written.
    """
    check_new(path)
    with unfinished(path.parent, path.stem) as made:
        with Store(made, clock=clock) as store:
            store.rename(path.stem)
            store.add_video(replace(video, path=video.path.resolve()))
            for sequence, boxes in people:
                if len(sequence):
                    store.add_predictions(
                        sequence, video_id=video.video_id, boxes=boxes, provenance=provenance
                    )
            store.checkpoint()
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            check_new(path)
        made.replace(path)


def rename_project(path: Path | str, name: str, *, clock: Clock = utc_now) -> None:
    """Change what a project is called; its file keeps its name, so that open pages keep theirs."""
    with _existing(path, clock) as store:
        store.rename(_checked(name))


def copy_project(
    path: Path | str, name: str, *, folder: Path | str | None = None, clock: Clock = utc_now
) -> Path:
    """A copy under another name in a folder, the same by default, also of an open project."""
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    with unfinished(folder, name) as copy:
        with Store(path, clock=clock, read_only=True) as store:
            store.copy_to(copy)
        with Store(copy, clock=clock) as made:
            made.rename(_checked(name))
            made.checkpoint()
        return publish(copy, folder, name)


def delete_project(path: Path | str, *, clock: Clock = utc_now) -> Path:
    """Move a project into the trash folder next to it; the returned path restores it."""
    path = Path(path)
    try:
        with _existing(path, clock) as store:
            store.checkpoint()
    except ProjectError:
        if not path.is_file():
            raise  # a damaged file can still be thrown away
    trash = path.parent / TRASH
    with explained_os(path):
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
    with explained_os(path):
        return _move(path, _free_path(path.parent.parent, path.stem))


@contextmanager
def unfinished(folder: Path, name: str) -> Iterator[Path]:
    """A path for a project that is being made; `publish` gives it its name once it is whole.

    The projects of the folder do not show it, and nothing of it stays if the block raises.

    Raises:
        ProjectError: The name is empty, or the folder is not there or cannot be written.
    """
    _checked(name)
    if not folder.is_dir():
        raise ProjectError(f"The folder {folder} does not exist; create it first.")
    path = unfinished_name(folder)
    try:
        with explained_os(folder):
            yield path
    finally:
        remove_database(path)


def publish(made: Path, folder: Path, name: str) -> Path:
    """Move a project that is whole and closed to a file of the folder that nobody has."""
    while True:
        path = _free_path(folder, name)
        with suppress(FileExistsError):  # another one was quicker
            path.touch(exist_ok=False)
            made.replace(path)
            return path


def files_of(path: Path) -> list[Path]:
    """The project file and what SQLite keeps next to it."""
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
    return [file for file in (path, *beside) if file.exists()]


def _describe(path: Path) -> ProjectInfo | None:
    """A line of the list; None if the file went meanwhile."""
    changed_at = datetime.fromtimestamp(0, UTC)
    try:
        if not path.is_file():
            return None
        changed = max(file.stat().st_mtime for file in files_of(path))
        changed_at = datetime.fromtimestamp(changed, UTC)
        with Store(path, read_only=True) as store:
            return ProjectInfo(
                path=path,
                name=store.name,
                changed_at=changed_at,
                revision=store.revision,
                num_videos=len(store.videos()),
                num_tracks=len(store.track_ids()),
            )
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"{path.name} cannot be read ({error.strerror}); check who may read it."
    except DiffPoseError as error:
        problem = str(error)
    return ProjectInfo(path, path.stem, changed_at, problem=problem)


def _tidy(folder: Path) -> None:
    """Delete what programs that were killed left half made, an hour after they last wrote to it."""
    oldest_s = time.time() - _STALE_S
    with suppress(OSError):
        for path in folder.iterdir():
            if _HALF_MADE.fullmatch(path.name) and path.stat().st_mtime < oldest_s:
                path.unlink(missing_ok=True)


def _existing(path: Path | str, clock: Clock) -> Store:
    if not Path(path).is_file():
        raise ProjectError(f"There is no project file {path}; choose another.")
    return Store(path, clock=clock)


def _checked(name: str) -> str:
    if not 0 < len(name.strip()) <= MAX_NAME:
        raise ProjectError(
            f"A project needs a name of at most {MAX_NAME} letters; got {len(name.strip())}."
        )
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
