"""Laws of training on a pose-pretrained backbone: rates, the teacher's part, cached features."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from diffpose.data.batches import Batch, make_batch
from diffpose.data.sources import StillSource
from diffpose.diffusion.schedule import cosine_schedule
from diffpose.errors import SettingsError, WeightsError
from diffpose.movenet import CONFIGS, MoveNet
from diffpose.movenet_files import save_movenet
from diffpose.skeleton import COCO17, HALPE26
from diffpose.training.answers import CachedAnswers, fill_answers
from diffpose.training.cache import (
    SHARD,
    CachedFeatures,
    encoder_of,
    fill_cache,
    shard_path,
    window_seed,
)
from diffpose.training.config import parse_training_config
from diffpose.training.data import TrainingData, mixture_of
from diffpose.training.loop import Trainer
from diffpose.training.objectives import near_the_truth, posterior_loss
from diffpose.training.steps import denoising_loss, encode_windows, first_answer
from diffpose.training.teacher import Opinion, Teacher

MODEL = {"preset": "base", "crop_size": [64, 64], "radius": 1, "width": 16, "heads": 2,
         "decoder_widths": [16, 16, 8], "correlation_layers": 1, "strl_layers": 1}  # fmt: skip
BODY = {"name": "body", "objective": "coarse", "steps": 3, "batch_size": 2, "clip_share": 0.0,
        "crop_size": [64, 64], "frozen_parts": 2, "relative_rate": 1e-3, "teacher_share": 0.5,
        "warmup_steps": 1}  # fmt: skip
CACHED = {"name": "windows", "objective": "diffusion", "steps": 3, "batch_size": 4,
          "clip_share": 0.0, "num_frames": 3,
          "backbone_rate": 0.0, "cached_shards": 1, "warmup_steps": 1}  # fmt: skip


COUPLING = {"name": "coupling", "objective": "coupling", "steps": 3, "batch_size": 2,
            "clip_share": 0.0, "noise_draws": 2, "warmup_steps": 1}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("movenet") / "thunder.safetensors"
    save_movenet(path, MoveNet(CONFIGS["movenet_thunder"]))
    return path


def stills(count=6):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (80, 70, 3), dtype=np.uint8) for _ in range(count)]
    keypoints = rng.uniform(10, 60, (count, 26, 2))
    return StillSource(pictures, keypoints, [f"{i}.png" for i in range(count)])


def data():
    return TrainingData(stills=stills(), clips=None, monitor=None)


def config(*stages, **changes):
    return parse_training_config({"model": MODEL, "stages": list(stages), "threads": 1, **changes})


def trainer(plan, folder, published):
    run = Trainer(plan, data(), folder)
    if not run.checkpoint.is_file():
        run.start_from_backbone(published)
    run.learn_from(published)
    return run


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(("stages", "before_kill"), [((BODY,), 2), ((CACHED,), 1)])
def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(
    tmp_path, published, stages, before_kill
):
    plan = config(*stages, checkpoint_seconds=0.0)
    whole = trainer(plan, tmp_path / "whole", published)
    whole.run()

    first = trainer(plan, tmp_path / "cut", published)
    take_step = first._step
    done: list[float] = []

    def step_then_die(*arguments: Any) -> float:
        if len(done) == before_kill:
            raise KilledError
        done.append(take_step(*arguments))
        return done[-1]

    first._step = step_then_die  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        first.run()
    second = trainer(plan, tmp_path / "cut", published)
    second.run()

    ends = second.trainee.state_dict()
    for name, value in whole.trainee.state_dict().items():
        assert torch.equal(value, ends[name]), name


def test_a_tensor_of_the_body_moves_in_parts_of_its_own_magnitude(tmp_path, published):
    run = trainer(config({**BODY, "steps": 1}), tmp_path, published)
    before = {k: v.clone() for k, v in run.trainee.state_dict().items()}

    run.run()

    after = run.trainee.state_dict()
    body = "network.backbone.body."
    frozen = [
        k for k in before if k.startswith((f"{body}stem", f"{body}blocks.0.", f"{body}blocks.2."))
    ]
    assert all(torch.equal(before[k], after[k]) for k in frozen)
    for name in (
        f"{body}blocks.8.depthwise.weight",
        f"{body}top.weight",
        f"{body}merge.1.pointwise.weight",
    ):
        step = (after[name] - before[name]).abs().max() / before[name].abs().mean()
        # Adam's first step is the rate itself wherever there is a clear gradient.
        assert 0.5e-3 < step < 1.01e-3, name


def opinion_at(cells, *, certainty):
    probability = torch.zeros(1, 26, 8, 8)
    for keypoint, (x, y) in cells.items():
        probability[0, keypoint, y, x] = 1.0
    known = torch.zeros(1, 26)
    known[0, list(cells)] = certainty
    return Opinion(probability, known)


def loss_of(logits, keypoints, opinion, share):
    return posterior_loss(
        logits, torch.full((1, 26), -20.0), keypoints, stride=4, sigma=0.5,
        opinion=opinion, opinion_share=share,
    )  # fmt: skip


def test_the_best_answer_to_annotation_and_teacher_has_both_in_their_shares():
    """The minimiser of the cross-entropy is the target: here half a certain teacher's."""
    keypoints = torch.full((1, 26, 2), float("nan"))
    keypoints[0, 0] = torch.tensor([4 * 2 + 1.5, 4 * 2 + 1.5])  # the middle of cell (2, 2)
    opinion = opinion_at({0: (6, 5)}, certainty=0.5)
    logits = torch.zeros(1, 26, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        optimizer.zero_grad()
        loss_of(logits, keypoints, opinion, 0.5).backward()
        optimizer.step()

    found = logits.detach()[0, 0].flatten().softmax(0).view(8, 8)

    assert found[5, 6] == pytest.approx(0.25, abs=0.01)
    assert found[1:4, 1:4].sum() == pytest.approx(0.75, abs=0.01)


def test_a_keypoint_without_annotation_learns_from_the_teacher_by_its_certainty():
    nobody = torch.full((1, 26, 2), float("nan"))
    logits = torch.zeros(1, 26, 8, 8, requires_grad=True)

    sure = opinion_at({3: (1, 1)}, certainty=1.0)
    gradient = torch.autograd.grad(loss_of(logits, nobody, sure, 0.5), logits)[0]

    assert gradient[0, 3, 1, 1] < 0
    assert gradient[0, 4].abs().max() == 0
    silent = loss_of(logits, nobody, opinion_at({3: (1, 1)}, certainty=0.0), 0.5)
    assert silent.item() == 0


def test_without_an_opinion_nothing_changes():
    keypoints = torch.rand(1, 26, 2) * 30
    logits = torch.randn(1, 26, 8, 8)
    quiet = opinion_at({0: (1, 1)}, certainty=0.0)

    torch.testing.assert_close(
        loss_of(logits, keypoints, quiet, 0.5), loss_of(logits, keypoints, None, 0.5)
    )


def test_the_teacher_knows_the_seventeen_and_says_how_sure_it_is():
    torch.manual_seed(1)
    teacher = Teacher(MoveNet(CONFIGS["movenet_thunder"]), HALPE26)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)

    opinion = teacher(crops)

    known = torch.tensor([name in COCO17.keypoints for name in HALPE26.keypoints])
    total = opinion.probability.sum(dim=(-2, -1))
    torch.testing.assert_close(total, known.float().expand(2, -1))
    assert ((opinion.certainty >= 0) & (opinion.certainty <= 1)).all()
    assert opinion.certainty[:, ~known].abs().max() == 0


@pytest.mark.parametrize("frames", [1, 3])
def test_cached_features_give_the_loss_of_the_crops_themselves(tmp_path, published, frames):
    plan = config({**CACHED, "still_frames": frames})
    run = trainer(plan, tmp_path / "run", published)
    stage, network = plan.stages[0], run.trainee.network.eval()
    torch.nn.init.normal_(network.evidence.correct.weight)  # zero would hide what is missing
    mixture = mixture_of(run.data, stage, plan)
    device = torch.device("cpu")
    fill_cache(tmp_path / "cache", network, encoder_of(network, bf16=False), mixture, seed=5,
               shards=range(1), device=device)  # fmt: skip
    cached = CachedFeatures(tmp_path / "cache", 1, network, batch_size=64).batch(seed=0, index=0)
    drawn = make_batch(replace(mixture, batch_size=SHARD), seed=window_seed(5), index=0)
    # The rows that the cache drew are told by their keypoints.
    rows = [
        int((drawn.keypoints == points).all(-1).all(-1).nonzero()[0]) for points in cached.keypoints
    ]
    assert drawn.weights is not None
    shown = Batch(drawn.crops[rows], drawn.keypoints[rows], drawn.weights[rows])

    def loss(batch):
        features = encode_windows(network, batch, stage=stage)
        generator = torch.Generator().manual_seed(3)
        return denoising_loss(run.trainee, features, batch, stage, cosine_schedule(1000), generator)

    torch.testing.assert_close(loss(cached), loss(shown), rtol=2e-3, atol=2e-3)


def test_a_cache_is_completed_and_its_lack_is_named(tmp_path, published):
    plan = config(CACHED)
    run = trainer(plan, tmp_path / "run", published)
    network, mixture = run.trainee.network.eval(), mixture_of(run.data, plan.stages[0], plan)
    made: list[int] = []

    def fill(numbers):
        fill_cache(tmp_path, network, encoder_of(network, bf16=False), mixture, seed=1,
                   shards=numbers, device=torch.device("cpu"), progress=made.append)  # fmt: skip

    fill(range(1))
    first = shard_path(tmp_path, 0).read_bytes()
    with pytest.raises(WeightsError, match="1 files of cached features are missing"):
        CachedFeatures(tmp_path, 2, network, batch_size=4)
    fill(range(2))

    assert shard_path(tmp_path, 0).read_bytes() == first
    assert made == [0, 0, 1]
    assert len(CachedFeatures(tmp_path, 2, network, batch_size=4).batch(seed=0, index=1).crops) == 4


def test_at_another_crop_size_pooled_tokens_start_anew_and_the_rest_is_taken(tmp_path, published):
    first = trainer(config({**BODY, "steps": 1}), tmp_path / "first", published)
    first.run()
    plan = parse_training_config(
        {"model": {**MODEL, "crop_size": [96, 64]}, "stages": [BODY], "threads": 1}
    )
    second = Trainer(plan, data(), tmp_path / "second")
    own = second.trainee.network.strl.position.clone()

    second.start_from(tmp_path / "first" / "checkpoint.safetensors")

    assert torch.equal(second.trainee.network.strl.position, own)
    before, after = first.ema.values, second.trainee.state_dict()
    taken = [k for k in after if k.startswith("network.backbone.") or ".strl.layers." in k]
    assert all(torch.equal(before[k], after[k]) for k in taken)
    positions = "network.decoder.low.position"
    assert after[positions].shape[1] == 24
    assert before[positions].shape[1] == 16


def test_only_frozen_backbones_have_their_features_cached():
    with pytest.raises(SettingsError, match="backbone_rate of 0"):
        config({**CACHED, "backbone_rate": 0.1})


@pytest.mark.parametrize("shards", [0, 1])
def test_a_coupling_stage_trains_the_coupling_and_nothing_else(tmp_path, published, shards):
    run = trainer(config({**COUPLING, "cached_shards": shards}), tmp_path, published)
    before = {name: value.clone() for name, value in run.trainee.state_dict().items()}

    run.run()

    changed = {
        name for name, value in run.trainee.state_dict().items() if not value.equal(before[name])
    }
    assert changed
    assert all(name.startswith("network.coupling.") for name in changed)
    assert {"network.coupling.pairs", "network.coupling.core"} <= changed


def test_a_coupling_stage_of_a_model_without_one_is_refused(tmp_path, published):
    run = trainer(config(COUPLING, model={**MODEL, "coupling_width": 0}), tmp_path, published)

    with pytest.raises(SettingsError, match="coupling_width"):
        run.run()


def test_a_point_near_the_truth_is_drawn_where_the_network_puts_it():
    truth = torch.tensor([[[12.0, 12.0]]]).expand(200, 1, 2)
    cells = torch.full((200, 1, 16, 16), -30.0)
    cells[..., 1, 2] = cells[..., 14, 14] = 0.0  # beside the truth, and far away

    points = near_the_truth(cells, truth, stride=8, generator=torch.Generator().manual_seed(0))

    assert torch.equal(points[:, 0], torch.tensor([19.5, 11.5]).expand(200, 2))


def test_cached_answers_are_those_of_the_decoder(tmp_path, published):
    plan = config({**COUPLING, "cached_shards": 1})
    run = trainer(plan, tmp_path / "run", published)
    network, mixture = run.trainee.network.eval(), mixture_of(run.data, plan.stages[0], plan)
    fill_answers(tmp_path, network, mixture, plan.stages[0], cosine_schedule(1000), seed=5,
                 shards=range(1), device=torch.device("cpu"))  # fmt: skip

    cached = CachedAnswers(tmp_path, 1, batch_size=6).batch(seed=0, index=0)

    drawn = make_batch(replace(mixture, batch_size=SHARD), seed=window_seed(5), index=0)
    row = int((drawn.keypoints == cached.keypoints[2]).all(-1).all(-1).nonzero()[0])
    alone = Batch(drawn.crops[row : row + 1], drawn.keypoints[row : row + 1])
    answer = first_answer(
        network, alone, plan.stages[0], cosine_schedule(1000), torch.Generator().manual_seed(0)
    )
    assert cached.features is not None
    # An untrained head answers as the backbone does, whatever the noise.
    torch.testing.assert_close(cached.features[2:3], answer, rtol=2e-3, atol=1e-5)
