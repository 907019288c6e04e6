"""``diffpose evaluate`` on benchmark folders, from the outside."""

import json

import pytest
from typer.testing import CliRunner

from diffpose.cli import app
from tests.posetrack_folder import make_posetrack

CONFIG = """
threads = 1
[model]
preset = "paper-b"
name = "tiny"
backbone = "vit_tiny_patch16_224"
crop_size = [64, 48]
radius = 1
width = 32
strl_layers = 1
decoder_widths = [32, 16, 16]
self_refinement_layers = 1
correlation_layers = 1
heads = 2
[data]
monitor = 0
[[stages]]
name = "diffusion"
objective = "diffusion"
epochs = 0.5
batch_size = 4
num_frames = 3
clip_share = 1.0
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_from_a_posetrack_folder_to_the_table(tmp_path):
    folder = make_posetrack(tmp_path / "posetrack")
    (tmp_path / "tiny.toml").write_text(CONFIG)
    weights, written = tmp_path / "run" / "weights.safetensors", tmp_path / "written"

    trained = run("train", "pose", "--config", tmp_path / "tiny.toml", "--posetrack", folder,
                  "-o", tmp_path / "run")  # fmt: skip
    scored = run("evaluate", "posetrack", folder, "--weights", weights, "--write", written)
    again = run("evaluate", "posetrack", folder, "--predictions", written)
    perfect = run("evaluate", "posetrack", folder, "--predictions", folder / "annotations" / "val")

    assert trained.exit_code == 0, trained.output
    assert "2 steps" in trained.output
    assert scored.exit_code == 0, scored.output
    assert "8 people of posetrack val, boxes: ground truth" in scored.output
    assert "| DiffPose, as published | a detector's | 85.0 |" in scored.output
    (row,) = (line for line in scored.output.splitlines() if line.startswith("| ours"))
    assert row.split("|")[3:] == _row(again).split("|")[3:]
    assert _row(perfect).split("|")[3:-1] == [" 100.0 "] * 8


def _row(result):
    assert result.exit_code == 0, result.output
    return next(line for line in result.output.splitlines() if line.startswith("| ours"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["posetrack", "nowhere"], "annotations/val"),
        (["posetrack", "x", "--detector", "--boxes", "b.json"], "--detector and --boxes"),
        (
            ["posetrack", "x", "--predictions", "y", "--write", "z"],
            "--write is for running weights",
        ),
        (["coco", "nowhere"], "person_keypoints_val2017.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = run("evaluate", *arguments)

    assert result.exit_code == 2
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_folder_without_head_boxes_is_refused_before_any_work(tmp_path):
    folder = make_posetrack(tmp_path / "posetrack")
    (table,) = (folder / "annotations" / "val").iterdir()
    content = json.loads(table.read_text())
    for person in content["annotations"]:
        del person["bbox_head"]
    table.write_text(json.dumps(content))

    result = run("evaluate", "posetrack", folder, "--write", tmp_path / "written")

    assert result.exit_code == 2
    assert "complete bbox_head" in result.output
    assert not (tmp_path / "written").exists()
