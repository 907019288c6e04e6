"""Laws of weights that begin at another crop size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from diffpose.model.resize import below_finer_levels, resize_aggregation, resize_weights
from diffpose.model.strl import Strl

OLD, NEW = (4, 3), (8, 6)
FRAMES = 3
sides = st.integers(2, 7)


def strl(size, *, seed=0):
    torch.manual_seed(seed)
    made = Strl(8, width=8, num_frames=FRAMES, size=size, layers=1, heads=2).eval()
    torch.nn.init.normal_(made.aggregate.weight)
    torch.nn.init.normal_(made.aggregate.bias)
    return made


def resized(old, new_size):
    tensors = {f"strl.{name}": value for name, value in old.state_dict().items()}
    tensors = resize_weights(tensors, old=old.size, new=new_size)
    made = strl(new_size, seed=1)
    made.load_state_dict({name.removeprefix("strl."): value for name, value in tensors.items()})
    return made


def test_nothing_changes_without_another_size():
    tensors = {f"strl.{name}": value for name, value in strl(OLD).state_dict().items()}

    same = resize_weights(tensors, old=OLD, new=OLD)

    assert all(torch.equal(same[name], value) for name, value in tensors.items())


def test_what_has_no_places_stays_as_it_is():
    tensors = {"strl.embed.weight": torch.randn(8, 12), "decoder.head.bias": torch.randn(26)}

    same = resize_weights(tensors, old=OLD, new=NEW)

    assert all(torch.equal(same[name], value) for name, value in tensors.items())


@torch.no_grad()
def test_frames_that_are_the_same_everywhere_give_the_old_map_at_the_new_size():
    old = strl(OLD)
    old.position.zero_()
    new = resized(old, NEW)
    frames = torch.randn(2, FRAMES, 8, 1, 1)

    before = old(frames.expand(-1, -1, -1, *OLD))
    after = new(frames.expand(-1, -1, -1, *NEW))

    expected = F.interpolate(before, NEW, mode="bilinear", align_corners=False)
    torch.testing.assert_close(after, expected, atol=2e-4, rtol=1e-4)


@given(sides, sides, sides, sides, st.integers(0, FRAMES - 1))
def test_choosing_a_frame_stays_choosing_it(h, w, new_h, new_w, chosen):
    weight = torch.zeros(h * w, FRAMES, h * w)
    weight[:, chosen] = torch.eye(h * w)

    grown = resize_aggregation(weight.flatten(1), old=(h, w), new=(new_h, new_w))

    expected = torch.zeros(new_h * new_w, FRAMES, new_h * new_w)
    expected[:, chosen] = torch.eye(new_h * new_w)
    torch.testing.assert_close(grown, expected.flatten(1))


@pytest.mark.parametrize("frames", [1, 3])
def test_positions_move_with_their_places_in_every_frame(frames):
    """A position that is its own place stays its own place, where there is no edge."""
    rows, columns = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in (6, 4)), indexing="ij")
    frame = torch.stack([rows, columns], dim=-1)
    number = torch.arange(float(frames)).view(-1, 1, 1, 1)
    positions = {"low.position": (frame + number).flatten(0, 2)[None]}

    grown = resize_weights(positions, old=(6, 4), new=(9, 8))["low.position"]

    new_rows, new_columns = torch.meshgrid(
        *((torch.arange(n) + 0.5) / n for n in (9, 8)), indexing="ij"
    )
    expected = torch.stack([new_rows, new_columns], dim=-1) + number
    inner = slice(1, -1)
    torch.testing.assert_close(
        grown.view(frames, 9, 8, 2)[:, inner, inner], expected[:, inner, inner]
    )


def test_levels_keep_their_weights_above_finer_ones():
    tensors = {
        "network.backbone.lateral.0.weight": torch.zeros(1),
        "network.backbone.lateral.10.bias": torch.ones(1),
        "network.backbone.merge.0.weight": torch.ones(2),
    }

    moved = below_finer_levels(tensors, added=2)

    assert list(moved) == [
        "network.backbone.lateral.2.weight",
        "network.backbone.lateral.12.bias",
        "network.backbone.merge.0.weight",
    ]
    assert all(a is b for a, b in zip(moved.values(), tensors.values(), strict=True))
    assert below_finer_levels(tensors, added=0) == tensors
