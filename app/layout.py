"""The page: which parts it has, and which event calls which handler."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from app import handlers, views
from app.canvas.component import pose_canvas
from app.payloads import parse_box, parse_index, parse_sampling
from app.session import Session, Status
from app.settings import MAX_HYPOTHESES, MAX_STEPS, Settings
from app.theme import CSS, make_theme
from app.timeline.component import copy_plotly, timeline
from app.workspace import PICTURE_SUFFIXES, VIDEO_SUFFIXES, Workspace
from diffpose.errors import DiffPoseError, InputError
from diffpose.skeleton import Skeleton

TITLE = "DiffPose"
LAYERS = ["Skeleton", "Uncertainty", "Heatmap", "Hypotheses", "Boxes"]
TRUTH = "True pose"
SHOWN_AT_FIRST = ["Skeleton", "Uncertainty", "Heatmap", "Boxes"]
START_STEPS, START_HYPOTHESES = 4, 8

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LONG: dict[str, Any] = {**_QUIET, "concurrency_limit": 16}


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
    exports: dict[str, gr.Button]

    @property
    def screen(self) -> list[Any]:
        """Outputs of `_Screen.full` in its order."""
        fixed = [self.canvas, self.person, self.run, self.cancel, self.layers]
        return [*fixed, *self.exports.values()]


def build_app(workspace: Workspace) -> gr.Blocks:
    """The page of a workspace."""
    skeleton = workspace.estimator.skeleton
    # Gradio reads these when the page is made: no look-ups outside, uploads in our own folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.uploads)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as page:
        session = gr.State("")
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Human pose from video, and how sure it is.</p>",
            elem_id="header",
            apply_default_css=False,
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=480, elem_id="left"):
                canvas = _canvas(workspace, skeleton)
                with gr.Column(elem_id="timeline-panel"):
                    gr.HTML("<h2>Uncertainty over time</h2>", apply_default_css=False)
                    timeline(copy_plotly(workspace.static), elem_id="timeline")
            with gr.Column(scale=1, min_width=320, elem_id="side"):
                parts = _side(workspace, skeleton, session=session, canvas=canvas)
        _Screen(workspace, skeleton, parts).connect(page)
    return page


def launch(page: gr.Blocks, workspace: Workspace, **options: Any) -> Any:
    """Serve the page; returns what `gradio.Blocks.launch` returns."""
    settings: Settings = workspace.settings
    return page.queue(default_concurrency_limit=16).launch(
        server_name=settings.host,
        server_port=settings.port,
        theme=make_theme(),
        css=CSS,
        allowed_paths=[str(workspace.public)],
        max_file_size=f"{settings.max_upload_mb}mb",
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        **options,
    )


def _canvas(workspace: Workspace, skeleton: Skeleton) -> gr.HTML:
    start = {
        "steps": START_STEPS,
        "hypotheses": START_HYPOTHESES,
        "joint": _first_joint(skeleton),
        "layers": SHOWN_AT_FIRST,
    }

    def resample(payload: Any) -> views.Json:
        return handlers.resample(workspace, payload)

    return pose_canvas(start, resample, elem_id="canvas")


def _side(workspace: Workspace, skeleton: Skeleton, *, session: gr.State, canvas: gr.HTML) -> Parts:
    example, upload = _video_choice(list(workspace.examples()))
    person = gr.Dropdown(
        [], label="Person", value=None, interactive=True, filterable=False, elem_id="person",
        info="Or click a person in the picture.",
    )  # fmt: skip
    with gr.Row(elem_classes="row"):
        run = gr.Button(
            "Find poses", variant="primary", size="lg", interactive=False, elem_id="run", scale=3
        )
        cancel = gr.Button(
            "Cancel", interactive=False, elem_id="cancel", size="lg", scale=1, min_width=84
        )
    _heading("Sampling, live on this frame")
    steps = gr.Slider(
        1, MAX_STEPS, START_STEPS, step=1, label="Denoising steps", elem_id="steps",
        info="More sharpens each sample; slower.", buttons=[],
    )  # fmt: skip
    hypotheses = gr.Slider(
        1, MAX_HYPOTHESES, START_HYPOTHESES, step=1, label="Ensemble samples", elem_id="hypotheses",
        info="More steadies the uncertainty.", buttons=[],
    )  # fmt: skip
    _heading("Show")
    layers = gr.CheckboxGroup(
        LAYERS, value=SHOWN_AT_FIRST, show_label=False, container=False, elem_id="layers"
    )
    joint = gr.Dropdown(
        views.keypoint_choices(skeleton), value=_first_joint(skeleton), label="Keypoint",
        info="Its heatmap, and its line in the timeline.", interactive=True, elem_id="joint",
    )  # fmt: skip
    exports = _export_buttons()
    return Parts(
        session, canvas, example, upload, person, run, cancel, steps, hypotheses, joint, layers,
        exports,
    )  # fmt: skip


def _video_choice(examples: list[str]) -> tuple[gr.Radio, gr.UploadButton]:
    example = gr.Radio(
        examples, label="Example", value=examples[0] if examples else None,
        visible=bool(examples), elem_id="example",
    )  # fmt: skip
    upload = gr.UploadButton(
        "Upload a video", file_types=[*VIDEO_SUFFIXES, *PICTURE_SUFFIXES], elem_id="upload",
        size="md",
    )  # fmt: skip
    return example, upload


def _export_buttons() -> dict[str, gr.Button]:
    _heading("Download")
    with gr.Row(elem_id="exports", elem_classes="row"):
        return {
            kind: gr.Button(
                kind, interactive=False, min_width=60, size="md", elem_id=f"export-{kind.lower()}"
            )
            for kind in handlers.EXPORTS
        }


def _heading(words: str) -> None:
    gr.HTML(f'<h2 class="section">{words}</h2>', apply_default_css=False)


def _first_joint(skeleton: Skeleton) -> int:
    name = "right_wrist"
    return skeleton.keypoints.index(name) if name in skeleton.keypoints else 0


class _Screen:
    """Handlers' results on the page."""

    def __init__(self, workspace: Workspace, skeleton: Skeleton, parts: Parts) -> None:
        self.workspace, self.skeleton, self.parts = workspace, skeleton, parts

    def connect(self, page: gr.Blocks) -> None:
        """Tie every event to its handler."""
        parts, screen = self.parts, self.parts.screen
        page.load(self.on_load, parts.example, [parts.session, *screen], **_LONG)
        page.unload(self.on_unload)
        picked = [parts.session, parts.example]
        parts.example.input(self.on_example, picked, screen, **_LONG)
        parts.upload.upload(self.on_upload, [parts.session, parts.upload], screen, **_LONG)
        settings = [parts.session, parts.steps, parts.hypotheses]
        parts.run.click(self.on_run, settings, screen, **_LONG)
        parts.cancel.click(self.on_cancel, parts.session, None, queue=False, **_QUIET)
        for kind, button in parts.exports.items():
            button.click(partial(self.on_export, kind), parts.session, screen, **_LONG)
        parts.person.input(self.on_person, [parts.session, parts.person], screen, **_QUIET)
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

    def on_load(self, example: str | None, request: gr.Request) -> Iterator[Any]:
        """A page opens: it gets a session and the first example."""
        session = self.workspace.open_session(request.session_hash or "")
        key = session.session_id
        if example is None:
            yield key, *self.full(session)
            return
        for screen in self._work(session, handlers.open_example(self.workspace, session, example)):
            yield key, *screen

    def on_unload(self, request: gr.Request) -> None:
        """A page closes."""
        self.workspace.page_closed(request.session_hash or "")

    def on_example(self, key: str, example: str) -> Iterator[Any]:
        """Another example."""
        yield from self._guarded(key, lambda s: handlers.open_example(self.workspace, s, example))

    def on_upload(self, key: str, upload: str) -> Iterator[Any]:
        """An uploaded file."""
        yield from self._guarded(key, lambda s: handlers.open_upload(self.workspace, s, upload))

    def on_run(self, key: str, steps: float, hypotheses: float) -> Iterator[Any]:
        """Find poses."""
        yield from self._guarded(
            key,
            lambda s: handlers.find_poses(self.workspace, s, parse_sampling(steps, hypotheses)),
        )

    def on_export(self, kind: str, key: str) -> Iterator[Any]:
        """A download is wanted."""
        yield from self._guarded(key, lambda s: handlers.export(self.workspace, s, kind))

    def on_cancel(self, key: str) -> None:
        """Stop the running work."""
        handlers.cancel(self._session(key))

    def on_person(self, key: str, person: int | None) -> Any:
        """A person of the list."""
        return self._now(key, lambda s: s.choose(person))

    def on_person_picked(self, key: str, event: gr.EventData) -> Any:
        """A person of the picture."""
        return self._now(key, lambda s: s.choose(parse_index(event._data, "track")))

    def on_box_drawn(self, key: str, event: gr.EventData) -> Any:
        """A box of the picture."""
        return self._now(key, lambda s: handlers.draw_box(s, parse_box(event._data)))

    def on_joint_picked(self, event: gr.EventData) -> int:
        """A keypoint of the picture or the timeline."""
        return min(parse_index(event._data, "joint"), len(self.skeleton) - 1)

    def full(self, session: Session) -> tuple[Any, ...]:
        """Everything a handler may have changed."""
        clip, running = session.clip, session.status.running
        tracks = clip.tracks if clip else {}
        done = bool(clip and any(held.by_frame for held in clip.poses.values()))
        mine = clip.poses.get(session.person) if clip and session.person is not None else None
        return (
            session.view(self.skeleton),
            gr.update(
                choices=views.person_choices(tracks, clip.info.fps if clip else 30.0),
                value=session.person,
            ),
            gr.update(
                value="Find poses again" if mine and mine.by_frame else "Find poses",
                interactive=clip is not None and not running,
            ),
            gr.update(interactive=running),
            gr.update(choices=[*LAYERS, TRUTH] if clip and clip.has_truth else LAYERS),
            *(gr.update(interactive=done and not running) for _ in self.parts.exports),
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
            gr.Warning(session.status.words)

    def _guarded(
        self, key: str, start: Callable[[Session], Iterator[None]]
    ) -> Iterator[tuple[Any, ...]]:
        session = self._session(key)
        try:
            job = start(session)
        except DiffPoseError as error:
            session.status = Status(str(error), "error")
            gr.Warning(str(error))
            job = iter(())
        yield from self._work(session, job)

    def _now(self, key: str, act: Callable[[Session], None]) -> tuple[Any, ...]:
        session = self._session(key)
        try:
            act(session)
        except DiffPoseError as error:
            session.status = Status(str(error), "error", session.status.running)
            gr.Warning(str(error))
        return self.full(session)

    def _session(self, key: str) -> Session:
        try:
            return self.workspace.session(key)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
