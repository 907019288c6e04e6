"""Poses of other programs are taken over by name and by time, and what differs is said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.errors import FormatError
from diffpose.formats.foreign import (
    ForeignPoses,
    adopt,
    canonical_name,
    foreign_skeleton,
    track_ids,
)
from diffpose.poses import Origin, VideoInfo
from diffpose.skeleton import COCO17, HALPE26, SKELETONS, Skeleton
from tests.formats.made_poses import sequence, video

VIDEO = video(9)
PAIR = Skeleton("pair", ("left_knee", "right_knee"), (), (0.1, 0.1))


def poses(names, frames=(0, 4), **more):
    return ForeignPoses((sequence(0, list(frames), foreign_skeleton(names)),), **more)


@given(st.permutations(range(17)))
def test_the_order_of_a_files_keypoints_does_not_matter(order):
    names = [COCO17.keypoints[index] for index in order]
    given_poses = poses(names)

    (taken,) = adopt(given_poses, VIDEO, COCO17).sequences

    for index, name in enumerate(names):
        np.testing.assert_array_equal(
            taken.keypoints[:, COCO17.index(name)], given_poses.sequences[0].keypoints[:, index]
        )


@pytest.mark.parametrize(
    "spelling", ["left_knee", "LKnee", "leftKnee", "Left Knee", "L_Knee", "knee.L", "LEFT-KNEE"]
)
def test_spellings_of_a_name(spelling):
    assert canonical_name(spelling) == "left_knee"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("RBigToe", "right_big_toe"), ("MidHip", "hip"), ("head_bottom", "neck"),
        ("nose", "nose"), ("Head", "head"), ("lumbar", "lumbar"), ("rear", "rear"),
    ],
)  # fmt: skip
def test_other_programs_words(spelling, name):
    assert canonical_name(spelling) == name


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_no_two_keypoints_of_a_skeleton_share_a_canonical_name(skeleton):
    assert len({canonical_name(name) for name in skeleton.keypoints}) == len(skeleton)


def test_names_that_do_not_fit_are_said():
    taken = adopt(poses(["right_knee", "tail", "left_knee"]), VIDEO, HALPE26)

    assert any("Ignored" in note and "tail" in note for note in taken.notes)
    assert any("Missing" in note and "nose" in note for note in taken.notes)
    assert any("another order" in note for note in taken.notes)


@pytest.mark.parametrize(
    ("names", "words"),
    [(["tail", "snout"], "None of the file's"), (["left_knee", "LKnee"], "two keypoints called")],
)
def test_names_that_cannot_be_matched_are_refused(names, words):
    with pytest.raises(FormatError, match=words):
        adopt(poses(names), VIDEO, HALPE26)


def test_another_number_of_frames_is_said_and_frames_that_are_not_there_refused():
    taken = adopt(poses(PAIR.keypoints, num_frames=7), VIDEO, PAIR)

    assert any("7 frames" in note and "has 9" in note for note in taken.notes)
    with pytest.raises(FormatError, match="frames 0 to 8"):
        adopt(poses(PAIR.keypoints, frames=(0, 9)), VIDEO, PAIR)


def test_poses_of_another_frame_rate_are_matched_by_time():
    """Every second frame of ours is one of a video with half the rate."""
    file = poses(PAIR.keypoints, (1, 3), num_frames=5, times_s=np.arange(5) * 2 / 29.97)

    taken = adopt(file, VIDEO, PAIR)

    (one,) = taken.sequences
    assert one.frames.tolist() == [2, 6]
    np.testing.assert_array_equal(one.keypoints, file.sequences[0].keypoints)
    assert any("14.98" in note or "14.99" in note for note in taken.notes)


def test_two_poses_for_one_frame_leave_the_nearer_and_say_so():
    file = poses(PAIR.keypoints, range(36), times_s=np.arange(36) / 119.88)

    taken = adopt(file, VIDEO, PAIR)

    (one,) = taken.sequences
    assert one.frames.tolist() == list(range(9))
    np.testing.assert_array_equal(one.keypoints, file.sequences[0].keypoints[::4])
    assert any("27 poses" in note for note in taken.notes)


def test_the_same_times_need_no_word():
    assert adopt(poses(PAIR.keypoints, times_s=VIDEO.times_s), VIDEO, PAIR).notes == ()


def test_a_video_of_one_frame_has_a_nearest_frame():
    info = VideoInfo(VIDEO.path, "id", 640, 480, np.zeros(1))

    taken = adopt(poses(PAIR.keypoints, (0,), times_s=np.arange(5) / 30), info, PAIR)

    assert taken.sequences[0].frames.tolist() == [0]


def test_another_size_is_refused():
    with pytest.raises(FormatError, match="1280x720"):
        adopt(poses(PAIR.keypoints, size=(720, 1280)), VIDEO, PAIR)


def test_a_file_that_does_not_say_becomes_starting_poses_or_corrections():
    keypoints = np.ones((1, 2, 2))
    keypoints[0, 1] = np.nan
    file = ForeignPoses((sequence(0, [0], PAIR, keypoints=keypoints),), says_origin=False)

    (start,) = adopt(file, VIDEO, PAIR).sequences
    (corrected,) = adopt(file, VIDEO, PAIR, origin=Origin.CORRECTED).sequences

    assert start.origin.tolist() == [[Origin.PREDICTED, Origin.PREDICTED]]
    assert corrected.origin.tolist() == [[Origin.CORRECTED, Origin.PREDICTED]]
    assert np.isnan(corrected.confidence[0, 0])


def test_a_file_that_says_keeps_its_word():
    origin = np.array([[Origin.INTERPOLATED, Origin.CORRECTED]])
    file = ForeignPoses((replace(sequence(0, [0], PAIR), origin=origin),))

    (taken,) = adopt(file, VIDEO, PAIR, origin=Origin.CORRECTED).sequences

    assert taken.origin.tolist() == origin.tolist()


@pytest.mark.parametrize(
    ("names", "ids", "said"),
    [
        (["0", "7"], [0, 7], False), (["track_3", "track 1"], [3, 1], False),
        (["Anna", "7"], [0, 1], True), (["1", "track_1"], [0, 1], True),
    ],
)  # fmt: skip
def test_ids_of_people(names, ids, said):
    assert track_ids(names)[0] == ids
    assert bool(track_ids(names)[1]) == said


def test_poses_in_stored_pixels_are_stretched_to_display_pixels():
    shown = replace(VIDEO, width=1024, height=576, stored_size=(576, 720))
    taken = adopt(poses(["left_knee", "right_knee"], size=(576, 720)), shown, PAIR)

    before = poses(["left_knee", "right_knee"]).sequences[0]
    (after,) = taken.sequences
    np.testing.assert_allclose(
        after.keypoints[..., 0] + 0.5, (before.keypoints[..., 0] + 0.5) * 1024 / 720, rtol=1e-5
    )
    np.testing.assert_allclose(after.keypoints[..., 1], before.keypoints[..., 1], rtol=1e-5)
    np.testing.assert_allclose(
        after.covariance[..., 0, 1], before.covariance[..., 0, 1] * 1024 / 720, rtol=1e-5
    )
    assert "1024 x 576" in taken.notes[0]
    # In display pixels they are taken as they are.
    same = adopt(poses(["left_knee", "right_knee"], size=(576, 1024)), shown, PAIR)
    np.testing.assert_array_equal(same.sequences[0].keypoints, before.keypoints)
