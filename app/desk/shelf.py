"""A visitor's projects: where they and their videos lie, and which is which."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffpose.errors import DiffPoseError, InputError, ProjectError, VideoError
from diffpose.names import parse_video_id, resolve_within
from diffpose.poses import Track, VideoInfo
from diffpose.review.foreign import import_project
from diffpose.review.library import (
    SUFFIX,
    ProjectInfo,
    copy_project,
    delete_project,
    list_projects,
    list_trash,
    rename_project,
    restore_project,
)
from diffpose.review.opening import explained_os
from diffpose.review.store import Store
from diffpose.video.decode import Video

VIDEOS = "videos"
"""Folder below the projects, for videos that were uploaded."""

_LONGEST_NAME = 80


class Shelf:
    """The projects of one visitor, or of everybody on a machine that is one person's own.

    A project is named by its file's stem; names from the browser are only ever compared with
    those that are there.

    Args:
        folder: Holds the project files and, below it, the videos that were uploaded.
        lent: Videos of this program, which are not copied: the examples.
        anywhere: Whether a project may name a video anywhere on this machine, because whoever
            opens it is at home here. A stranger's project file must not open others' files.
    """

    def __init__(self, folder: Path, *, lent: Path, anywhere: bool = False) -> None:
        self.folder, self._lent, self._anywhere = folder, lent, anywhere

    def projects(self) -> list[ProjectInfo]:
        """Newest first."""
        return list_projects(self.folder) if self.folder.is_dir() else []

    def path(self, project: str) -> Path:
        """The file of a project.

        Raises:
            InputError: There is none of that name.
        """
        for path in self.folder.glob(f"*{SUFFIX}"):
            if path.stem == project and path.is_file():
                return path
        raise InputError("There is no such project any more; choose another of the list.")

    def keep(self, store: Store, people: Mapping[int, Track]) -> Store:
        """List a project that lies elsewhere, with its video; the listed one, open.

        One of the same video and people that nobody has worked on is taken again for one without
        poses: looking at an example twice makes one project.

        Args:
            store: The project.
            people: The boxes of the people of its video.
        """
        _make(self.folder)
        (video,) = store.videos()
        idle = None if store.track_ids() else self._untouched(video, people)
        if idle is not None:
            return idle
        store.add_video(replace(video, path=self._kept(video)))
        taken, name = {info.name for info in self.projects()}, store.name
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name} {number}"
        return Store(copy_project(store.path, free, folder=self.folder))

    def rename(self, project: str, name: str) -> None:
        """Call a project something else."""
        rename_project(self.path(project), _checked_name(name))

    def copy(self, project: str, name: str) -> str:
        """Copy a project; the name of the copy's file."""
        return copy_project(self.path(project), _checked_name(name)).stem

    def delete(self, project: str) -> str:
        """Put a project away; the name by which `restore` brings it back."""
        return delete_project(self.path(project)).stem

    def restore(self, project: str) -> str:
        """Bring a deleted project back; the name of its file."""
        for info in list_trash(self.folder):
            if info.path.stem == project:
                return restore_project(info.path).stem
        raise InputError("This project is no longer there to bring back.")

    def export(self, project: str, folder: Path) -> Path:
        """Write a whole project to one file in an emptied folder, also while others work on it.

        The file names its videos but not where they lie on this machine.
        """
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder)
        with Store(self.path(project), read_only=True) as store:
            target = folder / f"{_file_name(store.name)}{SUFFIX}"
            store.copy_to(target)
        with Store(target) as copy:
            for video in copy.videos():
                copy.add_video(replace(video, path=Path(video.path.name)))
            copy.checkpoint()
        return target

    def take_in(self, upload: Path, *, cancelled: Callable[[], bool] = lambda: False) -> str:
        """Add what a project file from elsewhere holds; the name of the new file.

        Raises:
            ProjectError: It is damaged, newer, too large, or no project file.
            CancelledError: ``cancelled`` said so.
        """
        _make(self.folder)
        made = import_project(upload, self.folder, keep_places=self._anywhere, cancelled=cancelled)
        return made.stem

    def open_video(self, store: Store, known: VideoInfo | None = None) -> Video:
        """One of the project's videos where it lies now, its content compared.

        Args:
            store: The project.
            known: The video as the project knows it; its first one if not given.

        Raises:
            ProjectError: It is nowhere to be found, or has changed.
        """
        found = self.find_video(store, known)
        try:
            video = Video(found.path)
        except VideoError as error:
            raise ProjectError(
                f"The video of {store.name} ({found.path.name}) cannot be read: {error}"
            ) from error
        if video.info.video_id != found.video_id:
            video.close()
            raise ProjectError(
                f"The video of {store.name} ({found.path.name}) has changed. "
                "Upload the original, and the project opens."
            )
        video.show_as(found)
        return video

    def find_video(self, store: Store, known: VideoInfo | None = None) -> VideoInfo:
        """A project's video where it seems to lie now; only `open_video` looks at its content.

        Raises:
            ProjectError: It is nowhere to be found.
        """
        videos = store.videos()
        if not videos:
            raise ProjectError(f"The project {store.name} has no video yet.")
        video = known or videos[0]
        if _is_file(video.path) and self._may_open(video.path):
            return video
        for path in self._places_of(video):
            found = replace(video, path=path)
            store.relink(video.video_id, found)
            return found
        raise ProjectError(
            f"The video of {store.name} ({video.path.name}) is not here any more. "
            "Upload it, and the project opens."
        )

    def _places_of(self, video: VideoInfo) -> Iterator[Path]:
        """Where it may lie: among the uploads by its content, among the examples by its name."""
        folder, video_id = self.folder / VIDEOS, parse_video_id(video.video_id)
        for path in sorted(folder.glob(f"{video_id}.*")):
            yield resolve_within(folder, path.name)
        with suppress(InputError):  # no name of an example
            example = resolve_within(self._lent, video.path.name)
            if _is_file(example):
                yield example

    def adopt(self, store: Store, video: VideoInfo) -> None:
        """Link a project to its video, which was uploaded again."""
        known = store.videos()[0].video_id
        store.relink(known, replace(video, path=self._kept(video)))

    def _may_open(self, path: Path) -> bool:
        inside = self._anywhere or any(
            path.resolve().is_relative_to(folder.resolve())
            for folder in (self.folder / VIDEOS, self._lent)
        )
        return path.is_absolute() and inside

    def _untouched(self, video: VideoInfo, people: Mapping[int, Track]) -> Store | None:
        for info in self.projects():
            if info.problem or info.num_videos != 1:
                continue
            store = Store(info.path)
            same = store.videos()[0].video_id == video.video_id
            if same and not store.events() and _of_people(store, people):
                return store
            store.close()
        return None

    def _kept(self, video: VideoInfo) -> Path:
        """Where the video stays as long as the project: uploads go with their session."""
        if video.path.is_relative_to(self._lent):
            return video.path
        folder = self.folder / VIDEOS
        target = resolve_within(folder, f"{parse_video_id(video.video_id)}{video.path.suffix}")
        if target.exists():
            return target
        part = folder / f".{target.name}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video.path, part)
            part.replace(target)
        except OSError as error:
            raise ProjectError(
                f"The video could not be kept with its project ({error.strerror}); free some space."
            ) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return target


def words_for(error: DiffPoseError, folders: Iterable[Path]) -> str:
    """An error's sentence without the server's folders.

    >>> words_for(ProjectError("/srv/p/walk.diffpose was deleted."), [Path("/srv/p")])
    'walk.diffpose was deleted.'
    """
    words = str(error)
    for folder in folders:
        words = words.replace(f"{folder}{os.sep}", "")
    return words


def _of_people(store: Store, people: Mapping[int, Track]) -> bool:
    """Whether a project's boxes are those of the given people."""
    for track_id in store.track_ids():
        mine, theirs = store.boxes_of(track_id), people.get(track_id)
        if mine is None or theirs is None or not np.array_equal(mine.frames, theirs.frames):
            return False
        if not np.allclose(mine.boxes, theirs.boxes, atol=0.05):
            return False
    return True


def is_project_file(path: Path) -> bool:
    """By its name."""
    return path.suffix == SUFFIX


def _make(folder: Path) -> None:
    with explained_os(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def _file_name(name: str) -> str:
    return re.sub(r"[^\w -]+", "-", name).strip(" -") or "project"


def _checked_name(name: str) -> str:
    tidy = re.sub(r"\s+", " ", name).strip()
    if not 0 < len(tidy) <= _LONGEST_NAME:
        raise InputError(f"A project's name has 1 to {_LONGEST_NAME} letters, got {len(tidy)}.")
    return tidy
