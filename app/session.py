"""One visitor's work: a clip, a project, a job, and the files the browser fetches."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app import views
from app.clip import Clip
from app.desk.desk import Desk
from diffpose.errors import InputError, ProjectError
from diffpose.poses import PoseSequence
from diffpose.skeleton import Skeleton


@dataclass(frozen=True)
class Status:
    """What the page says: words, whether they are news, success or an error, and progress."""

    words: str = ""
    kind: str = "info"
    running: bool = False
    fraction: float | None = None


class Session:
    """A visitor: at most one clip, at most one job at a time.

    Attributes:
        session_id: Unguessable; who knows it acts for the session. It stands in no address.
        folder: Files the browser may fetch, by an unguessable name that allows no more than that.
        private: Files it may not.
        user: The login it belongs to; empty without logins.
        owner: Whose projects the page sees; see `app.workspace.Workspace.shelf`.
        author: Who corrects.
        example: The example that is shown, if it is one.
        desk: The clip's project: all poses are in it.
        wanted: A project that waits for its video to be uploaded.
        person: The chosen person's id.
        download: The newest export, once it is there.
    """

    def __init__(
        self,
        *,
        folder: Path,
        private: Path,
        owner: str = "",
        author: str = "me",
        user: str = "",
    ) -> None:
        self.session_id = secrets.token_urlsafe(24)
        self.owner, self.author, self.user = owner, author, user
        self.folder, self.private = folder, private
        for path in (folder, private):
            path.mkdir(parents=True)
        self.clip: Clip | None = None
        self.example: str | None = None
        self.desk: Desk | None = None
        self.wanted: str | None = None
        self.person: int | None = None
        self.status = Status("Choose an example or upload a video.")
        self.download: views.Json | None = None
        self.cancel = threading.Event()
        self.job_lock = threading.Lock()
        self._saying = threading.Lock()
        self.touched_s = 0.0
        self._past: Path | None = None
        self._gone: Path | None = None

    def replace_clip(self, clip: Clip | None) -> None:
        """Show another clip; the old one's files go soon (`tidy`), its project stays."""
        self.close_desk()
        old, self.clip = self.clip, clip
        self.person = None
        if old is not None:
            old.release()
            # The page asks for them until it has heard of the new clip.
            self.tidy()
            self._past = old.folder

    def tidy(self) -> None:
        """Delete, at the second call, the files of the clip before this one."""
        gone, self._gone, self._past = self._gone, self._past, None
        if gone is not None:
            shutil.rmtree(gone, ignore_errors=True)

    def open_desk(self, desk: Desk) -> None:
        """Work on a project."""
        self.close_desk()
        self.desk = desk

    def close_desk(self) -> None:
        """Leave the project; everything is in it."""
        desk, self.desk = self.desk, None
        if desk is not None:
            desk.close()

    def require_clip(self) -> Clip:
        """The clip.

        Raises:
            InputError: There is none.
        """
        if self.clip is None:
            raise InputError("There is no video yet; choose an example or upload one.")
        return self.clip

    def require_desk(self) -> Desk:
        """The project of the clip.

        Raises:
            ProjectError: There is none.
        """
        if self.desk is None:
            raise ProjectError("No project is open; find poses or open a project first.")
        return self.desk

    def sequences(self) -> list[PoseSequence]:
        """Everybody's poses as reviewed."""
        return self.desk.review.export_sequences() if self.desk is not None else []

    def choose(self, person: int | None) -> None:
        """Choose a person of the clip.

        Raises:
            InputError: There is no such person.
        """
        if person is not None and (self.clip is None or person not in self.clip.tracks):
            raise InputError(f"{views.person_name(person)} is not in this clip; choose another.")
        self.person = person

    def say(self, words: str, kind: str = "info") -> None:
        """Put words on the page; whether a job runs stays as it is."""
        with self._saying:
            self.status = Status(words, kind, self.status.running)

    def stop_job(self) -> None:
        """Ask the running job to stop, if there is one."""
        with self._saying:
            if self.status.running:
                self.cancel.set()
                self.status = Status("Stopping", "info", True)

    def end_job(self, outcome: Status) -> None:
        """Put a job's outcome on the page; from now on none runs."""
        with self._saying:
            self.status = replace(outcome, running=False)

    def progress(self, fraction: float | None, words: str) -> None:
        """Say how far the running job is; once it is to stop the page says that."""
        done = None if fraction is None else min(1, fraction)
        with self._saying:
            if not self.cancel.is_set():
                self.status = Status(words, "info", True, done)

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Asked by long work whether to stop."""
        return self.cancel.is_set

    def view(self, skeleton: Skeleton) -> views.Json:
        """Everything the canvas shows that is small; the rest it fetches."""
        clip, status = self.clip, self.status
        return {
            "session": self.session_id,
            "skeleton": views.skeleton_view(skeleton),
            "clip": clip.view() if clip else None,
            "tracks": clip.tracks_address if clip else "",
            "person": self.person,
            "download": self.download,
            "project": self.desk.view() if self.desk else None,
            "model": views.model_view(clip.adapted_words) if clip else None,
            "job": {
                "words": status.words,
                "kind": status.kind,
                "running": status.running,
                "fraction": status.fraction,
            },
        }

    def remove(self) -> None:
        """Stop the work and delete every file."""
        self.cancel.set()
        self.replace_clip(None)
        for path in (self.folder, self.private):
            shutil.rmtree(path, ignore_errors=True)
