"""What a reviewer can do, done in Chromium."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.desk import adapting
from diffpose.inference.adapt import Adapted
from tests.app.figures import ANKLE, NUM_FRAMES, Served, moved_by_ten
from tests.app.test_browser import drag, open_example, screen, show

pytestmark = pytest.mark.browser

WRIST = 10
SAVED = "window.diffpose.desk.idle"
LIES_AT = "([k, x]) => Math.abs(window.diffpose.state.poses.get(0).byFrame.get(0)[k][0] - x) < 0.1"


def found(page: Any) -> None:
    """Poses are found, and the project that keeps them has been read."""
    page.click("#run")
    read(page)


def read(page: Any) -> None:
    page.wait_for_function(
        "window.diffpose?.state.project && !window.diffpose.state.busy"
        " && window.diffpose.desk.state.revision > 0"
        f" && window.diffpose.desk.state.marks.get(0)?.size === {NUM_FRAMES}"
    )


def edit(page: Any) -> None:
    page.keyboard.press("e")
    page.wait_for_function("window.diffpose.editing.on")


def point(page: Any, joint: int = WRIST, frame: int = 0) -> np.ndarray:
    row = page.evaluate(
        "([k, f]) => window.diffpose.state.poses.get(0).byFrame.get(f)[k]", [joint, frame]
    )
    return np.array(row[:2], float)


def marks(page: Any, frame: int = 0) -> dict[str, Any]:
    held: dict[str, Any] = page.evaluate(
        "(f) => window.diffpose.desk.state.marks.get(0).get(f)", frame
    )
    return held


def saved(page: Any) -> None:
    page.wait_for_function(SAVED)


def move(page: Any, joint: int = WRIST, by: tuple[float, float] = (-30.0, 20.0)) -> np.ndarray:
    """Drag a keypoint of the first frame; where it was."""
    before = point(page, joint)
    drag(page, tuple(before), tuple(before + np.array(by)))
    page.wait_for_function("window.diffpose.editing.suggestion")
    saved(page)
    return before


def project_of(page: Any, served: Served) -> Any:
    return served.workspace.session(page.evaluate("window.diffpose.state.session")).desk


def test_a_drag_is_kept_and_a_reload_finds_it_with_its_undo(page: Any, served: Served) -> None:
    open_example(page, served)
    assert page.locator("[data-act=edit]").is_disabled()
    found(page)
    edit(page)
    before = move(page)

    assert np.allclose(point(page), before + np.array([-30, 20]), atol=1.0)
    page.reload()
    read(page)

    assert np.allclose(point(page), before + np.array([-30, 20]), atol=1.0)
    assert marks(page)["marks"][WRIST] == 1
    assert page.locator("#example input:checked").count() == 0
    edit(page)
    page.keyboard.press("Control+z")
    page.wait_for_function("window.diffpose.desk.state.redo")
    assert np.array_equal(point(page), before)
    page.keyboard.press("Control+Shift+z")
    page.wait_for_function("!window.diffpose.desk.state.redo && window.diffpose.desk.state.undo")
    assert np.allclose(point(page), before + np.array([-30, 20]), atol=1.0)


def test_a_suggestion_is_taken_or_left_with_one_key(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    move(page)
    neighbour = point(page, WRIST, 2)
    frames = page.evaluate("window.diffpose.editing.suggestion.frames")
    assert frames == [0, 1, 2]
    assert page.inner_text(".dp-ask-words") == "3 frames would follow"

    page.keyboard.press("Escape")
    assert page.locator(".dp-ask").is_hidden()
    assert np.array_equal(point(page, WRIST, 2), neighbour)

    corrected = point(page)
    move(page, joint=9)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "/took the suggestion/.test(document.querySelector('.dp-words').textContent)"
    )

    assert np.array_equal(point(page), corrected)
    assert not np.array_equal(point(page, WRIST, 2), neighbour)


def test_everything_has_a_key(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    pose = np.array([point(page, k) for k in range(26)])
    page.evaluate("window.diffpose.joint(9)")

    page.keyboard.press("]")
    page.keyboard.press("Shift+D")
    page.keyboard.press("w")
    page.wait_for_function(
        "(window.diffpose.desk.state.marks.get(0).get(0).marks[10] & 1) && " + SAVED
    )
    assert np.allclose(point(page), pose[WRIST] + np.array([10, -1]), atol=0.02)

    page.keyboard.press("h")
    saved(page)
    assert marks(page)["marks"][WRIST] == 3
    page.keyboard.press("o")
    saved(page)
    assert marks(page)["marks"][WRIST] & 4
    page.keyboard.press("v")
    saved(page)
    assert marks(page)["marks"][WRIST] == 1

    page.keyboard.press("x")
    saved(page)
    assert np.allclose(point(page, 15), pose[16], atol=0.02)
    page.keyboard.press("ArrowRight")
    show(page, 1)
    page.keyboard.press("r")
    saved(page)
    assert np.allclose(point(page, 15, 1), pose[16], atol=0.02)
    page.keyboard.press("m")
    page.keyboard.press("s")
    page.wait_for_function("!window.diffpose.editing.draft && " + SAVED)
    assert np.allclose(point(page, 15, 1), pose[16] + np.array([0, 1]), atol=0.02)


def test_frames_are_selected_and_confirmed_together(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)

    page.keyboard.press("q")
    page.keyboard.press("Shift+ArrowRight")
    show(page, 10)
    page.keyboard.press("c")
    saved(page)

    assert [marks(page, frame)["confirmed"] for frame in (0, 5, 10, 11)] == [True] * 3 + [False]
    page.keyboard.press("Control+z")
    page.wait_for_function("window.diffpose.desk.state.redo")
    assert not marks(page, 5)["confirmed"]


def test_a_keypoint_is_hidden_in_several_frames_in_one_step(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    page.evaluate(f"window.diffpose.joint({WRIST})")

    page.keyboard.press("q")
    page.keyboard.press("Shift+ArrowRight")
    show(page, 10)
    assert page.inner_text(".dp-many") == "in 11"
    page.keyboard.press("h")
    saved(page)

    hidden = [marks(page, frame)["marks"][WRIST] for frame in (0, 5, 10, 11)]
    assert hidden == [2, 2, 2, 0]
    assert "occluded in frames 1 to 11" in page.inner_text(".dp-words")
    assert page.evaluate("window.diffpose.editing.anchor") is None
    page.keyboard.press("Control+z")
    page.wait_for_function("window.diffpose.desk.state.redo")
    assert [marks(page, frame)["marks"][WRIST] for frame in (0, 5, 10)] == [0, 0, 0]
    page.keyboard.press("q")
    page.keyboard.press("ArrowLeft")
    show(page, 9)
    page.click("[data-visibility=out_of_frame]")
    saved(page)
    assert [marks(page, frame)["marks"][WRIST] for frame in (8, 9, 10)] == [
        0,
        5,
        5,
    ]  # outside is the reviewer's word


def test_only_its_handle_moves_the_whole_body(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    ankle, head = point(page, ANKLE), point(page, 17)
    scale = page.evaluate("window.diffpose.state.view.scale")
    span = page.evaluate(
        "(() => { const xs = window.diffpose.currentPose().map((r) => r[0]);"
        " return (Math.min(...xs) + Math.max(...xs)) / 2; })()"
    )

    drag(page, (span, head[1] - 34 / scale), (span + 25, head[1] - 34 / scale + 5))
    saved(page)

    assert np.allclose(point(page, ANKLE), ankle + np.array([25, 5]), atol=1.0)
    assert np.allclose(point(page, 17), head + np.array([25, 5]), atol=1.0)


def test_n_goes_where_a_correction_helps_most(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)

    page.keyboard.press("n")
    page.wait_for_function("window.diffpose.editing.queue && window.diffpose.state.shown > 0")

    first = page.evaluate("window.diffpose.editing.queue.items[0]")
    assert page.evaluate("[window.diffpose.state.shown, window.diffpose.state.joint]") == [
        first["frame"], first["keypoint"],
    ]  # fmt: skip
    assert "for 5 px" in page.inner_text(".dp-left")
    page.keyboard.press("c")
    page.wait_for_function(
        f"window.diffpose.editing.queue.items.every((i) => i.frame !== {first['frame']})"
    )


def test_one_click_takes_an_alternative(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    page.wait_for_selector(".dp-others button")
    before = point(page, ANKLE)
    assert "25 %" in page.inner_text(".dp-others button")

    page.click(".dp-others button")
    page.wait_for_function(
        "(window.diffpose.desk.state.marks.get(0).get(0).marks[15] & 1) && " + SAVED
    )

    assert np.allclose(point(page, ANKLE), before - np.array([40, 0]), atol=1.0)


def test_a_second_tab_sees_the_newer_pose_and_never_overwrites(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    other = page.context.new_page()
    other.set_default_timeout(60_000)
    other.goto(served.url)
    project = page.evaluate("window.diffpose.state.project.id")
    other.wait_for_function("window.diffpose?.state.shown === 0 && !window.diffpose.state.busy")
    other.click("#projects summary")
    other.click(f"#projects .dp-choose[aria-label='Open {project_of(page, served).name}']")
    read(other)
    assert other.evaluate("window.diffpose.state.project.id") == project

    before = move(page)
    # As if the other page had not looked yet.
    reply = other.evaluate(
        "window.diffpose.desk.post('act', { action: "
        "{ kind: 'move', track_id: 0, frame: 0, keypoint: 3, xy: [5, 5] } })"
    )

    if reply["ok"]:  # it had: then it acted on what it saw
        assert np.allclose(point(other), before + np.array([-30, 20]), atol=1.0)
    else:
        assert reply["stale"]
        assert "nothing of yours was saved" in other.inner_text(".dp-words")
    other.wait_for_function("window.diffpose.desk.state.marks.get(0).get(0).marks[10] === 1")
    assert np.allclose(point(other), before + np.array([-30, 20]), atol=1.0)
    other.close()


def test_another_browser_sees_no_project_of_this_one(
    page: Any, browser: Any, served: Served
) -> None:
    open_example(page, served)
    found(page)
    context = browser.new_context()
    stranger = context.new_page()
    stranger.set_default_timeout(60_000)

    stranger.goto(served.url)
    stranger.wait_for_function("window.diffpose?.state.shown === 0")
    stranger.click("#projects summary")

    stranger.wait_for_selector("#projects .dp-note")
    assert stranger.locator("#projects .dp-choose").count() == 0
    context.close()


def test_projects_are_renamed_copied_deleted_and_brought_back(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    page.click("#projects summary")
    page.click("#projects [aria-label='Rename Two people']")
    page.fill("#projects input", "Monday <b>run</b>")
    page.keyboard.press("Enter")
    page.wait_for_selector("#projects [aria-label='Copy Monday <b>run</b>']")
    page.click("#projects [aria-label='Copy Monday <b>run</b>']")
    page.wait_for_function("document.querySelectorAll('#projects .dp-list li').length === 2")
    page.click("#projects .dp-mine [aria-label^='Delete']")
    page.wait_for_function("window.diffpose.state.project === null")
    assert page.locator("[data-act=edit]").is_disabled()

    page.click("#projects .dp-gone button")

    page.wait_for_function("document.querySelectorAll('#projects .dp-list li').length === 2")


def test_a_project_is_downloaded_and_opened_again(page: Any, served: Served) -> None:
    open_example(page, served)
    found(page)
    edit(page)
    page.evaluate(f"window.diffpose.joint({WRIST})")
    page.keyboard.press("h")
    saved(page)
    page.click("#projects summary")

    with page.expect_download() as download:
        page.click("#projects [aria-label='Download Two people']")
    with page.expect_file_chooser() as chooser:
        page.click("#projects .dp-open-file")
    assert download.value.suggested_filename == "Two people.diffpose"
    file = download.value.path().with_name("Two people.diffpose")
    download.value.save_as(file)
    first = page.evaluate("window.diffpose.state.project.id")
    chooser.value.set_files(file)

    page.wait_for_function(f"(window.diffpose.state.project?.id ?? '{first}') !== '{first}'")
    read(page)
    assert marks(page)["marks"][WRIST] == 2


def test_a_touch_drags_a_keypoint(browser: Any, served: Served) -> None:
    context = browser.new_context(viewport={"width": 820, "height": 1100}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    open_example(page, served)
    found(page)
    page.tap("[data-act=edit]")
    before = point(page)
    x, y = screen(page, *before)
    touch = context.new_cdp_session(page)

    def send(kind: str, *points: dict[str, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x + 6, "y": y + 6})
    send("touchMove", {"x": x - 20, "y": y + 6})
    send("touchMove", {"x": x - 34, "y": y + 6})
    send("touchEnd")
    page.wait_for_function(
        "(window.diffpose.desk.state.marks.get(0).get(0).marks[10] & 1) && " + SAVED
    )

    scale = page.evaluate("window.diffpose.state.view.scale")
    assert np.allclose(point(page), before - np.array([40 / scale, 0]), atol=1.5)
    context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 400)])
def test_on_a_small_page_the_suggestion_lies_below_the_picture(
    browser: Any, served: Served, width: int, height: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    open_example(page, served)
    found(page)
    page.tap("[data-act=edit]")
    page.wait_for_function("window.diffpose.editing.on")
    below = "document.querySelector('.dp-tools').offsetTop"
    tools = page.evaluate(below)

    page.evaluate(f"window.diffpose.joint({WRIST}); document.querySelector('.dp-canvas').focus()")
    page.keyboard.press("Shift+A")
    page.wait_for_selector(".dp-ask")

    picture, ask = (page.locator(s).bounding_box() for s in (".dp-picture", ".dp-ask"))
    assert picture["y"] + picture["height"] <= ask["y"]
    assert ask["x"] >= 0
    assert ask["x"] + ask["width"] <= width
    assert page.evaluate(below) == tools  # nothing jumps under the finger
    page.tap("[data-act=accept]")
    page.wait_for_selector(".dp-ask", state="hidden")
    assert page.evaluate(below) == tools
    context.close()


def test_the_model_adapts_and_one_click_brings_the_shipped_one_back(
    page: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = Adapted({}, frames=9, steps=30, before_px=9.1, after_px=7.4, change_px=(-2.0, -1.0))
    monkeypatch.setattr(adapting, "_learn", lambda workspace, session: learnt)
    monkeypatch.setattr(adapting, "_put_in_force", moved_by_ten)
    open_example(page, served)
    found(page)
    assert page.inner_text(".dp-force") == "Shipped model"
    edit(page)
    before = point(page, ANKLE)

    page.click(".dp-adapt")

    page.wait_for_selector(".dp-back:not([hidden])", state="attached")
    said = "held-out error 9.1 → 7.4 px (9 frames"
    page.wait_for_function("words => document.body.textContent.includes(words)", arg=said)
    assert not page.evaluate("window.diffpose.editing.on")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        words = page.locator(".dp-force")
        assert words.inner_text() == "Adapted to this project: held-out error 9.1 → 7.4 px"
        area = words.bounding_box()
        assert area["x"] > 0
        assert area["x"] + area["width"] < width
    edit(page)
    page.wait_for_function(LIES_AT, arg=[ANKLE, before[0] + 10])

    page.click(".dp-back")

    page.wait_for_selector(".dp-back", state="hidden")
    page.wait_for_function(LIES_AT, arg=[ANKLE, before[0]])
    assert page.inner_text(".dp-force") == "Shipped model"
