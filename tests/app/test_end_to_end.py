"""The page with the shipped weights and an example clip: nothing is a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.settings import Settings
from app.workspace import Workspace
from diffpose.formats.native import read_native
from diffpose.shipped import EXAMPLES, WEIGHTS

pytestmark = pytest.mark.browser

SHIPPED = all(
    [
        (WEIGHTS / "diffpose-base.safetensors").is_file(),
        (WEIGHTS / "detector-small.safetensors").is_file(),
        (EXAMPLES / "walk.mp4").is_file(),
    ]
)


@pytest.mark.skipif(not SHIPPED, reason="the weights or the example clip are not here")
def test_an_example_gets_poses_near_the_truth(page: Any, tmp_path: Path) -> None:
    from app.layout import build_app, launch

    page.set_default_timeout(300_000)
    with Workspace(Settings(examples=EXAMPLES, work=tmp_path / "work")) as workspace:
        app = build_app(workspace)
        _, url, _ = launch(app, workspace, prevent_thread_lock=True, quiet=True)
        page.goto(url)
        # The first example's files go when another one is chosen: let the page have read them.
        page.wait_for_function(
            "window.diffpose && window.diffpose.state.person !== null"
            " && !window.diffpose.state.busy"
        )
        page.get_by_label("Walk", exact=True).check()
        page.wait_for_function(
            "window.diffpose?.state.clip?.name === 'Walk' && !window.diffpose.state.busy"
            " && window.diffpose.state.person !== null"
        )
        page.click("#run")
        page.wait_for_function("window.diffpose.state.poses.get(0)?.byFrame.size > 0")
        page.wait_for_function("!window.diffpose.state.busy")
        page.wait_for_function("window.diffpose.live.answer?.ok")
        with page.expect_download() as waiting:
            page.click("#export-go")
        waiting.value.save_as(tmp_path / "poses.json")
        app.close(verbose=False)

    found = read_native(tmp_path / "poses.json").sequences[0]
    truth = read_native(EXAMPLES / "walk.truth.json").sequences[0]
    true = truth.keypoints[found.frames]
    heights = np.ptp(true[..., 1], axis=1)
    errors = np.linalg.norm(found.keypoints - true, axis=-1) / heights[:, None]
    assert len(found) > 0.8 * len(truth)
    assert np.median(errors) < 0.1
