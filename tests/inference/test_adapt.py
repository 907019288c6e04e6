"""Laws of adapting: what may change, what is learnt, what a cancelled run leaves behind."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffpose.errors import CancelledError, SettingsError, WeightsError
from diffpose.inference.adapt import (
    AdaptConfig,
    Lesson,
    adapt,
    from_bytes,
    to_bytes,
    with_tensors,
)
from diffpose.inference.course import LAYERS, Course, make_school
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.pipeline import estimate_poses
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig, Track
from tests.fakes import FakeVideo, box_around, walk
from tests.tiny import TINY

FRAMES, JOINT = 14, 5
QUICK = AdaptConfig(steps=12, seconds=1e9, judged=SamplingConfig(1, 2))


@pytest.fixture(scope="module")
def estimator():
    torch.manual_seed(0)
    return Estimator(DiffPose(TINY), weights_hash="none", mirrored=True)


@pytest.fixture(scope="module")
def clip():
    """A video, a person, and lessons that place one joint right of the middle of its box."""
    boxes = np.array([box_around(walk(f)[0]) for f in range(FRAMES)])
    video, track = FakeVideo(num_frames=FRAMES), Track(0, np.arange(FRAMES), boxes, np.ones(FRAMES))
    frames = np.arange(0, FRAMES - 2)
    truths = np.full((len(frames), 26, 2), np.nan)
    middle, width = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2] - boxes[:, 0]
    truths[:, JOINT] = (middle + 0.3 * width[:, None] * [1, 0])[frames]
    tolerances = np.where(np.isfinite(truths[..., 0]), 0.0, np.nan)
    return video, Lesson(track, frames, truths, tolerances)


@pytest.fixture(scope="module")
def adapted(clip, estimator):
    video, lesson = clip
    config = replace(QUICK, steps=45)
    return adapt(video, [lesson], estimator, cache=FeatureCache(), config=config)


def values(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_constant_error_of_one_joint_is_learnt_on_frames_not_seen(adapted):
    assert adapted.frames == FRAMES - 2
    assert adapted.after_px < 0.7 * adapted.before_px
    assert adapted.improved
    assert adapted.words.startswith("Adapted to this project: held-out error")


def test_nothing_but_the_named_tensors_changes(adapted, estimator):
    before = values(estimator.network)
    other = with_tensors(estimator, from_bytes(to_bytes(adapted.tensors)))

    for name, tensor in values(other.network).items():
        chosen = name.startswith(tuple(f"decoder.{layer}." for layer in LAYERS))
        assert torch.equal(tensor, adapted.tensors[name] if chosen else before[name])
    assert other.network.backbone is estimator.network.backbone
    assert all(torch.equal(t, before[n]) for n, t in estimator.network.state_dict().items())
    assert other.weights_hash.endswith(f"-adapted-{adapted.name}")


def test_the_shipped_model_gives_the_same_poses_bit_for_bit_afterwards(clip, estimator):
    video, lesson = clip
    first, again = (
        estimate_poses(video, [lesson.track], estimator, QUICK.judged)[0].keypoints
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_held_out_frames_are_not_trained_on(clip, estimator):
    video, lesson = clip
    wild = replace(lesson, truths=np.where(np.arange(12)[:, None, None] < 6, 3.0, lesson.truths))

    def trained(chosen):
        school = make_school(
            video, [chosen], estimator, cache=FeatureCache(), tell=lambda fraction, words: None
        )
        rows = school.lessons[6:]
        return Course(estimator, school, seed=0).train(rows, steps=3)[-1]

    one, other = trained(lesson), trained(wild)

    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_cancelled_run_leaves_everything_as_it_was(clip, estimator):
    video, lesson = clip
    before, asked = values(estimator.network), iter([False] * 40)

    with pytest.raises(CancelledError, match="as it was"):
        adapt(
            video, [lesson], estimator, cache=FeatureCache(), config=QUICK,
            cancelled=lambda: next(asked, True),
        )  # fmt: skip

    assert all(torch.equal(t, before[n]) for n, t in estimator.network.state_dict().items())


def test_what_was_right_already_is_no_improvement(clip, estimator):
    video, lesson = clip
    (poses,) = estimate_poses(video, [lesson.track], estimator, QUICK.judged)
    truths = np.where(np.isfinite(lesson.truths), poses.keypoints[lesson.frames], np.nan)

    result = adapt(
        video, [replace(lesson, truths=truths)], estimator, cache=FeatureCache(),
        config=replace(QUICK, steps=3),
    )  # fmt: skip

    assert not result.improved
    assert "does not help" in result.words


def test_too_few_frames_are_refused_with_their_number(clip, estimator):
    video, lesson = clip
    few = replace(
        lesson, frames=lesson.frames[:5], truths=lesson.truths[:5], tolerances=lesson.tolerances[:5]
    )
    with pytest.raises(SettingsError, match="there are 5"):
        adapt(video, [few], estimator, cache=FeatureCache())


def test_tensors_of_something_else_are_refused(adapted, estimator):
    with pytest.raises(WeightsError, match="do not fit"):
        with_tensors(estimator, {"backbone.x": torch.zeros(1)})
    with pytest.raises(WeightsError, match="do not fit"):
        with_tensors(estimator, {n: t * torch.nan for n, t in adapted.tensors.items()})
    with pytest.raises(WeightsError, match="damaged"):
        from_bytes(b"no tensors at all")


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E8M0", "C64", "BOOL"])
def test_tensors_of_types_that_no_model_has_are_refused(kind):
    size = 8 if kind == "C64" else 1
    header = json.dumps({"a": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}).encode()
    with pytest.raises(WeightsError, match="damaged"):
        from_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
