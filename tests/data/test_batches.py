"""Laws of batches: repeatable, centred on the annotated frame, and never waiting for ever."""

import itertools
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from diffpose.data.augment import AugmentConfig, half_body_box
from diffpose.data.batches import Mixture, evaluation_batches, make_ahead, make_batch
from diffpose.data.posetrack import load_posetrack
from diffpose.data.sources import Example
from diffpose.geometry import apply_affine, invert_affine
from diffpose.skeleton import POSETRACK15
from diffpose.video.crop import cut_crop
from tests.posetrack_folder import drawn_pose, make_posetrack

PLAIN = AugmentConfig(rotation=0, scale=0, shift=0, flip=0, colour=0, occlude=0, blur=0)


def mixture(source, **changes):
    settings: dict[str, Any] = {
        "num_frames": 3,
        "crop_size": (64, 48),
        "batch_size": 4,
        "augment": PLAIN,
    }
    return Mixture(sources=[source], weights=[1.0], skeleton=POSETRACK15, **settings | changes)


@pytest.fixture(scope="module")
def posetrack(tmp_path_factory):
    return load_posetrack(make_posetrack(tmp_path_factory.mktemp("posetrack")), "train")


def test_windows_of_posetrack_have_a_truth_in_their_centre(posetrack):
    batch = make_batch(mixture(posetrack, num_frames=5), seed=1, index=0)
    again = make_batch(mixture(posetrack, num_frames=5), seed=1, index=0)

    assert batch.crops.shape == (4, 5, 64, 48, 3)
    assert torch.isfinite(batch.keypoints).all()
    # The box and a quarter of it fill the crop, so the whole person is inside.
    assert ((batch.keypoints >= 0) & (batch.keypoints < torch.tensor([48, 64]))).all()
    assert torch.equal(batch.crops, again.crops)


def test_single_frames_of_posetrack_are_read_as_such(posetrack):
    assert make_batch(mixture(posetrack, num_frames=1), seed=1, index=0).crops.shape[1] == 1


def test_evaluation_leads_back_to_picture_pixels(posetrack):
    size = (64, 48)

    for batch, affines, truth in evaluation_batches(
        posetrack, crop_size=size, num_frames=3, batch_size=5
    ):
        for points, affine, true in zip(batch.keypoints.numpy(), affines, truth, strict=True):
            np.testing.assert_allclose(apply_affine(invert_affine(affine), points), true, atol=1e-3)


def test_training_and_inference_cut_the_same_crop(posetrack):
    """Large people are reduced without aliasing in both: 16 pixels a person are few enough."""
    size = (16, 16)
    (batch, affines, _) = next(
        evaluation_batches(posetrack, crop_size=size, num_frames=1, batch_size=1)
    )

    expected = cut_crop(posetrack.around(0, 1).frames[0], affines[0], size=size)

    np.testing.assert_array_equal(batch.crops[0, 0].numpy(), expected)


def test_half_a_body_is_the_upper_or_the_lower_half():
    pose = drawn_pose(100, 100, 0.0)
    rng = np.random.default_rng(0)

    boxes = np.array([half_body_box(pose, POSETRACK15, np.zeros(4), rng) for _ in range(20)])

    middles = boxes[:, [1, 3]].mean(axis=1)
    assert len(np.unique(boxes, axis=0)) == 2
    assert middles.min() < 100 < middles.max()


def test_of_few_keypoints_there_is_no_half():
    pose = drawn_pose(100, 100, 0.0)
    pose[8:] = np.nan
    whole = np.array([1.0, 2, 3, 4])

    box = half_body_box(pose, POSETRACK15, whole, np.random.default_rng(0))

    np.testing.assert_array_equal(box, whole)


def test_a_share_of_half_bodies_enlarges_people(posetrack):
    whole, half = (
        make_batch(mixture(posetrack, augment=AugmentConfig(**{**vars(PLAIN), "half_body": share})),
                   seed=1, index=0)
        for share in (0.0, 1.0)
    )  # fmt: skip

    assert half.keypoints.std() > 1.2 * whole.keypoints.std()


def test_what_is_made_ahead_comes_in_order():
    made = make_ahead(lambda index: index**2, first=1, stride=2)

    assert list(itertools.islice(made, 4)) == [1, 9, 25, 49]


class BrokenStride(int):
    """Raises where the worker counts, not where it makes."""

    def __radd__(self, other):
        raise MemoryError("no more numbers")


def test_an_error_anywhere_in_the_worker_reaches_the_trainer():
    def fails(index):
        raise ValueError("a damaged shard")

    with pytest.raises(ValueError, match="a damaged shard"):
        next(make_ahead(fails, first=0))

    made = make_ahead(lambda index: index, first=0, stride=BrokenStride(1))
    assert next(made) == 0
    with pytest.raises(MemoryError, match="no more numbers"):
        next(made)


def test_when_nobody_wants_more_nobody_works_on():
    """A thread at work when Python ends takes the process down, so it has ended before."""
    workers, finish = [], threading.Event()

    def slow(index):
        workers.append(threading.current_thread())
        if index:
            finish.wait(5)
        return index

    made = make_ahead(slow, first=0)
    assert next(made) == 0
    threading.Timer(0.2, finish.set).start()
    assert isinstance(made, Generator)
    made.close()

    assert workers
    assert not workers[0].is_alive()


def test_a_second_person_leaves_the_keypoints_as_they_are(posetrack):
    alone = mixture(posetrack, still_frames=1)
    crowded = replace(alone, augment=replace(PLAIN, second_person=1.0), batch_size=1)

    first = make_batch(replace(alone, batch_size=1), seed=3, index=0)
    second = make_batch(crowded, seed=3, index=0)
    again = make_batch(crowded, seed=3, index=0)

    assert torch.equal(first.keypoints, second.keypoints)
    assert not torch.equal(first.crops, second.crops)
    assert torch.equal(second.crops, again.crops)


def test_the_harder_augmentation_keeps_keypoints_on_what_they_mark():
    # A dot in a quiet picture is still where its keypoint is, however it was turned and stretched.
    picture = np.full((200, 160, 3), 90, np.uint8)
    picture[98:103, 78:83] = 255
    points = np.full((1, len(POSETRACK15), 2), 80, np.float32)
    points[..., 1] = 100
    dot = Example((picture,), points, np.array([[40, 30, 120, 170]], np.float32))
    augment = AugmentConfig(
        colour=0, occlude=0, blur=0, shift=0.02, aspect=0.3, upend=0.5,
        low_resolution=0.5, motion_blur=0.5,
    )  # fmt: skip

    batch = make_batch(
        mixture([dot], augment=augment, batch_size=40, crop_size=(128, 96)), seed=0, index=0
    )

    rows, columns = np.indices((128, 96))
    for crop, keypoints in zip(batch.crops.numpy(), batch.keypoints.numpy(), strict=True):
        light = np.clip(crop[0, ..., 0].astype(float) - 116, 0, None)
        if light.sum() < 200:  # blurred away
            continue
        middle = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
        np.testing.assert_allclose(middle, keypoints[0], atol=1.5)
