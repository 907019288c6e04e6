import struct
import zlib
from fractions import Fraction

import cv2
import numpy as np
import pytest

from diffpose.errors import VideoError
from diffpose.video import index as index_module
from diffpose.video.decode import Video
from diffpose.video.info import probe
from tests.video.barcode_clips import barcode, make_clip, make_sound, packet_spans, read_barcode


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", count=96, noise=20)


def spoil(clip, path, start, stop):
    data = bytearray(clip.read_bytes())
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    return path


def read_all(path):
    with Video(path) as video:
        frames = [image for _, image in video.frames()]
        assert len(frames) == video.info.num_frames
        order = np.random.default_rng(0).permutation(len(frames))[:12]
        for number in order.tolist():
            np.testing.assert_array_equal(video.frame(number), frames[number])
        return video.info, frames


def test_a_truncated_file_keeps_what_it_holds_and_says_so(tmp_path, clip):
    path = tmp_path / "cut.mp4"
    data = clip.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])

    info, frames = read_all(path)

    assert 45 <= len(frames) < 70
    # The last packet is incomplete, and the one before may wait for it.
    assert [read_barcode(image) for image in frames[:-1]] == list(range(len(frames) - 1))
    assert f"states 96 frames, {len(frames)} could be read" in info.warnings[0]


def test_a_hole_costs_its_own_frames_and_shifts_no_other_in_time(tmp_path, clip):
    # Four packets within a group of pictures, and a part of the one before them.
    spans = packet_spans(clip)[51:56]
    path = spoil(clip, tmp_path / "hole.mp4", spans[0][0] + 100, spans[-1][0] + spans[-1][1])

    info, frames = read_all(path)

    assert 91 <= len(frames) < 96
    clean = [(t, read_barcode(f)) for t, f in zip(info.times_s, frames, strict=True)]
    before = [(t, n) for t, n in clean if t < 47.5 / 30]
    after = [(t, n) for t, n in clean if t > 59.5 / 30]
    assert [n for _, n in before + after] == [*range(48), *range(60, 96)]
    np.testing.assert_allclose([t for t, _ in before + after], [n / 30 for _, n in before + after])
    assert f"{len(frames)} of 96 frames are kept" in info.warnings[0]
    assert "between 1." in info.warnings[0]


def test_frames_built_on_a_lost_key_frame_are_called_damaged(tmp_path, clip):
    key = packet_spans(clip)[48]
    assert key[3]
    path = spoil(clip, tmp_path / "key.mp4", key[0], key[0] + key[1])

    info, frames = read_all(path)

    kept = len(frames)
    assert 84 <= kept < 96
    numbers = [read_barcode(image) for image in frames]
    assert numbers[:48] == list(range(48))
    assert numbers[-36:] == list(range(60, 96))
    np.testing.assert_allclose(info.times_s[-36:], np.arange(60, 96) / 30)
    assert info.warnings[0] == f"1 packet at 1.6 s could not be read; {kept} of 96 frames are kept."
    assert f"{kept - 84} frames" in info.warnings[1]
    assert "are damaged and may show wrong pictures" in info.warnings[1]


def test_undetected_damage_shifts_no_frame(tmp_path, clip, monkeypatch):
    # A long file is indexed by its packets, which look sound here from the outside.
    monkeypatch.setattr(index_module, "DECODED_PIXELS", 0)
    key = packet_spans(clip)[48]
    path = spoil(clip, tmp_path / "inside.mp4", key[0] + 16, key[0] + key[1])
    assert probe(path).warnings == ()

    with Video(path) as video:
        frames = dict(video.frames())
        assert list(frames) == list(range(96))
        assert [read_barcode(frames[i]) for i in (*range(48), *range(60, 96))] == [
            *range(48),
            *range(60, 96),
        ]
        video.frame(50)
        for number in (47, 60, 71, 30):
            np.testing.assert_array_equal(video.frame(number), frames[number])
        assert len(video.warnings) >= 1


def test_damage_that_a_decoder_passes_over_is_said(tmp_path):
    sound = make_clip(
        tmp_path / "hevc.mp4", codec="libx265", options={"x265-params": "log-level=none:pools=1"}
    )
    spans = packet_spans(sound)[30:36]
    data = bytearray(sound.read_bytes())
    garbage = np.random.default_rng(0)
    for position, size, _, _ in spans:
        data[position : position + size] = garbage.bytes(size)
    path = tmp_path / "garbage.mp4"
    path.write_bytes(data)

    assert probe(sound).warnings == ()
    assert probe(path).warnings


def test_flipped_bits_are_counted(tmp_path, clip):
    data = bytearray(clip.read_bytes())
    for position, size, _, _ in packet_spans(clip)[20:40]:
        data[position + size // 2] ^= 0x55
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)

    info, frames = read_all(path)

    assert len(frames) >= 76
    assert any("damaged" in sentence or "kept" in sentence for sentence in info.warnings)


def test_a_damaged_avi_reads_the_same_both_ways(tmp_path):
    sound = make_clip(tmp_path / "clip.avi", codec="mpeg4", time_base=Fraction(1, 30), count=60)
    length = sound.stat().st_size
    path = spoil(sound, tmp_path / "hole.avi", length // 2, length // 2 + length // 20)

    info, frames = read_all(path)

    assert len(frames) > 30
    assert info.warnings


def text(path):
    path.write_text("frame, keypoint, x, y\n" * 40)


def random_bytes(path):
    path.write_bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes())


def header_last_cut(path):
    make_clip(path, count=20, faststart=False)
    path.write_bytes(path.read_bytes()[:-900])


def nothing_but_index(path):
    make_clip(path, count=20)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def pictures_zeroed(path):
    make_clip(path, count=20)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))


def playlist(path):
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no file named"),
        (lambda path: path.touch(), "empty file"),
        (text, "got text"),
        (random_bytes, "no known format"),
        (playlist, "got text"),
        (make_sound, "only sound"),
        (header_last_cut, "without a usable index"),
        (nothing_but_index, "no(ne| readable)|got none"),
        (pictures_zeroed, "got none"),
        (lambda path: make_clip(path, count=1, size=(16, 8208)), "at most 8192 pixels a side"),
        (lambda path: path.write_bytes(png_header(9000, 9000)), "at most 8192 pixels a side"),
        (lambda path: path.write_bytes(png_header(8000, 8000)), "40 million in all"),
        (lambda path: path.write_bytes(png_header(80, 80)), "damaged data"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, make, words):
    path = tmp_path / "input.mp4"
    make(path)

    with pytest.raises(VideoError, match=words) as caught:
        probe(path)

    message = str(caught.value)
    assert message.startswith("Expected ")
    assert "input.mp4" in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert str(tmp_path) not in message


def test_text_is_no_video_under_any_name(tmp_path):
    path = tmp_path / "notes.txt"
    text(path)

    with pytest.raises(VideoError, match="got text"):
        probe(path)


def test_a_song_with_a_cover_is_no_video(tmp_path):
    cover = cv2.imencode(".png", barcode(5, (32, 32)))[1].tobytes()
    path = tmp_path / "song.mp3"
    # ID3 tag with a picture frame, then nothing but silence of the MPEG kind.
    body = b"\x00image/png\x00\x03\x00" + cover
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\x00\x00" + body
    n = len(frame)
    size = bytes([(n >> 21) & 127, (n >> 14) & 127, (n >> 7) & 127, n & 127])
    silence = (b"\xff\xfb\x90\x00" + bytes(413)) * 40
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + silence)

    with pytest.raises(VideoError, match="only sound"):
        probe(path)


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
