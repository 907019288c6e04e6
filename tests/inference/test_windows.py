"""Laws of cutting: every frame once, equal windows whatever range, no crop too wide."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import BoxError, SettingsError
from diffpose.geometry import apply_affine, crop_affine
from diffpose.inference.windows import Chunk, ChunkConfig, CropSharing, plan_chunks
from diffpose.poses import Track, VideoInfo
from tests.fakes import FakeVideo, box_around, walk

SIZE = (64, 48)
INFO = FakeVideo(num_frames=100).info


def track(first: int, last: int, *, speed: float = 0.5, track_id: int = 0) -> Track:
    frames = np.arange(first, last + 1)
    boxes = np.stack([box_around((50 + speed * f, 60.0)) for f in frames])
    return Track(track_id, frames, boxes, np.ones(len(frames)))


def plan(*tracks: Track, info: VideoInfo = INFO, radius: int = 2, **kwargs: object) -> list[Chunk]:
    return plan_chunks(tracks, info, radius=radius, crop_size=SIZE, **kwargs)  # type: ignore[arg-type]


def windows_of(chunks: list[Chunk]) -> dict[tuple[int, int], str]:
    return {(w.track_id, w.centre): w.key for chunk in chunks for w in chunk.windows}


@settings(max_examples=30, deadline=None)
@given(st.floats(5, 240), st.floats(0, 0.3), st.integers(0, 3), st.integers(1, 40))
def test_a_window_spans_the_time_asked_for_whatever_the_rate(
    fps: float, spacing_s: float, radius: int, length: int
) -> None:
    rated = replace(INFO, times_s=np.arange(100) / fps)
    config = ChunkConfig(length, spacing_s=spacing_s)

    for chunk in plan(track(0, 99), info=rated, radius=radius, config=config):
        step = config.spacing(rated.fps)
        offsets = np.arange(-radius, radius + 1) * step
        np.testing.assert_array_equal(
            chunk.frames, np.clip(chunk.centres[:, None] + offsets, 0, 99)
        )
        assert step == 1 or abs(step / rated.fps - spacing_s) <= 0.5 / rated.fps + 1e-9


@pytest.mark.parametrize("spacing_s", [-0.1, float("nan"), float("inf")])
def test_no_spacing_but_a_time(spacing_s: float) -> None:
    with pytest.raises(SettingsError, match="seconds between frames"):
        ChunkConfig(spacing_s=spacing_s)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 39),
    st.integers(1, 20),
    st.integers(0, 3),
    st.floats(-40, 40),
    st.sampled_from(CropSharing),
)
def test_every_frame_of_a_track_is_the_centre_of_one_window(
    first: int, length: int, chunk: int, radius: int, speed: float, sharing: CropSharing
) -> None:
    person = track(first, first + length, speed=speed)

    chunks = plan(person, radius=radius, config=ChunkConfig(chunk, sharing))

    centres = np.concatenate([c.centres for c in chunks])
    assert sorted(centres.tolist()) == list(range(first, first + length + 1))
    for c in chunks:
        assert len(c) <= chunk
        expected = np.clip(
            c.centres[:, None] + np.arange(-radius, radius + 1), first, first + length
        )
        np.testing.assert_array_equal(c.frames, expected)
        np.testing.assert_array_equal(c.view_frames[c.view_index], c.frames)
        np.testing.assert_array_equal(
            c.view_crops[c.view_index], np.repeat(c.crops[:, None], 2 * radius + 1, axis=1)
        )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 98),
    st.integers(1, 99),
    st.floats(-30, 30),
    st.sampled_from(CropSharing),
)
def test_a_range_has_the_windows_of_the_whole(
    start: int, count: int, speed: float, sharing: CropSharing
) -> None:
    stop = min(start + count, 100)
    person = track(3, 97, speed=speed)

    whole = windows_of(plan(person, config=ChunkConfig(16, sharing)))
    part = windows_of(plan(person, start=start, stop=stop, config=ChunkConfig(16, sharing)))

    assert part == {key: value for key, value in whole.items() if start <= key[1] < stop}


def test_a_slow_person_costs_one_and_a_quarter_encodings_a_pose() -> None:
    middle = [c for c in plan(track(0, 99)) if c.frames[0, 0] > 0 and c.frames[-1, -1] < 99]

    assert [len(c) for c in middle] == [16] * 5
    assert [len(c.view_frames) for c in middle] == [20] * 5


@pytest.mark.parametrize(("speed", "longest"), [(0.0, 16), (1.5, 8), (4.0, 2), (60.0, 1)])
def test_fast_people_get_shorter_chunks(speed: float, longest: int) -> None:
    chunks = plan(track(0, 99, speed=speed))

    assert max(len(c) for c in chunks) == longest


def test_a_shared_crop_holds_every_box_of_its_windows_and_is_not_too_wide() -> None:
    person = track(0, 99, speed=0.7)

    for chunk in plan(person):
        boxes = person.boxes[chunk.frames.ravel()].reshape(-1, 2, 2)
        inside = apply_affine(chunk.crops[0], boxes)
        assert (inside >= 0).all()
        assert (inside <= np.array(SIZE[::-1]) - 1).all()
        single = crop_affine(person.boxes[0], size=SIZE)
        assert chunk.crops[0, 0, 0] > single[0, 0] / 1.31


def test_the_papers_crop_is_that_of_the_centre_frame() -> None:
    person = track(0, 40)

    for sharing, speed in ((CropSharing.FRAME, 0.5), (CropSharing.CHUNK, 200.0)):
        person = track(0, 40, speed=speed)
        for chunk in plan(person, config=ChunkConfig(sharing=sharing)):
            for centre, crop in zip(chunk.centres, chunk.crops, strict=True):
                np.testing.assert_array_equal(crop, crop_affine(person.boxes[centre], size=SIZE))


def test_windows_do_not_reach_over_a_gap_of_the_track() -> None:
    a, b = track(0, 9), track(30, 39)
    both = Track(
        0,
        np.concatenate([a.frames, b.frames]),
        np.concatenate([a.boxes, b.boxes]),
        np.ones(20),
    )

    assert windows_of(plan(both)) == windows_of(plan(a)) | windows_of(plan(b))


def test_chunks_come_in_the_order_in_which_the_video_completes_them() -> None:
    chunks = plan(track(0, 70), track(20, 99, track_id=1))

    ends = [int(c.view_frames[-1]) for c in chunks]
    assert ends == sorted(ends)


def test_pictures_repeat_themselves_and_may_hold_several_people() -> None:
    names = tuple(f"{i}.jpg" for i in range(40))
    info = FakeVideo(num_frames=40, names=names).info
    first = Track(0, np.array([2, 5, 33]), np.stack([box_around(walk(0)[0])] * 3), np.ones(3))
    second = Track(1, np.array([5]), box_around((90, 80))[None], np.ones(1))

    chunks = plan(first, second, info=info)

    assert [c.centres.tolist() for c in chunks] == [[2, 5, 5], [33]]
    for chunk in chunks:
        assert (chunk.frames == chunk.centres[:, None]).all()
        assert len(chunk.view_frames) == len(chunk)
    np.testing.assert_array_equal(chunks[0].crops[2], crop_affine(second.boxes[0], size=SIZE))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 101), (100, None)])
def test_a_range_outside_the_video_is_an_error(start: int, stop: int | None) -> None:
    with pytest.raises(SettingsError, match=r"within 0:100"):
        plan(track(0, 99), start=start, stop=stop)


def test_a_box_without_area_is_an_error() -> None:
    boxes = track(0, 2).boxes.copy()
    boxes[1] = [5, 5, 5, 9]

    with pytest.raises(BoxError, match="track 7 in frame 1"):
        plan(Track(7, np.arange(3), boxes, np.ones(3)))
    with pytest.raises(SettingsError, match="at least one frame"):
        ChunkConfig(length=0)
