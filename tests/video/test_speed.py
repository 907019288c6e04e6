"""Slow motion: times are those of the recording."""

import av
import numpy as np
import pytest

from diffpose.errors import SettingsError
from diffpose.video.decode import Video
from diffpose.video.info import probe
from diffpose.video.speed import recorded_times, stated_capture_fps
from tests.video.barcode_clips import make_clip, read_barcode


def with_capture_rate(path, rate, source):
    """A copy that says at which rate it was recorded, as Android phones do."""
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        new.metadata["com.android.capture.fps"] = rate
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("speed") / "clip.mp4", count=40)


def test_a_stated_rate_shortens_all_times(clip):
    plain, slow = probe(clip), probe(clip, capture_fps=240)

    np.testing.assert_allclose(slow.times_s, plain.times_s / 8)
    assert slow.fps == pytest.approx(240)
    assert slow.video_id == plain.video_id
    assert "240 frames a second, as stated, and played at 30" in slow.notes[0]
    assert slow.warnings == ()


def test_frames_are_the_same_ones(clip):
    with Video(clip, capture_fps=240) as video:
        info = video.info
        assert [read_barcode(image) for _, image in video.frames()] == list(range(40))
    with Video(clip, info=info) as video:
        assert read_barcode(video.frame(33)) == 33


def test_a_rate_written_by_the_phone_is_used(tmp_path, clip):
    path = with_capture_rate(tmp_path / "slow.mp4", "240.000000", clip)

    info = probe(path)
    assert info.fps == pytest.approx(240)
    assert "as the file says" in info.notes[0]
    assert probe(path, isolated=True).times_s[-1] == pytest.approx(39 / 240)
    # What the user says counts, also against the file.
    assert probe(path, capture_fps=30).fps == pytest.approx(30)


def test_a_time_lapse_becomes_longer(tmp_path, clip):
    info = probe(with_capture_rate(tmp_path / "lapse.mp4", "2", clip))
    assert info.times_s[-1] == pytest.approx(39 / 2)


@pytest.mark.parametrize("written", ["29.97", "31", "0", "-240", "inf", "nan", "", "fast"])
def test_the_same_rate_and_nonsense_change_nothing(tmp_path, clip, written):
    info = probe(with_capture_rate(tmp_path / "a.mp4", written, clip))
    np.testing.assert_array_equal(info.times_s, probe(clip).times_s)
    assert info.notes == ()


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_rate_that_no_camera_has_is_refused(clip, rate):
    with pytest.raises(SettingsError, match="rate of recording"):
        probe(clip, capture_fps=rate)


def test_pictures_have_no_rate_of_recording(tmp_path):
    with pytest.raises(SettingsError, match="pictures"):
        probe(tmp_path, capture_fps=240)


def test_a_single_frame_keeps_its_time():
    times, said = recorded_times(np.zeros(1), 30.0, stated=240.0, written=None)
    assert times.tolist() == [0]
    assert said == ()
    assert stated_capture_fps({}) is None
