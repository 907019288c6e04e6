"""The page: which parts it has and where they are; `app.screen` ties events to handlers."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr

from app import exporting, handlers, views
from app.canvas.component import pose_canvas
from app.desk import answers
from app.desk.component import project_list, queue_panel
from app.door.guard import Rules
from app.door.hosts import Reach
from app.door.served import GuardedApp, asker
from app.door.uploads import Uploads
from app.logins import read_logins
from app.measure.panel import MeasurePanel
from app.screen import LAYERS, Parts, Screen
from app.settings import MAX_HYPOTHESES, MAX_STEPS, Settings
from app.theme import CSS, make_theme
from app.timeline.component import copy_plotly, timeline
from app.workspace import Workspace
from diffpose.skeleton import Skeleton

TITLE = "DiffPose"
SHOWN_AT_FIRST = ["Skeleton", "Uncertainty", "Heatmap", "Hypotheses", "Boxes"]
SPACE_FRAMES = ("https://huggingface.co",)
"""Shows a Space in a frame of its own page."""

MOST_THREADS = 128
"""A visitor who waits for something takes one."""

START_STEPS, START_HYPOTHESES = 4, 8


def build_app(workspace: Workspace) -> gr.Blocks:
    """The page of a workspace."""
    skeleton = workspace.estimator.skeleton
    workspace.identify = asker
    # Gradio reads these when the page is made: no look-ups outside, uploads in our own folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.uploads)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as page:
        session = gr.State("")
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Human poses in video, with calibrated uncertainty.</p>",
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
        MeasurePanel(workspace, session, workspace.static / "plotly.min.js")
        Screen(workspace, skeleton, parts).connect(page)
    return page


def launch(page: gr.Blocks, workspace: Workspace, **options: Any) -> Any:
    """Serve the page; returns what `gradio.Blocks.launch` returns."""
    settings: Settings = workspace.settings
    return page.queue(default_concurrency_limit=16).launch(
        server_name=settings.host,
        server_port=settings.port,
        _app=GuardedApp(rules_of(settings)),
        auth=read_logins(settings.auth) if settings.auth is not None else None,
        auth_message="After several wrong attempts, further ones have to wait.",
        max_threads=MOST_THREADS,
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


def rules_of(settings: Settings) -> Rules:
    """What the guard before the page asks for."""
    quota = settings.quota_mb
    return Rules(
        reach=Reach.of(
            settings.allow_origin, SPACE_FRAMES if settings.space else (), host=settings.host
        ),
        most_upload=settings.max_upload_mb << 20,
        needs_login=settings.auth is not None,
        uploads=None if quota is None else Uploads(int(quota * (1 << 20))),
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

    def review(payload: Any) -> views.Json:
        return answers.review(workspace, payload)

    return pose_canvas(start, [resample, review], elem_id="canvas")


def _side(workspace: Workspace, skeleton: Skeleton, *, session: gr.State, canvas: gr.HTML) -> Parts:
    queue = queue_panel(elem_id="queue-panel")
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
    steps, hypotheses = _sampling()
    _heading("Show")
    layers = gr.CheckboxGroup(
        LAYERS, value=SHOWN_AT_FIRST, show_label=False, container=False, elem_id="layers"
    )
    joint = gr.Dropdown(
        views.keypoint_choices(skeleton), value=_first_joint(skeleton), label="Keypoint",
        info="Its heatmap, and its line in the timeline.", interactive=True, elem_id="joint",
    )  # fmt: skip
    export = _export_section()
    return Parts(
        session, canvas, example, upload, person, run, cancel, steps, hypotheses, joint, layers,
        *export, _projects(workspace), gr.Textbox(visible="hidden", elem_id="visitor"), queue,
    )  # fmt: skip


def _sampling() -> tuple[gr.Slider, gr.Slider]:
    with gr.Column(elem_id="sampling"):
        _heading("Quality, live on this frame")
        steps = gr.Slider(
            1, MAX_STEPS, START_STEPS, step=1, label="Denoising steps", elem_id="steps",
            info="Guesses that fit together better; slower.", buttons=[],
        )  # fmt: skip
        hypotheses = gr.Slider(
            1, MAX_HYPOTHESES, START_HYPOTHESES, step=1, label="Ensemble size",
            elem_id="hypotheses", info="More guesses; slower.", buttons=[],
        )  # fmt: skip
    return steps, hypotheses


def _projects(workspace: Workspace) -> gr.HTML:
    def projects(payload: Any) -> views.Json:
        return answers.projects(workspace, payload)

    return project_list(projects, elem_id="projects")


def _video_choice(examples: list[str]) -> tuple[gr.Radio, gr.UploadButton]:
    example = gr.Radio(
        examples, label="Example", value=examples[0] if examples else None,
        visible=bool(examples), elem_id="example",
    )  # fmt: skip
    # Any name: the content decides, as it does for the command line.
    upload = gr.UploadButton("Upload a video", elem_id="upload", size="md")
    return example, upload


def _export_section() -> tuple[gr.Dropdown, gr.Checkbox, gr.Markdown, gr.Button]:
    _heading("Export")
    choices = gr.Dropdown(
        exporting.format_choices(), value="json", label="Format", elem_id="export-format",
        interactive=True,
    )  # fmt: skip
    blur = gr.Checkbox(False, label="Hide faces", visible=False, elem_id="export-blur")
    preview = gr.Markdown("", elem_id="export-preview")
    go = gr.Button("Export", interactive=False, size="md", elem_id="export-go")
    return choices, blur, preview, go


def _heading(words: str) -> None:
    gr.HTML(f'<h2 class="section">{words}</h2>', apply_default_css=False)


def _first_joint(skeleton: Skeleton) -> int:
    name = "right_wrist"
    return skeleton.keypoints.index(name) if name in skeleton.keypoints else 0
