"""Laws of body proportions: they tell by how much a picture was stretched."""

import numpy as np
import pytest

from diffpose.evaluation.proportions import learn_proportions, likely_aspect
from diffpose.skeleton import HALPE26

ASPECTS = (1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3)
# Half a body, upright, as it faces the camera; the other half mirrors it.
HALF = {
    "eye": (3, 8), "ear": (7, 9), "shoulder": (18, 30), "elbow": (22, 58), "wrist": (24, 82),
    "hip": (11, 85), "knee": (12, 125), "ankle": (12, 165),
}  # fmt: skip


def people(count, *, seed=0, spread=0.1):
    """Bodies of different proportions, some turned to the side, some lying."""
    rng = np.random.default_rng(seed)
    poses = np.full((count, 26, 2), np.nan)
    poses[:, HALPE26.index("nose")] = 0, 12
    for part, (x, y) in HALF.items():
        poses[:, HALPE26.index(f"left_{part}")] = x, y
        poses[:, HALPE26.index(f"right_{part}")] = -x, y
    poses *= np.exp(rng.normal(0, spread, (count, 26, 1)))
    poses[..., 0] *= np.cos(rng.uniform(0, 0.8, (count, 1)))
    lying = rng.random(count) < 0.3
    poses[lying] = poses[lying][..., ::-1]
    return poses


PROPORTIONS = learn_proportions(people(400), HALPE26)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_stretched_body_is_stretched_back(aspect):
    squared = people(60, seed=1) / [aspect, 1]

    found = [likely_aspect(person[None], PROPORTIONS, ASPECTS) for person in squared]

    half_a_step = np.log(4 / 3) / 2
    assert np.abs(np.log(np.array(found) / aspect)).mean() < half_a_step


def test_several_people_tell_it_more_surely():
    squared = people(60, seed=2, spread=0.25).reshape(12, 5, 26, 2) / [4 / 3, 1]

    alone = [likely_aspect(group[:1], PROPORTIONS, ASPECTS) for group in squared]
    together = [likely_aspect(group, PROPORTIONS, ASPECTS) for group in squared]

    assert np.isclose(together, 4 / 3).sum() > np.isclose(alone, 4 / 3).sum()


def test_neither_place_nor_size_matters_and_nobody_says_nothing():
    poses = people(5, seed=3)

    np.testing.assert_allclose(
        PROPORTIONS.likelihood(poses * 3 + 50), PROPORTIONS.likelihood(poses), rtol=1e-6
    )
    nobody = np.full((2, 26, 2), np.nan)
    np.testing.assert_array_equal(PROPORTIONS.likelihood(nobody), 0)
    assert likely_aspect(nobody, PROPORTIONS, ASPECTS) == 1.0
