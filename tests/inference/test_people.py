"""Whose poses: people the detector finds, and boxes that were given."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from diffpose.errors import BoxError, CancelledError, NoPersonError, SettingsError
from diffpose.inference.jobs import Job
from diffpose.inference.pipeline import detect_tracks, order_of_boxes, tracks_from_boxes
from diffpose.tracking.associate import Detections
from tests.fakes import FakeDetector, FakeVideo, box_around

NAMES = ("a.jpg", "b.jpg", "c.jpg")


def crossing(frame: int) -> list[tuple[float, float]]:
    """Two people pass each other; the second is seen from frame 10 on."""
    people = [(30.0 + 3.5 * frame, 50.0), (170.0 - 3.5 * frame, 90.0)]
    return people if frame >= 10 else people[:1]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_people_are_followed_between_the_frames_looked_at(stride: int) -> None:
    long, short = detect_tracks(FakeVideo(crossing), FakeDetector(), stride=stride)

    assert (long.track_id, short.track_id) == (0, 1)
    assert long.frames.tolist() == list(range(40))
    assert short.frames[-1] == 39
    for track, i in ((long, 0), (short, 1)):
        true = np.stack([box_around(crossing(int(f))[i]) for f in track.frames])
        np.testing.assert_allclose(track.boxes, true, atol=0.6)


def test_only_every_nth_frame_is_looked_at_and_the_last() -> None:
    detector = FakeDetector()
    fractions: list[float] = []

    detect_tracks(
        FakeVideo(), detector, start=3, stop=20, stride=5, progress=lambda f, _: fractions.append(f)
    )

    assert detector.num_pictures == 5  # 3, 8, 13, 18 and 19
    assert fractions[-1] == 1


def test_tracks_in_the_job_folder_are_not_searched_again(tmp_path: Path) -> None:
    first = detect_tracks(FakeVideo(crossing), FakeDetector(), job=Job(tmp_path))
    detector = FakeDetector()

    again = detect_tracks(FakeVideo(crossing), detector, job=Job(tmp_path))

    assert detector.num_pictures == 0
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)


def test_pictures_are_searched_one_by_one() -> None:
    people = {0: [(50.0, 50.0), (150.0, 90.0)], 1: [], 2: [(80.0, 60.0)]}
    video = FakeVideo(lambda f: people[f], num_frames=3, names=NAMES)

    first, second = detect_tracks(video, FakeDetector())

    assert first.frames.tolist() == [0, 2]
    assert second.frames.tolist() == [0]
    np.testing.assert_allclose(first.boxes[1], box_around(people[2][0]), atol=0.1)


def test_nobody_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NoPersonError, match="give a box"):
        detect_tracks(FakeVideo(lambda f: []), FakeDetector())


def test_a_search_can_be_cancelled() -> None:
    with pytest.raises(CancelledError, match="0 of 40 frames"):
        detect_tracks(FakeVideo(), FakeDetector(), stride=1, cancelled=lambda: True)


def test_boxes_of_a_video_are_interpolated_and_held() -> None:
    info = FakeVideo().info
    a, b, c = (box_around((x, 70)) for x in (50, 90, 120))

    one, two = tracks_from_boxes([(20, b), (10, a), (10, c)], info)

    assert one.frames.tolist() == two.frames.tolist() == list(range(40))
    for frame, expected in ((0, a), (10, a), (15, (a + b) / 2), (20, b), (39, b)):
        np.testing.assert_allclose(one.boxes[frame], expected, atol=1e-4)
    np.testing.assert_allclose(two.boxes, np.repeat(c[None], 40, axis=0), atol=1e-4)
    assert np.flatnonzero(one.scores).tolist() == [10, 20]


def test_boxes_of_pictures_stay_what_they_are_and_keep_their_order() -> None:
    info = FakeVideo(num_frames=3, names=NAMES).info
    a, b, c = (box_around((x, 70)) for x in (50, 90, 120))
    boxes = [(2, a), (0, b), (2, c)]

    first, second = tracks_from_boxes(boxes, info)

    assert order_of_boxes(boxes) == [(0, 2), (0, 0), (1, 2)]
    assert first.frames.tolist() == [0, 2]
    np.testing.assert_allclose(first.boxes, [b, a], atol=1e-4)
    np.testing.assert_allclose(second.boxes, [c], atol=1e-4)


def test_bad_boxes_and_ranges_are_errors() -> None:
    info = FakeVideo().info
    with pytest.raises(SettingsError, match="at least one box"):
        tracks_from_boxes([], info)
    with pytest.raises(SettingsError, match="got frame 40"):
        tracks_from_boxes([(40, box_around((50, 50)))], info)
    with pytest.raises(BoxError, match="outside"):
        tracks_from_boxes([(0, box_around((900, 50)))], info)
    with pytest.raises(SettingsError, match="within 0:40"):
        detect_tracks(FakeVideo(), FakeDetector(), start=30, stop=50)
    with pytest.raises(SettingsError, match="stride"):
        detect_tracks(FakeVideo(), FakeDetector(), stride=0)


def test_unsure_sightings_before_a_sure_one_belong_to_the_person() -> None:
    class Hesitant(FakeDetector):
        def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
            first = self.num_pictures
            found = super().detect(frames)
            return [
                Detections(d.boxes, d.scores * (1.0 if first + i >= 15 else 0.35))
                for i, d in enumerate(found)
            ]

    video = FakeVideo(lambda frame: [(50.0 + frame, 60.0)], num_frames=30)

    (track,) = detect_tracks(video, Hesitant(), stride=1)

    assert track.frames[0] == 0
