import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import InputError, VideoError
from diffpose.video import index as index_module
from diffpose.video.decode import Video
from diffpose.video.info import probe
from tests.video.barcode_clips import TICKS, barcode, make_clip, read_barcode

IRREGULAR = [0, *np.cumsum([3000, 1500, 9000, 3003, 2, 4500, 90000, 77, 3000] * 5).tolist()]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture(scope="module")
def in_sequence(clip):
    with Video(clip) as video:
        return [image for _, image in video.frames()]


def test_frames_carry_their_numbers_in_order(in_sequence):
    assert [read_barcode(image) for image in in_sequence] == list(range(60))


@settings(max_examples=20, deadline=None)
@given(asked=st.lists(st.integers(0, 59), min_size=1, max_size=8), cached=st.integers(1, 20))
def test_a_frame_is_the_same_asked_for_directly_or_in_sequence(clip, in_sequence, asked, cached):
    with Video(clip, cache_frames=cached) as video:
        for number in asked:
            np.testing.assert_array_equal(video.frame(number), in_sequence[number])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("open-gop.mp4", {"options": {"x264-params": "open-gop=1:b-adapt=0"}, "b_frames": 3}),
        ("intra-refresh.mp4", {"options": {"x264-params": "intra-refresh=1"}}),
        ("transport.ts", {}),
        ("matroska.mkv", {"time_base": Fraction(1, 1000)}),
        ("vp8.webm", {"codec": "libvpx", "options": {"lag-in-frames": "9", "cpu-used": "8"}}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}),
        ("mpeg4.avi", {"codec": "mpeg4", "time_base": Fraction(1, 30), "b_frames": 0}),
        ("b-frames.avi", {"codec": "mpeg4", "time_base": Fraction(1, 30)}),
        ("mjpeg.avi", {"codec": "mjpeg", "time_base": Fraction(1, 30), "b_frames": 0}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_every_container_yields_every_frame_both_ways(tmp_path, name, arguments):
    path = tmp_path / name
    if name == "mjpeg.avi":
        arguments = arguments | {"options": {"color_range": "2"}}
    make_clip(path, count=30, **arguments)
    with Video(path, cache_frames=2) as video:
        frames = [image for _, image in video.frames()]
        assert [read_barcode(image) for image in frames] == list(range(30))
        assert video.warnings == ()
        np.testing.assert_allclose(video.info.times_s, np.arange(30) / 30, atol=0.0011)
        for number in (29, 3, 17, 13, 12, 0, 25):
            np.testing.assert_array_equal(video.frame(number), frames[number])


def test_long_files_are_indexed_by_packets_with_the_same_result(clip, in_sequence, monkeypatch):
    decoded = probe(clip)
    monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)

    by_packets = probe(clip)

    np.testing.assert_array_equal(by_packets.times_s, decoded.times_s)
    assert by_packets.size == decoded.size
    with Video(clip, info=by_packets) as video:
        np.testing.assert_array_equal(video.frame(33), in_sequence[33])


def test_irregular_times_come_back_exactly(tmp_path):
    path = make_clip(tmp_path / "vfr.mp4", ticks=IRREGULAR)

    with Video(path) as video:
        np.testing.assert_allclose(video.info.times_s, np.array(IRREGULAR) / TICKS, atol=1e-12)
        assert read_barcode(video.frame(37)) == 37


def test_time_starts_at_the_first_frame(tmp_path):
    path = make_clip(tmp_path / "late.mp4", ticks=[700_000 + 3000 * i for i in range(10)])

    np.testing.assert_allclose(probe(path).times_s, np.arange(10) / 30, atol=1e-12)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_turns_the_upright_picture(tmp_path, degrees):
    upright = make_clip(tmp_path / "upright.mp4", count=4)
    turned = make_clip(tmp_path / "turned.mp4", count=4, rotation=degrees)
    with av.open(str(turned)) as container:
        quarters = next(container.decode(video=0)).rotation // 90 % 4
    assert quarters == degrees // 90

    with Video(upright) as first, Video(turned) as second:
        expected = np.rot90(first.frame(2), quarters)
        np.testing.assert_array_equal(second.frame(2), expected)
        assert second.info.size == expected.shape[:2]
        assert second.frame(2).flags.c_contiguous


def test_odd_sizes_are_kept(tmp_path):
    path = make_clip(tmp_path / "odd.mp4", count=5, size=(73, 97))

    with Video(path) as video:
        assert video.info.size == (73, 97)
        assert [image.shape for _, image in video.frames()] == [(73, 97, 3)] * 5
        assert read_barcode(video.frame(3)) == 3


def test_sound_does_not_matter(tmp_path):
    path = make_clip(tmp_path / "sound.mp4", count=12, with_sound=True)

    with Video(path) as video:
        assert [read_barcode(image) for _, image in video.frames()] == list(range(12))
        assert video.warnings == ()


def test_colours_survive(tmp_path):
    path = tmp_path / "colour.mp4"
    colours = np.array([[200, 40, 30], [20, 160, 60], [30, 50, 190]], np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 48, "yuv420p"
        image = np.repeat(np.repeat(colours[None], 48, 0), 16, 1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))

    with Video(path) as video:
        middles = video.frame(0)[24, [8, 24, 40]].astype(int)
    assert np.abs(middles - colours).max() <= 6


def test_one_frame_is_a_video(tmp_path):
    path = make_clip(tmp_path / "one.mp4", count=1)

    with Video(path) as video:
        assert video.info.num_frames == 1
        assert read_barcode(video.frame(0)) == 0
        assert len(list(video.frames())) == 1


def test_a_range_gives_its_frames_and_no_others(clip):
    with Video(clip) as video:
        assert [(i, read_barcode(f)) for i, f in video.frames(25, 29)] == [
            (i, i) for i in range(25, 29)
        ]
        assert [i for i, _ in video.frames(58, 99)] == [58, 59]
        assert list(video.frames(5, 5)) == []
        assert list(video.frames(70)) == []


def test_frames_beyond_the_video_are_refused(clip):
    with Video(clip) as video:
        with pytest.raises(InputError, match="from 0 to 59, got 60"):
            video.frame(60)
        with pytest.raises(InputError, match="from 0 to 59, got -1"):
            video.frame(-1)
        with pytest.raises(InputError, match="got -3"):
            video.frames(-3)


def test_a_sequence_holds_one_frame_at_a_time(clip):
    alive: list[weakref.ref] = []
    most = 0
    with Video(clip) as video:
        for _, image in video.frames():
            alive = [ref for ref in alive if ref() is not None]
            alive.append(weakref.ref(image))
            most = max(most, len(alive))

    assert most <= 2


def test_the_cache_stays_within_its_limit(clip):
    with Video(clip, cache_frames=5) as video:
        for number in range(60):
            video.frame(number)
            assert len(video._cache) <= 5


def test_stepping_back_decodes_nothing(clip, monkeypatch):
    with Video(clip) as video:
        video.frame(40)
        monkeypatch.setattr("diffpose.video.decode.open_stream", None)
        assert [read_barcode(video.frame(i)) for i in (39, 38, 37)] == [39, 38, 37]


def test_callers_may_draw_on_a_frame(clip):
    with Video(clip) as video:
        video.frame(7)[:] = 0
        assert read_barcode(video.frame(7)) == 7


def test_threads_may_share_a_video(clip):
    numbers = np.random.default_rng(0).integers(0, 60, 80).tolist()
    start = threading.Barrier(4)

    def read(part):
        start.wait()
        return [read_barcode(video.frame(number)) for number in part]

    with Video(clip, cache_frames=3) as video, ThreadPoolExecutor(4) as pool:
        parts = [numbers[i::4] for i in range(4)]
        assert list(pool.map(read, parts)) == parts


def test_sequences_may_be_interleaved_with_single_frames(clip):
    with Video(clip) as video:
        for number, image in video.frames(10, 20):
            assert read_barcode(video.frame(59 - number)) == 59 - number
            assert read_barcode(image) == number


def test_a_closed_video_opens_again(clip):
    video = Video(clip)
    video.frame(3)
    video.close()

    assert read_barcode(video.frame(4)) == 4
    video.close()


def test_a_file_that_changed_is_noticed(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", count=20)
    info = probe(path)
    make_clip(path, count=12)

    with Video(path, info=info) as video, pytest.raises(VideoError, match=r"20 frames.*got 12"):
        video.frame(0)


def test_the_identity_is_the_content(tmp_path, clip):
    copy = tmp_path / "other name"
    copy.write_bytes(clip.read_bytes())
    other = make_clip(tmp_path / "other.mp4", count=59)

    assert probe(copy).video_id == probe(clip).video_id
    assert probe(other).video_id != probe(clip).video_id


def test_barcodes_read_back():
    assert [read_barcode(barcode(n, (73, 97))) for n in (0, 5, 4095, 1234)] == [0, 5, 4095, 1234]
