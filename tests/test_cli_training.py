"""The commands that make data and weights, from the outside."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.data.sources import load_lspet
from diffpose.skeleton import HALPE26
from tests.data.lspet_folder import write_lspet

CONFIG = """
threads = 1
[model]
preset = "small"
name = "tiny"
crop_size = [64, 64]
radius = 1
width = 32
strl_layers = 1
decoder_widths = [32, 16, 16]
correlation_layers = 1
heads = 2
[data]
monitor = 2
[[stages]]
name = "coarse"
objective = "coarse"
steps = 2
batch_size = 2
crop_size = [64, 64]
[[stages]]
name = "diffusion"
objective = "diffusion"
steps = 2
batch_size = 2
num_frames = 3
"""


@pytest.fixture
def lspet(tmp_path):
    """A folder in the format of Leeds Sports Pose Extended, made up."""
    folder = tmp_path / "lspet"
    folder.mkdir()
    for split, count in (("train", 8), ("val", 3)):
        write_lspet(folder, split, count=count)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_train_then_evaluate(tmp_path, lspet):
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)

    trained = run("train", "pose", "--config", config, "--lspet", lspet, "-o", tmp_path / "run")
    again = run("train", "pose", "--config", config, "--lspet", lspet, "-o", tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    scored = run("evaluate", "lspet", lspet, "--weights", weights, "--whole-picture")

    assert trained.exit_code == 0, trained.output
    assert "4 steps" in trained.output
    assert "4 steps" in again.output  # a finished run has nothing left to do
    assert scored.exit_code == 0, scored.output
    assert "3 people of lspet, boxes: whole picture" in scored.output
    assert "| **12 limb keypoints** |" in scored.output
    assert "degrees from upright" in scored.output

    trust = tmp_path / "trust.npz"
    audited = run("data", "check-annotations", lspet, "--weights", weights, "-o", trust)
    assert audited.exit_code == 0, audited.output
    assert "8 pictures: arms doubted in" in audited.output
    trusting = run("train", "pose", "--config", config, "--lspet", lspet, "--trust", trust,
                   "-o", tmp_path / "trusting")  # fmt: skip
    assert trusting.exit_code == 0, trusting.output


def test_an_audit_hears_a_second_opinion(tmp_path, lspet):
    opinion, trust = tmp_path / "opinion.json", tmp_path / "trust.npz"
    names = load_lspet(lspet, "train", HALPE26).names
    opinion.write_text(
        json.dumps([{"file_name": n, "keypoints": [30, 40, 0.9] * 17, "score": 1} for n in names])
    )
    audited = run("data", "check-annotations", lspet, "--second-opinion", opinion, "-o", trust)
    assert audited.exit_code == 0, audited.output
    assert "replaced" in audited.output
    settled = load_lspet(lspet, "train", HALPE26, trust=str(trust))
    nose = settled.keypoints[:, HALPE26.index("nose")]
    np.testing.assert_array_equal(nose, np.tile([30, 40], (len(names), 1)))

    both = run(
        "data",
        "check-annotations",
        lspet,
        "--second-opinion",
        opinion,
        "--weights",
        trust,
        "-o",
        trust,
    )
    assert both.exit_code == 2
    assert "--weights or --second-opinion" in both.output


def test_a_run_begins_with_another_s_weights(tmp_path, lspet):
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)
    run("train", "pose", "--config", config, "--lspet", lspet, "-o", tmp_path / "first")
    first = tmp_path / "first" / "weights.safetensors"

    second = run("train", "pose", "--config", config, "--lspet", lspet, "--first-weights", first,
                 "-o", tmp_path / "second")  # fmt: skip

    assert second.exit_code == 0, second.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "pose", "--config", "unheard-of", "-o", "x"], "small"),
        (["train", "pose", "-o", "x"], "no training data"),
        (["train", "pose", "--lspet", "nowhere", "-o", "x"], "lspet_train.npz"),
        (["data", "synthesize", "nowhere", "-o", "x"], "avatars"),
        (["train", "detector", "--backgrounds", "nowhere", "-o", "x"], "photo"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
    assert len(result.output.strip().splitlines()) == 1
