import resource

import av
import numpy as np
import pytest

from diffpose.errors import CancelledError, DiffPoseError, InputError
from diffpose.video.decode import Video
from diffpose.video.encode import VideoWriter, write_video
from tests.video.barcode_clips import barcode, read_barcode

SIZE = (72, 96)
TIMES = np.array([0, 3000, 3001, 9000, 50_000, 50_100, 140_000, 143_003]) / 90_000


def images(count, size=SIZE):
    return (barcode(number, size) for number in range(count))


def test_frames_and_times_come_back(tmp_path):
    path = tmp_path / "out.mp4"

    write_video(path, images(8), TIMES)

    with Video(path) as video:
        np.testing.assert_allclose(video.info.times_s, TIMES, atol=1e-9)
        assert [read_barcode(image) for _, image in video.frames()] == list(range(8))
        assert video.warnings == ()
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_the_stated_length_is_the_last_frame_s_end(tmp_path):
    write_video(tmp_path / "out.mp4", images(8), TIMES)

    with av.open(str(tmp_path / "out.mp4")) as container:
        # The last frame lasts as long as the median one.
        end = TIMES[-1] + np.median(np.diff(TIMES))
        assert (container.duration or 0) / 1e6 == pytest.approx(end, abs=0.002)


def test_browsers_can_play_it_from_its_first_bytes(tmp_path):
    write_video(tmp_path / "out.mp4", images(3), [0, 0.1, 0.2])

    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


def test_odd_sizes_are_padded_at_the_end(tmp_path):
    write_video(tmp_path / "out.mp4", images(3, (73, 97)), [0, 0.1, 0.2], crf=5)

    with Video(tmp_path / "out.mp4") as video:
        assert video.info.size == (74, 98)
        error = video.frame(2)[:73, :97].astype(int) - barcode(2, (73, 97))
        assert np.abs(error).mean() < 4


def test_colours_come_back(tmp_path):
    image = np.zeros((48, 48, 3), np.uint8)
    image[:, :16], image[:, 16:32], image[:, 32:] = (200, 40, 30), (20, 160, 60), (30, 50, 190)
    write_video(tmp_path / "out.mp4", [image], [0], crf=1)

    with Video(tmp_path / "out.mp4") as video:
        error = video.frame(0)[24, [8, 24, 40]].astype(int) - image[24, [8, 24, 40]]
    assert np.abs(error).max() <= 6


def test_frames_without_times_are_evenly_spaced(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", size=SIZE, fps=25) as writer:
        for image in images(5):
            writer.write(image)

    with Video(tmp_path / "out.mp4") as video:
        np.testing.assert_allclose(video.info.times_s, np.arange(5) / 25, atol=1e-9)


def test_a_stopped_run_leaves_the_older_file(tmp_path):
    path = tmp_path / "out.mp4"
    write_video(path, images(2), [0, 0.1])
    before = path.read_bytes()

    def stopped():
        yield from images(3)
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        write_video(path, stopped(), np.arange(9) / 30)
    writer = VideoWriter(path, size=SIZE, fps=30)
    writer.write(barcode(1, SIZE))
    writer.cancel()
    writer.cancel()

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_no_room_leaves_no_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 240, 320, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiffPoseError, match="got 'File too large'"):
            write_video(tmp_path / "out.mp4", iter(noise), np.arange(12) / 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(DiffPoseError, match="No such file or directory"):
        write_video(tmp_path / "none" / "out.mp4", images(1), [0])


@pytest.mark.parametrize(
    ("count", "times", "words"),
    [
        (0, [], "at least one frame"),
        (3, [0, 0.1], "got 3 and 2"),
        (2, [0, 0.1, 0.2], "got 2 and 3"),
        (2, [0.1, 0.1], "increasing times"),
        (2, [0.2, 0.1], "increasing times"),
        (1, [-0.1], "from 0 s"),
    ],
)
def test_frames_and_times_must_fit(tmp_path, count, times, words):
    with pytest.raises(InputError, match=words):
        write_video(tmp_path / "out.mp4", images(count), times)

    assert list(tmp_path.iterdir()) == []


def test_frames_must_have_the_size(tmp_path):
    with (
        pytest.raises(InputError, match=r"shape \(72, 96, 3\)"),
        VideoWriter(tmp_path / "out.mp4", size=SIZE, fps=30) as writer,
    ):
        writer.write(barcode(0, (96, 72)))

    assert list(tmp_path.iterdir()) == []
