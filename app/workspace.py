"""Composition: settings to models, feature cache and sessions."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from app.desk.models import DeskModels, load_desk_models
from app.desk.shelf import Shelf
from app.examples import Examples
from app.leftovers import PREFIX, held, remove_leftovers
from app.line import Line
from app.retention import mark_used, remove_old_uploads, remove_unused
from app.room import give_memory_back, used_room
from app.session import Clip, Session
from app.settings import Settings
from diffpose.errors import InputError
from diffpose.inference.features import FeatureCache
from diffpose.inference.interfaces import PersonFinder, PoseEstimator
from diffpose.review.store import Store

GRACE_S = 120.0
"""A closed page's session waits so long: the network may only have been away."""

UPLOADS_KEPT_S = 2 * 3600.0
"""Gradio deletes what was uploaded after an hour, but not what broke off."""

MOST_FILES = 20_000
"""Of one owner where there is a quota; pictures of the frames are files too."""

_DAY_S = 86400.0
_OWNER = re.compile(r"[0-9a-f]{24}|nobody")  # see `app.screen.Screen.on_load`


def load_embedded_estimator(settings: Settings) -> PoseEstimator:
    """The pose model of the settings; torch is loaded here and not before."""
    from diffpose.inference.estimator import Estimator

    return Estimator.load(settings.weights, device=settings.device)


def load_embedded_finder(settings: Settings) -> PersonFinder:
    """The person detector that ships with the pose model."""
    from diffpose.inference.detector import load_detector

    return load_detector(device=settings.device)


class Workspace:
    """The app's state on the server; use it in a ``with`` block.

    Args:
        settings: What was asked for.
        load_estimator: Makes the pose model when it is first needed.
        load_finder: Makes the person detector when it is first needed.
        desk_models: Makes what the review desk asks of the models, for one clip and its project.
        clock: Seconds, never going back.
        wall_clock: Seconds since 1970, as files have them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        load_estimator: Callable[[Settings], PoseEstimator] = load_embedded_estimator,
        load_finder: Callable[[Settings], PersonFinder] = load_embedded_finder,
        desk_models: Callable[[Workspace, Clip, Store], DeskModels] = load_desk_models,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.features = FeatureCache(max_bytes=settings.feature_cache_mb << 20)
        self.line = Line()
        self.desk_models = desk_models
        self._load_estimator, self._load_finder = load_estimator, load_finder
        self._clock, self._wall_clock = clock, wall_clock
        self._load_lock = threading.Lock()
        self._estimator: PoseEstimator | None = None
        self._finder: PersonFinder | None = None
        self._sessions: dict[str, Session] = {}
        self._pages: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._held = ExitStack()
        self.identify: Callable[[], str] = str
        """Who asks for what is being answered; the page sets it where there are logins."""

    def __enter__(self) -> Self:
        base = self.settings.work
        if base is not None:
            base.mkdir(parents=True, exist_ok=True)
        remove_leftovers(base or Path(tempfile.gettempdir()))
        self._root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
        self._held.enter_context(held(self._root))
        for folder in (self.public, self.static, self.uploads, self._root / "private"):
            folder.mkdir()
        settings = self.settings
        self.prepared = Examples(
            self.static / "examples", most_frames=settings.max_frames, side=settings.frame_side,
            skeleton=lambda: self.estimator.skeleton,
        )  # fmt: skip
        threading.Thread(target=self._sweep_regularly, name="session-sweeper", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for session in list(self._sessions.values()):
            session.remove()
        shutil.rmtree(self._root, ignore_errors=True)
        self._held.close()

    @property
    def public(self) -> Path:
        """Everything the browser may fetch: one unguessable folder a session, and `static`."""
        return self._root / "public"

    @property
    def static(self) -> Path:
        """Files that are the same for everybody."""
        return self.public / "static"

    @property
    def uploads(self) -> Path:
        """Where Gradio puts uploads before a session takes them over."""
        return self._root / "uploads"

    @property
    def estimator(self) -> PoseEstimator:
        """The pose model, loaded at the first use; its calls take turns (`Estimator`)."""
        with self._load_lock:
            if self._estimator is None:
                self._estimator = self._load_estimator(self.settings)
            return self._estimator

    @property
    def finder(self) -> PersonFinder:
        """The person detector, loaded at the first use."""
        with self._load_lock:
            if self._finder is None:
                self._finder = self._load_finder(self.settings)
            return self._finder

    def examples(self) -> dict[str, Path]:
        """The example clips by the name the page shows."""
        files = sorted(self.settings.examples.glob("*.mp4"))
        return {path.stem.replace("_", " ").replace("-", " ").capitalize(): path for path in files}

    def shelf(self, owner: str) -> Shelf:
        """The projects that an owner sees; everybody's where they are shared."""
        shared = self.settings.shared_projects
        folder = self._projects if shared else self._projects / (owner or "nobody")
        # Only the user of this machine may open files in any of its folders.
        anywhere = shared and self.settings.is_at_home
        return Shelf(folder, lent=self.settings.examples, anywhere=anywhere)

    def check_room(self, session: Session) -> None:
        """Refuse more files from a visitor over the quota.

        Raises:
            InputError: Files and projects of the session's owner take more than the quota.
        """
        quota_mb = self.settings.quota_mb
        if quota_mb is None:
            return
        with self._lock:
            mine = [s for s in self._sessions.values() if s.owner == session.owner]
        folders = [folder for s in mine for folder in (s.folder, s.private)]
        if not self.settings.shared_projects:
            folders.append(self.shelf(session.owner).folder)
        num_bytes, files = used_room(folders)
        if num_bytes > quota_mb * (1 << 20) or files > MOST_FILES:
            raise InputError(
                f"Your projects and videos take {num_bytes >> 20} MB in {files} files, and "
                f"{quota_mb:g} MB in {MOST_FILES} files are the most; delete projects that you "
                "no longer need, or close other pages."
            )

    @property
    def _projects(self) -> Path:
        return (self.settings.projects or self._root / "projects").resolve()

    def open_session(
        self, page: str, *, owner: str = "", author: str = "me", user: str = ""
    ) -> Session:
        """A new session for a page that Gradio knows by the given hash.

        Args:
            page: The hash.
            owner: Whose projects it sees.
            author: Who corrects.
            user: The login it belongs to; empty without logins.
        """
        name = secrets.token_urlsafe(24)
        private = self._root / "private" / name
        session = Session(
            folder=self.public / name, private=private, owner=owner, author=author, user=user
        )
        session.touched_s = self._clock()
        with self._lock:
            self._sessions[session.session_id] = session
            self._pages[page] = session.session_id
        return session

    def session(self, session_id: str | None) -> Session:
        """The session of an id.

        Raises:
            InputError: There is none, or no longer, or it is another login's.
        """
        user = self.identify()
        with self._lock:
            session = self._sessions.get(session_id or "")
            if session is None or session.user != user:
                raise InputError("This page's session has ended; reload the page.")
            session.touched_s = self._clock()
            return session

    def page_closed(self, page: str) -> None:
        """Let the session of a page run out soon."""
        with self._lock:
            session = self._sessions.get(self._pages.pop(page, ""))
            if session is not None:
                old = self._clock() - self.settings.session_ttl_s + GRACE_S
                session.touched_s = min(session.touched_s, old)

    def sweep(self) -> None:
        """Remove the idle sessions that nobody has touched for long, and unused projects."""
        oldest = self._clock() - self.settings.session_ttl_s
        with self._lock:
            ended = [
                session
                for session in self._sessions.values()
                if session.touched_s < oldest and not session.status.running
            ]
            for session in ended:
                del self._sessions[session.session_id]
            going_on = list(self._sessions.values())
        for session in ended:
            session.remove()
        for session in going_on:
            session.tidy()
        if ended and not going_on:
            self.features.clear()
            give_memory_back()
        remove_old_uploads(self.uploads, oldest_s=self._wall_clock() - UPLOADS_KEPT_S)
        self._remove_unused()

    def note_use(self) -> set[Path]:
        """Note that the files of the open projects are in use now; returns them."""
        with self._lock:
            desks = [session.desk for session in self._sessions.values()]
        files = {path for desk in desks if desk is not None for path in desk.files}
        mine = {path for path in map(Path.resolve, files) if path.is_relative_to(self._projects)}
        if self.settings.keep_days is not None:
            mark_used(mine, now_s=self._wall_clock())
        return mine

    def _remove_unused(self) -> None:
        if self.settings.keep_days is None:
            return
        in_use, base = self.note_use(), self._projects
        oldest_s = self._wall_clock() - self.settings.keep_days * _DAY_S
        if self.settings.shared_projects:
            remove_unused([base], oldest_s=oldest_s, in_use=in_use)
            return
        owners = [path for path in base.glob("*") if _OWNER.fullmatch(path.name) and path.is_dir()]
        remove_unused(owners, oldest_s=oldest_s, in_use=in_use)
        for folder in owners:
            with suppress(OSError):  # not empty
                folder.rmdir()

    def _sweep_regularly(self) -> None:
        while not self._stopped.wait(30):
            self.sweep()
