"""Laws of pseudo-labels, with a teacher who reads the truth from the colours of the picture.

The red of a pixel is its x, the green its y: whoever sees a crop knows where its pixels were.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch

import diffpose.inference.labelling as labelling
from diffpose.data.people_packs import PackedPicture, PeopleLabels
from diffpose.errors import CancelledError
from diffpose.geometry import Affine, apply_affine, box_of_points
from diffpose.inference.estimator import Estimator
from diffpose.inference.jobs import Job
from diffpose.inference.labelling import Teachers, label_people, label_pictures, labels_table
from diffpose.inference.teachers import EstimatorTeacher, Look, MoveNetTeacher, View, ask
from diffpose.model.network import DiffPose
from diffpose.movenet import MoveNet, MoveNetConfig, decode_keypoints, normalise
from diffpose.skeleton import COCO17, HALPE26, convert
from diffpose.tracking.associate import Detections
from tests.evaluation.test_proportions import people
from tests.tiny import TINY as SMALL

HEIGHT, WIDTH = 200, 180
TRUTH = np.random.default_rng(3).uniform((50, 30), (120, 170), (17, 2))
BOX = box_of_points(TRUTH)
WANTED = convert(TRUTH, COCO17, HALPE26)
KNOWN = np.isfinite(WANTED).all(axis=1)


def coloured() -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    return picture


def packed(name: str = "a.png", **changes) -> PackedPicture:
    content = cv2.imencode(".png", coloured()[..., ::-1])[1].tobytes()
    boxes = BOX[None].astype(np.float32)
    return replace(PackedPicture("pack", name, content, boxes), **changes)


@dataclass
class Reader:
    """A teacher who knows the truth, and is as sure as ``score`` says of what it is shown."""

    score: Callable[[Affine], float] = field(default=lambda to_crop: 0.9)
    truth: np.ndarray = field(default_factory=lambda: TRUTH)
    name: str = "reader"
    size: tuple[int, int] = (128, 128)
    seen: int = 0
    skeleton = COCO17

    def __call__(self, crops):
        self.seen += len(crops)
        poses, scores = [], []
        for crop in crops:
            to_crop = _to_crop(crop)
            pose = apply_affine(to_crop, self.truth)
            # Who sees a mirrored picture takes the left hand for the right one.
            mirrored = np.linalg.det(to_crop[:, :2]) < 0
            poses.append(pose[COCO17.mirror] if mirrored else pose)
            scores.append(np.full(17, self.score(to_crop)))
        return np.array(poses, np.float32), np.array(scores, np.float32)


def _to_crop(crop: np.ndarray) -> Affine:
    """The affine from picture to crop that a crop's colours tell."""
    inside = crop[..., 2] == 255
    rows, columns = np.nonzero(inside)
    ones = np.ones(len(rows))
    place = crop[inside][:, :2].astype(np.float64)
    away = (place > 0).all(axis=1)  # next to the border colours are mixed
    source = np.column_stack([place, ones])[away]
    return np.linalg.lstsq(source, np.column_stack([columns, rows])[away], rcond=None)[0].T


@dataclass
class Finder:
    """Finds what it is told."""

    boxes: list = field(default_factory=list)
    weights_hash: str = "finder"

    def detect(self, frames):
        return [Detections(np.array(self.boxes), np.ones(len(self.boxes))) for _ in frames]


def teachers(reader: Reader, **changes) -> Teachers:
    return replace(Teachers((reader,), reader, Finder()), **changes)


def angle_of(to_crop: Affine) -> float:
    return float(np.rad2deg(np.arctan2(to_crop[1, 0], to_crop[1, 1])))


VIEWS = [
    View(),
    View(25),
    View(-90, 1.5),
    View(180),
    View(mirrored=True),
    View(40, 1.1, mirrored=True),
    View(aspect=1.5),
    View(-25, aspect=2 / 3, mirrored=True),
]


@pytest.mark.parametrize("size", [(128, 128), (160, 128)])
def test_every_view_leads_back_to_the_truth(size):
    looks = [Look(coloured(), BOX, view) for view in VIEWS]

    points, scores = ask(Reader(size=size), looks)

    np.testing.assert_allclose(points[:, KNOWN], np.tile(WANTED[KNOWN], (8, 1, 1)), atol=0.2)
    assert np.isnan(points[:, ~KNOWN]).all()
    np.testing.assert_allclose(scores[:, KNOWN], 0.9)
    np.testing.assert_array_equal(scores[:, ~KNOWN], 0)


def test_a_person_is_labelled_with_what_all_views_say():
    part = label_pictures([packed()], teachers(Reader()))

    np.testing.assert_allclose(part.labels.keypoints[0, KNOWN], WANTED[KNOWN], atol=0.2)
    np.testing.assert_array_equal(part.labels.weights[0], KNOWN)
    np.testing.assert_allclose(part.labels.boxes[0], BOX, rtol=1e-6)
    assert "| pack | 1 | 1 | 100% | 1.00 |" in labels_table(part)


def test_somebody_upside_down_is_recognised_when_turned():
    def score(to_crop):
        return 0.8 if abs(angle_of(to_crop)) > 140 else 0.1

    part = label_pictures([packed()], teachers(Reader(score)))

    np.testing.assert_allclose(part.labels.keypoints[0, KNOWN], WANTED[KNOWN], atol=0.2)


def test_who_is_not_recognised_is_left_out():
    part = label_pictures([packed()], teachers(Reader(lambda to_crop: 0.05)))

    assert len(part.labels) == 0
    assert part.dropped["not recognised"] == 1
    assert "1 not recognised" in labels_table(part)


def test_a_stretched_picture_gets_the_aspect_in_which_the_teacher_is_surest():
    def score(to_crop):
        return np.exp(-abs(np.log(np.linalg.norm(to_crop[0, :2]) / np.linalg.norm(to_crop[1, :2])
                                  / 1.5)))  # fmt: skip

    def upright(to_crop):
        return score(to_crop) if abs(angle_of(to_crop)) < 3 else 0.9

    part = label_pictures([packed(stretched=True)], teachers(Reader(upright)))

    assert part.labels.aspects[0] == pytest.approx(1.5)
    assert part.labels.stretched[0]
    np.testing.assert_allclose(part.labels.keypoints[0, KNOWN], WANTED[KNOWN], atol=0.2)


@pytest.mark.parametrize("found", [[], [[30, 10, 150, 190]]])
def test_a_box_is_found_and_moved_to_the_pose(found):
    part = label_pictures([packed(boxes=None)], teachers(Reader(), finder=Finder(found)))

    margin = 0.1 * max(BOX[2:] - BOX[:2])
    np.testing.assert_allclose(
        part.labels.boxes[0], BOX + margin * np.array([-1, -1, 1, 1]), atol=1
    )


def test_a_pose_outside_of_the_box_is_somebody_else_s():
    far = np.array([[60.0, 30.0, 110.0, 80.0]], np.float32)

    part = label_pictures([packed(boxes=far)], teachers(Reader()))

    assert len(part.labels) == 0
    assert part.dropped["somebody else"] == 1


def test_what_lies_outside_the_picture_is_not_labelled():
    truth = TRUTH.copy()
    truth[15] = 90, HEIGHT + 4

    part = label_pictures([packed()], teachers(Reader(truth=truth)))

    assert np.isnan(part.labels.keypoints[0, 15]).all()
    assert part.labels.weights[0, 15] == 0


def test_two_boxes_around_one_person_give_one_label():
    boxes = np.stack([BOX, BOX + 3]).astype(np.float32)

    part = label_pictures([packed(boxes=boxes)], teachers(Reader()))

    assert len(part.labels) == 1
    assert part.dropped["twice"] == 1


def test_labels_that_people_placed_stay():
    placed = np.full((1, 26, 2), np.nan, np.float32)
    placed[0, HALPE26.index("neck")] = 80, 60
    placed[0, HALPE26.index("left_wrist")] = 100, 90

    labels = label_pictures([packed(keypoints=placed)], teachers(Reader())).labels

    for name in ("neck", "left_wrist"):
        np.testing.assert_array_equal(labels.keypoints[0, HALPE26.index(name)],
                                      placed[0, HALPE26.index(name)])  # fmt: skip
        assert labels.weights[0, HALPE26.index(name)] == 1


def test_a_second_teacher_who_contradicts_takes_labels_away():
    other = Reader(truth=TRUTH[::-1].copy(), name="other")

    part = label_pictures([packed()], teachers(Reader(), full=(Reader(), other)))

    assert len(part.labels) == 0
    assert part.dropped["views disagree"] == 1


def test_a_killed_run_goes_on_to_the_same_labels(tmp_path):
    pictures = [packed(f"{number}.png") for number in range(5)]
    whole = label_people(pictures, teachers(Reader()), Job(tmp_path / "whole"), chunk=2)
    asked = iter([False, True])
    with pytest.raises(CancelledError, match="run the same command"):
        label_people(
            pictures, teachers(Reader()), Job(tmp_path / "killed"), chunk=2,
            cancelled=lambda: next(asked),
        )  # fmt: skip
    again = Reader()

    resumed = label_people(pictures, teachers(again), Job(tmp_path / "killed"), chunk=2)

    assert again.seen == 3 * 3  # three people are left, three views each
    assert resumed.dropped == whole.dropped
    for name, array in vars(whole.labels).items():
        np.testing.assert_array_equal(getattr(resumed.labels, name), array)
    assert len(whole.labels) == 5


def test_a_run_of_one_pack_serves_a_run_of_all(tmp_path):
    some = [packed(f"{number}.png") for number in range(3)]
    more = [packed(f"{number}.png", pack="other") for number in range(3)]
    label_people(more, teachers(Reader()), Job(tmp_path), chunk=2)
    reader = Reader()

    label_people([*some, *more], teachers(reader), Job(tmp_path), chunk=2)

    assert reader.seen == 3 * 3


def test_other_teachers_or_boxes_are_other_work(tmp_path):
    label_people([packed()], teachers(Reader()), Job(tmp_path))
    others = [Reader(name="another"), Reader()]
    label_people([packed()], teachers(others[0]), Job(tmp_path))
    label_people([packed(boxes=BOX[None] + np.float32(1))], teachers(others[1]), Job(tmp_path))

    assert [reader.seen for reader in others] == [3, 3]


GROUPS = ((8, 1), (8, 2), (8, 3), (8, 4), (8, 3), (8, 3), (8, 1))
TINY = MoveNetConfig(
    name="tiny", stem=8, groups=GROUPS, top=16, lateral=(2, 5, 9), pyramid=(8, 8, 8),
    heads={"centre": 1, "heatmap": 17, "regression": 34, "offset": 34},
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MoveNet(TINY).eval()


def test_a_one_sided_movenet_gives_the_published_answer(network, monkeypatch):
    monkeypatch.setattr("diffpose.inference.teachers.native_bf16", lambda: False)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)

    points, scores = MoveNetTeacher(network, name="tiny", side=64)(crops)

    with torch.no_grad():
        places, stated = decode_keypoints(network(normalise(torch.from_numpy(crops))))
    np.testing.assert_allclose(points, places.numpy() * 64 - 0.5, atol=1e-3)
    np.testing.assert_allclose(scores, stated.numpy(), atol=1e-5)


def test_a_two_sided_movenet_sees_a_mirror_image_mirrored(network):
    teacher = MoveNetTeacher(network, name="tiny", side=64, both_sides=True)
    crops = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)

    points, scores = teacher(crops)
    mirrored, same = teacher(np.ascontiguousarray(crops[:, :, ::-1]))

    expected = points[:, COCO17.mirror] * [-1, 1] + [63, 0]
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)
    np.testing.assert_allclose(same, scores[:, COCO17.mirror], atol=1e-5)


def test_the_views_and_rules_are_part_of_a_part_s_name(monkeypatch):
    before = labelling._key([packed()], teachers(Reader()), labelling.LabellingRule())
    monkeypatch.setattr(labelling, "VIEWS", labelling.VIEWS[:2])

    assert labelling._key([packed()], teachers(Reader()), labelling.LabellingRule()) != before


def test_people_in_true_pictures_tell_the_aspect_of_stretched_ones():
    poses = people(302, seed=4)
    poses[300:, :, 0] /= 1.5
    stretched = np.arange(302) >= 300
    labels = PeopleLabels(
        names=np.array([f"{min(row, 300)}.png" for row in range(302)]),
        packs=np.full(302, "pack"),
        boxes=np.zeros((302, 4), np.float32),
        keypoints=poses.astype(np.float32),
        weights=np.ones((302, 26), np.float32),
        stretched=stretched,
        aspects=np.ones(302, np.float32),
    )

    found = labelling.with_likely_aspects(labels)

    np.testing.assert_allclose(found.aspects, np.where(stretched, 1.5, 1.0))
    np.testing.assert_array_equal(found.keypoints, labels.keypoints)
    assert labelling.with_likely_aspects(labels, least=301) is labels


def test_our_own_weights_are_a_teacher():
    teacher = EstimatorTeacher(Estimator(DiffPose(SMALL), weights_hash="none"))
    looks = [Look(coloured(), BOX, view) for view in (View(), View(40, mirrored=True))]

    points, scores = ask(teacher, looks)
    again, _ = ask(teacher, looks[1:])

    assert points.shape == (2, 26, 2)
    assert np.isfinite(points).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(again[0], points[1], atol=0.01)
