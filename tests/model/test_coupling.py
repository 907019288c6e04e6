"""What decided keypoints say about the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffpose.model.coupling import STRIDE, Evidence, KeypointCoupling, pool

K, SIZE = 5, (64, 48)


def coupling(*, pairs: float = 0.0, core: float = 0.0) -> KeypointCoupling:
    torch.manual_seed(3)
    made = KeypointCoupling(K, SIZE, width=16, layers=1, heads=2, functions=6, rank=4).eval()
    with torch.no_grad():
        made.pairs.normal_(std=pairs) if pairs else None
        made.core.normal_(std=core) if core else None
    return made


def probability(count: int = 2, *, beyond: float = 0.2) -> Tensor:
    maps = torch.rand(count, K, *SIZE, generator=torch.Generator().manual_seed(1)) ** 4
    return (1 - beyond) * maps / maps.sum(dim=(-2, -1), keepdim=True)


def points(*rows: tuple[int, float, float], count: int = 2) -> Tensor:
    """Keypoints placed at (x, y) crop pixels, all others undecided."""
    made = torch.full((count, K, 2), torch.nan)
    for k, x, y in rows:
        made[:, k] = torch.tensor([x, y])
    return made


@torch.no_grad()
def correction(model: KeypointCoupling, placed: Tensor, evidence: Evidence) -> Tensor:
    logits, _ = model(placed, evidence)
    return torch.as_tensor(logits - evidence.cells)


def test_evidence_is_the_distribution_it_was_made_of() -> None:
    evidence = coupling().evidence(pool(probability()))

    assert evidence.cells.shape == (2, K, 32, 24)
    assert torch.allclose(evidence.cells.exp().sum(dim=(-2, -1)), torch.tensor(0.8), atol=1e-3)
    assert torch.allclose(evidence.outside.exp(), torch.tensor(0.2), atol=1e-5)


def test_an_untrained_coupling_leaves_keypoints_independent() -> None:
    model = coupling()
    evidence = model.evidence(pool(probability()))

    assert not correction(model, points((1, 50, 90)), evidence).any()


def test_undecided_keypoints_say_nothing() -> None:
    model = coupling(pairs=1.0, core=1.0)
    evidence = model.evidence(pool(probability()))

    assert not correction(model, points(), evidence).any()
    assert correction(model, points((1, 50, 90)), evidence).any()


def test_a_pairs_term_depends_on_the_displacement_alone() -> None:
    model = coupling(pairs=1.0)
    evidence = model.evidence(pool(probability()))

    here = correction(model, points((1, 67.5, 99.5), (3, 83.5, 67.5)), evidence)
    there = correction(model, points((1, 99.5, 131.5), (3, 115.5, 99.5)), evidence)

    step = 32 // STRIDE
    inner = here[..., 4:24, 4:16]
    assert torch.allclose(inner, there[..., 4 + step : 24 + step, 4 + step : 16 + step], atol=1e-4)


def test_what_the_pose_sets_depends_on_all_that_is_decided() -> None:
    model = coupling(core=1.0)
    evidence = model.evidence(pool(probability()))

    alone = correction(model, points((1, 60, 90)), evidence)
    other = correction(model, points((2, 150, 30)), evidence)
    both = correction(model, points((1, 60, 90), (2, 150, 30)), evidence)

    assert not torch.allclose(both, alone + other, atol=1e-3)


@pytest.mark.parametrize("asked", [[0], [4, 2], [1, 0, 3]])
def test_some_keypoints_are_answered_as_all_are(asked: list[int]) -> None:
    model = coupling(pairs=1.0, core=1.0)
    evidence = model.evidence(pool(probability()))
    placed, index = points((2, 60, 90)), torch.tensor([asked, asked])

    with torch.no_grad():
        every, every_outside = model(placed, evidence)
        some, outside = model(placed, evidence, index)

    assert torch.allclose(some, every[:, asked], atol=1e-5)
    assert torch.equal(outside, every_outside[:, asked])


def test_hypotheses_of_a_window_share_its_evidence() -> None:
    evidence = coupling().evidence(pool(probability()))

    repeated = evidence.repeat(3)

    assert torch.equal(repeated.cells[3:], evidence.cells[1:].expand(3, -1, -1, -1))
    assert torch.equal(repeated.summary[:3], evidence.summary[:1].expand(3, -1, -1))
