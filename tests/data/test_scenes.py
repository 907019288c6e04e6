"""Laws of the detector's training pictures: boxes stay on the people, whatever is done to them."""

import cv2
import numpy as np
import pytest

from diffpose.data.augment import AugmentConfig
from diffpose.data.people import (
    BoxedPeople,
    PeoplePicture,
    SceneSource,
    StillPeople,
    load_photos,
    person_box,
)
from diffpose.data.people_packs import PackedPicture
from diffpose.data.scenes import SceneMixture, draw_scene, make_scene_batch
from diffpose.data.sources import StillSource
from diffpose.errors import FormatError

RED, BLUE = (255, 0, 0), (0, 0, 255)
PLAIN = AugmentConfig(occlude=0.0, blur=0.0, colour=0.0)


class RedPeople:
    """Pictures of one red rectangle each, the person, on blue."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        picture = np.full((120, 100, 3), BLUE, np.uint8)
        left = 20 + 10 * index
        picture[20:100, left : left + 30] = RED
        box = np.array([[left, 20, left + 30, 100]], np.float32) - 0.5
        whole = np.array([[-0.5, -0.5, 99.5, 119.5]], np.float32)
        return PeoplePicture(picture, box, whole)


def mixture(shares):
    grey = [np.full((80, 90, 3), 100, np.uint8)]
    return SceneMixture(
        scenes=RedPeople(), crowds=RedPeople(), stills=RedPeople(), photos=grey, shares=shares,
        augment=PLAIN, low_quality=0.0, batch_size=2, sizes=((96, 128), (128, 96)),
    )  # fmt: skip


@pytest.mark.parametrize("shares", [(1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0)])
@pytest.mark.parametrize("seed", range(8))
def test_a_box_stays_on_its_person(shares, seed):
    scene = draw_scene(mixture(shares), size=(96, 128), rng=np.random.default_rng(seed))

    # Soft edges may fade the person where the layer ends; what is red lies within the box.
    rows, columns = np.nonzero((scene.picture[..., 0] > 180) & (scene.picture[..., 1] < 60))
    if not len(scene.boxes):
        assert len(scene.unsure)
        return
    x1, y1, x2, y2 = scene.boxes[0]
    assert x1 - 2 <= columns.min() <= columns.max() <= x2 + 2
    assert y1 - 2 <= rows.min() <= rows.max() <= y2 + 2
    assert len(rows) > 0.7 * (x2 - x1) * (y2 - y1)


@pytest.mark.parametrize("seed", range(8))
def test_pasted_people_have_their_boxes_inside_the_picture(seed):
    scene = draw_scene(mixture((0, 0, 0, 1, 0)), size=(96, 128), rng=np.random.default_rng(seed))

    assert scene.picture.shape == (96, 128, 3)
    for boxes in (scene.boxes, scene.unsure):
        assert (boxes >= -0.5).all()
        assert (boxes <= np.array([127.5, 95.5, 127.5, 95.5])).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(scene.boxes) + len(scene.unsure) >= 1


@pytest.mark.parametrize("seed", range(4))
def test_pictures_of_nobody_have_no_boxes(seed):
    scene = draw_scene(mixture((0, 0, 0, 0, 1)), size=(96, 128), rng=np.random.default_rng(seed))

    assert len(scene.boxes) == 0


def test_a_batch_depends_on_its_seed_and_number_only():
    mixed = mixture((1, 1, 1, 1, 1))

    first = make_scene_batch(mixed, seed=4, index=1)
    again = make_scene_batch(mixed, seed=4, index=1)
    other = make_scene_batch(mixed, seed=5, index=1)

    assert first.pictures.shape == (2, 128, 96, 3)
    assert first.pictures.equal(again.pictures)
    assert not first.pictures.equal(other.pictures)


def test_a_persons_box_holds_the_keypoints_with_a_margin():
    keypoints = np.array([[10, 20], [30, 120], [np.nan, np.nan]], np.float32)

    box = person_box(keypoints, size=(200, 200))

    np.testing.assert_allclose(box, [10 - 4, 20 - 6, 30 + 4, 120 + 6])
    np.testing.assert_allclose(person_box(keypoints, size=(100, 32)), [6, 14, 31.5, 99.5])


def test_stills_with_few_keypoints_are_left_out():
    keypoints = np.full((2, 14, 2), np.nan, np.float32)
    keypoints[0, :12] = np.random.default_rng(0).uniform(5, 25, (12, 2))
    keypoints[1, :11] = 9.0
    pictures = [np.zeros((32, 32, 3), np.uint8)] * 2

    people = StillPeople(StillSource(pictures, keypoints, ["a", "b"]))

    assert len(people) == 1
    assert people[0].boxes.shape == (1, 4)
    np.testing.assert_array_equal(people[0].unsure, [[-0.5, -0.5, 31.5, 31.5]])


def packed(boxes, *, stretched=False):
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[10:40, 20:30] = RED
    content = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    truth = None if boxes is None else np.array(boxes, np.float32)
    return PackedPicture("pack", "a.png", content, truth, stretched)


def test_pictures_of_packs_are_unsure_where_nobody_has_a_box():
    people = BoxedPeople([packed(None), packed([[19.5, 9.5, 29.5, 39.5]])])

    assert len(people) == 1
    np.testing.assert_array_equal(people[0].boxes, [[19.5, 9.5, 29.5, 39.5]])
    np.testing.assert_array_equal(people[0].unsure, [[-0.5, -0.5, 59.5, 59.5]])


def test_a_squeezed_picture_is_shown_in_every_aspect_it_may_have_had():
    people = BoxedPeople([packed([[19.5, 9.5, 29.5, 39.5]], stretched=True)])

    aspects = set()
    for view in (people[i] for i in range(len(people))):
        height, width = view.picture.shape[:2]
        aspects.add(round(width / height, 1))
        rows, columns = np.nonzero(view.picture[..., 0] > 127)
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(view.boxes[0] + 0.5, extent, atol=0.6)
    assert aspects == {1.3, 1.5, 0.8, 0.7}


def test_hardly_visible_people_are_unsure(tmp_path):
    jpegs = [cv2.imencode(".jpg", np.full((16, 24, 3), v, np.uint8))[1] for v in (10, 200)]
    np.savez(
        tmp_path / "scenes-00000.npz",
        jpeg=np.concatenate(jpegs),
        offsets=np.cumsum([0, *map(len, jpegs)]),
        boxes=np.arange(12, dtype=np.float32).reshape(3, 4),
        box_offsets=np.array([0, 0, 3]),
        visible_fraction=np.array([1.0, 0.1, 0.5], np.float32),
    )

    scenes = SceneSource([tmp_path / "scenes-00000.npz"])
    nobody, three = scenes[0], scenes[1]

    assert len(scenes) == 2
    assert len(nobody.boxes) == len(nobody.unsure) == 0
    assert three.picture.mean() > 190
    np.testing.assert_array_equal(three.boxes[:, 0], [0, 8])
    np.testing.assert_array_equal(three.unsure[:, 0], [4])


def test_damaged_shards_and_photos_are_named(tmp_path):
    (tmp_path / "scenes-00001.npz").write_bytes(b"nothing")
    with pytest.raises(FormatError, match=r"scenes-00001.npz is no readable shard"):
        SceneSource([tmp_path / "scenes-00001.npz"])
    with pytest.raises(FormatError, match="encoded picture"):
        load_photos([tmp_path / "scenes-00001.npz"])
