"""Laws of trusted annotations: weights follow their picture, mirrored with it."""

import numpy as np
import pytest

from diffpose.data.augment import AugmentConfig
from diffpose.data.batches import Mixture, make_batch
from diffpose.data.sources import StillSource, load_lspet, write_trust
from diffpose.errors import FormatError
from diffpose.skeleton import HALPE26
from tests.data.lspet_folder import write_lspet


def test_weights_follow_their_keypoints_through_mirroring():
    rng = np.random.default_rng(0)
    left_ankle = HALPE26.index("left_ankle")
    weights = np.ones((1, 26), np.float32)
    weights[0, left_ankle] = 0.25
    points = rng.uniform(10, 50, (1, 26, 2))
    source = StillSource([np.zeros((64, 64, 3), np.uint8)], points, ["a"], weights)
    mixture = Mixture([source], [1.0], 1, (64, 64), 16, HALPE26, AugmentConfig())
    batch = make_batch(mixture, seed=0, index=0)
    assert batch.weights is not None
    places = {int(row.argmin()) for row in batch.weights}
    assert places == {left_ankle, HALPE26.index("right_ankle")}  # some mirrored, some not


def test_trust_is_read_back_by_name_and_must_fit(tmp_path):
    names = write_lspet(tmp_path, "train", count=3)
    weights = np.random.default_rng(0).uniform(size=(3, 26)).astype(np.float32)
    write_trust(tmp_path / "trust.npz", names[::-1], weights[::-1], HALPE26)
    source = load_lspet(tmp_path, "train", HALPE26, trust=str(tmp_path / "trust.npz"))
    np.testing.assert_array_equal(source.weights, weights)

    write_trust(tmp_path / "few.npz", names[:2], weights[:2], HALPE26)
    with pytest.raises(FormatError, match="1 of 3 pictures are not in it"):
        load_lspet(tmp_path, "train", HALPE26, trust=str(tmp_path / "few.npz"))


def test_settled_annotations_take_the_place_of_the_given_ones(tmp_path):
    names = write_lspet(tmp_path, "train", count=3)
    rng = np.random.default_rng(0)
    settled = rng.uniform(0, 50, (3, 26, 2)).astype(np.float32)
    weights = rng.uniform(size=(3, 26)).astype(np.float32)
    file = tmp_path / "trust.npz"
    write_trust(file, names[::-1], weights[::-1], HALPE26, settled=settled[::-1])
    source = load_lspet(tmp_path, "train", HALPE26, trust=str(file))
    np.testing.assert_array_equal(source.keypoints, settled)
    np.testing.assert_array_equal(source.weights, weights)
