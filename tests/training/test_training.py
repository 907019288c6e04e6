"""Laws of training: it learns, it resumes exactly, it stops on time, it names bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffpose import training
from diffpose.data.batches import Batch
from diffpose.data.sources import StillSource
from diffpose.diffusion.schedule import cosine_schedule
from diffpose.errors import DiffPoseError, SettingsError, WeightsError
from diffpose.model.resize import resize_weights
from diffpose.model.weights import load_weights
from diffpose.tensorfile import load_tensors
from diffpose.tracking.network import DetectorConfig, PersonNet
from diffpose.training import loop
from diffpose.training.config import load_training_config, parse_training_config
from diffpose.training.data import TrainingData, load_data
from diffpose.training.loop import Trainer
from diffpose.training.objectives import heatmap_loss, posterior_loss
from diffpose.training.state import Ema, Progress, Trainee, save_checkpoint
from diffpose.training.steps import LOSSES

MODEL = {
    "preset": "small", "name": "tiny", "crop_size": [64, 64], "radius": 1, "width": 32,
    "strl_layers": 1, "decoder_widths": [32, 16, 16], "correlation_layers": 1, "heads": 2,
    "finest_stride": 8,
}  # fmt: skip
COARSE = {"name": "coarse", "objective": "coarse", "steps": 3, "batch_size": 4,
          "crop_size": [64, 64], "clip_share": 0.0, "warmup_steps": 1}  # fmt: skip
DIFFUSION = {"name": "diffusion", "objective": "diffusion", "steps": 3, "batch_size": 4,
             "num_frames": 3, "clip_share": 0.0, "warmup_steps": 1}  # fmt: skip


def stills(count=8, seed=0):
    """Dark pictures with a bright dot; every keypoint of a person lies near the dot."""
    rng = np.random.default_rng(seed)
    pictures, keypoints = [], []
    for _ in range(count):
        picture = np.full((80, 80, 3), 30, np.uint8)
        x, y = rng.integers(20, 60, 2)
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
        pictures.append(picture)
        keypoints.append(np.array([x, y]) + rng.normal(0, 8, (26, 2)))
    return StillSource(pictures, np.array(keypoints), [f"{i}.png" for i in range(count)])


def config(*stages, **changes):
    return parse_training_config({"model": MODEL, "stages": list(stages), "threads": 1, **changes})


def data():
    return TrainingData(stills=stills(), clips=None, monitor=stills(3, seed=9))


def tensors(trainer):
    return trainer.trainee.state_dict()


def test_a_run_goes_through_its_stages_and_writes_weights_that_load(tmp_path):
    records: list[dict[str, Any]] = []

    progress = Trainer(config(COARSE, DIFFUSION), data(), tmp_path, listen=records.append).run()

    assert (progress.stage, progress.step, progress.samples) == (2, 6, 24)
    assert [r["stage"] for r in records] == ["coarse", "diffusion"]
    assert all(0 <= r["pck@0.2"] <= 1 for r in records)
    assert load_weights(tmp_path / "weights.safetensors").config.name == "tiny"
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == records


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("steps_before_kill", [1, 3, 4])
def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(tmp_path, steps_before_kill):
    plan = config(COARSE, DIFFUSION, checkpoint_seconds=0.0)
    whole = Trainer(plan, data(), tmp_path / "whole")
    whole.run()

    first = Trainer(plan, data(), tmp_path / "cut")
    take_step = first._step
    done: list[float] = []

    def step_then_die(*arguments):
        if len(done) == steps_before_kill:
            raise KilledError
        done.append(take_step(*arguments))
        return done[-1]

    first._step = step_then_die  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        first.run()
    second = Trainer(plan, data(), tmp_path / "cut")
    second.run()

    assert second.progress.step == whole.progress.step
    for name, value in tensors(whole).items():
        assert torch.equal(value, tensors(second)[name]), name


def test_time_budget_ends_a_stage(tmp_path):
    ticks = iter(range(10_000))
    plan = config({**COARSE, "steps": 0, "minutes": 0.5})

    progress = Trainer(plan, data(), tmp_path, clock=lambda: 5.0 * next(ticks)).run()

    assert 1 <= progress.step <= 6


def test_training_reduces_the_loss(tmp_path):
    records: list[dict[str, Any]] = []
    plan = config({**COARSE, "steps": 15, "learning_rate": 3e-3, "batch_size": 8})
    plan = replace(plan, evaluate_seconds=0.0)

    Trainer(plan, data(), tmp_path, listen=records.append).run()

    losses = [r["loss"] for r in records if r["loss"] is not None]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.2


def test_a_frozen_backbone_does_not_move(tmp_path):
    trainer = Trainer(config({**DIFFUSION, "backbone_rate": 0.0}), data(), tmp_path)
    before = {k: v.clone() for k, v in tensors(trainer).items()}

    trainer.run()

    moved = {k for k, v in tensors(trainer).items() if not torch.equal(v, before[k])}
    assert not any(name.startswith("network.backbone") for name in moved)
    assert any(name.startswith("network.decoder") for name in moved)


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    plan = config({**COARSE, "steps": 5}, checkpoint_seconds=0.0)
    trainer = Trainer(plan, data(), tmp_path)
    losses = iter([True, True, False])

    def broken(trainee, *_):
        weight = next(iter(trainee.parameters()))
        return weight.sum() * (1.0 if next(losses) else float("nan"))

    monkeypatch.setitem(loop.LOSSES, "coarse", broken)
    with pytest.raises(DiffPoseError, match="learning_rate"):
        trainer.run()

    kept = Trainer(plan, data(), tmp_path)
    monkeypatch.undo()
    kept.run()
    assert kept.progress.step == 5
    assert all(torch.isfinite(v).all() for v in tensors(kept).values())


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    Trainer(config(COARSE), data(), tmp_path).run()
    other = {**MODEL, "width": 64}
    plan = parse_training_config({"model": other, "stages": [COARSE, COARSE]})

    with pytest.raises(WeightsError, match="another model"):
        Trainer(plan, data(), tmp_path).run()


def test_a_run_starts_from_the_average_of_another(tmp_path):
    first = Trainer(config(COARSE), data(), tmp_path / "first")
    first.run()
    second = Trainer(config(DIFFUSION), data(), tmp_path / "second")

    second.start_from(tmp_path / "first" / "checkpoint.safetensors")

    for name, value in first.ema.values.items():
        assert torch.equal(value, tensors(second)[name])


def test_a_run_at_another_crop_size_starts_from_all_of_the_other(tmp_path):
    first = Trainer(config(COARSE), data(), tmp_path / "first")
    first.run()
    larger = parse_training_config({"model": {**MODEL, "crop_size": [96, 64]}, "stages": [COARSE]})
    second = Trainer(larger, data(), tmp_path / "second")

    second.start_from(tmp_path / "first" / "checkpoint.safetensors")

    own = tensors(second)
    fitted = resize_weights(first.ema.values, old=(4, 4), new=(6, 4))
    assert fitted.keys() == own.keys()
    for name, value in fitted.items():
        assert torch.equal(value, own[name])


def test_a_run_starts_from_a_weights_file_of_another_crop_size(tmp_path):
    Trainer(config(COARSE), data(), tmp_path / "first").run()
    path = tmp_path / "first" / "weights.safetensors"
    larger = parse_training_config({"model": {**MODEL, "crop_size": [96, 64]}, "stages": [COARSE]})
    second = Trainer(larger, data(), tmp_path / "second")

    second.start_from_weights(path)

    own = second.trainee.network.state_dict()
    fitted = resize_weights(load_weights(path).state_dict(), old=(4, 4), new=(6, 4))
    assert fitted.keys() == own.keys()
    for name, value in fitted.items():
        assert torch.equal(value, own[name])


def test_a_finer_level_begins_with_nothing_to_say_and_learns(tmp_path):
    first = Trainer(config(COARSE), data(), tmp_path / "first")
    first.run()
    finer = parse_training_config({"model": {**MODEL, "finest_stride": 4}, "stages": [JOINT]})
    second = Trainer(finer, data(), tmp_path / "second")
    frames = torch.rand(2, 3, 64, 64)

    second.start_from_weights(tmp_path / "first" / "weights.safetensors")

    old, new = (t.trainee.network.backbone.eval() for t in (first, second))
    first.trainee.network.load_state_dict(
        load_weights(tmp_path / "first" / "weights.safetensors").state_dict()
    )
    with torch.no_grad():
        torch.testing.assert_close(new(frames), old(frames))
    second.run()
    assert load_checkpoint_model(tmp_path / "second")["network.backbone.lateral.0.weight"].any()


def test_a_run_cannot_start_from_the_weights_of_another_backbone(tmp_path):
    Trainer(config(COARSE), data(), tmp_path / "first").run()
    other = parse_training_config({"model": {**MODEL, "backbone": "resnet10t"}, "stages": [COARSE]})
    second = Trainer(other, data(), tmp_path / "second")

    with pytest.raises(WeightsError, match="another backbone"):
        second.start_from_weights(tmp_path / "first" / "weights.safetensors")


def test_frozen_statistics_stay_while_the_norms_train(tmp_path):
    trainer = Trainer(config(JOINT | {"frozen_statistics": True}), data(), tmp_path)
    before = {k: v.clone() for k, v in tensors(trainer).items()}

    trainer.run()

    after = load_checkpoint_model(tmp_path)
    norm = "network.backbone.merge.1."
    assert all(torch.equal(before[k], after[k]) for k in before if "running_" in k)
    assert not torch.equal(before[f"{norm}weight"], after[f"{norm}weight"])


def test_a_pose_run_cannot_start_from_a_detector(tmp_path):
    network = PersonNet(DetectorConfig())
    path = tmp_path / "detector.safetensors"
    optimizer = torch.optim.AdamW(network.parameters())
    save_checkpoint(
        path, trainee=network, ema=Ema(network), optimizer=optimizer, progress=Progress()
    )

    with pytest.raises(WeightsError, match="person detector"):
        Trainer(config(COARSE), data(), tmp_path / "run").start_from(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": MODEL, "stages": []}, "at least one"),
        ({"model": MODEL, "stages": [{**COARSE, "speed": 9}]}, "speed"),
        ({"model": MODEL, "stages": [{**COARSE, "steps": 0}]}, "steps, epochs or minutes"),
        ({"model": {**MODEL, "colour": 1}, "stages": [COARSE]}, "colour"),
        ({"model": MODEL, "stages": [COARSE], "data": {"cats": "x"}}, "cats"),
        ({"model": {"preset": "huge"}, "stages": [COARSE]}, "paper-b"),
    ],
)
def test_a_wrong_config_is_named(values, words):
    with pytest.raises(SettingsError, match=words):
        parse_training_config(values)


@pytest.mark.parametrize("name", ["base", "small"])
def test_the_shipped_configs_are_valid_and_need_data(name):
    plan = load_training_config(Path(training.__file__).parent / "configs" / f"{name}.toml")

    with pytest.raises(SettingsError, match="no training data"):
        load_data(plan)


def points(*xy):
    return torch.tensor(xy, dtype=torch.float32)[None]


def test_the_right_cell_costs_less_than_any_other():
    truth = points((9.5, 13.5))
    sure = torch.full((1, 1, 16, 16), -20.0)
    right, wrong = sure.clone(), sure.clone()
    right[0, 0, 3, 2] = 20
    wrong[0, 0, 9, 9] = 20

    costs = [
        posterior_loss(m, torch.full((1, 1), -20.0), truth, stride=4, sigma=0.3)
        for m in (right, wrong)
    ]

    assert costs[0] < 1
    assert costs[1] > 10


def test_a_keypoint_outside_the_crop_wants_the_outside_class():
    truth = points((-30.0, 13.5))
    flat = torch.zeros(1, 1, 16, 16)

    sure, unsure = (
        posterior_loss(flat, torch.full((1, 1), v), truth, stride=4, sigma=1.0) for v in (20.0, 0.0)
    )

    assert sure < 1e-3 < unsure


def test_unlabelled_keypoints_cost_nothing_and_send_no_gradient():
    truth = torch.full((2, 1, 2), float("nan"))
    logits = torch.randn(2, 1, 16, 16, requires_grad=True)
    outside = torch.randn(2, 1, requires_grad=True)

    cost = posterior_loss(logits, outside, truth, stride=4, sigma=1.0)
    cost.backward()

    assert cost == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0
    assert heatmap_loss(torch.rand(2, 1, 16, 16), truth, stride=4, sigma=1.0) == 0


def test_the_posterior_s_minimiser_is_the_share_of_each_place():
    """Two places, three to one: the trained distribution gives them that mass."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.where(
        torch.rand(256, 1, 1, generator=generator) < 0.75,
        torch.tensor([9.5, 9.5]),
        torch.tensor([49.5, 49.5]),
    )
    share = (truth[..., 0] < 20).float().mean()
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    outside = torch.zeros(1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits, outside], lr=0.3)

    for _ in range(150):
        cost = posterior_loss(
            logits.expand(256, -1, -1, -1), outside.expand(256, -1), truth, stride=4, sigma=1.0
        )
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()

    mass = torch.cat([logits.flatten(), outside.flatten()]).softmax(0)[:-1].view(16, 16)
    assert mass[:8, :8].sum().item() == pytest.approx(share.item(), abs=0.02)


JOINT = DIFFUSION | {"name": "joint", "objective": "joint", "diffusion_share": 0.5}


def test_a_joint_stage_trains_everything_but_the_frozen_parts(tmp_path):
    trainer = Trainer(config(JOINT | {"frozen_parts": 2}), data(), tmp_path)
    before = {k: v.clone() for k, v in tensors(trainer).items()}

    trainer.run()

    after = load_checkpoint_model(tmp_path)
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    frozen = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")
    pyramid = "network.backbone.pyramid."
    assert not {k for k in moved if k.removeprefix(pyramid).startswith(frozen) and pyramid in k}
    for part in (f"{pyramid}blocks.2.", "network.strl.", "network.decoder.", "coarse."):
        assert any(k.startswith(part) for k in moved), part


def load_checkpoint_model(folder):
    held, _ = load_tensors(folder / "checkpoint.safetensors")
    return {k.removeprefix("ema/"): v for k, v in held.items() if k.startswith("ema/")}


def test_the_joint_loss_is_the_sum_of_both_on_a_full_share():
    plan = config(JOINT | {"diffusion_share": 1.0, "steps": 1})
    stage = plan.stages[0]
    torch.manual_seed(0)
    trainee = Trainee(plan.model).eval()
    points = torch.rand(4, 26, 2) * 60
    crops = torch.randint(0, 255, (4, 3, 64, 64, 3), dtype=torch.uint8)
    batch, schedule = Batch(crops, points), cosine_schedule(1000)

    def loss(objective):
        generator = torch.Generator().manual_seed(1)
        return LOSSES[objective](trainee, batch, stage, schedule, generator)

    torch.testing.assert_close(loss("joint"), loss("coarse") + loss("diffusion"))
