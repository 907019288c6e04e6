"""The command line: what goes in comes out, and what is wrong is one line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import diffpose
from diffpose.cli import app
from diffpose.cli.console import needs
from diffpose.errors import WeightsError
from diffpose.formats.native import read_native
from diffpose.formats.table import read_csv
from diffpose.poses import SamplingConfig
from diffpose.review.store import Store
from tests.fakes import (
    FakeDetector,
    FakeEstimator,
    FakePoses,
    FakeVideo,
    box_around,
    draw_dots,
    walk,
)

Run = Callable[..., Result]


def two(frame: int) -> list[tuple[float, float]]:
    """A person who stays and, from frame 20 on, one who passes."""
    return [(50.0, 60.0), (150.0, 90.0 + frame / 4)][: 1 + (frame >= 20)]


@pytest.fixture
def video(monkeypatch: pytest.MonkeyPatch) -> FakeVideo:
    fake = FakeVideo(two)
    monkeypatch.setattr("diffpose.cli.open_video", lambda *_: fake)
    return fake


@pytest.fixture
def estimator(monkeypatch: pytest.MonkeyPatch) -> FakeEstimator:
    fake = FakeEstimator()
    monkeypatch.setattr("diffpose.cli.load_estimator", lambda *_, mirrored: fake)
    monkeypatch.setattr("diffpose.cli.load_detector", lambda device: FakeDetector())
    return fake


@pytest.fixture
def run(tmp_path: Path, estimator: FakeEstimator) -> Run:
    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["infer", *map(str, arguments)])

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures; in the third there is nobody."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, dots in enumerate([two(0), two(20), [], walk(9)]):
        cv2.imwrite(str(folder / f"p{i}.png"), draw_dots(dots, size=(150, 200)))
    return folder


def bbox(dot: tuple[float, float]) -> list[float]:
    x1, y1, x2, y2 = box_around(dot)
    return [x1, y1, x2 - x1, y2 - y1]


def test_a_video_gives_the_people_found(run: Run, video: FakeVideo, tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    result = run("walk.mp4", "-o", out, "--steps", 2, "--ensemble", 3, "--seed", 7)

    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "100%  People: 40 of 40 frames searched" in result.stderr
    assert "100%  60 of 60 poses" in result.stderr
    poses = read_native(out)
    stays, passes = poses.sequences
    assert stays.frames.tolist() == list(range(40))
    np.testing.assert_allclose(stays.keypoints[:, 10], [(50, 60)] * 40, atol=0.15)
    true = [two(int(f))[1] for f in passes.frames]
    np.testing.assert_allclose(passes.keypoints[:, 10], true, atol=0.15)
    made = poses.provenance
    assert (made.num_steps, made.num_hypotheses, made.seed, made.weights) == (
        2,
        3,
        7,
        "fake-weights",
    )


def test_a_project_file_is_ready_for_review(run: Run, video: FakeVideo, tmp_path: Path) -> None:
    out, same = tmp_path / "walk.diffpose", tmp_path / "walk.json"

    result = run("walk.mp4", "-o", out, "--ensemble", 2)
    run("walk.mp4", "-o", same, "--ensemble", 2)

    assert result.exit_code == 0, result.stderr
    expected = read_native(same)
    with Store(out, read_only=True) as store:
        (known,) = store.videos()
        assert (store.name, store.track_ids()) == ("walk", [0, 1])
        assert (known.video_id, known.path) == (video.info.video_id, Path("dots.mp4").resolve())
        for track_id, sequence in enumerate(expected.sequences):
            found = store.predictions(track_id)
            np.testing.assert_array_equal(found.keypoints, sequence.keypoints)
            boxes = store.boxes_of(track_id)
            assert boxes is not None
            assert boxes.frames.tolist() == sequence.frames.tolist()
            assert store.provenance(track_id) == expected.provenance
    listed = CliRunner().invoke(app, ["review", "queue", str(out), "--target-px", "0"])
    assert json.loads(listed.stdout)["frames"] > 0


def test_a_project_is_never_replaced(run: Run, video: FakeVideo, tmp_path: Path) -> None:
    out = tmp_path / "walk.diffpose"
    run("walk.mp4", "-o", out, "--ensemble", 1, "--steps", 1)
    before = out.read_bytes()
    video.reads.clear()

    result = run("walk.mp4", "-o", out)

    assert result.exit_code == 2
    assert "never overwritten; choose another name" in result.stderr
    assert out.read_bytes() == before
    assert not video.reads  # refused before any work


def test_a_project_holds_no_pictures(run: Run, folder: Path, tmp_path: Path) -> None:
    for more in ([], ["--sequence"]):
        result = run(folder, "-o", tmp_path / "walk.diffpose", *more)

        assert result.exit_code == 2
        assert "write a .json file" in result.stderr
    assert not list(tmp_path.glob("*.diffpose"))


def test_a_range_and_the_most_prominent_person(run: Run, video: FakeVideo, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    result = run("v.mp4", "-o", out, "--range", "25:", "--people", 1, "--format", "csv")

    assert result.exit_code == 0, result.stderr
    (person,) = read_csv(out, skeleton=FakeEstimator().skeleton)
    assert person.frames.tolist() == list(range(25, 40))


def test_boxes_name_the_people_of_a_video(run: Run, video: FakeVideo, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image": 30, "bbox": bbox(two(30)[1])}]))
    out = tmp_path / "out.json"

    result = run("v.mp4", "-o", out, "--boxes", boxes, "--range", "28:32")

    assert result.exit_code == 0, result.stderr
    (person,) = read_native(out).sequences
    np.testing.assert_allclose(person.keypoints[2, 10], two(30)[1], atol=0.15)


def test_pictures_are_searched_and_the_empty_one_is_named(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"

    result = run(folder, "-o", out)

    assert result.exit_code == 0, result.stderr
    assert "warning: Nobody was found in p2.png." in result.stderr
    first, second = read_native(out).sequences
    assert (first.frames.tolist(), second.frames.tolist()) == ([0, 1, 3], [1])


def test_poses_of_pictures_come_in_the_order_of_the_boxes(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    wanted = [("p3.png", walk(9)[0]), ("p1.png", two(20)[1]), ("p1.png", two(20)[0])]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image": name, "bbox": bbox(dot)} for name, dot in wanted]))
    out, coco = tmp_path / "out.json", tmp_path / "coco.json"

    result = run(folder, "-o", out, "--boxes", boxes)
    run(folder, "-o", coco, "--boxes", boxes, "--format", "coco")

    assert result.exit_code == 0, result.stderr
    entries = json.loads(coco.read_text())
    assert [entry["file_name"] for entry in entries] == [name for name, _ in wanted]
    found = [entry["keypoints"][:2] for entry in entries]
    np.testing.assert_allclose(found, [dot for _, dot in wanted], atol=0.15)
    assert read_native(out).order == ((0, 3), (0, 1), (1, 1))


def test_a_folder_may_be_a_video(run: Run, folder: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image": "p0.png", "bbox": bbox((50, 60))}]))
    out = tmp_path / "out.json"

    result = run(folder, "-o", out, "--boxes", boxes, "--sequence", "--fps", 10)

    assert result.exit_code == 0, result.stderr
    poses = read_native(out)
    assert poses.info.times_s.tolist() == [0, 0.1, 0.2, 0.3]
    assert poses.sequences[0].frames.tolist() == [0, 1, 2, 3]
    # Keypoint 3 is the frame after the centre frame: the window looks at the next picture.
    np.testing.assert_allclose(poses.sequences[0].keypoints[0, 3], (50, 60), atol=0.15)


def test_nobody_anywhere_says_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("diffpose.cli.open_video", lambda *_: FakeVideo(lambda f: []))

    result = run("empty.mp4", "-o", tmp_path / "out.json")

    assert result.exit_code == 2
    assert "Nobody was found" in result.stderr
    assert "give a box" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--range", "5"], "A:B"),
        (["--range", "a:b"], "A:B"),
        (["--range", "9:9"], "within 0:40"),
        (["--range", "0:41"], "within 0:40"),
        (["--steps", "0"], "1 to 50"),
        (["--ensemble", "65"], "1 to 64"),
        (["--seed", "-1"], "seed must be"),
        (["--people", "none"], "--people"),
        (["--people", "0"], "--people"),
        (["--people", "2", "--boxes", "b.json"], "either --boxes or --people"),
        (["--boxes", "missing.json"], "missing.json"),
        (["--sequence"], "folder of pictures"),
        (["--output", "no/such/folder/out.json"], "does not exist"),
        (["--output", "."], "must be a file"),
        (["--output", "p.diffpose", "--format", "csv"], "give one of the two"),
    ],
)
def test_a_mistake_is_one_line(
    run: Run, video: FakeVideo, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run("v.mp4", "-o", tmp_path / "out.json", *arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '[{"image": 0, "bbox": [900, 0, 5, 5]}]'])
def test_bad_boxes_are_one_line(run: Run, video: FakeVideo, tmp_path: Path, content: str) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(content)

    result = run("v.mp4", "-o", tmp_path / "out.json", "--boxes", boxes)

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_no_video_and_missing_weights_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")

    def no_weights(weights: Path | None, device: str, *, mirrored: bool) -> None:
        raise WeightsError("There is no weights file.")

    no_video = run(text, "-o", tmp_path / "out.json")
    missing = run(tmp_path / "missing.mp4", "-o", tmp_path / "out.json")
    monkeypatch.setattr("diffpose.cli.open_video", lambda *_: FakeVideo())
    monkeypatch.setattr("diffpose.cli.load_estimator", no_weights)
    weightless = run("v.mp4", "-o", tmp_path / "out.json")

    for result in (no_video, missing, weightless):
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1


class Interrupted(FakeEstimator):
    """Ctrl-C is pressed while the second chunk is computed."""

    def sample(self, *args: object, **kwargs: object) -> FakePoses:
        if self.num_sampled:
            os.kill(os.getpid(), signal.SIGINT)
        return super().sample(*args, **kwargs)  # type: ignore[arg-type]


def test_ctrl_c_keeps_finished_parts_and_the_next_run_goes_on(
    run: Run, video: FakeVideo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ("v.mp4", "--job", tmp_path / "job", "--ensemble", 2)
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("diffpose.cli.load_estimator", lambda *_, mirrored: Interrupted())

    stopped = run(*arguments, "-o", tmp_path / "a.json")

    assert stopped.exit_code == 130
    assert "Stopped on request" in stopped.stderr
    assert not (tmp_path / "a.json").exists()
    assert signal.getsignal(signal.SIGINT) is before

    rest = FakeEstimator()
    monkeypatch.setattr("diffpose.cli.load_estimator", lambda *_, mirrored: rest)
    resumed = run(*arguments, "-o", tmp_path / "a.json")
    undisturbed = run("v.mp4", "--ensemble", 2, "-o", tmp_path / "b.json")

    assert resumed.exit_code == undisturbed.exit_code == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"diffpose {diffpose.__version__}\n"


def test_the_package_runs_as_a_program_and_starts_the_app() -> None:
    command = [sys.executable, "-m", "diffpose", "app", "--help"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "usage: diffpose app" in done.stdout
    assert "--projects" in done.stdout


def test_without_the_app_s_packages_the_command_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="gradio")

    monkeypatch.setattr("importlib.import_module", missing)

    result = CliRunner().invoke(app, ["app"])

    assert result.exit_code == 2
    assert "pip install 'gradio" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_module_of_our_own_is_no_package_to_install() -> None:
    with pytest.raises(ModuleNotFoundError), needs("The app", "gradio>=6"):
        raise ModuleNotFoundError(name="gradio_client")


def test_a_rate_of_playing_is_not_silently_ignored(
    run: Run, video: FakeVideo, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "poses.json"
    for arguments, word in [
        (["walk.mp4", "--fps", 50], "--capture-fps"),
        ([folder, "--sequence", "--capture-fps", 240], "--fps"),
    ]:
        result = run(*arguments, "-o", out)
        assert result.exit_code == 2
        assert word in result.stderr
    assert not out.exists()


def test_help_names_the_defaults_of_the_library() -> None:
    default = SamplingConfig()

    text = CliRunner().invoke(app, ["infer", "--help"]).stdout

    assert f"[default: {default.num_steps}]" in text
    assert f"[default: {default.num_hypotheses}]" in text
