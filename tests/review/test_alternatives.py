"""Laws of the alternatives: groups of hypotheses, swaps, what was placed."""

import numpy as np
import pytest

from diffpose.poses import Hypotheses
from diffpose.review.alternatives import cluster
from diffpose.skeleton import COCO17

WRIST, ELBOW = COCO17.index("left_wrist"), COCO17.index("left_elbow")
STANDING = np.zeros((17, 2))
for name, (x, y) in {
    "shoulder": (30, 0), "elbow": (50, 30), "wrist": (60, 60),
    "hip": (25, 80), "knee": (28, 130), "ankle": (30, 180),
    "eye": (4, -40), "ear": (8, -38),
}.items():  # fmt: skip
    STANDING[COCO17.index(f"left_{name}")] = x, y
    STANDING[COCO17.index(f"right_{name}")] = -x, y
STANDING[COCO17.index("nose")] = 0, -35


def hypotheses(poses):
    poses = np.array(poses)
    noise = np.random.default_rng(0).normal(0, 0.5, poses.shape)
    return Hypotheses(0, poses + noise, np.full(poses.shape[:2], 0.5))


def raised():
    pose = STANDING.copy()
    pose[WRIST] = 60, -40
    pose[ELBOW] = 55, -10
    return pose


def test_hypotheses_that_agree_have_no_alternative():
    assert cluster(hypotheses([STANDING] * 8), COCO17) == []


def test_two_places_of_a_limb_give_one_alternative_with_its_share():
    (found,) = cluster(hypotheses([STANDING] * 6 + [raised()] * 2), COCO17)

    assert found.share == pytest.approx(0.25)
    assert {WRIST, ELBOW} <= set(found.keypoints_changed)
    assert not found.is_swap
    np.testing.assert_allclose(found.keypoints[WRIST], raised()[WRIST], atol=2)
    np.testing.assert_allclose(found.keypoints[COCO17.index("nose")], [0, -35], atol=2)


def test_exchanged_legs_are_one_alternative():
    crossed = STANDING.copy()
    legs = [COCO17.index(f"{side}_{part}") for part in ("hip", "knee", "ankle")
            for side in ("left", "right")]  # fmt: skip
    crossed[legs] = STANDING[COCO17.mirror][legs]

    (found,) = cluster(hypotheses([STANDING] * 5 + [crossed] * 3), COCO17)

    assert found.is_swap
    assert found.share == pytest.approx(3 / 8)
    assert set(found.keypoints_changed) == set(legs)
    np.testing.assert_allclose(found.keypoints, crossed, atol=2)


def test_placed_keypoints_stay_and_choose_among_the_hypotheses():
    both = hypotheses([STANDING] * 6 + [raised()] * 2)
    placed = {WRIST: (60.5, -39.5)}

    found = cluster(both, COCO17, placed)

    # The raised arm is now the usual pose; the hanging one disagrees and has lost its share.
    assert found == []
    unplaced = cluster(both, COCO17, {COCO17.index("nose"): (0.25, -35.25)})
    np.testing.assert_array_equal(unplaced[0].keypoints[COCO17.index("nose")], [0.25, -35.25])


def test_no_more_than_asked_for_and_the_likeliest_first():
    poses = [STANDING] * 5
    for k, count in (("left_wrist", 3), ("right_ankle", 2), ("nose", 4)):
        for _ in range(count):
            pose = STANDING.copy()
            pose[COCO17.index(k)] += 90
            poses.append(pose)

    found = cluster(hypotheses(poses), COCO17, most=2)

    assert [round(a.share * len(poses)) for a in found] == [4, 3]


def test_the_order_of_hypotheses_does_not_matter():
    poses = [STANDING] * 5 + [raised()] * 3
    noisy = hypotheses(poses).keypoints

    there, back = (
        cluster(Hypotheses(0, k, np.ones(k.shape[:2])), COCO17) for k in (noisy, noisy[::-1])
    )

    assert [a.keypoints_changed for a in there] == [a.keypoints_changed for a in back]
    np.testing.assert_allclose(there[0].keypoints, back[0].keypoints, atol=1e-3)
