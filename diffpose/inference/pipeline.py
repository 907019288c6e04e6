"""From frames to poses: the video is read once, forwards, and memory does not grow with it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose.errors import CancelledError, VideoError
from diffpose.geometry import Size
from diffpose.inference.features import FeatureCache, keep_features, window_features
from diffpose.inference.interfaces import (
    Cancelled,
    FrameSource,
    Picture,
    PoseEstimator,
    Poses,
    Progress,
)
from diffpose.inference.jobs import Job, part_key
from diffpose.inference.people import detect_tracks, order_of_boxes, tracks_from_boxes
from diffpose.inference.windows import DEFAULT_CHUNKS, Chunk, ChunkConfig, plan_chunks
from diffpose.poses import FloatArray, IntArray, PoseSequence, SamplingConfig, Track, Window
from diffpose.video.crop import cut_crop

__all__ = [
    "PoseChunk",
    "Timings",
    "detect_tracks",
    "estimate_poses",
    "iter_poses",
    "order_of_boxes",
    "sample_window",
    "tracks_from_boxes",
    "window_at",
    "window_seeds",
]

_ENCODE_BATCH = 32  # crops a call of the backbone
_LONGEST_SKIP = 64  # frames read for nothing before the video is opened again further on

Timings = dict[str, float]
"""Seconds a stage: decode, crop, backbone, strl, decoder."""


@dataclass(frozen=True)
class PoseChunk:
    """The poses of a finished chunk.

    Attributes:
        track_ids: (n,) i32.
        frames: (n,) i32.
        keypoints: (n, K, 2) f32, video pixels.
        confidence: (n, K) f32, 0 to 1.
        covariance: (n, K, 2, 2) f32, px^2.
    """

    track_ids: IntArray
    frames: IntArray
    keypoints: FloatArray
    confidence: FloatArray
    covariance: FloatArray

    def __len__(self) -> int:
        return len(self.frames)


def estimate_poses(
    video: FrameSource,
    tracks: Sequence[Track],
    estimator: PoseEstimator,
    sampling: SamplingConfig,
    *,
    start: int = 0,
    stop: int | None = None,
    config: ChunkConfig = DEFAULT_CHUNKS,
    job: Job | None = None,
    progress: Progress = lambda fraction, words: None,
    cancelled: Cancelled = lambda: False,
    timings: Timings | None = None,
) -> list[PoseSequence]:
    """The poses of every track, in the order of the tracks.

    Takes the arguments of `iter_poses`, and raises what it raises.

    Returns:
        One sequence a track that has boxes in the range.
    """
    chunks = list(
        iter_poses(
            video,
            tracks,
            estimator,
            sampling,
            start=start,
            stop=stop,
            config=config,
            job=job,
            progress=progress,
            cancelled=cancelled,
            timings=timings,
        )
    )
    sequences = (_assemble(track, chunks, estimator) for track in tracks)
    return [sequence for sequence in sequences if len(sequence)]


def iter_poses(
    video: FrameSource,
    tracks: Sequence[Track],
    estimator: PoseEstimator,
    sampling: SamplingConfig,
    *,
    start: int = 0,
    stop: int | None = None,
    config: ChunkConfig = DEFAULT_CHUNKS,
    job: Job | None = None,
    cache: FeatureCache | None = None,
    progress: Progress = lambda fraction, words: None,
    cancelled: Cancelled = lambda: False,
    timings: Timings | None = None,
) -> Iterator[PoseChunk]:
    """Yield the poses chunk by chunk as they are finished, those of an earlier run first.

    A chunk is computed alone and its noise comes from ``sampling.seed``, track and frame, so
    what else is computed, in which order, and how often the run was stopped changes nothing.

    Args:
        video: Where the frames come from; read forwards once, whatever the number of people.
        tracks: People with distinct ids, boxes in video pixels.
        estimator: The network.
        sampling: Denoising steps, hypotheses and seed.
        start: First frame to estimate; its window also uses the frames before it.
        stop: Frame after the last one; None for all.
        config: How frames share crops.
        job: Where finished chunks are kept and looked for.
        cache: Where the features of the windows are kept for `sample_window`.
        progress: Receives the finished share of the poses.
        cancelled: Asked once a frame.
        timings: Receives the seconds of every stage.

    Raises:
        CancelledError: ``cancelled`` said so; finished chunks have been yielded and kept.
        VideoError: The video ends before its last frame.
        InputError: The job folder cannot be written (its disk is full).
    """
    chunks = plan_chunks(
        tracks,
        video.info,
        radius=estimator.radius,
        crop_size=estimator.crop_size,
        start=start,
        stop=stop,
        config=config,
    )
    plan = {part_key(chunk, estimator, sampling): chunk for chunk in chunks}
    if job is not None:
        job.describe(_manifest(video, estimator, sampling), keys=list(plan))
    stored = {key: _load(job, key, chunk) for key, chunk in plan.items()}
    finished = [poses for poses in stored.values() if poses is not None]
    total, done = sum(map(len, chunks)), sum(map(len, finished))
    if finished:
        progress(done / total, f"{done} of {total} poses were in the job folder")
    yield from finished

    def check() -> None:
        if cancelled():
            kept = "" if job is None else f"; they are kept in {job.folder}"
            raise CancelledError(f"Stopped on request after {done} of {total} poses{kept}.")

    waiting = {key: chunk for key, chunk in plan.items() if stored[key] is None}
    size = estimator.crop_size
    for key, crops in _read_crops(video, waiting, size=size, check=check, timings=timings):
        check()
        poses = _compute(plan[key], crops, estimator, sampling, cache=cache, timings=timings)
        if job is not None:
            job.save(key, _to_arrays(poses))
        done += len(poses)
        progress(done / total, f"{done} of {total} poses")
        yield poses


def window_at(
    video: FrameSource,
    track: Track,
    estimator: PoseEstimator,
    *,
    frame: int,
    config: ChunkConfig = DEFAULT_CHUNKS,
) -> Window | None:
    """The window of one frame, the same as in a full run; None where the track has no box."""
    chunks = plan_chunks(
        [track],
        video.info,
        radius=estimator.radius,
        crop_size=estimator.crop_size,
        start=frame,
        stop=frame + 1,
        config=config,
    )
    return chunks[0].windows[0] if chunks else None


def sample_window(
    video: FrameSource,
    window: Window,
    estimator: PoseEstimator,
    sampling: SamplingConfig,
    *,
    cache: FeatureCache,
) -> Poses:
    """The pose of one window, B = 1, with its hypotheses and heatmaps.

    With its features in the cache this runs the decoder only.
    """
    features = window_features(window, video=video, estimator=estimator, cache=cache)
    seeds = window_seeds(np.array([window.track_id]), np.array([window.centre]))
    affines = window.crop.astype(np.float64)[None]
    return estimator.sample(features, affines, sampling, seeds=seeds)


def window_seeds(track_ids: IntArray, frames: IntArray) -> list[int]:
    """One seed a window, 0 to 2**63 - 1: its noise depends on it and on ``SamplingConfig.seed``."""
    pairs = zip(track_ids.tolist(), frames.tolist(), strict=True)
    states = (np.random.SeedSequence(pair).generate_state(1, np.uint64)[0] for pair in pairs)
    return [int(state) >> 1 for state in states]


def _compute(
    chunk: Chunk,
    crops: NDArray[np.uint8],
    estimator: PoseEstimator,
    sampling: SamplingConfig,
    *,
    cache: FeatureCache | None,
    timings: Timings | None,
) -> PoseChunk:
    """Backbone once a view, STRL once a window, decoder for every step and hypothesis."""
    with _timed(timings, "backbone"):
        parts = [
            estimator.encode_frames(crops[i : i + _ENCODE_BATCH])
            for i in range(0, len(crops), _ENCODE_BATCH)
        ]
        views = torch.cat(parts)
        _finish(views, timings)
    with _timed(timings, "strl"):
        index = torch.from_numpy(chunk.view_index).to(views.device)
        features = estimator.fuse(views[index])
        _finish(views, timings)
    if cache is not None:
        keep_features(chunk.windows, features, estimator=estimator, cache=cache)
    with _timed(timings, "decoder"):
        seeds = window_seeds(chunk.track_ids, chunk.centres)
        poses = estimator.sample(features, chunk.crops, sampling, seeds=seeds)
    return PoseChunk(
        track_ids=chunk.track_ids,
        frames=chunk.centres,
        keypoints=np.asarray(poses.keypoints, np.float32),
        confidence=np.asarray(poses.confidence, np.float32),
        covariance=np.asarray(poses.covariance, np.float32),
    )


def _read_crops(
    video: FrameSource,
    chunks: Mapping[str, Chunk],
    *,
    size: Size,
    check: Callable[[], None],
    timings: Timings | None,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each chunk's key and crops (V, H, W, 3) as soon as the video has shown them all."""
    waiting = deque(sorted(chunks.items(), key=lambda item: int(item[1].view_frames[0])))
    begun: list[tuple[str, Chunk, NDArray[np.uint8]]] = []
    for index, picture in _read_frames(video, list(chunks.values()), timings=timings):
        check()
        while waiting and waiting[0][1].view_frames[0] <= index:
            key, chunk = waiting.popleft()
            begun.append((key, chunk, np.empty((len(chunk.view_frames), *size, 3), np.uint8)))
        with _timed(timings, "crop"):
            for _, chunk, crops in begun:
                for view in np.flatnonzero(chunk.view_frames == index):
                    crops[view] = cut_crop(picture, chunk.view_crops[view], size=size)
        for key, chunk, crops in begun:
            if chunk.view_frames[-1] <= index:
                yield key, crops
        begun = [entry for entry in begun if entry[1].view_frames[-1] > index]


def _read_frames(
    video: FrameSource, chunks: Sequence[Chunk], *, timings: Timings | None
) -> Iterator[tuple[int, Picture]]:
    """The frames that the chunks need, in order; stretches that nobody needs are jumped over."""
    if not chunks:
        return
    needed = np.unique(np.concatenate([chunk.view_frames for chunk in chunks]))
    skip = 0 if video.info.names else _LONGEST_SKIP
    for stretch in np.split(needed, np.flatnonzero(np.diff(needed) > skip + 1) + 1):
        expected = iter(stretch.tolist())
        upcoming = next(expected)
        frames = iter(video.frames(int(stretch[0]), int(stretch[-1]) + 1))
        while upcoming is not None:
            with _timed(timings, "decode"):
                index, picture = next(frames, (None, None))
            if index is None or picture is None or index > upcoming:
                raise VideoError(
                    f"Frame {upcoming} of {video.info.path.name} cannot be read; "
                    "convert the video to another format, or choose a range without it."
                )
            if index == upcoming:
                yield index, picture
                upcoming = next(expected, None)


def _assemble(track: Track, chunks: Sequence[PoseChunk], estimator: PoseEstimator) -> PoseSequence:
    """One track's poses from all chunks, in the order of the frames."""
    parts = [(chunk, np.flatnonzero(chunk.track_ids == track.track_id)) for chunk in chunks]
    parts = [(chunk, rows) for chunk, rows in parts if len(rows)]
    num = len(estimator.skeleton)

    def gather(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        empty = np.zeros((0, *shape), dtype)
        return np.concatenate([empty, *(getattr(chunk, name)[rows] for chunk, rows in parts)])

    frames = gather("frames", (), np.int32)
    order = np.argsort(frames, kind="stable")
    return PoseSequence(
        skeleton=estimator.skeleton,
        track_id=track.track_id,
        frames=frames[order],
        keypoints=gather("keypoints", (num, 2), np.float32)[order],
        confidence=gather("confidence", (num,), np.float32)[order],
        covariance=gather("covariance", (num, 2, 2), np.float32)[order],
    )


def _to_arrays(poses: PoseChunk) -> dict[str, NDArray[Any]]:
    return {
        "keypoints": poses.keypoints,
        "confidence": poses.confidence,
        "covariance": poses.covariance,
    }


def _load(job: Job | None, key: str, chunk: Chunk) -> PoseChunk | None:
    arrays = job.load(key) if job is not None else None
    if arrays is None or set(arrays) != {"keypoints", "confidence", "covariance"}:
        return None
    if any(len(array) != len(chunk) for array in arrays.values()):
        return None
    return PoseChunk(track_ids=chunk.track_ids, frames=chunk.centres, **arrays)


def _manifest(
    video: FrameSource, estimator: PoseEstimator, sampling: SamplingConfig
) -> dict[str, Any]:
    return {
        "video": {"name": video.info.path.name, "video_id": video.info.video_id},
        "model": estimator.model_name,
        "weights": estimator.weights_hash,
        "num_steps": sampling.num_steps,
        "num_hypotheses": sampling.num_hypotheses,
        "seed": sampling.seed,
    }


@contextmanager
def _timed(timings: Timings | None, stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    if timings is not None:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - begin


def _finish(tensor: Tensor, timings: Timings | None) -> None:
    """Wait for the GPU when somebody measures: it works on while Python goes ahead."""
    if timings is not None and tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
