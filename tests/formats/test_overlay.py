"""The overlay video plays back with the right frames at the right times."""

import av
import cv2
import numpy as np
import pytest

from diffpose.errors import CancelledError, FormatError
from diffpose.formats.overlay import write_overlay
from diffpose.poses import VideoInfo
from diffpose.skeleton import Skeleton
from diffpose.video.decode import Video
from diffpose.video.encode import write_video
from tests.formats.made_poses import sequence, video

PAIR = Skeleton("pair", ("left_hip", "left_knee"), (("left_hip", "left_knee"),), (0.1, 0.2))
TIMES_S = np.array([0.0, 0.04, 0.08, 0.2, 0.24, 0.28])  # a gap: the frame rate is not constant


class GreyVideo:
    """Six frames, each of one grey level: 30 x its index."""

    def __init__(self, fails_at=None):
        self.info = VideoInfo(video(1).path, "id", 96, 64, TIMES_S)
        self.fails_at = fails_at

    def frames(self, start=0, stop=None):
        for index in range(start, self.info.num_frames if stop is None else stop):
            if index == self.fails_at:
                raise OSError("the disk is gone")
            yield index, np.full((64, 96, 3), 30 * index, np.uint8)


def person(track_id, frames):
    return sequence(
        track_id,
        frames,
        PAIR,
        keypoints=np.tile([[20.0, 20.0], [60.0, 40.0]], (len(frames), 1, 1)),
        confidence=np.ones((len(frames), 2)),
        covariance=np.full((len(frames), 2, 2, 2), np.nan),
    )


def play(path):
    with av.open(str(path)) as container:
        decoded = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return np.array([time for time, _ in decoded]), [picture for _, picture in decoded]


def test_the_clip_of_the_poses_plays_at_the_videos_times(tmp_path):
    write_overlay(tmp_path / "o.mp4", GreyVideo(), [person(0, [2, 4]), person(7, [1])])

    times_s, pictures = play(tmp_path / "o.mp4")
    np.testing.assert_allclose(times_s, TIMES_S[1:5] - TIMES_S[1], atol=1e-3)
    grey = [picture[60, 90].mean() for picture in pictures]
    np.testing.assert_allclose(grey, [30, 60, 90, 120], atol=6)


def test_a_pose_is_drawn_in_its_own_frames_only(tmp_path):
    write_overlay(tmp_path / "o.mp4", GreyVideo(), [person(0, [2, 4])])

    _, pictures = play(tmp_path / "o.mp4")
    vermillion = [int(p[30, 40, 0]) - int(p[30, 40, 2]) > 60 for p in pictures]
    assert vermillion == [True, False, True]


def test_the_overlay_of_a_real_file_has_its_frames_and_times(tmp_path):
    greys = [np.full((63, 95, 3), 30 * index, np.uint8) for index in range(6)]
    write_video(tmp_path / "v.mp4", greys, TIMES_S)

    with Video(tmp_path / "v.mp4") as source:
        write_overlay(tmp_path / "o.mp4", source, [person(0, [1, 5])])

    times_s, pictures = play(tmp_path / "o.mp4")
    np.testing.assert_allclose(times_s, TIMES_S[1:] - TIMES_S[1], atol=1e-3)
    np.testing.assert_allclose([p[60, 90].mean() for p in pictures], [30, 60, 90, 120, 150], atol=6)


def test_pictures_of_several_sizes_are_padded_to_the_largest(tmp_path):
    (tmp_path / "in").mkdir()
    for name, shape in (("a.png", (64, 48, 3)), ("b.png", (32, 96, 3))):
        cv2.imwrite(str(tmp_path / "in" / name), np.full(shape, 200, np.uint8))

    with Video(tmp_path / "in") as source:
        write_overlay(tmp_path / "o.mp4", source, [person(0, [0]), person(1, [1])])

    _, pictures = play(tmp_path / "o.mp4")
    assert [p.shape for p in pictures] == [(64, 96, 3)] * 2
    np.testing.assert_allclose([p[5, 90].mean() for p in pictures], [0, 200], atol=6)
    np.testing.assert_allclose([p[60, 5].mean() for p in pictures], [200, 0], atol=6)


def test_progress_goes_to_one(tmp_path):
    fractions = []

    write_overlay(
        tmp_path / "o.mp4",
        GreyVideo(),
        [person(0, [1, 4])],
        progress=lambda fraction, words: fractions.append(fraction),
    )

    assert fractions == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("failure", ["cancelled", "broken"])
def test_a_write_that_stops_in_the_middle_leaves_the_old_file(tmp_path, failure):
    path = tmp_path / "o.mp4"
    path.write_bytes(b"old")
    answers = iter([False, False, True])
    source = GreyVideo(fails_at=None if failure == "cancelled" else 3)

    with pytest.raises(CancelledError if failure == "cancelled" else OSError, match=r"cancel|disk"):
        write_overlay(
            path,
            source,
            [person(0, [0, 5])],
            cancelled=lambda: failure == "cancelled" and next(answers),
        )

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("people", [[], [person(0, [])]])
def test_nobody_to_draw_is_an_error(tmp_path, people):
    with pytest.raises(FormatError, match="poses to draw"):
        write_overlay(tmp_path / "o.mp4", GreyVideo(), people)


def test_poses_of_a_longer_video_are_refused(tmp_path):
    with pytest.raises(FormatError, match="frames 0 to 5"):
        write_overlay(tmp_path / "o.mp4", GreyVideo(), [person(0, [6])])
