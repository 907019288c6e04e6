"""Laws of the search for exchanged sides."""

import numpy as np

from diffpose.evaluation.label_noise import find_exchanged_sides, reconcile
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


def heard(truth, opinion, score):
    return reconcile(truth, opinion, np.full(truth.shape[:2], score), HALPE26)


def test_an_annotation_that_is_confirmed_stays_to_the_bit():
    truth = people()
    result = heard(truth, truth + 0.5, 0.9)
    np.testing.assert_array_equal(result.keypoints, truth)
    assert (result.weights == 1).all()
    assert not result.replaced.any()


def test_a_sure_opinion_replaces_what_it_contradicts_and_adds_what_is_missing():
    truth, opinion = people(), people()
    knee, nose = HALPE26.index("left_knee"), HALPE26.index("nose")
    truth[4, knee] += 500
    truth[:, nose] = np.nan
    result = heard(truth, opinion, 0.9)
    np.testing.assert_array_equal(result.keypoints, opinion)
    assert np.argwhere(result.replaced).tolist() == [[4, knee]]
    assert result.added[:, nose].all()
    assert result.added.sum() == 20


def test_an_unsure_opinion_changes_no_point_and_only_weighs_what_it_contradicts():
    truth, opinion = people(), people()
    knee = HALPE26.index("left_knee")
    truth[4, knee] += 500
    for score in (0.1, 0.45):
        result = heard(truth, opinion, score)
        np.testing.assert_array_equal(result.keypoints, truth)
        assert np.argwhere(result.weights < 1).tolist() == [[4, knee]]


def test_exchanged_legs_change_sides():
    truth, opinion = people(), people()
    legs = indices_of(HALPE26, LEGS)
    truth[3, legs] = truth[3][HALPE26.mirror][legs]
    result = heard(truth, opinion, 0.45)
    np.testing.assert_array_equal(result.keypoints, opinion)
    assert result.exchanged.nonzero()[0].tolist() == [3]


def test_an_estimator_that_found_nobody_changes_nothing():
    truth = people()
    result = reconcile(truth, np.full_like(truth, np.nan), np.zeros((20, 26)), HALPE26)
    np.testing.assert_array_equal(result.keypoints, truth)
    assert (result.weights == 1).all()
