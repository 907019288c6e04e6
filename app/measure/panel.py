"""The tabs below the video: Measure, Compare, Report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import gradio as gr
from plotly import graph_objects

from app.measure import handlers, views
from app.measure.compare_panel import ComparePanel
from app.measure.component import chart, tables
from app.measure.handlers import Choices, Marked, Taken
from app.measure.telling import QUIET, told
from app.measure.trend_panel import TrendPanel
from app.session import Session
from app.workspace import Workspace
from diffpose.errors import InputError
from diffpose.evaluation.reliability import reliability_figure
from diffpose.kinematics import FACINGS, Event, Measurements
from diffpose.kinematics.compare import Comparison

_NOTHING = "Choose what to measure and press Measure."
_FRAME = "(...inputs) => [...inputs.slice(0, -1), window.diffpose?.state.frame ?? 0]"
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
        self.measured, self.own_events = gr.State(None), gr.State(Marked())
        with gr.Tabs(elem_id="measure-tabs"):
            with gr.Tab("Measure", id="measure"):
                self._measure_tab()
            with gr.Tab("Compare", id="compare") as tab:
                self.comparing = ComparePanel(
                    workspace, session, self.plotly, tab=tab, measured=self.measured,
                    choices=self.choices,
                )  # fmt: skip
                gr.Markdown("### Over more than two sessions")
                TrendPanel(workspace, session, self.plotly, measured=self.measured, date=self.date)
            with gr.Tab("Report", id="report"):
                self._report_tab()
            with gr.Tab("Reliability", id="trust"):
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
                with gr.Row(elem_classes="bottom-row"):
                    self.date = gr.Textbox(
                        lambda: date.today().isoformat(), label="Recorded on", max_lines=1,
                        info="As 2026-03-31.", elem_id="measure-date", min_width=140,
                    )  # fmt: skip
                    self.save = gr.Button("Save numbers", elem_id="measure-save", min_width=140)
                self.saved = gr.File(
                    label="Numbers: JSON to compare later, CSV for a spreadsheet", visible=False,
                    interactive=False, file_count="multiple", elem_id="measure-saved",
                )  # fmt: skip
        self.frame = gr.Number(0, visible="hidden")

    def _report_tab(self) -> None:
        with gr.Row(), gr.Column(min_width=320):
            self.title = gr.Textbox("Movement report", label="Title", max_lines=1)
            self.person = gr.Textbox("", label="Subject", max_lines=1, elem_id="report-person")
            self.remarks = gr.Textbox("", label="Notes", lines=3)
            self.blur = gr.Checkbox(True, label="Hide faces in the pictures")
            with gr.Row():
                self.html = gr.Button("Report as web page", elem_id="report-html")
                self.pdf = gr.Button("Report as PDF", elem_id="report-pdf")
            self.report = gr.File(label="Report", elem_id="report-file", interactive=False)

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

    @property
    def choices(self) -> list[Any]:
        """The inputs of `app.measure.handlers.Choices`, in its order."""
        return [self.joints, self.tasks, self.facing, self.filter, self.cutoff, self.height]

    def _connect(self) -> None:
        shown = [self.measured, self.chart, self.numbers]
        compared = [self.comparing.comparison, self.comparing.other]
        self.go.click(
            self.on_measure, [self.session, self.own_events, *self.choices],
            [self.own_events, self.marked, *compared, *shown], **QUIET,
        )  # fmt: skip
        self.mark.click(
            self.on_mark,
            [self.session, self.measured, self.own_events, self.kind, self.side, self.frame],
            [self.own_events, self.marked, *shown], js=_FRAME, **QUIET,
        )  # fmt: skip
        self.save.click(self.on_save, [self.session, self.measured, self.date], self.saved, **QUIET)
        self.marked.input(
            self.on_edit, [self.session, self.measured, self.own_events, self.marked],
            [self.own_events, *shown], **QUIET,
        )  # fmt: skip
        about = [self.session, self.measured, *compared]
        texts = [self.title, self.person, self.remarks, self.blur]
        for kind, button in (("html", self.html), ("pdf", self.pdf)):
            button.click(_bind(self.on_report, kind), [*about, *texts], self.report, **QUIET)

    def on_measure(self, key: str, marked: Marked, *choices: Any) -> tuple[Any, ...]:
        """Measure the chosen person; what was compared before is no longer reported."""

        def act() -> tuple[Any, ...]:
            session = self._session(key)
            own = handlers.marked_in(session, marked)
            taken = handlers.measure_person(self.workspace, session, Choices(*choices), own)
            kept = Marked(own, handlers.state_of(session)[:2])
            return kept, _rows_of(own), None, None, *self._shown(session, taken)

        return told(act, 7)

    def on_save(self, key: str, taken: Taken | None, recorded: str) -> Any:
        """Write the numbers and offer them."""

        def act() -> Any:
            files = handlers.save_session(self._session(key), taken, recorded)
            return gr.update(value=[str(file) for file in files], visible=True)

        return told(act, 1)

    def on_mark(
        self, key: str, taken: Taken | None, marked: Marked, kind: str, side: str, frame: float
    ) -> tuple[Any, ...]:
        """Mark an event at the frame that is shown."""

        def act() -> tuple[Any, ...]:
            session = self._session(key)
            before = handlers.marked_in(session, marked)
            event = handlers.event_at(session, int(frame), kind, side)
            after = tuple(sorted([*before, event], key=lambda e: e.time_s))
            kept = Marked(after, handlers.state_of(session)[:2])
            return kept, _rows_of(after), *self._with_events(session, taken, before, after)

        return told(act, 5)

    def on_edit(self, key: str, taken: Taken | None, marked: Marked, table: Any) -> tuple[Any, ...]:
        """The table of hand-marked events was edited: rows changed or removed."""

        def act() -> tuple[Any, ...]:
            session = self._session(key)
            before = handlers.marked_in(session, marked)
            events = [_event_of(session, row) for row in table.itertuples(index=False)]
            after = tuple(event for event in events if event is not None)
            kept = Marked(after, handlers.state_of(session)[:2])
            return kept, *self._with_events(session, taken, before, after)

        return told(act, 4)

    def on_report(
        self, kind: str, key: str, taken: Taken | None, comparison: Comparison | None,
        other: Measurements | None, title: str, person: str, remarks: str, blur: bool,
    ) -> Any:  # fmt: skip
        """Write a report and offer it."""
        return told(
            lambda: str(
                handlers.write_report(
                    self.workspace, self._session(key), taken, kind=kind, title=title,
                    person=person, remarks=remarks, blur=blur, comparison=comparison, other=other,
                )
            ),
            1,
        )  # fmt: skip

    def _shown(self, session: Session, taken: Taken) -> tuple[Any, ...]:
        clip, sequence = handlers.chosen_poses(self.workspace, session)
        measured = taken.measurements
        drawn = views.chart_view(
            [c for c in measured.curves if c.known],
            plotly=self.plotly,
            events=measured.events,
            frames=sequence.frames,
            times_s=clip.info.times_s[sequence.frames],
        )
        return taken, drawn, views.numbers_table(measured)

    def _with_events(
        self, session: Session, taken: Taken | None, before: Sequence[Event],
        after: Sequence[Event],
    ) -> tuple[Any, ...]:  # fmt: skip
        """The same measurements with other hand-marked events."""
        if taken is None:
            return (gr.skip(),) * 3
        measured = handlers.still_true(session, taken)
        found = [event for event in measured.events if event not in before]
        events = tuple(sorted([*found, *after], key=lambda event: event.time_s))
        return self._shown(session, replace(taken, measurements=replace(measured, events=events)))

    def _session(self, key: str) -> Session:
        return self.workspace.session(key)


def measured_reliability(estimator: Any) -> dict[str, Any]:
    """What the calibration of the weights measured; empty for weights without one."""
    calibration = getattr(estimator, "calibration", None)
    return dict(calibration.measured) if calibration is not None else {}


def _rows_of(events: Sequence[Event]) -> list[list[Any]]:
    return [[e.kind.replace("_", " "), e.side, round(e.time_s, 3)] for e in events]


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


def _bind(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    return lambda *inputs: function(kind, *inputs)
