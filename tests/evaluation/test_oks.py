"""OKS and its average precision are pycocotools', on made-up pictures and on paper."""

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from diffpose.errors import FormatError
from diffpose.evaluation.oks import OksPicture, oks, score_oks
from diffpose.skeleton import COCO17

K = len(COCO17)


def made_picture(rng):
    count, found = int(rng.integers(0, 5)), []
    sizes = rng.choice([20.0, 60.0, 150.0], count)
    corners = rng.uniform(0, 400, (count, 2))
    truth = corners[:, None] + rng.random((count, K, 2)) * sizes[:, None, None]
    truth[rng.random((count, K)) < 0.25] = np.nan
    truth[rng.random(count) < 0.15] = np.nan
    for number in rng.integers(0, max(count, 1), int(rng.integers(0, 8)) * (count > 0)):
        spread = sizes[number] * rng.choice([0.01, 0.05, 0.2])
        guess = corners[number] + rng.random((K, 2)) * sizes[number]
        known = np.isfinite(truth[number])
        found.append(np.where(known, truth[number], guess) + rng.normal(0, spread, (K, 2)))
    found += [rng.uniform(0, 500, (K, 2)) for _ in range(rng.integers(0, 25))]
    return OksPicture(
        truth=truth,
        areas=sizes**2 * rng.uniform(0.5, 1, count),
        boxes=np.concatenate([corners, corners + sizes[:, None]], axis=1),
        found=np.array(found).reshape(-1, K, 2),
        scores=rng.random(len(found)),
        crowd=rng.random(count) < 0.15,
    )


def made_pictures(seed):
    rng = np.random.default_rng(seed)
    return [made_picture(rng) for _ in range(int(rng.integers(1, 6)))]


def pycocotools_evaluation(pictures):
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures):
        images.append({"id": number})
        for row, truth in enumerate(picture.truth):
            known = np.isfinite(truth).all(axis=1)
            triplets = np.concatenate([np.nan_to_num(truth), 2.0 * known[:, None]], axis=1)
            x1, y1, x2, y2 = picture.boxes[row]
            people.append({
                "id": len(people) + 1, "image_id": number, "category_id": 1,
                "keypoints": triplets.reshape(-1).tolist(), "num_keypoints": int(known.sum()),
                "area": picture.areas[row], "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": int(picture.crowd is not None and picture.crowd[row]),
            })  # fmt: skip
        for pose, score in zip(picture.found, picture.scores, strict=True):
            triplets = np.concatenate([pose, np.ones((K, 1))], axis=1).reshape(-1)
            found.append({"image_id": number, "category_id": 1, "keypoints": triplets.tolist(),
                          "score": float(score)})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": people, "categories": [{"id": 1}]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_ten_numbers_are_those_of_pycocotools(seed):
    pictures = made_pictures(seed)
    if not sum(map(lambda p: np.isfinite(p.truth).sum(), pictures)):
        return
    if not sum(len(p.found) for p in pictures):
        return

    score = score_oks(pictures, COCO17.sigmas)

    expected = pycocotools_evaluation(pictures).stats
    got = np.nan_to_num(list(vars(score).values()), nan=-1)
    np.testing.assert_allclose(got, expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_similarities_are_those_of_pycocotools(seed):
    pictures = made_pictures(seed)
    if not sum(len(p.found) for p in pictures):
        return
    evaluation = pycocotools_evaluation(pictures)

    for number, picture in enumerate(pictures):
        order = np.argsort(-picture.scores, kind="stable")[:20]
        got = oks(replace(picture, found=picture.found[order]), COCO17.sigmas)
        np.testing.assert_allclose(
            got.reshape(-1), np.array(evaluation.ious[number, 1]).reshape(-1), atol=1e-12
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
def test_shuffling_pictures_people_and_poses_changes_nothing(seed, order):
    pictures = made_pictures(seed)
    if not any(np.isfinite(p.truth).any() for p in pictures):
        return

    def shuffled(picture):
        people = order.sample(range(len(picture.truth)), len(picture.truth))
        poses = order.sample(range(len(picture.found)), len(picture.found))
        return OksPicture(
            picture.truth[people], picture.areas[people], picture.boxes[people],
            picture.found[poses], picture.scores[poses], picture.crowd[people],
        )  # fmt: skip

    again = score_oks(order.sample([shuffled(p) for p in pictures], len(pictures)), COCO17.sigmas)

    np.testing.assert_allclose(
        list(vars(again).values()), list(vars(score_oks(pictures, COCO17.sigmas)).values())
    )


def one_person(found, truth=None):
    truth = np.arange(2.0 * K).reshape(1, K, 2) if truth is None else truth
    return OksPicture(truth, np.array([40.0**2]), np.array([[0.0, 0, 40, 40]]), found, np.ones(1))


def test_the_truth_has_1():
    picture = one_person(np.arange(2.0 * K).reshape(1, K, 2))

    score = score_oks([picture], COCO17.sigmas)

    assert (score.ap, score.ar, score.ap_medium) == (1, 1, 1)
    assert np.isnan(score.ap_large)


def test_an_error_of_one_sigma_costs_what_the_formula_says():
    truth = np.full((1, K, 2), np.nan)
    truth[0, 0] = 20.0
    found = np.zeros((1, K, 2))
    found[0, 0] = 20.0, 20.0 + 2 * COCO17.sigmas[0] * 40  # kappa times the person's scale

    assert oks(one_person(found, truth), COCO17.sigmas) == pytest.approx(np.exp(-0.5))


def test_a_keypoint_that_was_not_found_is_nowhere_near():
    found = np.arange(2.0 * K).reshape(1, K, 2)
    found[0, :5] = np.nan

    assert oks(one_person(found), COCO17.sigmas) == pytest.approx(12 / 17)


def test_nobody_to_score_against_is_named():
    with pytest.raises(FormatError, match="at least one person"):
        score_oks([one_person(np.zeros((1, K, 2)), np.full((1, K, 2), np.nan))], COCO17.sigmas)
