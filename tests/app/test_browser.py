"""What a visitor can do, done in Chromium."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffpose.formats.native import read_native
from diffpose.formats.table import read_csv
from diffpose.video.decode import Video
from tests.app.figures import BITS, CELL, NUM_FRAMES, Served

pytestmark = pytest.mark.browser

READY = "window.diffpose?.state.tracks.length > 0 && !window.diffpose.state.busy"
SETTLED = "window.diffpose.live.idle && window.diffpose.live.answer?.ok"


def open_example(page: Any, served: Served) -> None:
    page.goto(served.url)
    page.wait_for_function(f"window.diffpose?.state.shown === 0 && {READY}")


def upload(page: Any, path: Any) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#upload")
    chooser.value.set_files(path)


def find_poses(page: Any) -> None:
    page.click("#run")
    page.wait_for_function(
        "window.diffpose.state.poses.get(window.diffpose.state.person)?.byFrame.size"
        " === window.diffpose.state.clip.frames && !window.diffpose.state.busy"
    )
    page.wait_for_function(SETTLED)


def show(page: Any, frame: int) -> None:
    page.wait_for_function(f"window.diffpose.state.shown === {frame}")


def shown_barcode(page: Any) -> int:
    """The index written into the picture that is on the screen."""
    levels = page.evaluate(
        """([bits, cell]) => {
          const canvas = document.querySelector('#canvas .dp-picture');
          const context = canvas.getContext('2d'), area = canvas.getBoundingClientRect();
          return Array.from({ length: bits }, (_, bit) => {
            const [x, y] = window.diffpose.screenOf((bit + 0.5) * cell, cell / 2);
            return context.getImageData(x - area.left, y - area.top, 1, 1).data[0];
          });
        }""",
        [BITS, CELL],
    )
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


def overlay(page: Any) -> str:
    result: str = page.evaluate("document.querySelector('#canvas .dp-overlay').toDataURL()")
    return result


def screen(page: Any, x: float, y: float) -> tuple[float, float]:
    px, py = page.evaluate("([x, y]) => window.diffpose.screenOf(x, y)", [x, y])
    return px, py


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*screen(page, *start))
    page.mouse.down()
    page.mouse.move(*screen(page, *end), steps=4)
    page.mouse.up()


def set_slider(page: Any, name: str, value: int) -> None:
    number = page.locator(f"#{name} input[type=number]")
    number.fill(str(value))
    number.press("Enter")


def test_a_visitor_sees_an_example_its_people_and_one_button(page: Any, served: Served) -> None:
    open_example(page, served)

    assert shown_barcode(page) == 0
    assert page.locator("button.primary:visible").all_inner_texts() == ["Find poses"]
    assert "2 people found" in page.inner_text("#canvas .dp-words")
    assert page.locator("#export-go").is_disabled()


def test_both_sliders_change_heatmap_and_skeleton_of_this_frame(page: Any, served: Served) -> None:
    open_example(page, served)
    find_poses(page)
    assert page.evaluate("document.activeElement.classList.contains('dp-canvas')")
    seen = [(overlay(page), page.evaluate("window.diffpose.live.answer"))]

    for name, value in (("steps", 12), ("hypotheses", 30)):
        set_slider(page, name, value)
        page.wait_for_function(f"window.diffpose.live.answer?.{name} === {value}")
        page.wait_for_function(SETTLED)
        seen.append((overlay(page), page.evaluate("window.diffpose.live.answer")))

    pictures, answers = zip(*seen, strict=True)
    assert len(set(pictures)) == 3
    assert len({answer["heat"]["data"] for answer in answers}) == 3
    poses = [np.array(answer["pose"], float) for answer in answers]
    assert (poses[1][:, 0] > poses[0][:, 0] + 5).all()
    assert (poses[2][:, 3] > poses[1][:, 3] + 1).all()
    assert {answer["frame"] for answer in answers} == {0}


def test_keys_and_slider_show_the_frame_they_say(page: Any, served: Served) -> None:
    open_example(page, served)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    show(page, 2)
    assert shown_barcode(page) == 2

    for key, frame in (("Shift+ArrowRight", 12), ("ArrowLeft", 11), ("End", 39), ("Home", 0)):
        page.keyboard.press(key)
        show(page, frame)
        assert shown_barcode(page) == frame

    page.locator("#canvas .dp-frame").fill("23")
    show(page, 23)
    assert shown_barcode(page) == 23
    assert page.inner_text("#canvas .dp-time").startswith("24 / 40")


def test_space_plays_to_the_end(page: Any, served: Served) -> None:
    open_example(page, served)
    page.locator("#canvas .dp-frame").fill(str(NUM_FRAMES - 6))
    show(page, NUM_FRAMES - 6)

    page.keyboard.press("Space")

    show(page, NUM_FRAMES - 1)
    page.wait_for_function("!window.diffpose.state.playing")


def test_a_click_chooses_the_person(page: Any, served: Served) -> None:
    open_example(page, served)
    assert page.evaluate("window.diffpose.state.person") == 0

    page.mouse.click(*screen(page, 535, 250))

    page.wait_for_function("document.querySelector('#person input').value.startsWith('Person 2')")
    session = served.workspace.session(page.evaluate("window.diffpose.state.session"))
    assert session.person == 1


def test_the_list_chooses_the_person(page: Any, served: Served) -> None:
    open_example(page, served)
    page.click("#person input")

    page.get_by_role("option", name="Person 2").click()

    page.wait_for_function("window.diffpose.state.person === 1")


def test_a_drawn_box_adds_a_person_and_a_handle_corrects_it(page: Any, served: Served) -> None:
    open_example(page, served)
    page.keyboard.press("b")
    drag(page, (300, 80), (400, 320))
    page.wait_for_function("window.diffpose.state.tracks.length === 3")
    box = "window.diffpose.state.tracks.find((t) => t.id === 2).at.get(0)"
    assert np.allclose(page.evaluate(box), [300, 80, 400, 320], atol=1.0)
    page.wait_for_function("window.diffpose.state.person === 2")

    page.keyboard.press("b")
    drag(page, (400, 320), (440, 340))

    page.wait_for_function(f"{box}[2] > 420")
    assert np.allclose(page.evaluate(box), [300, 80, 440, 340], atol=1.0)


def test_a_click_on_the_timeline_seeks(page: Any, served: Served) -> None:
    open_example(page, served)
    find_poses(page)
    page.wait_for_function("window.diffposeTimeline.ready")
    place = page.evaluate(
        """() => {
          const plot = document.querySelector('#timeline .dp-plot'), x = plot._fullLayout.xaxis;
          plot.scrollIntoView({ block: 'center' });
          const area = plot.getBoundingClientRect(), y = plot._fullLayout.yaxis2;
          const row = y._length / window.diffpose.state.skeleton.keypoints.length;
          return [area.left + x._offset + x.d2p(window.diffpose.state.times[25]),
                  area.top + y._offset + 3.5 * row];
        }"""
    )

    page.mouse.click(*place)

    show(page, 25)
    assert shown_barcode(page) == 25
    assert page.evaluate("window.diffpose.state.joint") == 3
    page.wait_for_function("document.querySelector('#joint input').value === 'left ear'")
    cursor = page.locator("#timeline .dp-cursor").bounding_box()
    assert abs(cursor["x"] + cursor["width"] / 2 - place[0]) < 3


def test_exports_hold_the_poses(page: Any, served: Served, tmp_path: Path) -> None:
    open_example(page, served)
    find_poses(page)

    def export(title: str) -> Path:
        page.click("#export-format input")
        page.get_by_role("option", name=title).click()
        with page.expect_download() as waiting:
            page.click("#export-go")
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    file = read_native(export("DiffPose JSON"))
    assert len(file.sequences[0]) == NUM_FRAMES
    assert (file.provenance.num_steps, file.provenance.num_hypotheses) == (4, 8)
    with Video(export("Video with the poses")) as video:
        assert video.info.num_frames == NUM_FRAMES
    with zipfile.ZipFile(export("CSV table")) as packed:
        packed.extractall(tmp_path)
        table, provenance = sorted(packed.namelist())
    assert [len(sequence) for sequence in read_csv(tmp_path / table)] == [NUM_FRAMES]
    assert (table, provenance) == (
        "Two_people.poses.csv", "Two_people.poses.csv.provenance.json",
    )  # fmt: skip


def test_cancelling_keeps_the_finished_frames(page: Any, served: Served) -> None:
    open_example(page, served)
    served.estimator.hold_after(1)
    page.click("#run")
    page.wait_for_function("window.diffpose.state.poses.get(0)?.byFrame.size > 0")

    page.click("#cancel")
    page.wait_for_function("document.querySelector('#canvas .dp-words').textContent === 'Stopping'")
    served.estimator.gate.set()

    page.wait_for_function("!window.diffpose.state.busy")
    assert "Cancelled" in page.inner_text("#canvas .dp-words")
    kept = page.evaluate("window.diffpose.state.poses.get(0).byFrame.size")
    assert 0 < kept < NUM_FRAMES
    assert page.locator("#export-go").is_enabled()


def test_another_video_while_one_is_read_asks_for_nothing_that_is_gone(
    page: Any, served: Served, clip_path: Path, tmp_path: Path
) -> None:
    refused: list[str] = []
    page.on("response", lambda r: refused.append(r.url) if r.status >= 400 else None)
    page.goto(served.url)
    page.wait_for_function("window.diffpose?.state.clip")
    first = page.evaluate("window.diffpose.state.clip.id")
    other = shutil.copyfile(clip_path, tmp_path / "other.mp4")

    upload(page, other)

    page.wait_for_function(
        f"window.diffpose.state.clip.id !== '{first}' && window.diffpose.state.shown === 0"
        f" && {READY}"
    )
    assert refused == []
    assert page.evaluate("window.diffpose.state.errors") == []


def test_a_text_file_named_mp4_gets_one_clear_sentence(
    page: Any, served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("This is no video.")
    open_example(page, served)

    page.locator("input[type=file]").first.set_input_files(path)

    page.wait_for_function("document.querySelector('#canvas .dp-status').dataset.kind === 'error'")
    words = page.inner_text("#canvas .dp-words")
    assert words.endswith((".", "!"))
    assert "Traceback" not in page.inner_text("body")
    assert str(tmp_path) not in words
    assert page.evaluate("window.diffpose.state.clip.name") == "Two people"
    session = served.workspace.session(page.evaluate("window.diffpose.state.session"))
    assert list(session.private.rglob("notes.mp4"))
    assert not list(served.workspace.public.rglob("notes.mp4"))


def test_nobody_found_asks_for_a_box(page: Any, served: Served, clip_path: Path) -> None:
    open_example(page, served)
    served.detector.people = 0
    try:
        # Of an example the people are known already.
        upload(page, clip_path)
        page.wait_for_function("/Draw box/.test(document.querySelector('.dp-words')?.textContent)")
        page.wait_for_function("!window.diffpose.state.busy")
        page.wait_for_function("window.diffpose.state.view.scale > 0 && window.diffpose.live.idle")
        page.wait_for_timeout(500)  # the view is fitted once more when the words change its height
        page.keyboard.press("b")
        page.wait_for_function("window.diffpose.state.boxMode")
        drag(page, (110, 50), (240, 345))
        page.wait_for_function("window.diffpose.state.person === 0")
    finally:
        served.detector.people = 2

    find_poses(page)

    assert page.evaluate("window.diffpose.currentPose().length") == 26


def test_zoom_keeps_the_point_under_the_pointer_and_zero_fits(page: Any, served: Served) -> None:
    open_example(page, served)
    fitted = page.evaluate("window.diffpose.state.view.scale")
    point = screen(page, 200, 150)
    page.mouse.move(*point)

    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")

    page.wait_for_function(f"window.diffpose.state.view.scale > {fitted} * 1.5")
    assert np.allclose(screen(page, 200, 150), point, atol=2)
    page.keyboard.press("0")
    assert page.evaluate("window.diffpose.state.view.scale") == fitted


def test_question_mark_lists_the_keys(page: Any, served: Served) -> None:
    open_example(page, served)

    page.keyboard.press("?")
    assert page.locator("#canvas .dp-help").is_visible()

    page.keyboard.press("Escape")
    assert page.locator("#canvas .dp-help").is_hidden()
