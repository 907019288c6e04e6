import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.people import corrected_track
from diffpose.poses import Track

SIZE = (480, 640)


def standing(num_frames: int = 60) -> Track:
    boxes = np.tile([200.0, 100.0, 260.0, 300.0], (num_frames, 1))
    return Track(0, np.arange(num_frames), boxes, np.full(num_frames, 0.8))


def test_the_drawn_box_is_the_box_of_its_frame() -> None:
    drawn = np.array([190.0, 90.0, 280.0, 320.0])

    track = corrected_track(standing(), {30: drawn}, size=SIZE)

    assert np.allclose(track.boxes[30], drawn)
    assert track.scores[30] == 1


def test_a_correction_fades_over_its_reach() -> None:
    drawn = np.array([190.0, 90.0, 280.0, 320.0])

    track = corrected_track(standing(), {30: drawn}, size=SIZE, reach=10)

    assert np.allclose(track.boxes[25], (standing().boxes[25] + drawn) / 2)
    assert np.allclose(track.boxes[:21], standing().boxes[:21])
    assert np.allclose(track.boxes[40:], standing().boxes[40:])


def test_between_two_near_corrections_nothing_fades() -> None:
    drawn = np.array([190.0, 90.0, 280.0, 320.0])

    track = corrected_track(standing(), {20: drawn, 36: drawn}, size=SIZE, reach=10)

    assert np.allclose(track.boxes[20:37], drawn)


def test_unrelated_pictures_are_corrected_one_by_one() -> None:
    drawn = np.array([190.0, 90.0, 280.0, 320.0])

    track = corrected_track(standing(3), {1: drawn}, size=SIZE, reach=1)

    assert np.allclose(track.boxes[[0, 2]], standing(3).boxes[[0, 2]])


def test_a_box_where_the_detector_saw_nothing_is_added() -> None:
    early = Track(0, np.arange(10), standing(10).boxes, np.ones(10))

    track = corrected_track(early, {12: np.array([1.0, 2, 30, 40])}, size=SIZE)

    assert track.frames.tolist() == [*range(10), 12]


@given(
    drawn=st.dictionaries(
        st.integers(0, 59),
        st.tuples(st.floats(0, 500), st.floats(0, 300), st.floats(10, 100), st.floats(10, 150)),
        min_size=1,
        max_size=5,
    )
)
def test_every_box_stays_a_box(drawn: dict[int, tuple[float, float, float, float]]) -> None:
    boxes = {f: np.array([x, y, x + w, y + h]) for f, (x, y, w, h) in drawn.items()}

    track = corrected_track(standing(), boxes, size=SIZE)

    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    assert (sides > 0.5).all()
    for frame, box in boxes.items():
        assert np.allclose(track.boxes[frame], box, atol=1e-3)
