"""Containers that say when frames are stored, not when they are shown."""

from fractions import Fraction

import av
import numpy as np
import pytest

from diffpose.video import index as index_module
from diffpose.video.decode import Video
from tests.cases import case
from tests.video.barcode_clips import barcode, make_clip, read_barcode

RATE = 25


def without_times(path, *, codec="libx264", count=60, b_frames=3, options=None, packed=False):
    """A clip whose packets carry evenly spaced times in the order in which they are stored."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width, stream.pix_fmt = 72, 96, "yuv420p"
        stream.gop_size, stream.max_b_frames = 12, b_frames
        packets = []
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(barcode(number, (72, 96)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if packed:
            packets = packed_packets(packets)
        for number, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = number
            packet.duration = 1
            container.mux(packet)
    return path


def packed_packets(packets):
    """MPEG-4 packets as DivX packed them: a B-frame beside the frame stored before it."""
    result: list[bytes] = []
    for packet in packets:
        data = bytes(packet)
        start = data.index(b"\0\0\1\xb6")
        if data[start + 4] >> 6 == 2:
            result[-1] = bytes(result[-1]) + data
            result.append(b"\0\0\1\xb6\x56\x10\x3f")
        else:
            mark = b"\0\0\1\xb2DivX503b1393p" if packet.is_keyframe else b""
            result.append(data[:start] + mark + data[start:])
    made = []
    for data, packet in zip(result, packets, strict=True):
        new = av.Packet(data)
        new.is_keyframe = packet.is_keyframe
        made.append(new)
    return made


KINDS = [
    ("b-frames.avi", {}),
    ("pyramid.avi", {"options": {"x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}}),
    ("open-gop.avi", {"options": {"x264-params": "open-gop=1:b-adapt=0:scenecut=0"}}),
    ("no-offsets.mp4", {}),
    ("no-offsets.mov", {"options": {"x264-params": "bframes=1"}}),
    ("no-offsets.mkv", {}),
    ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=0:keyint=12"}}),
    ("asp.mp4", {"codec": "mpeg4", "b_frames": 2}),
    ("asp.avi", {"codec": "mpeg4", "b_frames": 1}),
    ("mpeg2.avi", {"codec": "mpeg2video", "b_frames": 2}),
    ("packed.avi", {"codec": "mpeg4", "b_frames": 1, "packed": True}),
]


@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(("name", "arguments"), KINDS, ids=[name for name, _ in KINDS])
def test_frames_are_shown_in_the_decoders_order(tmp_path, monkeypatch, name, arguments, is_long):
    path = without_times(tmp_path / name, **arguments)
    if is_long:
        monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)
    with Video(path, cache_frames=1) as video:
        shown = [read_barcode(image) for _, image in video.frames()]
        assert shown == list(range(len(shown)))
        assert len(shown) >= 59
        np.testing.assert_allclose(video.info.times_s, np.arange(len(shown)) / RATE, atol=0.002)
        for number in (40, 12, 47, 3, 35, 58, 0, 24):
            assert read_barcode(video.frame(number)) == number
        assert video.warnings == ()
        info = video.info
    with Video(path, info=info) as reopened:
        assert [read_barcode(image) for _, image in reopened.frames(30, 40)] == list(range(30, 40))


def test_a_long_file_without_reordered_frames_is_not_decoded(tmp_path, monkeypatch):
    path = without_times(tmp_path / "clip.avi", b_frames=0)
    monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)
    monkeypatch.setattr(index_module, "_index_by_decoding", None)

    assert len(index_module.read_index(path)) == 60


def test_sound_times_are_left_alone(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "clip.mp4", count=30)
    assert index_module.read_index(path).shown_at is None
    monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)
    assert index_module.read_index(path).shown_at is None


def test_damage_among_frames_without_times_is_still_told(tmp_path):
    path = without_times(tmp_path / "clip.avi")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    lost = packets[20]
    assert lost.pos is not None
    data[lost.pos + 12 : lost.pos + lost.size] = bytes(lost.size - 12)
    path.write_bytes(data)

    with Video(path) as video:
        shown = [read_barcode(image) for _, image in video.frames()]
        assert video.warnings
    assert shown[:12] == list(range(12))
    assert shown[-12:] == list(range(48, 60))


@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(
    ("name", "count"), [("bframes_h264.avi", 40), ("no_ctts.mp4", 40), ("packed_xvid.avi", 39)]
)
def test_cases_show_their_numbers(monkeypatch, name, count, is_long):
    if is_long:
        monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)
    with Video(case(name)) as video:
        shown = [_bars(image) for _, image in video.frames()]
        assert video.warnings == ()
    assert shown == list(range(count))


def _bars(image):
    return sum(
        int(image[72:168, 20 + 30 * bit : 25 + 30 * bit].mean() > 128) << bit for bit in range(10)
    )
