"""Which event of the page calls which handler, and what a handler's result changes on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app import exporting, finding, handlers, views
from app.desk import adapting
from app.desk import handlers as desk_handlers
from app.failures import words_of
from app.payloads import (
    parse_box,
    parse_choice,
    parse_index,
    parse_sampling,
    parse_text,
    parse_visitor,
)
from app.session import Session
from app.telling import failure, warn
from app.workspace import Workspace
from diffpose.errors import InputError
from diffpose.skeleton import Skeleton

LAYERS = ["Skeleton", "Uncertainty", "Heatmap", "Hypotheses", "Trails", "Boxes"]
TRUTH = "True pose"

_VISITOR = (Path(__file__).parent / "desk" / "visitor.js").read_text(encoding="utf-8")
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# More than there are visitors: who waits for the model stands in its line, not in Gradio's.
_LONG: dict[str, Any] = {**_QUIET, "concurrency_limit": 64}


@dataclass(frozen=True)
class Parts:
    """The parts of the page that handlers change or read."""

    session: gr.State
    canvas: gr.HTML
    example: gr.Radio
    upload: gr.UploadButton
    person: gr.Dropdown
    run: gr.Button
    cancel: gr.Button
    steps: gr.Slider
    hypotheses: gr.Slider
    joint: gr.Dropdown
    layers: gr.CheckboxGroup
    export_format: gr.Dropdown
    export_blur: gr.Checkbox
    export_preview: gr.Markdown
    export: gr.Button
    projects: gr.HTML
    visitor: gr.Textbox
    queue: gr.HTML

    @property
    def screen(self) -> list[Any]:
        """Outputs of `Screen.full` in its order."""
        shown = [self.canvas, self.example, self.person, self.run, self.cancel, self.layers]
        return [*shown, self.export]


class Screen:
    """Handlers' results on the page."""

    def __init__(self, workspace: Workspace, skeleton: Skeleton, parts: Parts) -> None:
        self.workspace, self.skeleton, self.parts = workspace, skeleton, parts

    def connect(self, page: gr.Blocks) -> None:
        """Tie every event to its handler."""
        parts, screen = self.parts, self.parts.screen
        opened = [parts.example, parts.visitor]
        page.load(self.on_load, opened, [parts.session, *screen], js=_VISITOR, **_LONG)
        page.unload(self.on_unload)
        picked = [parts.session, parts.example]
        parts.example.input(self.on_example, picked, screen, **_LONG)
        parts.upload.upload(self.on_upload, [parts.session, parts.upload], screen, **_LONG)
        settings = [parts.session, parts.steps, parts.hypotheses]
        parts.run.click(self.on_run, settings, screen, **_LONG)
        parts.cancel.click(self.on_cancel, parts.session, None, **_LONG)
        chosen = [parts.session, parts.export_format]
        about = [parts.export_preview, parts.export_blur]
        parts.export.click(self.on_export, [*chosen, parts.export_blur], screen, **_LONG).then(
            self.on_format, chosen, about, **_QUIET
        )
        parts.export_format.input(self.on_format, chosen, about, **_QUIET)
        parts.person.input(self.on_person, [parts.session, parts.person], screen, **_QUIET)
        parts.projects.project_chosen(self.on_project, parts.session, screen, **_LONG)
        parts.projects.project_gone(self.on_project_gone, parts.session, screen, **_QUIET)
        parts.queue.adapt_wanted(self.on_adapt, parts.session, screen, **_LONG)
        self._connect_canvas()

    def _connect_canvas(self) -> None:
        parts, screen = self.parts, self.parts.screen
        once: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple", "concurrency_limit": 1}
        parts.canvas.person_picked(self.on_person_picked, parts.session, screen, **once)
        parts.canvas.box_drawn(self.on_box_drawn, parts.session, screen, **once)
        parts.canvas.joint_picked(self.on_joint_picked, None, parts.joint, **once)
        tell: dict[str, Any] = {"fn": None, "outputs": None, **_QUIET}
        both = [parts.steps, parts.hypotheses]
        for slider in both:
            slider.change(inputs=both, js="(k, e) => window.diffpose?.sampling(k, e)", **tell)
        # Space is then for playing, not for pressing the button again.
        parts.run.click(js="() => window.diffpose?.focus()", **tell)
        parts.layers.input(inputs=parts.layers, js="(v) => window.diffpose?.layers(v)", **tell)
        parts.joint.input(inputs=parts.joint, js="(v) => window.diffpose?.joint(v)", **tell)

    def on_load(self, example: str | None, visitor: str, request: gr.Request) -> Iterator[Any]:
        """A page opens: it gets a session and its project, or the first example."""
        page, who = request.session_hash or "", parse_visitor(visitor)
        user = getattr(request, "username", None)
        owner = hashlib.sha256((user or who.key or page).encode()).hexdigest()[:24]
        session = self.workspace.open_session(
            page, owner=owner, author=user or "me", user=user or ""
        )
        key = session.session_id
        if example is None and who.project is None:
            yield key, *self.full(session)
            return
        for screen in self._work(session, self._first(session, example, who.project)):
            yield key, *screen

    def _first(self, session: Session, example: str | None, project: str | None) -> Iterator[None]:
        """What a page that opens shows: the project it had, if it is still there."""
        known = {info.path.stem for info in self.workspace.shelf(session.owner).projects()}
        if project in known:
            return desk_handlers.open_project(self.workspace, session, project)
        return (
            iter(()) if example is None else handlers.open_example(self.workspace, session, example)
        )

    def on_unload(self, request: gr.Request) -> None:
        """A page closes."""
        self.workspace.page_closed(request.session_hash or "")

    def on_example(self, key: str, example: str) -> Iterator[Any]:
        """Another example."""
        yield from self._guarded(
            key, lambda s: handlers.open_example(self.workspace, s, str(example))
        )

    def on_upload(self, key: str, upload: str) -> Iterator[Any]:
        """An uploaded file."""
        yield from self._guarded(
            key, lambda s: desk_handlers.open_upload(self.workspace, s, upload)
        )

    def on_run(self, key: str, steps: float, hypotheses: float) -> Iterator[Any]:
        """Find poses."""
        yield from self._guarded(
            key,
            lambda s: finding.find_poses(self.workspace, s, parse_sampling(steps, hypotheses)),
        )

    def on_project(self, key: str, event: gr.EventData) -> Iterator[Any]:
        """A project of the list."""
        yield from self._guarded(
            key,
            lambda s: desk_handlers.open_project(
                self.workspace, s, parse_text(event._data, "project")
            ),
        )

    def on_adapt(self, key: str, event: gr.EventData) -> Iterator[Any]:
        """The model is to learn from the corrections, or to forget that."""

        def start(session: Session) -> Iterator[None]:
            what = parse_text(event._data, "what")
            if what == "back":
                return adapting.go_back(session)
            return adapting.adapt(self.workspace, session, anyway=what == "anyway")

        yield from self._guarded(key, start)

    def on_project_gone(self, key: str) -> Any:
        """The open project was renamed or deleted."""
        return self.full(self._session(key))

    def on_export(self, key: str, name: str, blur_faces: bool) -> Iterator[Any]:
        """A download is wanted."""
        yield from self._guarded(
            key, lambda s: exporting.export(s, str(name), blur_faces=bool(blur_faces))
        )

    def on_format(self, key: str, name: str) -> Any:
        """Another format: what it would hold, and whether it shows faces."""
        try:
            words = exporting.preview(self._session(key), str(name))
        except InputError as error:
            raise failure(str(error)) from None
        return words, gr.update(visible=name == "overlay")

    def on_cancel(self, key: str) -> None:
        """Stop the running work."""
        handlers.cancel(self._session(key))

    def on_person(self, key: str, person: int | None) -> Any:
        """A person of the list."""
        return self._now(key, lambda s: s.choose(parse_choice(person, "the person")))

    def on_person_picked(self, key: str, event: gr.EventData) -> Any:
        """A person of the picture."""
        return self._now(key, lambda s: s.choose(parse_index(event._data, "track")))

    def on_box_drawn(self, key: str, event: gr.EventData) -> Any:
        """A box of the picture."""
        return self._now(key, lambda s: handlers.draw_box(s, parse_box(event._data)))

    def on_joint_picked(self, event: gr.EventData) -> int:
        """A keypoint of the picture or the timeline."""
        try:
            return min(parse_index(event._data, "joint"), len(self.skeleton) - 1)
        except InputError as error:
            raise failure(str(error)) from None

    def full(self, session: Session) -> tuple[Any, ...]:
        """Everything a handler may have changed."""
        clip, running = session.clip, session.status.running
        tracks = clip.tracks if clip else {}
        found = session.desk.review.track_ids if session.desk else []
        return (
            session.view(self.skeleton),
            gr.update(value=session.example),
            gr.update(
                choices=views.person_choices(tracks, clip.info.fps if clip else 30.0),
                value=session.person,
            ),
            gr.update(
                value="Find poses again" if session.person in found else "Find poses",
                interactive=clip is not None and not running,
            ),
            gr.update(interactive=running),
            gr.update(choices=[*LAYERS, TRUTH] if clip and clip.has_truth else LAYERS),
            gr.update(interactive=bool(found) and not running),
        )

    def _progress(self, session: Session) -> tuple[Any, ...]:
        """The canvas only: the rest of the page stays as it is."""
        return (session.view(self.skeleton), *[gr.skip()] * (len(self.parts.screen) - 1))

    def _work(self, session: Session, job: Iterator[None]) -> Iterator[tuple[Any, ...]]:
        first = True
        for _ in job:
            yield (
                self.full(session)
                if first or not session.status.running
                else (self._progress(session))
            )
            first = False
        yield self.full(session)
        if session.status.kind == "error":
            warn(session.status.words)

    def _guarded(
        self, key: str, start: Callable[[Session], Iterator[None]]
    ) -> Iterator[tuple[Any, ...]]:
        session = self._session(key)
        try:
            job = start(session)
        except Exception as error:
            session.say(words_of(error), "error")
            warn(session.status.words)
            job = iter(())
            yield self.full(session)
            return
        yield from self._work(session, job)

    def _now(self, key: str, act: Callable[[Session], None]) -> tuple[Any, ...]:
        session = self._session(key)
        try:
            act(session)
        except Exception as error:
            session.say(words_of(error), "error")
            warn(session.status.words)
        return self.full(session)

    def _session(self, key: str) -> Session:
        try:
            return self.workspace.session(key)
        except InputError as error:
            raise failure(str(error)) from None
