"""Laws of the search for exchanged sides."""

import numpy as np

from diffpose.evaluation.label_noise import find_exchanged_sides
from diffpose.skeleton import HALPE26, indices_of

LEGS = [f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")]


def people(count=20, seed=0):
    return np.random.default_rng(seed).uniform(0, 200, (count, 26, 2)).astype(np.float32)


def test_a_model_that_agrees_doubts_nobody():
    truth = people()
    noisy = truth + np.random.default_rng(1).normal(0, 3, truth.shape)
    result = find_exchanged_sides(noisy, truth, HALPE26)
    assert not result.arms.any()
    assert not result.legs.any()
    assert (result.weights == 1).all()


def test_exchanged_legs_are_found_and_only_they_weigh_less():
    model, truth = people(), people()
    legs = indices_of(HALPE26, LEGS)
    truth[3, legs] = truth[3][HALPE26.mirror][legs]
    result = find_exchanged_sides(model, truth, HALPE26)
    assert result.legs.nonzero()[0].tolist() == [3]
    assert not result.arms.any()
    doubted = np.zeros((20, 26), bool)
    doubted[3, legs] = True
    assert ((result.weights < 1) == doubted).all()


def test_a_model_that_is_simply_wrong_doubts_nobody():
    result = find_exchanged_sides(people(seed=1), people(seed=2), HALPE26)
    assert not result.arms.any()
    assert not result.legs.any()


def test_people_with_too_few_annotations_are_left_alone():
    truth = people()
    truth[:, indices_of(HALPE26, LEGS[:4])] = np.nan
    model = truth[:, HALPE26.mirror]
    assert not find_exchanged_sides(model, truth, HALPE26).legs.any()
