"""Laws of what neighbours say about the centre frame."""

import pytest
import torch
from torch.nn import functional as F

from diffpose.model.config import preset
from diffpose.model.evidence import NeighbourEvidence
from diffpose.model.network import DiffPose
from diffpose.skeleton import COCO17

FRAMES, SIDE = 3, 8
KEYPOINTS = len(COCO17)


def evidence(seed=0):
    torch.manual_seed(seed)
    return NeighbourEvidence(COCO17, num_frames=FRAMES, channels=16, width=8)


def feature(batch=1):
    return torch.zeros(batch, 16, SIDE // 4, SIDE // 4)


def outside(batch=1):
    return torch.full((batch, FRAMES, KEYPOINTS), -4.0)


def peaks(cells):
    """Logits whose peaks lie in the cells (B, T, K) of the flat map."""
    return 8.0 * F.one_hot(cells, SIDE * SIDE).float().unflatten(-1, (SIDE, SIDE))


def test_before_training_neighbours_correct_nothing():
    logits = torch.randn(2, FRAMES, KEYPOINTS, SIDE, SIDE)
    assert evidence()(logits, outside(2), feature(2)).abs().max() == 0


@torch.no_grad()
def test_left_and_right_are_treated_alike():
    part = evidence()
    torch.nn.init.normal_(part.correct.weight)
    logits = torch.randn(1, FRAMES, KEYPOINTS, SIDE, SIDE)
    mirror = COCO17.mirror.tolist()

    swapped = part(logits[:, :, mirror], outside(), feature())

    torch.testing.assert_close(swapped[:, mirror], part(logits, outside(), feature()))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "moved"), [("left_knee", {"left_knee", "right_knee"}), ("nose", {"nose"})]
)
def test_a_keypoint_corrects_itself_and_its_mirror_image_only(name, moved):
    part = evidence()
    torch.nn.init.normal_(part.correct.weight)
    logits = torch.randn(1, FRAMES, KEYPOINTS, SIDE, SIDE)
    changed = logits.clone()
    changed[0, 0, COCO17.index(name), 2, 2] += 5.0

    difference = part(changed, outside(), feature()) - part(logits, outside(), feature())

    touched = difference.abs().amax(dim=(0, 2, 3)) > 1e-6
    assert {COCO17.keypoints[i] for i in touched.nonzero().flatten()} == moved


def test_what_a_still_cannot_tell_is_learned_from_the_neighbours():
    """The centre frame sees two cells alike; both neighbours see the true one only."""
    part = evidence()
    generator = torch.Generator().manual_seed(4)
    optimizer = torch.optim.Adam(part.parameters(), lr=1e-2)

    def scenes(batch=16):
        true, false = torch.randint(0, SIDE**2, (2, batch, 1, KEYPOINTS), generator=generator)
        logits = peaks(true.expand(-1, FRAMES, -1).clone())
        logits[:, 1] = torch.maximum(logits[:, 1], peaks(false)[:, 0])
        return logits, true[:, 0]

    def answer(logits):
        return logits[:, 1] + part(logits, outside(len(logits)), feature(len(logits)))

    for _ in range(60):
        logits, true = scenes()
        loss = F.cross_entropy(answer(logits).flatten(2).transpose(1, 2), true)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    logits, true = scenes()
    with torch.no_grad():
        right = answer(logits).flatten(2).argmax(-1) == true
    assert right.float().mean() > 0.9


def test_a_network_can_be_described_without_memory():
    with torch.device("meta"):
        described = DiffPose(preset("base")).state_dict()
    built = DiffPose(preset("base")).state_dict()

    assert {name: value.shape for name, value in described.items()} == {
        name: value.shape for name, value in built.items()
    }
