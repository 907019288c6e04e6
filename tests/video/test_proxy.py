import cv2
import pytest

from diffpose.errors import CancelledError, DiffPoseError, SettingsError
from diffpose.video.decode import Video
from diffpose.video.proxy import frame_path, write_frames
from tests.video.barcode_clips import barcode, make_clip, read_barcode


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", count=20, size=(96, 160))


def load(folder, index):
    image = cv2.imread(str(frame_path(folder, index)))
    assert image is not None
    return image


def read(folder, index):
    return read_barcode(load(folder, index))


def test_each_frame_is_one_file(tmp_path, clip):
    with Video(clip) as video:
        proxy = write_frames(video, tmp_path / "new" / "folder", max_side=80)

    assert (proxy.count, proxy.width, proxy.height, proxy.scale) == (20, 80, 48, 0.5)
    assert [read(proxy.folder, index) for index in range(20)] == list(range(20))
    assert load(proxy.folder, 3).shape == (48, 80, 3)
    assert frame_path(proxy.folder, 3).name == "000003.jpg"


def test_small_videos_are_not_enlarged(tmp_path, clip):
    with Video(clip) as video:
        proxy = write_frames(video, tmp_path, start=5, stop=8)

    assert (proxy.scale, proxy.width, proxy.height, proxy.count) == (1, 160, 96, 3)
    assert sorted(file.name for file in tmp_path.glob("*.jpg")) == [
        f"{index:06d}.jpg" for index in (5, 6, 7)
    ]


def test_a_stopped_run_resumes_without_writing_again(tmp_path, clip):
    asked = iter([False] * 7 + [True])
    with Video(clip) as video:
        with pytest.raises(CancelledError, match="after 7 of 20"):
            write_frames(video, tmp_path, cancelled=lambda: next(asked))
        assert len(list(tmp_path.glob("*.jpg"))) == 7
        frame_path(tmp_path, 2).unlink()
        first = frame_path(tmp_path, 0)
        kept = first.stat().st_ino, first.stat().st_mtime_ns

        write_frames(video, tmp_path)

    assert (first.stat().st_ino, first.stat().st_mtime_ns) == kept
    assert [read(tmp_path, index) for index in range(20)] == list(range(20))
    assert not list(tmp_path.glob("*.part"))


def test_a_complete_folder_needs_no_decoding(tmp_path, clip, monkeypatch):
    with Video(clip) as video:
        proxy = write_frames(video, tmp_path)
        monkeypatch.setattr(video, "frames", None)
        assert write_frames(video, tmp_path) == proxy


def test_frames_of_another_video_or_size_are_replaced(tmp_path, clip):
    other = make_clip(tmp_path / "other.mp4", ticks=[0, 3000], size=(96, 160), gop=1)
    folder = tmp_path / "frames"
    with Video(clip) as first, Video(other) as second:
        write_frames(first, folder)
        write_frames(second, folder)
        assert len(list(folder.glob("*.jpg"))) == 2
        write_frames(second, folder, max_side=40)

    assert load(folder, 1).shape == (24, 40, 3)


def test_progress_rises_to_one(tmp_path, clip):
    heard = []
    with Video(clip) as video:
        write_frames(video, tmp_path, progress=lambda fraction, words: heard.append(fraction))

    assert heard == [(index + 1) / 20 for index in range(20)]


def test_stills_share_one_scale(tmp_path):
    stills = tmp_path / "stills"
    stills.mkdir()
    cv2.imwrite(str(stills / "a.png"), barcode(1, (100, 200)))
    cv2.imwrite(str(stills / "b.png"), barcode(2, (60, 40)))
    with Video(stills) as video:
        proxy = write_frames(video, tmp_path / "frames", max_side=100)

    assert proxy.scale == 0.5
    assert load(proxy.folder, 1).shape == (30, 20, 3)


def test_options_out_of_range_are_refused(tmp_path, clip):
    with Video(clip) as video, pytest.raises(SettingsError, match="quality of 1 to 100"):
        write_frames(video, tmp_path, quality=101)


def test_a_folder_that_cannot_be_made_is_said(tmp_path, clip):
    (tmp_path / "taken").write_text("a file")
    with Video(clip) as video, pytest.raises(DiffPoseError, match="File exists"):
        write_frames(video, tmp_path / "taken")
