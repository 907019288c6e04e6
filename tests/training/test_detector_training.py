"""Laws of the detector's training: it learns, it resumes, it ends when told."""

import json

import numpy as np
import pytest
import torch

from diffpose.data.augment import AugmentConfig
from diffpose.data.people import PeoplePicture
from diffpose.data.scenes import SceneBatch, SceneMixture, make_scene_batch
from diffpose.errors import SettingsError
from diffpose.geometry import box_iou
from diffpose.movenet import CONFIGS, normalise
from diffpose.tracking.boxmaps import boxes_to_shapes, decode_boxes, encode_boxes
from diffpose.tracking.detector import PersonDetector
from diffpose.tracking.network import PersonNet
from diffpose.training.detector import (
    DetectorTrainingConfig,
    calibrate,
    detection_loss,
    load_scene_mixture,
    train_detector,
)
from tests.tracking.tiny_movenet import TINY, TINY_MOVENET, published_tiny

NOBODY = np.zeros((0, 4), np.float32)


class Figures:
    """Four pictures of a bright figure on noise."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        picture = rng.integers(0, 90, (64, 64, 3)).astype(np.uint8)
        x, y, w, h = 5 + 8 * index, 4 + 5 * index, 14 + 4 * index, 34 - 4 * index
        picture[y : y + h, x : x + w] = 230
        return PeoplePicture(picture, np.array([[x, y, x + w, y + h]], np.float32) - 0.5, NOBODY)


MIXTURE = SceneMixture(
    scenes=Figures(), crowds=None, stills=None, photos=[np.full((64, 64, 3), 40, np.uint8)],
    sizes=((64, 64),), batch_size=4, shares=(1.0, 0, 0, 0, 0), low_quality=0.0,
    augment=AugmentConfig(occlude=0.0, blur=0.0, colour=0.1),
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_movenet(monkeypatch):
    monkeypatch.setitem(CONFIGS, TINY_MOVENET.name, TINY_MOVENET)


def figures_batch():
    pictures = [Figures()[i] for i in range(4)]
    return SceneBatch(
        torch.from_numpy(np.stack([p.picture for p in pictures])),
        tuple(torch.from_numpy(p.boxes) for p in pictures),
        tuple(torch.from_numpy(p.unsure) for p in pictures),
    )


def test_perfect_maps_have_no_loss_and_worse_maps_more():
    batch = figures_batch()
    maps = [encode_boxes(boxes, shape=(16, 16)) for boxes in batch.boxes]
    logits = torch.stack([torch.logit(m.centres, eps=1e-6) for m in maps])
    shapes = torch.stack([boxes_to_shapes(m.boxes) for m in maps])

    assert detection_loss(logits, shapes, batch) < 1e-4
    assert detection_loss(logits, shapes + 3, batch) > 0.1
    assert detection_loss(logits + 2, shapes, batch) > 0.1


def test_a_confident_find_where_people_may_be_costs_nothing():
    area = torch.tensor([[-0.5, -0.5, 31.5, 63.5]])
    batch = SceneBatch(torch.zeros(1, 64, 64, 3), (torch.zeros(0, 4),), (area,))
    quiet = torch.full((1, 16, 16), -12.0)
    inside, outside, faint = quiet.clone(), quiet.clone(), quiet.clone()
    inside[0, 6, 2:6] = torch.tensor([-1.0, 4.0, -1.0, -1.0])  # what is around it counts as well
    outside[0, 6, 9] = 4.0
    faint[0, 6, 2] = -1.0

    assert detection_loss(inside, torch.zeros(1, 4, 16, 16), batch) < 1e-4
    assert detection_loss(outside, torch.zeros(1, 4, 16, 16), batch) > 1
    assert detection_loss(faint, torch.zeros(1, 4, 16, 16), batch) > 0.01


def test_four_pictures_are_learnt_by_heart():
    torch.manual_seed(0)
    network, batch = PersonNet(TINY).train(), figures_batch()
    optimizer = torch.optim.AdamW(network.parameters(), lr=6e-3)

    for _ in range(80):
        logits, shapes = network(normalise(batch.pictures))
        loss = detection_loss(logits, shapes, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with torch.no_grad():
        logits, shapes = network(normalise(batch.pictures))
    for i, truth in enumerate(batch.boxes):
        best = decode_boxes(logits[i], shapes[i], min_score=0.2)[0][:1]
        assert box_iou(best.numpy(), truth.numpy()).max() > 0.5


def run(folder, steps, **changes):
    config = DetectorTrainingConfig(model=TINY, steps=steps, warmup_steps=2, seed=3, **changes)
    return train_detector(config, MIXTURE, folder=folder)


def test_a_run_leaves_weights_that_the_detector_loads(tmp_path):
    records: list[dict[str, object]] = []
    config = DetectorTrainingConfig(model=TINY, steps=2)

    path = train_detector(config, MIXTURE, folder=tmp_path, listen=records.append)

    detector = PersonDetector.load(path)
    assert detector.network.config == TINY
    assert records[-1]["samples"] == 8
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 2


def test_a_run_goes_on_where_it_stopped(tmp_path):
    class Stop(Exception):  # noqa: N818
        pass

    def stop_at_two(record):
        if record["step"] == 2:
            raise Stop

    whole = run(tmp_path / "whole", 4)
    config = DetectorTrainingConfig(
        model=TINY, steps=4, warmup_steps=2, seed=3, checkpoint_seconds=0
    )
    with pytest.raises(Stop):
        train_detector(config, MIXTURE, folder=tmp_path / "parts", listen=stop_at_two)
    parts = train_detector(config, MIXTURE, folder=tmp_path / "parts")

    ours, theirs = (PersonDetector.load(p).network.state_dict() for p in (whole, parts))
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_a_run_begins_as_the_published_network(tmp_path):
    path = tmp_path / "tiny.safetensors"
    published = published_tiny(path).state_dict()
    config = DetectorTrainingConfig(model=TINY, steps=1, learning_rate=0.0)

    weights = train_detector(config, MIXTURE, folder=tmp_path / "run", init=path)

    ours = PersonDetector.load(weights).network.movenet.state_dict()
    ours.pop("heads.centre.output.bias")  # moved by the calibration
    for name, tensor in ours.items():
        assert torch.equal(tensor, published[name]), name


def test_frozen_blocks_do_not_move(tmp_path):
    path = tmp_path / "tiny.safetensors"
    before = published_tiny(path).state_dict()
    config = DetectorTrainingConfig(model=TINY, steps=2, frozen_blocks=3, learning_rate=0.05)

    weights = train_detector(config, MIXTURE, folder=tmp_path / "run", init=path)

    after = PersonDetector.load(weights).network.movenet.state_dict()
    still = {name for name in after if torch.equal(before[name], after[name])}
    assert {f"blocks.{i}.project.weight" for i in range(3)} | {"stem.weight"} <= still
    assert not still & {f"blocks.{i}.project.weight" for i in range(3, 17)}


def test_a_weight_moves_in_proportion_to_its_tensor(tmp_path):
    """Scales of folded weights differ by five orders: one absolute rate suits none of them."""
    path = tmp_path / "tiny.safetensors"
    before = published_tiny(path).state_dict()
    config = DetectorTrainingConfig(model=TINY, steps=1, warmup_steps=0, learning_rate=0.01)

    weights = train_detector(config, MIXTURE, folder=tmp_path / "run", init=path)

    after = PersonDetector.load(weights).network.movenet.state_dict()
    for name in ("lateral.0.weight", "merge.0.pointwise.weight", "heads.centre.output.weight"):
        moved = (after[name] - before[name]).abs().max() / before[name].abs().mean()
        assert 0.004 < moved < 0.02, name


def test_calibration_puts_the_best_threshold_at_one_half():
    torch.manual_seed(0)
    network = PersonNet(TINY).eval()

    class Oracle(PersonNet):
        """Right about every box, but with scores of 0.2 at most."""

        def forward(self, pictures):
            truth = next(
                b for b in batches if b.pictures.shape == pictures.permute(0, 2, 3, 1).shape
                and torch.equal(normalise(b.pictures), pictures)
            )  # fmt: skip
            maps = [encode_boxes(boxes, shape=(16, 16)) for boxes in truth.boxes]
            logits = torch.stack([torch.logit(m.centres * 0.2, eps=1e-4) for m in maps])
            return logits, torch.stack([boxes_to_shapes(m.boxes) for m in maps])

    batches = [make_scene_batch(MIXTURE, seed=7919, index=i) for i in range(24)]
    oracle = Oracle(TINY)
    oracle.load_state_dict(network.state_dict())

    assert calibrate(oracle.eval(), MIXTURE) == pytest.approx(0.2, abs=1e-3)
    moved = (oracle.bias - network.bias)[0].item()
    assert moved == pytest.approx(np.log(4), abs=1e-2)


def test_a_run_needs_an_end_and_data(tmp_path):
    with pytest.raises(SettingsError, match="needs steps or minutes"):
        DetectorTrainingConfig()
    with pytest.raises(SettingsError, match="photos without people"):
        load_scene_mixture(backgrounds=[])
    with pytest.raises(SettingsError, match="photos without people"):
        load_scene_mixture(backgrounds=[tmp_path / "a.jpg"], scenes=tmp_path)
