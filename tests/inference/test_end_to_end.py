"""The whole path with a real, small, untrained network: exact where the mathematics is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.formats.native import read_native
from diffpose.inference.estimator import Estimator
from diffpose.inference.jobs import Job
from diffpose.inference.pipeline import estimate_poses, iter_poses
from diffpose.model.network import DiffPose
from diffpose.model.weights import save_weights
from diffpose.poses import SamplingConfig, Track
from diffpose.tensorfile import tensors_hash
from tests.fakes import FakeVideo, box_around, draw_dots
from tests.tiny import TINY

SAMPLING = SamplingConfig(num_steps=2, num_hypotheses=2, seed=3)


def dot(frame: int, shift: int = 0) -> list[tuple[float, float]]:
    return [(60.0 + frame / 2 + shift, 70.0)]


def track(shift: int = 0) -> Track:
    boxes = np.stack([box_around(dot(f, shift)[0]) for f in range(40)])
    return Track(0, np.arange(40), boxes, np.ones(40))


@pytest.fixture(scope="module")
def network() -> DiffPose:
    torch.manual_seed(0)
    return DiffPose(TINY)


@pytest.fixture(scope="module")
def estimator(network: DiffPose) -> Estimator:
    return Estimator(network, weights_hash="tiny")


def test_poses_move_with_the_picture(estimator: Estimator) -> None:
    (here,) = estimate_poses(FakeVideo(dot), [track()], estimator, SAMPLING, stop=8)

    (there,) = estimate_poses(
        FakeVideo(lambda f: dot(f, 20)), [track(20)], estimator, SAMPLING, stop=8
    )

    assert np.isfinite(here.keypoints).all()
    assert ((here.confidence >= 0) & (here.confidence <= 1)).all()
    # The median: a tie between two cells of an untrained heatmap may fall either way.
    moved = there.keypoints - here.keypoints
    np.testing.assert_allclose(np.median(moved, axis=(0, 1)), [20, 0], atol=1e-3)
    assert (np.abs(moved - np.array([20, 0])) < 1e-3).mean() > 0.95


def test_resuming_is_bit_for_bit(estimator: Estimator, tmp_path: Path) -> None:
    video = FakeVideo(dot)
    (whole,) = estimate_poses(video, [track()], estimator, SAMPLING, stop=24)
    next(iter_poses(video, [track()], estimator, SAMPLING, stop=24, job=Job(tmp_path)))
    assert Job(tmp_path).count()[0] == 1

    (resumed,) = estimate_poses(video, [track()], estimator, SAMPLING, stop=24, job=Job(tmp_path))

    for name in ("keypoints", "confidence", "covariance"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def test_the_command_line_from_weights_and_pictures_to_a_file(
    network: DiffPose, tmp_path: Path
) -> None:
    weights, pictures = tmp_path / "tiny.safetensors", tmp_path / "pictures"
    save_weights(weights, network, training={})
    pictures.mkdir()
    for i in range(2):
        cv2.imwrite(str(pictures / f"{i}.png"), draw_dots(dot(i), size=(150, 200)))
    boxes = [{"image": f"{i}.png", "bbox": [40, 40, 40, 60]} for i in (1, 0)]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    arguments = [
        *("infer", pictures, "--boxes", tmp_path / "boxes.json", "--weights", weights),
        *("--steps", 1, "--ensemble", 2, "--output"),
    ]

    runs = [CliRunner().invoke(app, list(map(str, [*arguments, tmp_path / n]))) for n in "ab"]

    assert [run.exit_code for run in runs] == [0, 0], runs[0].stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    poses = read_native(tmp_path / "a")
    assert poses.provenance.weights == tensors_hash(weights) + "-mirrored"
    fast = CliRunner().invoke(app, [*map(str, [*arguments, tmp_path / "c"]), "--one-sided"])
    assert fast.exit_code == 0, fast.stderr
    one_sided = read_native(tmp_path / "c").provenance
    assert one_sided is not None
    assert one_sided.weights == tensors_hash(weights)
    assert poses.order == ((0, 1), (0, 0))
