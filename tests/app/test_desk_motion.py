"""The motion around a frame is found while the reviewer looks at it."""

import threading
from types import SimpleNamespace

import numpy as np

from app.desk.models import _prepare
from diffpose.inference.features import FeatureCache
from diffpose.inference.flows import person_flows
from diffpose.poses import Track
from tests.fakes import FakeVideo, box_around, walk


def clip_of(num_frames: int) -> SimpleNamespace:
    frames = np.arange(num_frames)
    boxes = np.stack([box_around(walk(int(frame))[0]) for frame in frames])
    track = Track(0, frames, boxes, np.ones(num_frames))
    return SimpleNamespace(video=FakeVideo(num_frames=num_frames), tracks={0: track})


def test_motion_is_there_before_the_correction_asks() -> None:
    workspace, clip = SimpleNamespace(features=FeatureCache()), clip_of(30)
    free = threading.Lock()

    _prepare(workspace, clip, 0, 15, free)  # type: ignore[arg-type]
    with free:
        clip.video.reads.clear()
    flows = person_flows(clip.video, clip.tracks[0], range(7, 23), cache=workspace.features)

    assert sorted(flows) == list(range(7, 23))
    assert not clip.video.reads


def test_one_frame_at_a_time_and_nobody_waits() -> None:
    workspace, clip = SimpleNamespace(features=FeatureCache()), clip_of(5)
    busy = threading.Lock()
    with busy:
        _prepare(workspace, clip, 0, 2, busy)  # type: ignore[arg-type]
    assert not clip.video.reads


def test_a_video_that_cannot_be_read_leaves_the_desk_at_work() -> None:
    workspace, clip = SimpleNamespace(features=FeatureCache()), clip_of(5)

    def gone(start: int = 0, stop: int | None = None) -> object:
        raise OSError("gone")

    clip.video.frames = gone
    free = threading.Lock()
    _prepare(workspace, clip, 0, 2, free)  # type: ignore[arg-type]
    with free:
        assert len(workspace.features) == 0
