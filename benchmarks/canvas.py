"""How fast the review desk's canvas is in a browser: scrubbing, dragging, saving.

A synthetic 1280 x 720 clip of noise (JPEG's worst case) with stand-ins for the models, served by
the app and shown in Chromium. Frames count only once they are drawn, with skeleton, ellipses,
trail and heatmap over them.

    python -m benchmarks.canvas [--frames 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import numpy as np

from app.layout import build_app, launch
from app.settings import Settings
from app.workspace import Workspace
from tests.app.conftest import CHROMIUM_FLAGS
from tests.app.figures import FigureDetector, FigureEstimator, figure_frame, figure_models

SOON = "new Promise((r) => { const c = new MessageChannel(); c.port1.onmessage = r; c.port2.postMessage(0); })"  # noqa: E501

SCRUB = """async (seconds) => {
  const D = window.diffpose, S = D.state, soon = () => SOON;
  const data = btoa(String.fromCharCode(...Array.from({ length: 768 }, (_, i) => i % 256)));
  const heat = { w: 24, h: 32, affine: [8, 0, 300, 0, 8, 200], data };
  D.layers(['Skeleton', 'Uncertainty', 'Heatmap', 'Trails', 'Boxes']);
  const keypoint = S.joint;
  for (let frame = 0; frame < S.clip.frames; frame++) D.keepHeat({ frame, keypoint, heat });
  D.goTo(0);
  while (S.shown !== 0) await soon();
  const before = S.updates, start = performance.now(), end = start + 1000 * seconds;
  let lost = 0, f = 0;
  while (performance.now() < end) {
    f = (f + 1) % S.clip.frames;
    D.goTo(f);
    const asked = performance.now();
    while (S.shown !== f && performance.now() - asked < 2000) await soon();
    if (S.shown !== f) lost++;
  }
  const updates = S.updates - before;
  return { updates, rate: updates / ((performance.now() - start) / 1000), lost };
}""".replace("SOON", SOON)

DRAG = """async (moves) => {
  const canvas = document.querySelector('#canvas .dp-overlay'), D = window.diffpose;
  const row = D.currentPose()[D.state.joint], [x, y] = D.screenOf(row[0], row[1]), times = [];
  const send = (type, dx) => canvas.dispatchEvent(new PointerEvent(type, {
    clientX: x + dx, clientY: y + dx / 2, pointerId: 1, button: 0, buttons: 1, bubbles: true }));
  const wait = (ms) => new Promise((r) => setTimeout(r, ms));
  canvas.setPointerCapture = () => {};
  send('pointerdown', 0);
  for (let i = 1; i <= moves; i++) {
    await wait(3 + 9 * ((i * 7919) % 10) / 10);
    const start = performance.now();
    send('pointermove', 4 + i / 2);
    await new Promise((r) => requestAnimationFrame(() => { SOON.then(r); }));
    times.push(performance.now() - start);
  }
  const start = performance.now();
  send('pointerup', 4 + moves / 2);
  while (!D.desk.idle) await wait(2);
  const saved = performance.now() - start;
  while (!D.editing.suggestion && performance.now() - start < 20000) await wait(4);
  const suggested = D.editing.suggestion ? performance.now() - start : null;
  return { times, saved, suggested };
}""".replace("SOON", SOON)

FOUND = """window.diffpose?.state.project && !window.diffpose.state.busy
  && window.diffpose.desk.state.marks.get(0)?.size === window.diffpose.state.clip.frames"""


def write_noise(path: Path, num_frames: int) -> Path:
    """Two figures on noise, 1280 x 720, 30 frames a second."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-25, 25, (720, 1280, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(num_frames):
            large = figure_frame(index % 60).repeat(2, axis=0).repeat(2, axis=1)
            picture = np.clip(large + np.roll(noise, 37 * index, axis=0), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@contextmanager
def served(num_frames: int) -> Iterator[str]:
    """The address of a running app that has the clip as its only example."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").mkdir()
        write_noise(folder / "examples" / "noise.mp4", num_frames)
        settings = Settings(examples=folder / "examples", work=folder / "work")
        with Workspace(
            settings,
            load_estimator=lambda _: FigureEstimator(),
            load_finder=lambda *_: FigureDetector(people=1),
            desk_models=figure_models,
        ) as workspace:
            page = build_app(workspace)
            _, url, _ = launch(page, workspace, prevent_thread_lock=True, quiet=True)
            yield url
            page.close(verbose=False)


def measure(page: Any, rounds: int) -> dict[str, Any]:
    """Rates and times of an open page."""
    page.wait_for_function("window.diffpose?.state.tracks.length && !window.diffpose.state.busy")
    page.click("#run")
    page.wait_for_function(FOUND)
    _say(f"poses found; load {os.getloadavg()[0]:.1f}")
    before = _browser_cpu_s()
    scrubs = [page.evaluate(SCRUB, 4) for _ in range(rounds)]
    spent = _browser_cpu_s() - before
    _say(f"scrubbed: {scrubs}")
    page.keyboard.press("e")
    page.wait_for_function("window.diffpose.editing.on")
    drags = [page.evaluate(DRAG, 60) for _ in range(rounds)]
    latency = sorted(t for drag in drags for t in drag["times"])
    return {
        "load": os.getloadavg()[0],
        "updates_per_s": [round(scrub["rate"], 1) for scrub in scrubs],
        "browser_cpu_ms_an_update": round(1000 * spent / sum(s["updates"] for s in scrubs), 1),
        "frames_not_shown": sum(scrub["lost"] for scrub in scrubs),
        "drag_to_paint_ms_median": round(statistics.median(latency), 1),
        "drag_to_paint_ms_p95": round(latency[int(0.95 * len(latency))], 1),
        "drop_to_saved_ms": [round(drag["saved"]) for drag in drags],
        "drop_to_suggestion_ms": [drag["suggested"] and round(drag["suggested"]) for drag in drags],
    }


def _browser_cpu_s() -> float:
    """Processor time of everything this process has started, seconds; other load does not count."""
    parents, spent = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = int(fields[11]) + int(fields[12])
    ours: set[int] = set()
    more = {os.getpid()}
    while more:
        ours |= more
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
    return sum(spent[pid] for pid in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


def _say(words: str) -> None:
    """On a busy machine a run takes minutes: what is known so far."""
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    """Print one JSON object."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    options = parser.parse_args()
    with served(options.frames) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(300_000)
        page.goto(url)
        print(json.dumps(measure(page, options.rounds), indent=1))
        browser.close()


if __name__ == "__main__":
    main()
