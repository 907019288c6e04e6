"""What a correction needs is made ready while the reviewer looks at the frame."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from app.desk.models import _prepare
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.flows import person_flows
from diffpose.inference.pipeline import window_at
from diffpose.inference.resample import sampled_before
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig, Track
from tests.fakes import FakeVideo, box_around, walk
from tests.tiny import TINY


def clip_of(num_frames: int) -> SimpleNamespace:
    frames = np.arange(num_frames)
    boxes = np.stack([box_around(walk(int(frame))[0]) for frame in frames])
    track = Track(0, frames, boxes, np.ones(num_frames))
    video = FakeVideo(num_frames=num_frames)
    return SimpleNamespace(video=video, tracks={0: track}, adapted=None)


@pytest.fixture
def workspace() -> SimpleNamespace:
    torch.manual_seed(0)
    estimator = Estimator(DiffPose(TINY), weights_hash="none")
    return SimpleNamespace(features=FeatureCache(), estimator=estimator)


def test_motion_is_there_before_the_correction_asks(workspace: SimpleNamespace) -> None:
    clip = clip_of(30)
    free = threading.Lock()

    _prepare(workspace, clip, 0, 15, SamplingConfig(), free)  # type: ignore[arg-type]
    with free:
        clip.video.reads.clear()
    flows = person_flows(clip.video, clip.tracks[0], range(7, 23), cache=workspace.features)

    assert sorted(flows) == list(range(7, 23))
    assert not clip.video.reads


def test_what_nothing_placed_gives_is_sampled_before_the_correction_asks(
    workspace: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, free = clip_of(30), threading.Lock()
    estimator, cache = workspace.estimator, workspace.features

    _prepare(workspace, clip, 0, 15, SamplingConfig(), free)  # type: ignore[arg-type]
    with free:
        monkeypatch.setattr(estimator, "sample", None)
    window = window_at(clip.video, clip.tracks[0], estimator, frame=15)

    assert window is not None
    kept = sampled_before(clip.video, window, estimator, SamplingConfig(), cache=cache)
    assert kept.shape == (1, 26, 2)


def test_one_frame_at_a_time_and_nobody_waits(workspace: SimpleNamespace) -> None:
    clip = clip_of(5)
    busy = threading.Lock()
    with busy:
        _prepare(workspace, clip, 0, 2, SamplingConfig(), busy)  # type: ignore[arg-type]
    assert not clip.video.reads


def test_a_video_that_cannot_be_read_leaves_the_desk_at_work(workspace: SimpleNamespace) -> None:
    clip = clip_of(5)

    def gone(start: int = 0, stop: int | None = None) -> object:
        raise OSError("gone")

    clip.video.frames = gone
    free = threading.Lock()
    _prepare(workspace, clip, 0, 2, SamplingConfig(), free)  # type: ignore[arg-type]
    with free:
        assert len(workspace.features) == 0
