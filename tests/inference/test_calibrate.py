"""Laws of the calibrated estimator: from held-out people to a weights file to every pose."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.data.sources import StillSource
from diffpose.errors import SettingsError, WeightsError
from diffpose.evaluation.calibration import Calibration, GroupMap
from diffpose.evaluation.statement_features import FEATURES
from diffpose.inference.calibrate import Thinned, annotated_stills, calibrate, rendered_clips
from diffpose.inference.estimator import Estimator
from diffpose.model.network import DiffPose
from diffpose.model.weights import load_weights, save_calibration, save_weights
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26
from tests.data.lspet_folder import write_lspet
from tests.tiny import TINY

AFFINES = np.eye(2, 3)[None]
ZEROS = (0.0,) * (len(FEATURES) - 1)
DOUBLED = Calibration({"wrists": GroupMap(5, (np.log(2), *ZEROS), (-1.0, *ZEROS))})
WRISTS = [HALPE26.index("left_wrist"), HALPE26.index("right_wrist")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, DiffPose(TINY), training={})
    return path


def stills(count):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (80, 60, 3), dtype=np.uint8) for _ in range(count)]
    return StillSource(pictures, rng.uniform(5, 55, (count, 26, 2)), [str(i) for i in range(count)])


def sample(estimator, *, on_step=None):
    crops = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64, 3), dtype=np.uint8)
    config = SamplingConfig(2, 2)
    return estimator.sample(estimator.encode(crops), AFFINES, config, on_step=on_step)


def test_what_the_file_says_is_applied_to_every_pose_and_names_them(weights, tmp_path):
    path = tmp_path / "calibrated.safetensors"
    save_calibration(weights, DOUBLED.to_json(), output=path)
    plain, doubled = Estimator.load(weights), Estimator.load(path)
    early = []

    before, after = sample(plain), sample(doubled, on_step=lambda done, poses: early.append(poses))

    np.testing.assert_array_equal(after.keypoints, before.keypoints)
    np.testing.assert_allclose(
        after.covariance[:, WRISTS], 4 * before.covariance[:, WRISTS], rtol=1e-5
    )
    assert (after.confidence[:, WRISTS] < before.confidence[:, WRISTS]).all()
    others = np.setdiff1d(np.arange(26), WRISTS)
    np.testing.assert_allclose(after.covariance[:, others], before.covariance[:, others])
    assert len(early) == 1
    assert doubled.weights_hash.startswith(plain.weights_hash)
    assert doubled.weights_hash != plain.weights_hash
    assert Estimator.load(path, calibrated=False).weights_hash == plain.weights_hash


def test_a_calibration_of_another_version_is_named(weights, tmp_path):
    path = tmp_path / "odd.safetensors"
    save_calibration(weights, "{}", output=path)

    with pytest.raises(WeightsError, match=r"odd\.safetensors.*calibrate"):
        Estimator.load(path)


def test_calibration_measures_every_source_at_all_settings(weights):
    estimator = Estimator.load(weights)
    told = []

    fitted = calibrate(
        estimator,
        {
            "pictures": annotated_stills(Thinned(stills(9), 2)),
            "clips": rendered_clips(stills(4)),
        },
        progress=lambda fraction, words: told.append(fraction),
    )

    assert len(fitted.measured) == 8
    assert all(part["groups"]["feet"]["truths"] > 0 for part in fitted.measured.values())
    assert told[-1] == 1
    with pytest.raises(SettingsError, match="held-out"):
        calibrate(estimator, {})
    with pytest.raises(SettingsError, match="uncalibrated"):
        calibrate(
            Estimator(estimator.network, weights_hash="", calibration=fitted),
            {"pictures": annotated_stills(stills(3))},
        )


def test_every_nth_example_is_what_it_says():
    source = stills(7)

    assert len(Thinned(source, 3)) == 3
    assert Thinned(source, 3)[2].frames[0] is source.pictures[6]


def test_one_command_puts_the_calibration_into_the_file(weights, tmp_path):
    folder, output = tmp_path / "lspet", tmp_path / "out.safetensors"
    folder.mkdir()
    write_lspet(folder, "train", count=8)
    arguments = ["train", "calibrate", weights, "--lspet", folder, "-o", output, "--every", 2]

    done = CliRunner().invoke(app, [str(a) for a in arguments])
    nothing = CliRunner().invoke(app, ["train", "calibrate", str(weights)])

    assert done.exit_code == 0, done.stderr
    assert "knees" in done.stdout
    assert Estimator.load(output).calibration.groups
    for one, other in zip(
        load_weights(output).parameters(), load_weights(weights).parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert nothing.exit_code == 2
    assert "--lspet" in nothing.stderr
