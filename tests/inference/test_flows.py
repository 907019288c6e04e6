"""Laws of kept motions: each is found once, and only between frames that hold the person."""

import numpy as np

from diffpose.inference.features import FeatureCache
from diffpose.inference.flows import person_flows
from diffpose.poses import Track
from diffpose.tracking.flow import follow
from tests.fakes import FakeVideo, box_around


def blob(frame: int) -> tuple[float, float]:
    return 80.0 + 2.0 * frame, 70.0 + frame


def person(frames: list[int]) -> Track:
    boxes = np.stack([box_around(blob(frame)) for frame in frames])
    return Track(0, np.array(frames), boxes, np.ones(len(frames)))


def test_a_moving_thing_is_followed_from_frame_to_frame() -> None:
    video = FakeVideo(lambda frame: [blob(frame)], num_frames=8, sigma=8.0)
    flows = person_flows(video, person(list(range(8))), range(8), cache=FeatureCache())

    trails = follow(flows.get, 1, np.array([blob(1)]), direction=1, most=5)

    end = np.array(blob(1)) + trails.steps[:, 0].sum(axis=0)
    np.testing.assert_allclose(end, blob(6), atol=1.5)


def test_what_is_kept_is_not_read_again() -> None:
    video, cache, track = FakeVideo(num_frames=10), FeatureCache(), person(list(range(10)))
    first = person_flows(video, track, range(2, 6), cache=cache)
    assert sorted(first) == [2, 3, 4, 5]
    assert sorted(video.reads) == [2, 3, 4, 5, 6]

    video.reads.clear()
    again = person_flows(video, track, range(3, 6), cache=cache)
    assert all(again[frame] is first[frame] for frame in again)
    assert not video.reads

    person_flows(video, track, range(5, 8), cache=cache)
    assert sorted(video.reads) == [6, 7, 8]


def test_another_box_is_another_motion() -> None:
    video, cache = FakeVideo(num_frames=4), FeatureCache()
    track = person([0, 1, 2, 3])
    moved = Track(0, track.frames, track.boxes + 5, track.scores)
    one = person_flows(video, track, range(3), cache=cache)
    other = person_flows(video, moved, range(3), cache=cache)
    assert not np.array_equal(one[0].affine, other[0].affine)


def test_pairs_without_a_box_in_both_frames_are_left_out() -> None:
    video, track = FakeVideo(num_frames=10), person([1, 2, 3, 6, 7, 9])
    assert sorted(person_flows(video, track, range(-5, 20), cache=FeatureCache())) == [1, 2, 6]
