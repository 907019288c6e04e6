"""The weights in assets/weights load, are small, and follow a person they have never seen."""

from pathlib import Path

import numpy as np
import pytest

from diffpose.folding import native_bf16
from diffpose.formats.native import read_native
from diffpose.geometry import box_of_points, crop_affine
from diffpose.inference.estimator import EMBEDDED_WEIGHTS, Estimator
from diffpose.inference.pipeline import estimate_poses
from diffpose.model.weights import load_weights
from diffpose.poses import SamplingConfig, Track
from diffpose.video.crop import cut_crop
from diffpose.video.decode import Video

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"


def test_they_are_one_small_file_of_the_shipped_skeleton():
    assert EMBEDDED_WEIGHTS.stat().st_size < 40e6
    assert load_weights(EMBEDDED_WEIGHTS).config.skeleton == "halpe26"


@pytest.fixture(scope="module")
def walk():
    """Poses of the example walk, a rendered clip of the test split, beside the truth."""
    truth = read_native(EXAMPLES / "walk.truth.json").sequences[0]
    frames = np.arange(20, 50)
    boxes = np.stack([box_of_points(truth.keypoints[frame]) for frame in frames])
    track = Track(0, frames, boxes, np.ones(len(frames)))
    with Video(EXAMPLES / "walk.mp4") as video:
        (poses,) = estimate_poses(
            video, [track], Estimator.load(), SamplingConfig(4, 8), start=20, stop=50
        )
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    return poses, truth.keypoints[frames], height


def test_the_skeleton_follows_the_person(walk):
    poses, truth, height = walk

    error = np.linalg.norm(poses.keypoints - truth, axis=-1) / height

    assert np.median(error) < 0.08


def test_unsure_keypoints_are_the_wrong_ones(walk):
    poses, truth, _ = walk

    error = np.linalg.norm(poses.keypoints - truth, axis=-1).ravel()

    unsure = np.argsort(poses.confidence.ravel())
    third = len(unsure) // 3
    assert np.median(error[unsure[:third]]) > 1.5 * np.median(error[unsure[-third:]])


def test_bfloat16_says_the_same_but_for_the_last_digits():
    """What the rounding moves is small beside what the poses say they do not know."""
    plain, fast = (Estimator.load(mirrored=False, bf16=bf16) for bf16 in (False, True))
    truth = read_native(EXAMPLES / "walk.truth.json").sequences[0]
    with Video(EXAMPLES / "walk.mp4") as video:
        picture = video.frame(30)
    affine = crop_affine(box_of_points(truth.keypoints[30]), size=plain.crop_size)
    crops = np.stack([cut_crop(picture, affine, size=plain.crop_size)] * 5)[None]

    poses, rounded = (
        estimator.sample(estimator.encode(crops), affine[None], SamplingConfig(1, 1))
        for estimator in (plain, fast)
    )

    moved_share = np.abs(rounded.heatmaps - poses.heatmaps).sum(axis=(-2, -1))
    moved_share /= poses.heatmaps.sum(axis=(-2, -1))
    # A keypoint that may be in two places weighs them by the last digits.
    assert np.median(moved_share) < 0.05
    assert moved_share.max() < 0.15
    # Where two peaks are equally high the last digits choose.
    moved = np.linalg.norm(rounded.keypoints - poses.keypoints, axis=-1)
    unsure = np.sqrt(np.trace(poses.covariance, axis1=-2, axis2=-1))
    assert (moved < 0.5 * unsure).mean() > 0.9
    assert np.median(moved / unsure) < 0.05


def test_bfloat16_is_used_where_the_cpu_has_it():
    assert Estimator.load().bf16 == native_bf16()
    assert not Estimator.load(bf16=False).bf16
