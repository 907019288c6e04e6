"""``diffpose data pseudo-label`` from the outside, with networks that know nothing yet."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.data.people_packs import read_people_labels
from diffpose.movenet import MoveNet, movenet_config
from diffpose.movenet_files import save_movenet
from tests.data.lspet_folder import write_lspet
from tests.data.people_folder import write_people


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name in ("thunder", "multipose"):
        save_movenet(folder / name, MoveNet(movenet_config(f"movenet_{name}")))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_labels_are_written_with_a_summary_and_a_second_run_does_nothing_new(tmp_path, networks):
    write_people(tmp_path / "people", count=2)
    command = ("data", "pseudo-label", tmp_path / "people", "--teacher", networks / "thunder",
               "--finder", networks / "multipose", "--pack", "first", "--threads", 1)  # fmt: skip

    first = run(*command, "-o", tmp_path / "labels.npz")
    parts = sorted((tmp_path / "labels.npz.job" / "parts").iterdir())
    stamps = [part.stat().st_mtime_ns for part in parts]
    again = run(*command, "-o", tmp_path / "again.npz", "--job", tmp_path / "labels.npz.job")

    assert first.exit_code == 0, first.output
    assert "| **all** |" in first.output
    assert "Left out:" in first.output
    assert again.exit_code == 0, again.output
    assert [part.stat().st_mtime_ns for part in parts] == stamps
    labels = read_people_labels(tmp_path / "labels.npz")
    assert set(labels.packs.tolist()) <= {"first"}
    for name, array in vars(labels).items():
        np.testing.assert_array_equal(
            array, getattr(read_people_labels(tmp_path / "again.npz"), name)
        )


def test_results_about_lspet_are_what_an_audit_reads(tmp_path, networks):
    names = write_lspet(tmp_path, "train", count=3)
    results = tmp_path / "results.json"

    written = run("data", "pseudo-label", tmp_path, "--format", "coco-results",
                  "--teacher", networks / "thunder", "-o", results)  # fmt: skip
    audited = run(
        "data",
        "check-annotations",
        tmp_path,
        "--second-opinion",
        results,
        "-o",
        tmp_path / "settled.npz",
    )

    assert written.exit_code == 0, written.output
    entries = json.loads(results.read_text())
    assert [entry["file_name"] for entry in entries] == names
    assert all(len(entry["keypoints"]) == 51 for entry in entries)
    assert audited.exit_code == 0, audited.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--finder"),
        (("--format", "coco-results", "--pack", "first"), "leave out"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, networks, options, message):
    refused = run("data", "pseudo-label", tmp_path, "--teacher", networks / "thunder", *options,
                  "-o", tmp_path / "out")  # fmt: skip

    assert refused.exit_code == 2
    assert message in refused.output
