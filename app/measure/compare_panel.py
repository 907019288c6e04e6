"""The tab Compare: two sessions side by side, one chart of both, and what has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.measure import handlers, sessions, views
from app.measure.component import chart, players, tables
from app.measure.handlers import Choices, Taken
from app.measure.sessions import Second
from app.measure.telling import QUIET, told
from app.session import Session
from app.workspace import Workspace
from diffpose.kinematics import Measurements

_NO_SECOND = "Measure in the first tab, choose a second session and press Compare."
_MOVE_PLAYERS = (
    "(offset) => window.dispatchEvent("
    "new CustomEvent('diffpose:compare-offset', { detail: { offset } }))"
)
_LONGEST_SHIFT_S = 5.0


class ComparePanel:
    """Builds the tab's content and ties its events.

    Args:
        workspace: The app's state.
        session: Holds the page's session id.
        plotly: Address of the chart library.
        tab: Whose content this is: the list of sessions is read again when it is opened.
        measured: The first session's measurements.
        choices: What the Measure tab says.
    """

    def __init__(
        self, workspace: Workspace, session: gr.State, plotly: str, *, tab: gr.Tab,
        measured: gr.State, choices: list[Any],
    ) -> None:  # fmt: skip
        self.workspace, self.session, self.plotly = workspace, session, plotly
        self.measured, self.choices = measured, choices
        self.second, self.comparison = gr.State(None), gr.State(None)
        self.other = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                self._controls()
            with gr.Column(scale=3, min_width=320):
                self.players = players(elem_id="compare-players")
                self.pair = chart(views.empty_chart(plotly, _NO_SECOND), elem_id="compare-chart")
                self.changes = tables(elem_id="compare-numbers")
        self._connect(tab)

    def _controls(self) -> None:
        self.source = gr.Dropdown(
            [("A file: DiffPose JSON", sessions.FILE)], value=sessions.FILE, interactive=True,
            label="Second session", info="Another person, a project, or a file.",
            elem_id="compare-source", filterable=False,
        )  # fmt: skip
        self.file = gr.File(
            label="Poses or measurements (DiffPose JSON)", file_types=[".json"], height=120,
            elem_id="compare-file",
        )  # fmt: skip
        self.go = gr.Button("Compare", elem_id="compare-go")
        self.alignment = gr.Radio(
            [(label, name) for name, label in handlers.ALIGNMENTS.items()],
            value="shape", label="Align by", elem_id="compare-alignment",
        )  # fmt: skip
        self.event = gr.Dropdown(
            [], label="Event", visible=False, interactive=True, filterable=False,
            elem_id="compare-event",
        )  # fmt: skip
        self.offset = gr.Slider(
            -_LONGEST_SHIFT_S, _LONGEST_SHIFT_S, 0, step=0.001, label="Shift the second by (s)",
            elem_id="compare-offset", buttons=[],
        )  # fmt: skip

    def _connect(self, tab: gr.Tab) -> None:
        shown = [
            self.comparison, self.other, self.pair, self.changes, self.players, self.alignment,
            self.event, self.offset,
        ]  # fmt: skip
        quiet = {**QUIET, "show_progress": "hidden"}
        tab.select(self.on_open, [self.session, self.source], [self.source, self.file], **quiet)
        self.source.change(
            lambda key: gr.update(visible=key == sessions.FILE), self.source, self.file, **quiet
        )
        aligned = [self.alignment, self.event, self.offset]
        first = [self.session, self.measured]
        self.go.click(
            self.on_compare, [*first, self.source, self.file, *aligned, *self.choices],
            [self.second, *shown], **QUIET,
        )  # fmt: skip
        again = [*first, self.second, *aligned]
        self.alignment.input(self.on_align, again, shown, **quiet)
        self.event.input(self.on_align, again, shown, **quiet)
        self.offset.change(None, self.offset, None, js=_MOVE_PLAYERS, **quiet)
        self.offset.input(self.on_shift, again, shown, trigger_mode="always_last", **quiet)

    def on_open(self, key: str, source: str) -> Any:
        """The tab is opened: what can be compared may have changed."""

        def act() -> tuple[Any, Any]:
            choices = sessions.second_choices(self.workspace, self._session(key))
            keys = [name for _, name in choices]
            chosen = source if source in keys and source != sessions.FILE else keys[0]
            return (
                gr.update(choices=choices, value=chosen),
                gr.update(visible=chosen == sessions.FILE),
            )

        return told(act, 2)

    def on_compare(
        self, key: str, taken: Taken | None, source: str, upload: str | None,
        alignment: str, event: str, offset: float, *choices: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Find and measure the second session, align it, compare."""

        def act() -> tuple[Any, ...]:
            session = self._session(key)
            measured = handlers.still_true(session, taken)
            path = Path(upload) if upload else None
            second = sessions.find_second(self.workspace, session, source, path, Choices(*choices))
            shown = self._compared(measured, second, alignment, event, offset)
            both = [sessions.first_player(self.workspace, session), second.player]
            view = sessions.players_view(session, both, shown[0].offset_s)
            return second, *shown[:4], view, *shown[5:]

        return told(act, 9)

    def on_align(
        self, key: str, taken: Taken | None, second: Second | None, alignment: str,
        event: str, offset: float,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Another alignment of the same two sessions."""
        if taken is None or second is None:
            return (*(gr.skip(),) * 6, gr.update(visible=alignment == "event"), gr.skip())
        return told(lambda: self._compared(taken.measurements, second, alignment, event, offset), 8)

    def on_shift(
        self, key: str, taken: Taken | None, second: Second | None, alignment: str,
        event: str, offset: float,
    ) -> tuple[Any, ...]:  # fmt: skip
        """The second session was moved by hand; the slider stays the hand's."""
        if taken is None or second is None:
            return (gr.skip(),) * 8
        return told(
            lambda: (
                *self._compared(taken.measurements, second, "hand", event, offset)[:7], gr.skip()
            ),
            8,
        )  # fmt: skip

    def _compared(
        self, measured: Measurements, second: Second, alignment: str, event: str,
        offset: float,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Everything but the players, which move by their own script."""
        found = handlers.compare_sessions(
            measured, second.measured, alignment=alignment, event=event or "",
            offset_s=float(offset or 0),
        )  # fmt: skip
        later = [views.moved(curve, found.offset_s) for curve in second.measured.curves]
        drawn = views.chart_view(
            [c for c in measured.curves if c.known], plotly=self.plotly, events=measured.events,
            others=later,
            differences=found.curves,
        )  # fmt: skip
        kinds = handlers.shared_events(measured, second.measured)
        names = [name for _, name in kinds]
        chosen = event if event in names else next(iter(names), None)
        reach = max(_LONGEST_SHIFT_S, 2 * abs(found.offset_s), _length_s(measured))
        return (
            found,
            replace(second.measured, curves=tuple(later)),
            drawn,
            views.comparison_table(found, measured, second.measured),
            gr.skip(),
            alignment,
            gr.update(choices=kinds, value=chosen, visible=alignment == "event"),
            gr.update(minimum=-round(reach, 1), maximum=round(reach, 1), value=found.offset_s),
        )

    def _session(self, key: str) -> Session:
        return self.workspace.session(key)


def _length_s(measured: Measurements) -> float:
    return max((float(c.times_s[-1] - c.times_s[0]) for c in measured.curves), default=0.0)
