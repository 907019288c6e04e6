"""From a folder and weights to the table: whose boxes, which people, what score."""

import json
from typing import Any

import numpy as np
import pytest

from diffpose.data.coco_source import load_coco
from diffpose.data.posetrack import load_posetrack
from diffpose.errors import FormatError
from diffpose.evaluation.oks import OksScore
from diffpose.evaluation.posetrack_ap import posetrack_ap
from diffpose.evaluation.published import COLUMNS, DIFFPOSE_POSETRACK, posetrack_table
from diffpose.formats.detections import read_detections
from diffpose.formats.posetrack_records import PoseTrackSequence
from diffpose.geometry import apply_affine
from diffpose.inference import coco
from diffpose.inference.posetrack import annotated_boxes, detected_boxes, estimate_posetrack
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, POSETRACK15, convert
from diffpose.tracking.associate import Detections
from tests.data.test_posetrack_source import make_coco
from tests.posetrack_folder import LABELED, drawn_pose, make_posetrack

SAMPLING = SamplingConfig(num_steps=1, num_hypotheses=1)


class Oracle:
    """Stands for an estimator: says the same pose in every crop, moved into the picture."""

    skeleton, radius, crop_size = HALPE26, 1, (64, 48)

    def __init__(self):
        pose = convert(drawn_pose(23.5, 31.5, 0.0), POSETRACK15, HALPE26)
        self.pose = np.nan_to_num(pose, nan=24.0)
        self.seeds: list[int] = []
        self.windows: list[np.ndarray] = []

    def encode(self, crops):
        self.windows += list(crops)
        return crops

    def sample(self, features, affines, sampling, *, seeds):
        self.seeds += seeds
        linear = [np.linalg.inv(np.vstack([a, [0, 0, 1]]))[:2] for a in affines]
        points = np.stack([apply_affine(a, self.pose) for a in linear])

        class Poses:
            keypoints = points.astype(np.float32)
            confidence = np.full(points.shape[:2], 0.5, np.float32)

        return Poses


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load_posetrack(make_posetrack(tmp_path_factory.mktemp("posetrack")), "val")


def run(source, boxes) -> list[PoseTrackSequence]:
    oracle: Any = Oracle()
    return estimate_posetrack(oracle, source, boxes, SAMPLING)


def test_everybody_annotated_gets_a_pose_in_her_frame(source):
    found = run(source, annotated_boxes(source))

    (true,), (guess,) = source.sequences, found
    assert [len(f) for f in guess.frames] == [len(f) for f in true.frames]
    assert [f.name for f in guess.frames] == [f.name for f in true.frames]
    for a, b in zip(true.frames, guess.frames, strict=True):
        np.testing.assert_array_equal(a.track_ids, b.track_ids)
        # The middle of the crop is the middle of the box.
        middle = (a.boxes[:, :2] + a.boxes[:, 2:]) / 2
        extent = b.keypoints[:, POSETRACK15.index("head_bottom")]
        assert len(a) == 0 or np.abs(extent[:, 0] - middle[:, 0]).max() < 5
    assert 0 <= posetrack_ap(source.sequences, found).total <= 100


def test_windows_are_the_frames_about_the_person_s_own(source):
    oracle: Any = Oracle()

    estimate_posetrack(oracle, source, annotated_boxes(source), SAMPLING)

    assert len(oracle.windows) == 2 * len(LABELED)
    assert {w.shape for w in oracle.windows} == {(3, 64, 48, 3)}
    assert len(set(oracle.seeds)) == len(oracle.seeds)


def test_seeds_and_scores_do_not_depend_on_the_order(source):
    boxes = annotated_boxes(source)
    turned = {name: type(given)(given.boxes[::-1], given.scores[::-1], given.track_ids[::-1])
              for name, given in reversed(boxes.items())}  # fmt: skip

    one, other = (posetrack_ap(source.sequences, run(source, b)) for b in (boxes, turned))

    np.testing.assert_array_equal(one.keypoints, other.keypoints)


def test_a_keypoint_s_score_is_its_confidence_times_the_box_s_score(source):
    class Finder:
        def detect(self, frames):
            return [Detections(np.array([[10, 10, 60, 110]]), np.array([0.6])) for _ in frames]

    boxes = detected_boxes(source, Finder())
    (found,) = run(source, boxes)

    assert sorted(boxes) == sorted(f.name for f in source.sequences[0].frames if f.labeled)
    for frame in found.frames:
        np.testing.assert_allclose(frame.scores, 0.3, atol=1e-6)


def test_boxes_of_another_detector_are_found_by_name_or_id(source, tmp_path):
    frame = source.sequences[0].frames[1]
    named = {"image_name": "somewhere/" + "/".join(frame.name.split("/")[-2:]),
             "bbox": [10, 20, 30, 40], "score": 0.9}  # fmt: skip
    numbered = {"image_id": frame.image_id, "bbox": [1, 2, 3, 4], "score": 0.1, "category_id": 1}
    other = {"image_id": frame.image_id, "bbox": [1, 2, 3, 4], "score": 0.9, "category_id": 2}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([named, numbered, other]))

    all_boxes, strong = (read_detections(path, source.sequences, min_score=s) for s in (0.0, 0.2))

    np.testing.assert_array_equal(all_boxes[frame.name].boxes, [[10, 20, 40, 60], [1, 2, 4, 6]])
    np.testing.assert_array_equal(strong[frame.name].scores, [0.9])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"boxes": []}, "a list of"),
        ([{"image_name": "elsewhere/1.jpg", "bbox": [1, 2, 3, 4], "score": 1}], "No box"),
        ([{"image_id": 10000030001, "bbox": [1, 2, 3], "score": 1}], r"\[0\]\.bbox"),
        ([{"image_id": 10000030001, "bbox": [1, 2, 0, 4], "score": 1}], "with an area"),
    ],
)
def test_a_bad_detection_file_is_named(source, tmp_path, content, words):
    (tmp_path / "boxes.json").write_text(json.dumps(content))

    with pytest.raises(FormatError, match=words):
        read_detections(tmp_path / "boxes.json", source.sequences)


def test_the_table_has_the_paper_s_row_of_the_year_and_names_the_boxes():
    table = posetrack_table(dict.fromkeys(COLUMNS, 50.0), year=2017, boxes="ground truth")

    assert "| ours | ground truth | 50.0 |" in table
    assert "| DiffPose, as published | a detector's | 89.0 | 91.2 |" in table
    for row in DIFFPOSE_POSETRACK.values():  # the mean is over 15 joints, three of the head
        assert (3 * row[0] + 2 * sum(row[1:7])) / 15 == pytest.approx(row[7], abs=0.1)


def test_coco_poses_are_scored_in_the_annotated_boxes(tmp_path):
    source = load_coco(make_coco(tmp_path), "val")
    oracle: Any = Oracle()

    score = coco.evaluate_coco(oracle, source, SAMPLING)

    assert isinstance(score, OksScore)
    assert 0 <= score.ap <= 1
    assert "| ours | ground truth |" in coco.oks_table(score, boxes="ground truth")
