"""Probing reads no more than is used, tells what a file hides, and may run on its own."""

import struct
from typing import Any

import numpy as np
import pytest

from diffpose.errors import VideoError
from diffpose.video import packets
from diffpose.video.decode import Video
from diffpose.video.info import probe
from diffpose.video.stream import read_packets
from tests.hostile.videos import made


@pytest.mark.parametrize("kind", ["mp4", "mkv", "gif", "avi"])
def test_probing_stops_at_what_is_used(tmp_path, kind):
    path = made(tmp_path / f"clip.{kind}", kind, count=90)

    with Video(path) as whole, Video(path, most_frames=7) as part:
        assert whole.info.num_frames == 90
        assert part.info.num_frames == 7
        np.testing.assert_allclose(part.info.times_s, whole.info.times_s[:7])
        assert part.info.video_id == whole.info.video_id
        assert part.warnings == ()
        for number, image in part.frames():
            np.testing.assert_array_equal(image, whole.frame(number))
        np.testing.assert_array_equal(part.frame(6), whole.frame(6))


def test_no_more_packets_are_read_than_needed(tmp_path, monkeypatch):
    path = made(tmp_path / "clip.mp4", "mp4", count=90)
    read = []

    def counted(*arguments):
        for packet in read_packets(*arguments):
            read.append(packet)
            yield packet

    monkeypatch.setattr(packets, "read_packets", counted)
    packets.scan_packets(path, 7)

    assert len(read) <= 7 + 2 * packets.REORDER_FRAMES + 1


@pytest.mark.parametrize(("kind", "name"), [("gif", "_MOST_GIF_FRAMES"), ("mp4", None)])
def test_a_file_beyond_all_limits_is_cut_and_says_so(tmp_path, monkeypatch, kind, name):
    path = made(tmp_path / f"clip.{kind}", kind, count=90)
    if name:
        monkeypatch.setattr(packets, name, 20)
    else:
        monkeypatch.setattr("diffpose.video.index.MOST_FRAMES", 20)

    info = probe(path)

    assert info.num_frames == 20
    assert "Only the first 20 frames" in info.warnings[0]


@pytest.mark.parametrize(
    ("box", "offset", "number"),
    [(b"stts", 16, 2**31 - 1), (b"elst", 12, 40), (b"elst", 16, 512 * 14)],
)
def test_frames_that_a_tampered_header_hides_are_told(tmp_path, box, offset, number):
    data = bytearray(made(tmp_path / "clip.mp4", "mp4", count=16).read_bytes())
    at = data.find(box) + offset
    data[at : at + 4] = struct.pack(">I", number)
    path = tmp_path / "tampered.mp4"
    path.write_bytes(data)

    info = probe(path)

    assert info.num_frames < 12
    assert "of its 16 frames" in info.warnings[0]


def test_an_untouched_file_has_no_warning(tmp_path):
    assert probe(made(tmp_path / "clip.mp4", "mp4")).warnings == ()


class Container:
    """A container whose first packet belongs to a stream that nobody announced."""

    def __init__(self):
        self.calls = 0

    def demux(self, stream):
        self.calls += 1
        if self.calls == 1:
            raise IndexError("tuple index out of range")
        yield "packet"


def test_a_packet_of_an_unknown_stream_is_passed_over():
    errors: list[str] = []
    container: Any = Container()
    stream: Any = None

    assert list(read_packets(container, stream, errors)) == ["packet"]
    assert errors == ["IndexError"]


def test_probing_on_its_own_says_the_same(tmp_path):
    path = made(tmp_path / "clip.mkv", "mkv")

    plain, isolated = probe(path), probe(path, isolated=True)

    assert repr(isolated) == repr(plain)
    np.testing.assert_array_equal(isolated.times_s, plain.times_s)
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"none\.mp4"):
        probe(tmp_path / "none.mp4", isolated=True)
