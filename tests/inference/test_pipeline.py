"""Laws of the pipeline: dots are found where they are, whatever is shared, stopped or resumed."""

from pathlib import Path

import numpy as np
import pytest

from diffpose.errors import CancelledError, VideoError
from diffpose.inference.features import FeatureCache
from diffpose.inference.jobs import Job
from diffpose.inference.pipeline import (
    PoseChunk,
    estimate_poses,
    iter_poses,
    sample_window,
    window_at,
    window_seeds,
)
from diffpose.inference.windows import ChunkConfig, CropSharing, plan_chunks
from diffpose.poses import PoseSequence, SamplingConfig, Track
from tests.fakes import DotPath, FakeEstimator, FakeVideo, box_around, walk

SAMPLING = SamplingConfig(num_steps=1, num_hypotheses=3, seed=5)


def track_of(
    path: DotPath = walk, *, num_frames: int = 40, dot: int = 0, track_id: int = 0
) -> Track:
    boxes = np.stack([box_around(path(f)[dot]) for f in range(num_frames)])
    return Track(track_id, np.arange(num_frames), boxes, np.ones(num_frames))


def two_walk(frame: int) -> list[tuple[float, float]]:
    return [(40 + 0.5 * frame, 50), (150 - 0.5 * frame, 100)]


def assert_equal(a: list[PoseSequence], b: list[PoseSequence]) -> None:
    assert [s.track_id for s in a] == [s.track_id for s in b]
    for one, other in zip(a, b, strict=True):
        for name in ("frames", "keypoints", "confidence", "covariance"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("sharing", list(CropSharing))
def test_every_window_shows_the_dot_where_it_is_in_each_of_its_frames(
    sharing: CropSharing,
) -> None:
    video = FakeVideo()

    (poses,) = estimate_poses(
        video, [track_of()], FakeEstimator(), SAMPLING, config=ChunkConfig(sharing=sharing)
    )

    true = np.array([walk(f)[0] for f in range(40)])
    assert poses.frames.tolist() == list(range(40))
    np.testing.assert_allclose(poses.keypoints[:, 10], true, atol=0.15)
    for k in range(5):
        shown = true[np.clip(np.arange(40) + k - 2, 0, 39)]
        np.testing.assert_allclose(poses.keypoints[:, k], shown, atol=0.15)


def test_a_large_dot_survives_strong_shrinking() -> None:
    video = FakeVideo(lambda f: [(300.0, 400 + f)], num_frames=6, size=(900, 600), sigma=20)
    boxes = np.array([[0, 0, 600, 900]] * 6)
    track = Track(0, np.arange(6), boxes, np.ones(6))

    (poses,) = estimate_poses(video, [track], FakeEstimator(crop_size=(256, 192)), SAMPLING)

    np.testing.assert_allclose(
        poses.keypoints[:, 10], [(300, 400 + f) for f in range(6)], atol=0.15
    )


def test_sharing_a_chunk_equals_encoding_each_window_alone_bit_for_bit() -> None:
    video, shared = FakeVideo(), FakeEstimator()

    chunks = list(iter_poses(video, [track_of()], shared, SAMPLING))

    plan = plan_chunks([track_of()], video.info, radius=2, crop_size=shared.crop_size)
    alone = FakeEstimator()
    for chunk, poses in zip(plan, chunks, strict=True):
        for i, window in enumerate(chunk.windows):
            single = sample_window(video, window, alone, SAMPLING, cache=FeatureCache(max_bytes=0))
            for name in ("keypoints", "confidence", "covariance"):
                np.testing.assert_array_equal(getattr(poses, name)[i], getattr(single, name)[0])
    assert shared.num_encoded == sum(len(chunk.view_frames) for chunk in plan) < 1.5 * 40
    assert alone.num_encoded > 4.5 * 40


def test_the_video_is_read_once_whatever_the_number_of_people() -> None:
    video = FakeVideo(two_walk)
    tracks = [track_of(two_walk, dot=i, track_id=i) for i in (0, 1)]

    right, left = estimate_poses(video, tracks, FakeEstimator(), SAMPLING)

    assert video.reads == list(range(40))
    for poses, i in ((right, 0), (left, 1)):
        true = [two_walk(f)[i] for f in range(40)]
        np.testing.assert_allclose(poses.keypoints[:, 10], true, atol=0.15)


def test_other_people_do_not_change_a_pose() -> None:
    tracks = [track_of(two_walk, dot=i, track_id=i) for i in (0, 1)]

    both = estimate_poses(FakeVideo(two_walk), tracks, FakeEstimator(), SAMPLING)
    alone = estimate_poses(FakeVideo(two_walk), tracks[1:], FakeEstimator(), SAMPLING)

    assert_equal(both[1:], alone)


def test_a_range_gives_the_poses_of_the_whole() -> None:
    whole = estimate_poses(FakeVideo(), [track_of()], FakeEstimator(), SAMPLING)[0]
    video = FakeVideo()

    part = estimate_poses(video, [track_of()], FakeEstimator(), SAMPLING, start=13, stop=30)[0]

    assert part.frames.tolist() == list(range(13, 30))
    assert video.reads == list(range(11, 32))
    np.testing.assert_array_equal(part.keypoints, whole.keypoints[13:30])
    np.testing.assert_array_equal(part.covariance, whole.covariance[13:30])


@pytest.mark.parametrize("crash", [0, 8, 20, 40])
def test_resuming_after_a_crash_equals_an_undisturbed_run(tmp_path: Path, crash: int) -> None:
    arguments = ([track_of()], FakeEstimator(), SAMPLING)
    undisturbed = estimate_poses(FakeVideo(), *arguments)
    with pytest.raises(MemoryError):
        estimate_poses(
            FakeVideo(num_frames=40),
            [track_of(), track_of(track_id=1)],
            FakeEstimator(fail_after=crash),
            SAMPLING,
            job=Job(tmp_path),
        )
    finished, parts = Job(tmp_path).count()
    rest = FakeEstimator()

    resumed = estimate_poses(
        FakeVideo(),
        [track_of(), track_of(track_id=1)],
        rest,
        SAMPLING,
        job=Job(tmp_path),
    )

    assert_equal(resumed[:1], undisturbed)
    np.testing.assert_array_equal(resumed[1].keypoints, resumed[0].keypoints)
    assert (finished == 0) == (crash == 0)
    assert rest.num_sampled <= 80 - crash + 16
    assert Job(tmp_path).count() == (parts, parts)


def test_a_finished_job_reads_no_frame_and_asks_the_network_nothing(tmp_path: Path) -> None:
    first = estimate_poses(FakeVideo(), [track_of()], FakeEstimator(), SAMPLING, job=Job(tmp_path))
    video, estimator = FakeVideo(), FakeEstimator()

    again = estimate_poses(video, [track_of()], estimator, SAMPLING, job=Job(tmp_path))

    assert_equal(again, first)
    assert video.reads == []
    assert estimator.num_sampled == 0


def test_another_seed_or_other_weights_do_not_use_the_jobs_parts(tmp_path: Path) -> None:
    estimate_poses(FakeVideo(), [track_of()], FakeEstimator(), SAMPLING, job=Job(tmp_path))
    other_seed, other_weights = FakeEstimator(), FakeEstimator()
    other_weights.weights_hash = "other"

    estimate_poses(
        FakeVideo(), [track_of()], other_seed, SamplingConfig(1, 3, seed=6), job=Job(tmp_path)
    )
    estimate_poses(FakeVideo(), [track_of()], other_weights, SAMPLING, job=Job(tmp_path))

    assert other_seed.num_sampled == other_weights.num_sampled == 40


def test_a_damaged_part_is_computed_again(tmp_path: Path) -> None:
    first = estimate_poses(FakeVideo(), [track_of()], FakeEstimator(), SAMPLING, job=Job(tmp_path))
    damaged = sorted((tmp_path / "parts").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    estimator = FakeEstimator()

    again = estimate_poses(FakeVideo(), [track_of()], estimator, SAMPLING, job=Job(tmp_path))

    assert_equal(again, first)
    assert 0 < estimator.num_sampled <= 16


def test_cancelling_keeps_what_is_finished(tmp_path: Path) -> None:
    seen: list[PoseChunk] = []
    words: list[tuple[float, str]] = []

    chunks = iter_poses(
        FakeVideo(),
        [track_of()],
        FakeEstimator(),
        SAMPLING,
        job=Job(tmp_path),
        progress=lambda fraction, text: words.append((fraction, text)),
        cancelled=lambda: len(seen) >= 2,
    )

    with pytest.raises(CancelledError, match=r"after \d+ of 40 poses; they are kept"):
        seen.extend(chunks)

    assert Job(tmp_path).count()[0] == len(seen) == 2
    done = sum(map(len, seen))
    assert words[-1] == (done / 40, f"{done} of 40 poses")


def test_progress_ends_at_one_and_timings_name_every_stage() -> None:
    fractions: list[float] = []
    timings: dict[str, float] = {}

    estimate_poses(
        FakeVideo(),
        [track_of()],
        FakeEstimator(),
        SAMPLING,
        progress=lambda fraction, words: fractions.append(fraction),
        timings=timings,
    )

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert set(timings) == {"decode", "crop", "backbone", "strl", "decoder"}


def test_frames_that_nobody_needs_are_jumped_over() -> None:
    video = FakeVideo(lambda f: [(60, 70)], num_frames=300)
    boxes = np.stack([box_around((60, 70))] * 2)
    track = Track(0, np.array([5, 250]), boxes, np.ones(2))

    (poses,) = estimate_poses(video, [track], FakeEstimator(), SAMPLING)

    assert video.reads == [5, 250]
    assert poses.frames.tolist() == [5, 250]


def test_a_video_that_ends_early_is_an_error() -> None:
    video = FakeVideo()
    video.frames = lambda start=0, stop=None: iter([(0, video.frame(0))])  # type: ignore[method-assign]

    with pytest.raises(VideoError, match=r"Frame 1 of dots\.mp4 cannot be read"):
        estimate_poses(video, [track_of()], FakeEstimator(), SAMPLING)


def test_the_pose_under_the_slider_is_that_of_the_full_run() -> None:
    video, estimator, cache = FakeVideo(), FakeEstimator(), FeatureCache()
    (whole,) = estimate_poses(video, [track_of()], FakeEstimator(), SAMPLING)
    window = window_at(video, track_of(), estimator, frame=17)
    assert window is not None

    pose = sample_window(video, window, estimator, SAMPLING, cache=cache)
    encoded = estimator.num_encoded
    sample_window(video, window, estimator, SamplingConfig(2, 9, seed=1), cache=cache)

    np.testing.assert_array_equal(pose.keypoints[0], whole.keypoints[17])
    np.testing.assert_array_equal(pose.covariance[0], whole.covariance[17])
    assert estimator.num_encoded == encoded == 5
    assert window_at(video, track_of(num_frames=10), estimator, frame=17) is None


def test_pictures_give_one_pose_for_each_box() -> None:
    names = tuple(f"{i}.png" for i in range(3))
    video = FakeVideo(two_walk, num_frames=3, names=names)
    boxes = np.stack([box_around(two_walk(f)[0]) for f in (0, 2)])
    first = Track(0, np.array([0, 2]), boxes, np.ones(2))
    second = Track(1, np.array([2]), box_around(two_walk(2)[1])[None], np.ones(1))

    one, two = estimate_poses(video, [first, second], FakeEstimator(), SAMPLING)

    np.testing.assert_allclose(one.keypoints[:, 0], [two_walk(f)[0] for f in (0, 2)], atol=0.15)
    np.testing.assert_allclose(two.keypoints[:, 0], [two_walk(2)[1]], atol=0.15)
    assert video.reads == [0, 2]


def test_the_seed_of_a_window_depends_on_its_track_and_frame_only() -> None:
    ids, frames = np.repeat(np.arange(20), 30), np.tile(np.arange(30), 20)

    seeds = window_seeds(ids, frames)

    assert len(set(seeds)) == 600
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    assert window_seeds(ids[77:78], frames[77:78]) == seeds[77:78]
