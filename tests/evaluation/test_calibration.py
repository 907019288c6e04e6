"""Laws of calibration: what is right stays, what is stated is observed, pixels do not matter."""

import json
from dataclasses import replace

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.evaluation.calibration import IDENTITY, Calibration, GroupMap, fit, refit
from diffpose.evaluation.pck import torso_sizes
from diffpose.evaluation.reliability import (
    coverage,
    coverage_table,
    measure,
    reliability,
    reliability_figure,
)
from diffpose.evaluation.statement_features import FEATURES, features
from diffpose.evaluation.statements import (
    NEAR,
    Predictions,
    group_columns,
    join,
    log_miss,
    within,
)
from diffpose.skeleton import COCO17, HALPE26, LIMB_KEYPOINTS, POSETRACK15, indices_of


def standing(count):
    """Poses whose torso is 100 px."""
    pose = np.random.default_rng(99).normal(0, 60, (len(HALPE26), 2))
    for side, x in (("left", 30.0), ("right", -30.0)):
        pose[HALPE26.index(f"{side}_shoulder")] = (x, -40)
        pose[HALPE26.index(f"{side}_hip")] = (x, 40)
    return np.tile(pose, (count, 1, 1))


def honest(count, *, seed=0, tail="gauss"):
    """Predictions, and truths drawn from exactly what they state; or with heavy tails."""
    rng = np.random.default_rng(seed)
    truths = standing(count)
    sd = np.exp(rng.normal(np.log(9), 0.5, truths.shape[:2]))
    noise = rng.normal(size=truths.shape)
    if tail == "heavy":
        noise = rng.standard_t(2, size=truths.shape) * 1.7
    found = truths + noise * sd[..., None]
    covariance = sd[..., None, None] ** 2 * np.eye(2)
    limit = NEAR * torso_sizes(truths, HALPE26)[:, None]
    sure = 1 - np.exp(-((limit / sd) ** 2) / 2)
    return Predictions(HALPE26, found, sure, covariance, np.tile([4.0, 8.0], (count, 1))), truths


def test_a_perfect_gaussian_s_calibration_is_the_identity():
    predictions, truths = honest(1500)

    after = fit(predictions, truths).apply(predictions)

    ratio = after.covariance[..., 0, 0] / predictions.covariance[..., 0, 0]
    assert np.abs(np.log(ratio)).mean() < 0.1
    assert np.abs(after.confidence - predictions.confidence).mean() < 0.02
    np.testing.assert_array_equal(after.keypoints, predictions.keypoints)


def test_nothing_fitted_is_exactly_the_identity():
    predictions, truths = honest(3)
    zeros = GroupMap(1, (0.0,) * len(FEATURES), (0.0,) * len(FEATURES))

    assert IDENTITY.apply(predictions) is predictions
    assert fit(predictions, np.full_like(truths, np.nan)).groups == {}
    after = Calibration({"knees": zeros}).apply(predictions)
    np.testing.assert_allclose(after.covariance, predictions.covariance)
    knees = group_columns(HALPE26)["knees"]
    stated, others = predictions.confidence, np.delete(np.arange(26), knees)
    np.testing.assert_allclose(after.confidence[:, knees], stated[:, knees].clip(0.01, 0.99))
    np.testing.assert_array_equal(after.confidence[:, others], stated[:, others])


def test_heavy_tails_are_held_by_ninety_percent_of_fresh_ellipses_and_confidence_comes_true():
    calibration = fit(*honest(1200, seed=1, tail="heavy"))
    predictions, truths = honest(3000, seed=2, tail="heavy")

    after = calibration.apply(predictions)
    before = measure(predictions, truths)

    assert before["error"] > 0.05
    assert measure(after, truths)["error"] < 0.03
    for name, (share, _) in coverage(after, truths).items():
        assert before["groups"][name]["coverage"] < 0.85
        assert share == pytest.approx(0.9, abs=0.02)


def test_the_conditional_promise_holds_for_narrow_and_wide_statements_alike():
    def understated(seed):
        predictions, truths = honest(2000, seed=seed)
        # Variances that are stated as their square roots, in units of 9 px.
        power = (predictions.covariance / 81) ** 0.5 * 81
        power[..., 0, 1] = power[..., 1, 0] = 0
        return replace(predictions, covariance=power), truths

    calibration = fit(*understated(3))
    predictions, truths = understated(4)
    after = calibration.apply(predictions)
    held, radius = log_miss(after, truths) <= 0, predictions.covariance[..., 0, 0]
    for low, high in ((0, 0.2), (0.4, 0.6), (0.8, 1)):
        edges = np.quantile(radius, (low, high))
        some = (radius >= edges[0]) & (radius <= edges[1])
        assert held[some].mean() == pytest.approx(0.9, abs=0.025)


def test_wider_statements_stay_wider_and_surer_ones_surer():
    predictions, truths = honest(400, seed=5, tail="heavy")
    calibration = fit(predictions, truths)
    widths, shares = [], []
    for scale in (0.5, 1.0, 2.0, 4.0):
        wider = replace(predictions, covariance=predictions.covariance * scale**2)
        widths.append(np.linalg.det(calibration.apply(wider).covariance))
    for sure in (0.1, 0.4, 0.7, 0.95):
        surer = replace(predictions, confidence=np.full_like(predictions.confidence, sure))
        shares.append(calibration.apply(surer).confidence)

    assert (np.diff(widths, axis=0) >= -1e-9).all()
    assert (np.diff(shares, axis=0) >= -1e-9).all()


def test_pixels_do_not_matter():
    predictions, truths = honest(300, seed=6, tail="heavy")
    zoomed = replace(
        predictions, keypoints=predictions.keypoints * 7, covariance=predictions.covariance * 49
    )

    here, there = fit(predictions, truths), fit(zoomed, truths * 7)

    for name, part in here.groups.items():
        np.testing.assert_allclose(there.groups[name].width, part.width, atol=1e-3)
    np.testing.assert_allclose(
        here.apply(zoomed).covariance, 49 * here.apply(predictions).covariance, rtol=1e-9
    )
    np.testing.assert_allclose(
        here.apply(zoomed).confidence, here.apply(predictions).confidence, rtol=1e-9
    )


def test_the_order_of_the_people_does_not_matter():
    predictions, truths = honest(200, seed=7, tail="heavy")
    order = np.random.default_rng(0).permutation(len(predictions))
    weights = np.linspace(0.5, 1.5, len(predictions))

    one = fit(predictions, truths, weights=weights)
    other = fit(predictions[order], truths[order], weights=weights[order])

    for name, part in one.groups.items():
        np.testing.assert_allclose(other.groups[name].width, part.width, atol=1e-3)
        np.testing.assert_allclose(other.groups[name].confidence, part.confidence, atol=1e-3)
    assert measure(predictions, truths) == measure(predictions[order], truths[order])


def test_a_weight_is_a_repetition():
    predictions, truths = honest(200, seed=8, tail="heavy")
    rows = np.repeat(np.arange(200), np.where(np.arange(200) < 100, 3, 1))

    weighed = fit(predictions, truths, weights=np.where(np.arange(200) < 100, 3.0, 1.0))
    repeated = fit(predictions[rows], truths[rows])

    for name, part in weighed.groups.items():
        np.testing.assert_allclose(repeated.groups[name].width, part.width, atol=0.03)


def test_joints_without_labels_are_left_alone_and_little_data_changes_little():
    predictions, truths = honest(400, seed=9, tail="heavy")
    only_limbs = np.full_like(truths, np.nan)
    limbs = indices_of(HALPE26, LIMB_KEYPOINTS)
    only_limbs[:, limbs] = truths[:, limbs]

    calibration = fit(predictions, only_limbs)
    after = calibration.apply(predictions)

    assert set(calibration.groups) == set(group_columns(HALPE26)) - {
        "face",
        "feet",
        "head and trunk",
    }
    face = group_columns(HALPE26)["face"]
    np.testing.assert_array_equal(after.covariance[:, face], predictions.covariance[:, face])
    few = fit(predictions[np.arange(1)], truths[:1])
    assert all(np.abs(part.width).max() < 1 for part in few.groups.values())


def test_what_is_unknown_stays_unknown():
    predictions, truths = honest(100, seed=10)
    calibration = fit(predictions, truths)
    covariance = predictions.covariance.copy()
    covariance[0, 5] = np.nan
    after = calibration.apply(replace(predictions, covariance=covariance))

    assert np.isnan(after.covariance[0, 5]).all()
    assert np.isfinite(after.covariance[1:]).all()
    assert not np.isfinite(log_miss(after, truths)[0, 5])


def test_text_brings_a_calibration_back_and_other_text_is_named():
    calibration = replace(fit(*honest(60)), measured={"stills": {"error": 0.01}})

    again = Calibration.from_json(calibration.to_json())

    assert again == calibration
    assert again.digest == calibration.digest != IDENTITY.digest
    for text in ("", "[]", "{}", calibration.to_json().replace("calibration-3", "calibration-9")):
        with pytest.raises(FormatError, match="calibrat"):
            Calibration.from_json(text)
    broken = json.loads(calibration.to_json())
    broken["groups"]["knees"]["width"] = [1.0]
    with pytest.raises(FormatError, match="weights"):
        Calibration.from_json(json.dumps(broken))


@pytest.mark.parametrize("version", [1, 2])
def test_calibrations_of_older_formats_say_what_they_said(version):
    predictions, truths = honest(60)
    calibration = fit(predictions, truths)
    content = json.loads(calibration.to_json())
    content["format"] = f"diffpose-calibration-{version}"
    content["features"] = content["features"][:8]
    for part in content["groups"].values():
        part["width"], part["confidence"] = part["width"][:8], part["confidence"][:8]
        if version == 1:
            del part["stretch"]

    older = Calibration.from_json(json.dumps(content))

    assert version == 2 or all(part.stretch == 0 for part in older.groups.values())
    for name, part in older.groups.items():
        assert part.width == (*calibration.groups[name].width[:8], *[0.0] * 5)
    stated = older.apply(predictions)
    face = group_columns(HALPE26)["face"]
    x = features(predictions)[:, face, :8]
    scale = np.exp(x @ np.array(content["groups"]["face"]["width"]))
    np.testing.assert_allclose(
        stated.covariance[:, face], predictions.covariance[:, face] * scale[..., None, None] ** 2
    )


def test_a_size_settled_on_people_left_out_holds_more_of_others():
    fresh, truths = honest(600, seed=100, tail="heavy")
    held: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(3):
        some, known = honest(24, seed=seed, tail="heavy")
        for left_out, shares in held.items():
            calibration = fit(some, known, people=np.arange(24) if left_out else None)
            shares.append((log_miss(calibration.apply(fresh), truths) <= 0).mean())

    # Thirteen features tell more of 24 people than is true of others.
    assert np.mean(held[False]) < 0.885
    assert np.mean(held[True]) == pytest.approx(0.9, abs=0.012)


def test_people_are_left_out_whole_and_their_order_does_not_matter():
    predictions, truths = honest(48)
    twice, both = join([predictions, predictions]), np.concatenate([truths, truths])
    people = np.arange(48)
    order = np.random.default_rng(3).permutation(48)

    once = fit(predictions, truths, people=people)
    shuffled = fit(predictions[order], truths[order], people=people[order])
    together = fit(twice, both, people=np.tile(people, 2))
    apart = fit(twice, both, people=np.random.default_rng(4).permutation(96))

    for name, part in once.groups.items():
        np.testing.assert_allclose(part.width, shuffled.groups[name].width, atol=1e-3)
    # The same people twice are no more people: a person's double in the fit gives it away.
    constants = [[m.width[0] for m in c.groups.values()] for c in (together, apart)]
    assert np.mean(constants[0]) > np.mean(constants[1])


def turned(predictions, angle):
    """The same statements about a picture turned by an angle in radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return replace(
        predictions,
        keypoints=predictions.keypoints @ turn.T,
        covariance=turn @ predictions.covariance @ turn.T,
    )


def mirrored(predictions):
    """The same statements about the mirror image, where left is right."""
    columns = HALPE26.mirror
    flip = np.diag([-1.0, 1.0])
    return replace(
        predictions,
        keypoints=(predictions.keypoints @ flip)[:, columns],
        confidence=predictions.confidence[:, columns],
        covariance=(flip @ predictions.covariance @ flip)[:, columns],
    )


POSTURE = [FEATURES.index(name) for name in ("upended", "lying", "frontal", "away")]


@pytest.mark.parametrize(
    ("degrees", "posture"),
    [(0, (0, 0, 0.5, 0)), (180, (1, 0, 0.5, 0)), (90, (0.5, 1, 0.5, 0)), (-90, (0.5, 1, 0.5, 0))],
)
def test_posture_of_somebody_who_faces_the_camera(degrees, posture):
    truths = standing(1)
    predictions = replace(honest(1)[0], keypoints=truths)

    found = features(turned(predictions, np.deg2rad(degrees)))[0, 0, POSTURE]

    np.testing.assert_allclose(found, posture, atol=1e-9)


def test_a_back_is_told_from_a_front_and_a_mirror_changes_nothing():
    predictions = replace(honest(1)[0], keypoints=standing(1))
    front = replace(predictions, keypoints=predictions.keypoints)
    back = replace(predictions, keypoints=predictions.keypoints * (-1, 1))

    away = FEATURES.index("away")
    assert features(front)[0, 0, away] == 0
    assert features(back)[0, 0, away] == pytest.approx(60 / 80)
    for one in (front, back, turned(front, 1.0), honest(20)[0]):
        np.testing.assert_allclose(
            features(mirrored(one)), features(one)[:, HALPE26.mirror], atol=1e-9
        )


@pytest.mark.parametrize("skeleton", [HALPE26, COCO17, POSETRACK15])
def test_every_keypoint_has_one_group_and_sides_share_theirs(skeleton):
    columns = group_columns(skeleton)

    assert sorted(np.concatenate(list(columns.values()))) == list(range(len(skeleton)))
    group_of = {int(i): name for name, some in columns.items() for i in some}
    assert all(group_of[i] == group_of[int(j)] for i, j in enumerate(skeleton.mirror))


def test_apart_is_the_way_to_the_other_side_in_torsos_and_nothing_in_the_middle():
    predictions = replace(honest(2)[0], keypoints=standing(2))
    predictions.keypoints[1, HALPE26.index("right_hip")] = np.nan

    found = features(predictions)[:, :, FEATURES.index("apart")]

    hip = HALPE26.index("left_hip")
    assert found[0, hip] == pytest.approx(np.log(60 / 100))
    assert found[1, hip] == 0
    middle = HALPE26.mirror == np.arange(26)
    assert middle.any()
    assert (found[:, middle] == 0).all()


def test_people_upside_down_get_ellipses_of_their_own():
    upright, truths = honest(600)
    wide, below = honest(600, seed=1)
    wide = replace(wide, covariance=wide.covariance / 4)  # they state half their errors
    half_turn = np.diag([-1.0, -1.0])
    predictions = join([upright, turned(wide, np.pi)])
    truth = np.concatenate([truths, below @ half_turn])

    after = fit(predictions, truth).apply(predictions)

    held = log_miss(after, truth) <= 0
    assert held[:600].mean() == pytest.approx(0.9, abs=0.02)
    assert held[600:].mean() == pytest.approx(0.9, abs=0.02)


def exchanged(count, *, share, seed=0):
    """Honest predictions, of which a share has left and right exchanged without knowing.

    Half of the people turn their back, so that nobody's looks give an exchange away.
    """
    predictions, truths = honest(count, seed=seed)
    rng = np.random.default_rng(seed + 1)
    wrong, back = rng.random(count) < share, rng.random(count) < 0.5
    view = np.where(back[:, None, None], (-1.0, 1.0), (1.0, 1.0))
    found = predictions.keypoints * view
    found[wrong] = found[wrong][:, HALPE26.mirror]
    return replace(predictions, keypoints=found), truths * view


def test_where_sides_are_taken_for_each_other_ellipses_reach_over():
    columns = group_columns(HALPE26)["knees"]
    calibration = fit(*exchanged(1500, share=0.15))
    predictions, truths = exchanged(1500, share=0.15, seed=5)

    after = calibration.apply(predictions)

    assert calibration.groups["knees"].stretch > 0
    assert calibration.groups["head and trunk"].stretch == 0
    held = (log_miss(after, truths)[:, columns] <= 0).mean()
    assert held == pytest.approx(0.9, abs=0.02)
    way = predictions.keypoints[:, HALPE26.mirror] - predictions.keypoints
    along = way / np.linalg.norm(way, axis=-1, keepdims=True).clip(1e-9)
    reach = np.einsum("nki,nkij,nkj->nk", along, after.covariance, along)
    across = np.trace(after.covariance, axis1=-2, axis2=-1) - reach
    assert (reach > 2 * across)[:, columns].mean() > 0.9


def test_where_sides_are_not_exchanged_no_ellipse_is_stretched():
    calibration = fit(*honest(1500))

    assert all(part.stretch == 0 for part in calibration.groups.values())


def test_refitting_to_what_came_true_changes_nothing_and_to_much_else_keeps_the_promise():
    prior = fit(*honest(1500, seed=11))
    fresh, truths = honest(1500, seed=12)
    heavy, others = honest(3000, seed=13, tail="heavy")

    same = refit(prior, prior.apply(fresh), truths)
    moved = refit(prior, prior.apply(heavy), others, prior_count=20)
    hardly = refit(prior, prior.apply(heavy)[np.arange(5)], others[:5])

    for name, part in same.groups.items():
        assert part.width[0] == pytest.approx(prior.groups[name].width[0], abs=0.03)
        assert part.confidence[0] == pytest.approx(prior.groups[name].confidence[0], abs=0.1)
        assert part.count > prior.groups[name].count
        assert hardly.groups[name].width[0] == pytest.approx(prior.groups[name].width[0], abs=0.02)
    for share, _ in coverage(moved.apply(heavy), others).values():
        assert share == pytest.approx(0.9, abs=0.01)


def test_a_forecaster_who_is_right_has_no_calibration_error_and_a_boaster_has():
    rng = np.random.default_rng(0)
    stated = rng.random(200_000)
    correct = (rng.random(200_000) < stated).astype(float)
    correct[:10] = np.nan

    assert reliability(stated, correct).error < 0.005
    assert reliability(np.full(1000, 0.8), np.arange(1000) % 2 * 1.0).error == pytest.approx(0.3)
    assert reliability(stated, correct).counts.sum() == 200_000 - 10
    assert np.isnan(reliability(np.zeros(0), np.zeros(0)).error)


def test_within_is_a_tenth_of_the_true_torso():
    predictions, truths = honest(4)
    torso = torso_sizes(truths, HALPE26)[0]
    for part, expected in ((0.099, 1), (0.101, 0)):
        moved = replace(predictions, keypoints=truths + np.array([part * torso, 0]))
        assert (within(moved, truths) == expected).all()


def test_every_keypoint_of_every_skeleton_is_in_exactly_one_group():
    for skeleton in (HALPE26, COCO17, POSETRACK15):
        columns = np.concatenate(list(group_columns(skeleton).values()))
        assert sorted(columns.tolist()) == list(range(len(skeleton)))


def test_predictions_of_a_wrong_shape_are_named_and_joined_ones_keep_their_order():
    predictions, _ = honest(4)

    with pytest.raises(FormatError, match="confidence"):
        replace(predictions, confidence=predictions.confidence[:, :3])
    both = join([predictions[np.array([2, 3])], predictions[np.array([0])]])
    np.testing.assert_array_equal(both.keypoints, predictions.keypoints[[2, 3, 0]])


def test_the_figure_and_the_table_show_what_was_measured():
    measured = {"stills": measure(*honest(50)), "nothing": measure(*honest(2)) | {"error": None}}

    figure, table = reliability_figure(measured), coverage_table(measured)

    assert len(figure["data"]) == 3
    assert figure["data"][1]["x"] == measured["stills"]["stated"]
    assert len(reliability_figure({})["data"]) == 1
    assert json.dumps(figure)
    assert "| knees |" in table
    assert "| stills | nothing |" in table
