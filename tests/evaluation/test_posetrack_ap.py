"""PoseTrack AP is poseval's: its toy cases, its numbers on made-up scenes, and its symmetries."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import FormatError
from diffpose.evaluation.posetrack_ap import posetrack_ap
from diffpose.formats.posetrack import read_posetrack, write_posetrack
from diffpose.formats.posetrack_records import PoseTrackSequence
from tests.evaluation.posetrack_scenes import (
    distinct_scene,
    frame,
    person,
    random_scene,
    sequence,
)

POSE = person()
FAR = person(x=900.0)


def total(truth, found):
    return posetrack_ap([sequence(*truth)], [sequence(*found)]).total


@pytest.mark.parametrize(
    ("found", "scores", "expected"),
    [
        ([POSE], [0.9], 100),
        ([POSE, FAR], [0.5, 0.9], 50),
        ([POSE, FAR], [0.9, 0.5], 100),
        ([POSE, POSE + 1], [0.5, 0.9], 50),  # the first of two equally good poses is hers
    ],
)
def test_toy_cases_of_poseval(found, scores, expected):
    assert total([frame([POSE])], [frame(found, scores=scores)]) == pytest.approx(expected)


def test_a_frame_without_prediction_costs_recall():
    truth = [frame([POSE], 0), frame([POSE], 1)]

    assert total(truth, [frame([POSE], 0, scores=[1]), frame([], 1)]) == pytest.approx(50)


def test_what_is_found_in_a_frame_without_people_is_not_counted():
    truth, found = [frame([POSE], 0), frame([], 1)], [frame([POSE], n, scores=[1]) for n in (0, 1)]

    assert total(truth, found) == pytest.approx(100)


def test_false_alarms_within_an_ignore_region_are_free():
    region = [[750, 0], [1100, 0], [1100, 400], [750, 400]]
    found = [frame([POSE, FAR], scores=[0.5, 0.9])]

    assert total([frame([POSE], regions=[region])], found) == pytest.approx(100)
    assert total([frame([POSE])], found) == pytest.approx(50)


def test_dropping_the_head_costs_three_of_fifteen_keypoints():
    pose = POSE.copy()
    pose[-3:] = np.nan

    score = posetrack_ap([sequence(frame([POSE]))], [sequence(frame([pose], scores=[1]))])

    assert score.columns["Head"] == 0
    assert score.columns["Ankle"] == pytest.approx(100)
    assert score.columns["Mean"] == pytest.approx(80)


@pytest.mark.parametrize(("error", "expected"), [(21.2, 100), (21.3, 100 * 14 / 15)])
def test_a_keypoint_is_right_within_half_of_the_head_size(error, expected):
    moved = POSE.copy()
    moved[0, 0] += error  # a 50 x 50 head box: 0.6 x 70.7 / 2 = 21.2

    assert total([frame([POSE])], [frame([moved], scores=[1])]) == pytest.approx(expected)


def test_numbers_of_poseval_on_random_scenes():
    """The file holds what poseval's functions (carried to Python 3) say of the written scenes."""
    numbers = json.loads(Path(__file__).with_name("poseval_numbers.json").read_text())

    for entry in numbers:
        score = posetrack_ap(*random_scene(entry["seed"]))
        got = [*score.keypoints, score.total]
        np.testing.assert_allclose(got, np.array(entry["ap"], float), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
def test_shuffling_people_and_files_changes_nothing(seed, order):
    truth, found = distinct_scene(seed)

    def shuffled(sequences):
        mixed = [
            PoseTrackSequence(s.name, tuple(_mixed(f, order) for f in s.frames)) for s in sequences
        ]
        return order.sample(mixed, len(mixed))

    score = posetrack_ap(shuffled(truth), shuffled(found))

    np.testing.assert_allclose(score.keypoints, posetrack_ap(truth, found).keypoints)


def _mixed(picture, order):
    rows = order.sample(range(len(picture)), len(picture))
    names = ("keypoints", "scores", "visible", "boxes", "head_boxes", "track_ids")
    return replace(picture, **{name: getattr(picture, name)[rows] for name in names})


def test_pictures_correspond_by_name_whatever_their_order():
    truth = [frame([POSE], 0), frame([FAR], 1)]
    found = [frame([FAR], 1, scores=[0.1]), frame([POSE], 0, scores=[0.2])]

    assert total(truth, found) == pytest.approx(100)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_truth_itself_has_100(seed):
    truth = _cleared(random_scene(seed)[0])
    if not any(f.annotated.any() for s in truth for f in s.frames):
        return

    keypoints = posetrack_ap(truth, truth).keypoints

    held = sum(f.annotated.sum(axis=0) for s in truth for f in s.frames) > 0
    np.testing.assert_allclose(keypoints, np.where(held, 100, 0))  # 0 for what nobody has: poseval


def _cleared(sequences):
    """Without ignore regions, whose keypoints do not count."""
    return [
        PoseTrackSequence(s.name, tuple(replace(f, ignore_regions=()) for f in s.frames))
        for s in sequences
    ]


def test_a_score_survives_the_file(tmp_path):
    truth, found = random_scene(5)
    paths = [(tmp_path / f"{kind}.json") for kind in ("truth", "found")]
    for path, sequences in zip(paths, (truth, found), strict=True):
        write_posetrack(path, sequences[0])

    read = [replace(read_posetrack(path), name="one") for path in paths]

    expected = posetrack_ap(truth[:1], found[:1]).keypoints
    np.testing.assert_array_equal(posetrack_ap(read[:1], read[1:]).keypoints, expected)


@pytest.mark.parametrize(
    ("truth", "found", "words"),
    [
        (frame([POSE], head=0.0), frame([POSE], scores=[1]), "complete bbox_head"),
        (frame([]), frame([]), "at least one person"),
    ],
)
def test_what_cannot_be_scored_is_named(truth, found, words):
    with pytest.raises(FormatError, match=words):
        total([truth], [found])


def test_predictions_must_cover_every_sequence_and_picture():
    truth = sequence(frame([POSE], 0), frame([POSE], 1))

    with pytest.raises(FormatError, match="the 2 pictures"):
        posetrack_ap([truth], [sequence(frame([POSE], 0))])
    with pytest.raises(FormatError, match="none for 000001_mpii_test"):
        posetrack_ap([truth], [sequence(frame([POSE]), name="other")])
