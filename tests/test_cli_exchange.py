"""``diffpose export`` and ``import``: what goes out comes back, what is wrong is one line."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.formats.native import read_native, write_native
from diffpose.poses import Origin
from diffpose.review.events import Move
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.skeleton import HALPE26
from diffpose.video.decode import Video
from diffpose.video.encode import write_video
from tests.formats.made_poses import PROVENANCE, sequence, video

INFO = video(9)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def poses(tmp_path):
    path = tmp_path / "poses.json"
    write_native(path, [sequence(0, [1, 4]), sequence(7, [4])], INFO, PROVENANCE)
    return path


@pytest.mark.parametrize(
    ("name", "suffix", "back"),
    [("coco-annotations", "json", "coco"), ("dlc-csv", "csv", "dlc"), ("sleap", "slp", "sleap")],
)
def test_an_export_is_imported_again_by_name(tmp_path, poses, name, suffix, back):
    out = run("export", poses, "--format", name, "-o", tmp_path / f"o.{suffix}")
    read = run("import", tmp_path / f"o.{suffix}", "--video", poses, "-o", tmp_path / "back.json")

    assert out.exit_code == 0, out.output
    assert f"o.{suffix}" in out.output
    assert "alone does not hold" in out.output
    assert read.exit_code == 0, read.output
    before, after = read_native(poses).sequences, read_native(tmp_path / "back.json").sequences
    assert [s.track_id for s in after] == [0, 7]
    nose = HALPE26.index("nose")
    np.testing.assert_array_equal(after[0].keypoints[:, nose], before[0].keypoints[:, nose])
    assert read_native(tmp_path / "back.json").provenance.extra["imported"]["format"] == back


def test_one_person_can_be_chosen(tmp_path, poses):
    out = run("export", poses, "--format", "csv", "--track", "7", "-o", tmp_path / "o.csv")

    assert out.exit_code == 0, out.output
    assert {line.split(",")[0] for line in (tmp_path / "o.csv").read_text().splitlines()[1:]} == {
        "7"
    }


def test_what_is_different_in_an_imported_file_is_said(tmp_path, poses):
    (tmp_path / "d.csv").write_text(
        "scorer,me,me,me,me\nbodyparts,RKnee,RKnee,tail,tail\ncoords,x,y,x,y\n0,1,2,3,4\n"
    )

    read = run(
        "import", tmp_path / "d.csv", "--video", poses, "--as", "corrections",
        "--skeleton", "coco17", "-o", tmp_path / "back.json",
    )  # fmt: skip

    assert read.exit_code == 0, read.output
    for words in ("note: Ignored", "tail", "note: Missing", "1 frames"):
        assert words in read.output
    (one,) = read_native(tmp_path / "back.json").sequences
    assert one.skeleton.name == "coco17"
    assert one.origin[0, one.skeleton.index("right_knee")] == Origin.CORRECTED


def test_a_project_is_exported_as_reviewed(tmp_path):
    path = tmp_path / "run.diffpose"
    origin = sequence(0, [1, 4])
    with Store(path, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as store:
        store.add_video(INFO)
        store.add_predictions(origin, video_id=INFO.video_id, provenance=PROVENANCE)
        session = ReviewSession(store)
        session.apply(Move(track_id=0, frame=4, keypoint=HALPE26.index("nose"), xy=(12.0, 34.0)))

    out = run("export", path, "--format", "coco-annotations", "-o", tmp_path / "o.json")

    assert out.exit_code == 0, out.output
    content = json.loads((tmp_path / "o.json").read_text())
    moved = next(a for a in content["annotations"] if a["image_id"] == 4)
    assert moved["keypoints"][:3] == [12, 34, 2]
    assert moved["source"][0] == "corrected"
    assert content["info"]["provenance"]["weights"] == PROVENANCE.weights


def test_an_overlay_hides_faces_on_request(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    write_video(tmp_path / "v.mp4", [noise] * 3, np.arange(3) / 25)
    with Video(tmp_path / "v.mp4") as clip:
        info = clip.info
    write_native(tmp_path / "p.json", [sequence(0, [0, 2])], info, PROVENANCE)
    common = ("export", tmp_path / "p.json", "--format", "overlay", "--video", tmp_path / "v.mp4")

    plain = run(*common, "-o", tmp_path / "plain.mp4")
    blurred = run(*common, "--blur-faces", "-o", tmp_path / "blurred.mp4")

    assert plain.exit_code == blurred.exit_code == 0, plain.output + blurred.output
    assert (tmp_path / "blurred.mp4").stat().st_size < (tmp_path / "plain.mp4").stat().st_size


def test_the_overlay_of_another_video_is_refused(tmp_path, poses):
    write_video(tmp_path / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3, np.arange(3) / 25)

    out = run(
        "export", poses, "--format", "overlay", "--video", tmp_path / "v.mp4",
        "-o", tmp_path / "o.mp4",
    )  # fmt: skip

    assert out.exit_code == 2
    assert "not the video" in out.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "bvh"), "There is no format 'bvh'"),
        (("--format", "csv", "--track", "3"), "There is no track 3; the tracks are 0, 7"),
        (("--format", "csv", "--blur-faces"), "--format overlay"),
        (("--format", "overlay"), "with --video"),
        (("--format", "trc", "--metres-per-px", "0"), "positive scale"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path, poses, arguments, words):
    out = run("export", poses, *arguments, "-o", tmp_path / "o")

    assert out.exit_code == 2
    assert words in out.output
    assert not (tmp_path / "o").exists()


def test_a_file_that_is_not_there_and_an_unknown_skeleton_are_refused(tmp_path, poses):
    missing = run("export", tmp_path / "no.json", "--format", "csv", "-o", tmp_path / "o")
    skeleton = run("import", poses, "--skeleton", "cat", "-o", tmp_path / "o")
    no_video = run("import", slp_of(poses), "-o", tmp_path / "o")

    assert "check the name" in missing.output
    assert "There is no skeleton 'cat'" in skeleton.output
    assert "name the video" in no_video.output
    assert missing.exit_code == skeleton.exit_code == no_video.exit_code == 2


def slp_of(poses):
    """A SLEAP file beside the poses."""
    run("export", poses, "--format", "sleap", "-o", poses.with_suffix(".slp"))
    return poses.with_suffix(".slp")
