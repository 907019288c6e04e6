"""Laws of consensus: what looks agree on stays, what they do not goes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.evaluation.agreement import AgreementRule, consensus, same_person
from diffpose.skeleton import COCO17

POSE = np.random.default_rng(0).uniform(0, 100, (17, 2))
SURE = np.full((3, 17), 0.9)
ASIDE = np.array([50.0, 0.0])


def test_the_consensus_of_identical_looks_is_that_look():
    found = consensus(np.stack([POSE] * 3), SURE, COCO17, size=100)

    np.testing.assert_allclose(found.keypoints, POSE, rtol=1e-6)
    np.testing.assert_array_equal(found.weights, 1)
    np.testing.assert_allclose(found.share, 1)


def test_a_single_look_is_believed_as_far_as_it_is_sure():
    found = consensus(POSE[None], np.full((1, 17), 0.25), COCO17, size=100)

    np.testing.assert_allclose(found.keypoints, POSE, rtol=1e-6)
    np.testing.assert_allclose(found.weights, 0.5)


def test_the_odd_one_out_counts_nothing():
    odd = POSE + ASIDE

    found = consensus(np.stack([odd, POSE, POSE + 0.2]), SURE, COCO17, size=100)

    np.testing.assert_allclose(found.keypoints, POSE + 0.1, rtol=1e-4)
    np.testing.assert_allclose(found.weights, 2 / 3, rtol=1e-6)


def test_looks_that_all_differ_leave_nothing():
    looks = np.stack([POSE, POSE + ASIDE, POSE - ASIDE])

    found = consensus(looks, SURE, COCO17, size=100)

    assert np.isnan(found.keypoints).all()
    np.testing.assert_array_equal(found.weights, 0)


def test_what_nobody_is_sure_of_is_dropped():
    found = consensus(np.stack([POSE] * 3), np.full((3, 17), 0.1), COCO17, size=100)

    assert np.isnan(found.keypoints).all()


def test_a_look_that_does_not_know_a_keypoint_has_no_say():
    silent = POSE.copy()
    silent[3] = np.nan
    nobody = np.stack([POSE, silent, silent])
    nobody[:, 5] = np.nan

    found = consensus(nobody, SURE, COCO17, size=100)

    np.testing.assert_allclose(found.keypoints[3], POSE[3], rtol=1e-6)
    assert found.weights[3] == 1
    assert np.isnan(found.keypoints[5]).all()
    assert found.share[5] == found.weights[5] == 0


@given(st.permutations(range(4)), st.floats(0.1, 100))
def test_neither_the_order_of_looks_nor_the_unit_matters(order, unit):
    rng = np.random.default_rng(1)
    looks = POSE + rng.normal(0, 3, (4, 17, 2))
    scores = rng.uniform(0.3, 1, (4, 17))

    plain = consensus(looks, scores, COCO17, size=100)
    other = consensus(looks[order] * unit, scores[order], COCO17, size=100 * unit)

    np.testing.assert_allclose(other.keypoints / unit, plain.keypoints, rtol=1e-4)
    np.testing.assert_allclose(other.weights, plain.weights, rtol=1e-5)


def test_a_smaller_person_s_looks_must_be_nearer():
    looks = np.stack([POSE, POSE + 2])

    near = consensus(looks, SURE[:2], COCO17, size=100, rule=AgreementRule(share=0.6))
    far = consensus(looks, SURE[:2], COCO17, size=10, rule=AgreementRule(share=0.6))

    assert np.isfinite(near.keypoints[5:]).all()
    assert np.isnan(far.keypoints[5:]).all()


@pytest.mark.parametrize(("shift", "same"), [(0.5, True), (30, False)])
def test_two_poses_are_one_person_s_where_most_keypoints_meet(shift, same):
    assert same_person(POSE, POSE + shift, COCO17, size=100) is same
