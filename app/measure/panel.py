"""The tabs below the video: Measure, Compare, Report and export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from plotly import graph_objects

from app.measure import handlers, views
from app.measure.component import chart, tables
from app.measure.handlers import Choices
from app.session import Session
from app.workspace import Workspace
from diffpose.errors import DiffPoseError, InputError
from diffpose.evaluation.reliability import reliability_figure
from diffpose.formats.exporting import EXPORT_FORMATS, packages_missing_for
from diffpose.kinematics import FACINGS, Event, Measurements
from diffpose.kinematics.compare import Comparison

Done = TypeVar("Done")

_NOTHING = "Choose what to measure and press Measure."
_NO_SECOND = "Upload a second session (DiffPose JSON) and press Compare."
_FRAME = "(...inputs) => [...inputs.slice(0, -1), window.diffpose?.state.frame ?? 0]"
_QUIET: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
SIDES = {"": "no side", "left": "left", "right": "right"}


class MeasurePanel:
    """Builds the tabs inside the page's `gradio.Blocks` and ties their events.

    Args:
        workspace: The app's state.
        session: Holds the page's session id.
        plotly: The chart library in a folder that is served.
    """

    def __init__(self, workspace: Workspace, session: gr.State, plotly: Path) -> None:
        self.workspace, self.session, self.plotly = workspace, session, str(plotly)
        self.measured, self.other = gr.State(None), gr.State(None)
        self.own_events, self.comparison = gr.State([]), gr.State(None)
        with gr.Tabs(elem_id="measure-tabs"):
            with gr.Tab("Measure", id="measure"):
                self._measure_tab()
            with gr.Tab("Compare", id="compare"):
                self._compare_tab()
            with gr.Tab("Report and export", id="report"):
                self._report_tab()
            with gr.Tab("How far to trust it", id="trust"):
                self._trust_tab()
        self._connect()

    def _measure_tab(self) -> None:
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                self.joints = gr.CheckboxGroup(
                    [(label, name) for name, label in handlers.JOINTS.items()],
                    value=["knee", "hip"], label="Joint angles", elem_id="measure-joints",
                )  # fmt: skip
                self.tasks = gr.CheckboxGroup(
                    [(label, name) for name, label in handlers.TASKS.items()],
                    label="Also look for", elem_id="measure-tasks",
                )  # fmt: skip
                self.facing = gr.Dropdown(
                    ["auto", *FACINGS], value="auto", label="The person faces",
                    info="In the picture; decided from the clip unless set.",
                )  # fmt: skip
                with gr.Row():
                    self.filter = gr.Dropdown(
                        [(label, name) for name, label in handlers.FILTERS.items()],
                        value="butterworth", label="Filter",
                    )  # fmt: skip
                    self.cutoff = gr.Number(6, label="Cut-off (Hz)", minimum=0.5, maximum=30)
                self.height = gr.Number(
                    None, label="Person's height (cm)", info="For lengths in metres; may be empty.",
                    minimum=0,
                )  # fmt: skip
                self.go = gr.Button("Measure", elem_id="measure-go")
                with gr.Accordion("Mark an event at this frame", open=False):
                    self.kind = gr.Textbox("heel strike", label="Event", max_lines=1)
                    self.side = gr.Radio(
                        [(label, name) for name, label in SIDES.items()], value="", label="Side"
                    )
                    self.mark = gr.Button("Mark", elem_id="measure-mark")
                    self.marked = gr.Dataframe(
                        headers=["Event", "Side", "Time (s)"], datatype=["str", "str", "number"],
                        column_count=3, label="Marked by hand", interactive=True,
                        elem_id="measure-events",
                    )  # fmt: skip
            with gr.Column(scale=3, min_width=480):
                self.chart = chart(
                    views.empty_chart(self.plotly, _NOTHING), elem_id="measure-chart"
                )
                self.numbers = tables(elem_id="measure-numbers")
        self.frame = gr.Number(0, visible="hidden")

    def _compare_tab(self) -> None:
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                self.second = gr.File(
                    label="Second session (DiffPose JSON)", file_types=[".json"], height=120,
                    elem_id="compare-file",
                )  # fmt: skip
                self.alignment = gr.Radio(
                    [(label, name) for name, label in handlers.ALIGNMENTS.items()],
                    value="shape", label="Align by", elem_id="compare-alignment",
                )  # fmt: skip
                self.offset = gr.Number(0, label="Shift the second by (s)", step=0.02)
                self.compare = gr.Button("Compare", elem_id="compare-go")
            with gr.Column(scale=3, min_width=480):
                self.pair = chart(
                    views.empty_chart(self.plotly, _NO_SECOND), elem_id="compare-chart"
                )
                self.changes = tables(elem_id="compare-numbers")

    def _report_tab(self) -> None:
        with gr.Row():
            with gr.Column(min_width=320):
                self.title = gr.Textbox("Movement report", label="Heading", max_lines=1)
                self.person = gr.Textbox("", label="Who", max_lines=1, elem_id="report-person")
                self.remarks = gr.Textbox("", label="Remarks", lines=3)
                self.blur = gr.Checkbox(True, label="Hide faces in the pictures")
                with gr.Row():
                    self.html = gr.Button("Report as web page", elem_id="report-html")
                    self.pdf = gr.Button("Report as PDF", elem_id="report-pdf")
                self.report = gr.File(label="Report", elem_id="report-file", interactive=False)
            with gr.Column(min_width=320):
                self.format = gr.Dropdown(
                    [(_format_title(name), name) for name in EXPORT_FORMATS],
                    value="json", label="Format", elem_id="export-format",
                )  # fmt: skip
                self.preview = gr.Markdown("", elem_id="export-preview")
                self.export = gr.Button("Export", elem_id="export-go")
                self.exported = gr.File(label="Export", elem_id="export-file", interactive=False)

    def _trust_tab(self) -> None:
        estimator = self.workspace.estimator
        measured = measured_reliability(estimator)
        gr.Markdown(
            f"Model **{estimator.model_name}**, weights `{estimator.weights_hash[:16]}`. "
            + (
                "A confidence of p means: within a tenth of the torso, p of the time. The dots say "
                "how often that came true for people the model was not trained on."
                if measured
                else "These weights were not calibrated: their confidence is a score, no promise."
            ),
            elem_id="trust-words",
        )
        if measured:
            gr.Plot(
                graph_objects.Figure(reliability_figure(measured)), show_label=False,
                elem_id="trust-plot",
            )  # fmt: skip

    def _connect(self) -> None:
        choices = [
            self.joints, self.tasks, self.facing, self.filter, self.cutoff, self.height
        ]  # fmt: skip
        shown = [self.measured, self.chart, self.numbers]
        self.go.click(self.on_measure, [self.session, self.own_events, *choices], shown, **_QUIET)
        self.mark.click(
            self.on_mark,
            [self.session, self.measured, self.own_events, self.kind, self.side, self.frame],
            [self.own_events, self.marked, *shown], js=_FRAME, **_QUIET,
        )  # fmt: skip
        self.marked.input(
            self.on_edit, [self.session, self.measured, self.own_events, self.marked],
            [self.own_events, *shown], **_QUIET,
        )  # fmt: skip
        self.compare.click(
            self.on_compare,
            [self.session, self.measured, self.second, self.alignment, self.offset, *choices],
            [self.comparison, self.other, self.pair, self.changes], **_QUIET,
        )  # fmt: skip
        about = [self.session, self.measured, self.comparison, self.other]
        texts = [self.title, self.person, self.remarks, self.blur]
        for kind, button in (("html", self.html), ("pdf", self.pdf)):
            button.click(_bind(self.on_report, kind), [*about, *texts], self.report, **_QUIET)
        self.format.input(self.on_preview, [self.session, self.format], self.preview, **_QUIET)
        self.export.click(
            self.on_export, [self.session, self.format], [self.exported, self.preview], **_QUIET
        )

    def on_measure(self, key: str, own: list[Event], *choices: Any) -> tuple[Any, ...]:
        """Measure the chosen person."""
        return self._told(
            lambda: self._shown(
                key,
                handlers.measure_person(self.workspace, self._session(key), Choices(*choices), own),
            ),
            3,
        )

    def on_mark(
        self, key: str, measured: Measurements | None, own: list[Event], kind: str, side: str,
        frame: float,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Mark an event at the frame that is shown."""

        def act() -> tuple[Any, ...]:
            event = handlers.event_at(self._session(key), int(frame), kind, side)
            events = sorted([*own, event], key=lambda e: e.time_s)
            rows = [[e.kind.replace("_", " "), e.side, round(e.time_s, 3)] for e in events]
            return (events, rows, *self._with_events(key, measured, own, events))

        return self._told(act, 5)

    def on_edit(
        self, key: str, measured: Measurements | None, own: list[Event], table: Any
    ) -> tuple[Any, ...]:
        """The table of hand-marked events was edited: rows changed or removed."""

        def act() -> tuple[Any, ...]:
            session = self._session(key)
            events = [_event_of(session, row) for row in table.itertuples(index=False)]
            kept = [event for event in events if event is not None]
            return (kept, *self._with_events(key, measured, own, kept))

        return self._told(act, 4)

    def on_compare(
        self, key: str, measured: Measurements | None, second: str | None, alignment: str,
        offset: float, *choices: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Compare with a second session."""

        def act() -> tuple[Any, ...]:
            if measured is None:
                raise InputError("Nothing is measured yet; press Measure in the first tab.")
            if second is None:
                raise InputError("There is no second session yet; upload its DiffPose JSON.")
            other = handlers.read_other(Path(second), Choices(*choices))
            found = handlers.compare_sessions(
                measured, other, alignment=alignment, offset_s=float(offset or 0)
            )
            later = [views.moved(curve, found.offset_s) for curve in other.curves]
            drawn = self._chart(key, measured, others=later)
            shifted = replace(other, curves=tuple(later))
            return found, shifted, drawn, views.comparison_table(found)

        return self._told(act, 4)

    def on_report(
        self, kind: str, key: str, measured: Measurements | None, comparison: Comparison | None,
        other: Measurements | None, title: str, person: str, remarks: str, blur: bool,
    ) -> Any:  # fmt: skip
        """Write a report and offer it."""
        return self._told(
            lambda: str(
                handlers.write_report(
                    self.workspace, self._session(key), measured, kind=kind, title=title,
                    person=person, remarks=remarks, blur=blur, comparison=comparison, other=other,
                )
            ),
            1,
        )  # fmt: skip

    def on_preview(self, key: str, name: str) -> Any:
        """What the chosen format would hold."""
        return self._told(lambda: handlers.preview(self.workspace, self._session(key), name), 1)

    def on_export(self, key: str, name: str) -> Any:
        """Write an export and offer it."""

        def act() -> tuple[str, str]:
            session = self._session(key)
            path = handlers.export(self.workspace, session, name)
            return str(path), handlers.preview(self.workspace, session, name)

        return self._told(act, 2)

    def _shown(self, key: str, measured: Measurements) -> tuple[Any, ...]:
        return measured, self._chart(key, measured), views.numbers_table(measured)

    def _chart(self, key: str, measured: Measurements, others: Any = ()) -> Any:
        clip, sequence = handlers.chosen_poses(self.workspace, self._session(key))
        return views.chart_view(
            [c for c in measured.curves if c.known],
            plotly=self.plotly,
            events=measured.events,
            others=others,
            frames=sequence.frames,
            times_s=clip.info.times_s[sequence.frames],
        )

    def _with_events(
        self, key: str, measured: Measurements | None, before: list[Event], after: list[Event]
    ) -> tuple[Any, ...]:
        """The same measurements with other hand-marked events."""
        if measured is None:
            return (gr.skip(),) * 3
        found = [event for event in measured.events if event not in before]
        events = tuple(sorted([*found, *after], key=lambda event: event.time_s))
        return self._shown(key, replace(measured, events=events))

    def _told(self, act: Callable[[], Done], outputs: int) -> Any:
        """What ``act`` returns, or a sentence for the visitor and nothing changed."""
        try:
            return act()
        except DiffPoseError as error:
            gr.Warning(str(error))
        except OSError as error:
            gr.Warning(f"A file could not be read or written ({error.strerror}).")
        return gr.skip() if outputs == 1 else (gr.skip(),) * outputs

    def _session(self, key: str) -> Session:
        return self.workspace.session(key)


def measured_reliability(estimator: Any) -> dict[str, Any]:
    """What the calibration of the weights measured; empty for weights without one."""
    calibration = getattr(estimator, "calibration", None)
    return dict(calibration.measured) if calibration is not None else {}


def _event_of(session: Session, row: Any) -> Event | None:
    """A row of the table as an event; None for an empty row."""
    kind, side, time_s = (str(value).strip() for value in row)
    if not kind or not time_s:
        return None
    try:
        wanted = float(time_s)
    except ValueError:
        raise InputError(f"Expected a time in seconds, got {time_s!r}.") from None
    if side not in SIDES:
        raise InputError(f"Expected the side left, right or nothing, got {side!r}.")
    clip = session.clip
    if clip is None:
        raise InputError("There is no video yet; choose an example or upload one.")
    frame = int(abs(clip.info.times_s[: clip.num_frames] - wanted).argmin())
    return replace(handlers.event_at(session, frame, kind, side), time_s=wanted)


def _format_title(name: str) -> str:
    missing = packages_missing_for(name)
    title = EXPORT_FORMATS[name].title
    return f"{title} (needs {', '.join(missing)})" if missing else title


def _bind(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    return lambda *inputs: function(kind, *inputs)
