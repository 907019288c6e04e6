"""Poses as PoseTrack18 predictions, by the rules of poseval."""

import json
from dataclasses import replace

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.evaluation.posetrack_ap import posetrack_ap
from diffpose.formats.posetrack import KEYPOINTS_2018, read_posetrack
from diffpose.formats.posetrack_poses import write_posetrack_poses
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15
from tests.formats.made_poses import sequence, video

VIDEO = video(9)


def test_poses_come_back_by_name_with_track_0_and_every_frame(tmp_path):
    people = [sequence(0, [1, 5]), sequence(7, [5])]

    write_posetrack_poses(tmp_path / "p.json", people, VIDEO)

    read = read_posetrack(tmp_path / "p.json")
    assert len(read.frames) == 9
    assert [f.track_ids.tolist() for f in read.frames] == [
        [], [0], [], [], [], [0, 7], [], [], []
    ]  # fmt: skip
    ours = {name: people[0].keypoints[1, HALPE26.index(name)] for name in ("nose", "left_ankle")}
    ours["head_top"] = people[0].keypoints[1, HALPE26.index("head")]
    ours["head_bottom"] = people[0].keypoints[1, HALPE26.index("neck")]
    for name, xy in ours.items():
        np.testing.assert_array_equal(
            read.frames[5].keypoints[0, POSETRACK15.index(name)].astype(np.float32), xy
        )


def test_ids_follow_posetracks_rule_and_predictions_have_scores(tmp_path):
    write_posetrack_poses(tmp_path / "p.json", [sequence(0, [3])], VIDEO)

    content = json.loads((tmp_path / "p.json").read_text())
    assert [image["id"] for image in content["images"]][:2] == [10000010000, 10000010001]
    assert content["images"][3]["vid_id"] == "000001"
    (person,) = content["annotations"]
    assert person["image_id"] == 10000010003
    assert len(person["scores"]) == 17
    assert person["keypoints"][9:15] == [0] * 6  # the ears
    assert content["categories"][0]["keypoints"] == list(KEYPOINTS_2018)


def test_a_skeleton_without_head_top_has_none_rather_than_an_eye(tmp_path):
    write_posetrack_poses(tmp_path / "p.json", [sequence(0, [0], COCO17)], VIDEO)

    (pose,) = read_posetrack(tmp_path / "p.json").frames[0].keypoints
    unknown = {n for n, xy in zip(POSETRACK15.keypoints, pose, strict=True) if np.isnan(xy).any()}
    assert unknown == {"head_top", "head_bottom"}


def test_a_track_id_that_poseval_cannot_count_is_refused(tmp_path):
    with pytest.raises(FormatError, match="renumber"):
        write_posetrack_poses(tmp_path / "p.json", [sequence(1000, [0])], VIDEO)


def test_the_export_scores_100_against_itself_by_posetracks_own_metric(tmp_path):
    write_posetrack_poses(tmp_path / "p.json", [sequence(0, [1, 5]), sequence(7, [5])], VIDEO)
    found = read_posetrack(tmp_path / "p.json")
    with_heads = tuple(
        replace(frame, head_boxes=np.tile([0.0, 0, 30, 40], (len(frame), 1)))
        for frame in found.frames
    )

    score = posetrack_ap([replace(found, frames=with_heads)], [found])

    np.testing.assert_allclose(score.keypoints, 100)
