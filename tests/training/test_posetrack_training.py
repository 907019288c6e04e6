"""From a PoseTrack folder to weights: the paper's recipe, shrunken."""

from dataclasses import replace

import pytest

from diffpose.errors import SettingsError
from diffpose.model.weights import load_weights
from diffpose.training.config import find_training_config, parse_training_config
from diffpose.training.data import load_data, with_epochs_as_steps
from diffpose.training.loop import Trainer
from tests.posetrack_folder import make_posetrack

TINY = {
    "preset": "paper-b", "name": "tiny", "backbone": "vit_tiny_patch16_224", "crop_size": [64, 48],
    "radius": 1, "width": 32, "strl_layers": 1, "decoder_widths": [32, 16, 16],
    "correlation_layers": 1, "self_refinement_layers": 1, "heads": 2,
}  # fmt: skip
STAGE = {"name": "diffusion", "objective": "diffusion", "steps": 2, "num_frames": 3,
         "batch_size": 4, "clip_share": 1.0, "warmup_steps": 1}  # fmt: skip


def config(folder, *, monitor=0, **changes):
    return parse_training_config(
        {
            "model": TINY,
            "data": {"posetrack": str(folder), "monitor": monitor},
            "stages": [STAGE | changes],
            "threads": 1,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_posetrack(tmp_path_factory.mktemp("posetrack"))


def test_the_shipped_recipe_is_the_paper_s():
    plan = find_training_config("paper-b-posetrack17")
    (stage,) = plan.stages

    assert plan.model.keypoints.name == "posetrack15"
    assert (plan.model.crop_size, plan.model.num_frames, stage.num_frames) == ((256, 192), 5, 5)
    assert (plan.model.output, plan.model.lookup) == ("heatmap", "joint_agnostic")
    assert (stage.epochs, stage.augment.half_body, stage.augment.flip) == (60, 0.3, 0.5)


def test_a_posetrack_folder_becomes_weights(folder, tmp_path):
    plan = config(folder)

    progress = Trainer(plan, load_data(plan), tmp_path).run()

    assert (progress.step, progress.samples) == (2, 8)
    assert load_weights(tmp_path / "weights.safetensors").config.skeleton == "posetrack15"


def test_an_epoch_is_as_many_windows_as_there_are_people(folder):
    plan = config(folder, steps=0, epochs=3.0)
    data = load_data(plan)  # 16 people

    alone, pair = (with_epochs_as_steps(plan, data, processes=n).stages[0] for n in (1, 2))

    assert (alone.steps, pair.steps) == (12, 6)


def test_the_monitor_s_sequences_are_kept_out_of_training(folder):
    data = load_data(config(folder, monitor=5))

    assert data.posetrack is not None
    assert data.monitor is not None
    assert [len(data.posetrack), len(data.monitor)] == [8, 8]
    names = [
        {s.name for s in source.sequences}  # type: ignore[attr-defined]
        for source in (data.posetrack, data.monitor)
    ]
    assert not names[0] & names[1]


def test_a_monitored_run_says_how_well_it_does(folder, tmp_path):
    plan = config(folder, monitor=5)
    records: list[dict[str, object]] = []

    Trainer(plan, load_data(plan), tmp_path, listen=records.append).run()

    assert "pck@0.2" in records[-1]


def test_a_stage_of_stills_only_has_nothing_to_read(folder, tmp_path):
    plan = config(folder)
    stage = replace(plan.stages[0], clip_share=0.0)

    with pytest.raises(SettingsError, match="clip_share"):
        Trainer(replace(plan, stages=(stage,)), load_data(plan), tmp_path).run()
