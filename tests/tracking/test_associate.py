"""Laws of association: identity follows smooth motion, order of detections does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import FormatError
from diffpose.poses import Track
from diffpose.tracking.associate import (
    Detections,
    associate,
    fill_gaps,
    join_parts,
    prominence,
    smooth_boxes,
)


def box(x: float, y: float = 100.0, *, w: float = 40.0, h: float = 100.0) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def seen(*boxes: list[float], scores: list[float] | None = None) -> Detections:
    return Detections(np.array(boxes), np.array(scores or [0.9] * len(boxes)))


def centres(track: Track) -> np.ndarray:
    return (track.boxes[:, 0] + track.boxes[:, 2]) / 2


def crossing(frame: int) -> Detections:
    """One person walks right, another left; they pass each other at frame 20."""
    return seen(box(100 + 5 * frame), box(300 - 5 * frame, 105))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_order_of_detections_within_a_frame_does_not_change_the_tracks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = [crossing(f) for f in range(0, 40, 2)]
    shuffled = []
    for found in plain:
        order = rng.permutation(len(found))
        shuffled.append(Detections(found.boxes[order], found.scores[order]))

    one, other = (associate(d, range(0, 40, 2)) for d in (plain, shuffled))

    assert len(one) == len(other) == 2
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.frames, b.frames)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_people_who_cross_keep_their_identity(stride: int) -> None:
    frames = range(0, 41, stride)

    right, left = associate([crossing(f) for f in frames], frames)

    np.testing.assert_allclose(centres(right), [100 + 5 * f for f in frames], rtol=1e-6)
    np.testing.assert_allclose(centres(left), [300 - 5 * f for f in frames], rtol=1e-6)


def test_identity_survives_while_one_hides_the_other() -> None:
    frames = range(41)
    found = [crossing(f) if not 16 <= f <= 24 else seen(box(100 + 5 * f)) for f in frames]

    right, left = associate(found, frames)

    np.testing.assert_allclose(centres(right), [100 + 5 * f for f in frames], rtol=1e-6)
    assert left.frames.tolist() == [f for f in frames if not 16 <= f <= 24]
    np.testing.assert_allclose(centres(left)[-1], 300 - 5 * 40, rtol=1e-6)


@pytest.mark.parametrize(("gap", "expected"), [(10, 1), (11, 2)])
def test_a_track_ends_after_the_longest_gap(gap: int, expected: int) -> None:
    frames = [0, 1, 2, 2 + gap, 3 + gap, 4 + gap]

    tracks = associate([seen(box(100))] * 6, frames, max_gap=10)

    assert len(tracks) == expected


def test_short_tracks_are_dropped_but_one_picture_is_enough_for_itself() -> None:
    flicker = [seen(box(100), box(400)), seen(box(100)), seen(box(100))]

    assert [len(t.frames) for t in associate(flicker, range(3))] == [3]
    assert [len(t.frames) for t in associate(flicker[:1], [0])] == [1, 1]


def test_a_weak_detection_continues_a_track_but_begins_none() -> None:
    found = [seen(box(100), box(400), scores=[s, 0.3]) for s in (0.9, 0.3, 0.9)]

    (track,) = associate(found, range(3))

    np.testing.assert_allclose(track.scores, [0.9, 0.3, 0.9], rtol=1e-6)


def test_nobody_anywhere_gives_no_tracks() -> None:
    assert associate([seen(), seen()], [0, 1]) == []
    assert associate([], []) == []


def test_frames_must_increase_and_match() -> None:
    with pytest.raises(FormatError, match="increasing"):
        associate([seen(), seen()], [1, 1])
    with pytest.raises(FormatError, match=r"\(N, 4\)"):
        Detections(np.zeros((2, 3)), np.zeros(2))


def test_filled_boxes_lie_on_the_line_and_are_marked_unseen() -> None:
    track = Track(0, np.array([2, 6]), np.array([box(0), box(40)]), np.array([0.5, 0.7]))

    filled = fill_gaps(track)

    assert filled.frames.tolist() == [2, 3, 4, 5, 6]
    np.testing.assert_allclose(centres(filled), [0, 10, 20, 30, 40], atol=1e-5)
    np.testing.assert_allclose(filled.scores, [0.5, 0, 0, 0, 0.7], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 40),
    st.floats(-8, 8),
    st.floats(-0.5, 0.5),
    st.integers(1, 9),
)
def test_smoothing_leaves_steady_acceleration_alone(
    count: int, speed: float, acceleration: float, radius: int
) -> None:
    t = np.arange(count) if count > 3 else np.zeros(count)
    xs = 200 + speed * t + acceleration * t**2 * (count > 3) * (radius > 1 and count > 4)
    track = Track(1, np.arange(count) + 7, np.array([box(x) for x in xs]), np.ones(count))

    smooth = smooth_boxes(track, radius=radius)

    np.testing.assert_allclose(smooth.boxes, track.boxes, atol=2e-3)


def test_smoothing_has_no_delay_and_calms_jitter() -> None:
    rng = np.random.default_rng(0)
    true = 100 + 40 * np.sin(np.arange(120) / 15)
    noisy = true + rng.normal(0, 3, 120)
    track = Track(0, np.arange(120), np.array([box(x) for x in noisy]), np.ones(120))

    smooth = centres(smooth_boxes(track))

    shifts = [np.abs(smooth[5 + s : 115 + s] - true[5:115]).mean() for s in range(-3, 4)]
    assert np.argmin(shifts) == 3
    assert np.std(smooth - true) < 0.6 * np.std(noisy - true)


def test_smoothing_mirrors_in_time() -> None:
    rng = np.random.default_rng(1)
    boxes = np.array([box(x, w=w) for x, w in rng.uniform(30, 60, (20, 2))])
    forward = smooth_boxes(Track(0, np.arange(20), boxes, np.ones(20)))
    backward = smooth_boxes(Track(0, np.arange(20), boxes[::-1], np.ones(20)))

    np.testing.assert_allclose(forward.boxes, backward.boxes[::-1], atol=1e-4)
    assert (forward.boxes[:, 2:] > forward.boxes[:, :2]).all()


def test_smoothing_asks_for_filled_gaps() -> None:
    track = Track(3, np.array([0, 2]), np.array([box(0), box(9)]), np.ones(2))

    with pytest.raises(FormatError, match="fill its gaps"):
        smooth_boxes(track)


def test_a_large_long_person_is_more_prominent() -> None:
    short = Track(0, np.arange(3), np.array([box(0)] * 3), np.ones(3))
    long = Track(1, np.arange(9), np.array([box(0)] * 9), np.ones(9))
    tall = Track(2, np.arange(3), np.array([box(0, w=80, h=200)] * 3), np.ones(3))

    assert prominence(short) < prominence(tall) < prominence(long)


def moving(boxes: list[list[float]], *, track_id: int = 0, start: int = 0) -> Track:
    frames = np.arange(start, start + len(boxes))
    return Track(track_id, frames, np.array(boxes), np.full(len(boxes), 0.8))


def test_trunk_and_legs_of_one_person_become_one_track() -> None:
    whole = [[10.0 + i, 50, 60 + i, 200] for i in range(20)]
    trunk = [[15.0 + i, 20, 55 + i, 120] for i in range(20)]

    joined = join_parts([moving(trunk, track_id=1), moving(whole)])

    assert len(joined) == 1
    np.testing.assert_allclose(joined[0].boxes[3], [13, 20, 63, 200])


def test_people_who_pass_each_other_stay_two() -> None:
    one = [[10.0 + 8 * i, 50, 60 + 8 * i, 200] for i in range(20)]
    other = [[162.0 - 8 * i, 50, 212 - 8 * i, 200] for i in range(20)]

    assert len(join_parts([moving(one), moving(other, track_id=1)])) == 2


def test_tracks_of_different_times_stay_apart() -> None:
    box = [[10.0, 50, 60, 200]] * 5

    assert len(join_parts([moving(box), moving(box, track_id=1, start=50)])) == 2
