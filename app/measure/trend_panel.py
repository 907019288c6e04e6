"""Below the tab Compare: numbers of more than two sessions over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from app.measure import handlers, views
from app.measure.component import chart, tables
from app.measure.handlers import Taken
from app.measure.telling import QUIET, told
from app.workspace import Workspace
from diffpose.kinematics.trends import Trend

_NONE_YET = "Upload the numbers that were saved in earlier sessions and press Show over time."
_MOST_ROWS = 3


class TrendPanel:
    """Builds the panel and ties its events.

    Args:
        workspace: The app's state.
        session: Holds the page's session id.
        plotly: Address of the chart library.
        measured: What is measured now: it is the newest of the sessions.
        date: When that was recorded.
    """

    def __init__(
        self, workspace: Workspace, session: gr.State, plotly: str, *, measured: gr.State,
        date: gr.Textbox,
    ) -> None:  # fmt: skip
        self.workspace, self.plotly = workspace, plotly
        self.trends = gr.State(())
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                files = gr.File(
                    label="Saved numbers of earlier sessions", file_types=[".json"], height=140,
                    file_count="multiple", elem_id="trend-files",
                )  # fmt: skip
                show = gr.Button("Show over time", elem_id="trend-go")
                self.groups = gr.Dropdown(
                    [], multiselect=True, label="In the chart", visible=False, interactive=True,
                    elem_id="trend-groups",
                )  # fmt: skip
            with gr.Column(scale=3, min_width=320):
                self.chart = chart(views.empty_chart(plotly, _NONE_YET), elem_id="trend-chart")
                self.table = tables(elem_id="trend-numbers")
        show.click(
            self.on_show, [session, measured, date, files],
            [self.trends, self.groups, self.chart, self.table], **QUIET,
        )  # fmt: skip
        self.groups.input(self.on_groups, [self.trends, self.groups], self.chart, **QUIET)

    def on_show(self, key: str, taken: Taken | None, date: str, files: list[str] | None) -> Any:
        """Read the saved sessions and show all numbers."""

        def act() -> tuple[Any, ...]:
            paths = [Path(file) for file in files or []]
            trends = handlers.trends_of(self.workspace.session(key), taken, date, paths)
            choices = views.trend_choices(trends)
            ranges = [group for _, group in choices if group.endswith(".range_of_motion")]
            chosen = (ranges or [group for _, group in choices])[:_MOST_ROWS]
            return (
                trends,
                gr.update(choices=choices, value=chosen, visible=True),
                views.trend_view(trends, chosen, plotly=self.plotly),
                views.trend_table(trends),
            )

        return told(act, 4)

    def on_groups(self, trends: tuple[Trend, ...], groups: list[str]) -> Any:
        """Other numbers in the chart."""
        if not groups:
            return views.empty_chart(self.plotly, "Choose what the chart shows.")
        return views.trend_view(trends, groups, plotly=self.plotly)
