"""Small projects, logs and resamplers with answers known by hand."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from diffpose.poses import PoseSequence, VideoInfo
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.events import (
    AcceptSuggestion,
    Action,
    Confirm,
    CopyPrevious,
    Event,
    Hide,
    Move,
    MoveBody,
    OutOfFrame,
    Redo,
    SetPose,
    Show,
    Swap,
    Unconfirm,
    Undo,
    undo_stacks,
)
from diffpose.review.store import Store
from diffpose.review.suggestions import ResampleRequest, Suggestion
from diffpose.skeleton import Skeleton

ARM = Skeleton(
    name="arms",
    keypoints=("nose", "left_wrist", "right_wrist"),
    edges=(("nose", "left_wrist"), ("nose", "right_wrist")),
    sigmas=(0.03, 0.06, 0.06),
)
K = len(ARM)
# The same examples on every machine, however busy it is.
steadily = settings(deadline=None, derandomize=True, max_examples=60)
VIDEO_ID = "abc".rjust(64, "0")
VIDEO = VideoInfo(Path("clip.mp4"), VIDEO_ID, 640, 480, np.arange(20) / 25)
FIRST, COUNT = 2, 6  # frames with predictions; the video has more


def clock() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def predictions(
    track_id: int = 0,
    *,
    seed: int = 0,
    count: int = COUNT,
    first: int = FIRST,
    skeleton: Skeleton = ARM,
) -> PoseSequence:
    random, num = np.random.default_rng(seed), len(skeleton)
    return PoseSequence(
        skeleton=skeleton,
        track_id=track_id,
        frames=np.arange(first, first + count),
        keypoints=random.uniform(50, 400, (count, num, 2)),
        confidence=random.uniform(0.2, 1, (count, num)),
        covariance=random.uniform(1, 9, (count, num, 1, 1)) * np.eye(2),
    )


def project(path: Path, *tracks: PoseSequence) -> Store:
    store = Store(path, clock=clock)
    store.add_video(VIDEO)
    for track in tracks or (predictions(),):
        store.add_predictions(track, video_id=VIDEO.video_id)
    return store


def shifted(request: ResampleRequest) -> Suggestion:
    """A resampler that moves everything by 100 px, also what it must not."""
    near = np.abs(request.poses.frames - request.frame) <= request.radius
    return Suggestion(
        track_id=request.track_id,
        frames=tuple(int(frame) for frame in request.poses.frames[near]),
        keypoints=request.predictions.keypoints[near] + 100,
        covariance=request.predictions.covariance[near] * 4,
        confidence=request.predictions.confidence[near] / 2,
    )


def arrays(track: ReviewedTrack) -> list[np.ndarray]:
    poses = track.poses
    return [
        poses.frames, poses.keypoints, poses.confidence, poses.covariance, poses.origin,
        track.visibility, track.confirmed, track.corrected,
    ]  # fmt: skip


def same(a: ReviewedTrack, b: ReviewedTrack) -> bool:
    return all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(arrays(a), arrays(b), strict=True)
    )


def log_of(steps: Sequence[tuple[str, Action | str]]) -> list[Event]:
    """Events of (author, action, 'undo' or 'redo'); undos without anything to undo are left out."""
    log: list[Event] = []
    for author, step in steps:
        if isinstance(step, str):
            stack = undo_stacks(log, author)[step == "redo"]
            if not stack:
                continue
            kind = Undo if step == "undo" else Redo
            step = kind(stack[-1].action.track_id, stack[-1].event_id)
        number = len(log) + 1
        log.append(Event(number, number, author, clock(), step))
    return log


_frames = st.integers(FIRST, FIRST + COUNT - 1)
_keypoints = st.integers(0, K - 1)
_coordinates = st.floats(0, 479, width=32)
_points = st.tuples(_coordinates, _coordinates)
_some_frames = st.lists(_frames, min_size=1, max_size=4, unique=True).map(
    lambda frames: tuple(sorted(frames))
)
_poses = (
    st.lists(st.one_of(_points, st.just((np.nan, np.nan))), min_size=K, max_size=K)
    .filter(lambda points: bool(np.isfinite(points).any()))
    .map(lambda points: np.array(points, np.float32))
)


def _accept(frames: tuple[int, ...], seed: int) -> AcceptSuggestion:
    given = predictions(seed=seed, count=len(frames))
    return AcceptSuggestion(0, frames, given.keypoints, given.covariance, given.confidence)


actions = st.one_of(
    st.builds(Move, st.just(0), st.one_of(_frames, st.integers(0, 19)), _keypoints, _points),
    *(st.builds(kind, st.just(0), _some_frames, _keypoints) for kind in (Hide, OutOfFrame, Show)),
    *(st.builds(kind, st.just(0), _some_frames) for kind in (Confirm, Unconfirm)),
    st.tuples(_frames, _frames).map(lambda pair: Swap(0, min(pair), max(pair))),
    st.builds(MoveBody, st.just(0), _frames, _points),
    st.builds(CopyPrevious, st.just(0), _frames, _frames),
    st.builds(
        SetPose, st.just(0), _frames, _poses, st.sampled_from(["alternative", "copy", "import"])
    ),
    st.builds(_accept, _some_frames, st.integers(1, 9)),
)
steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.one_of(actions, st.sampled_from(["undo", "redo"]))),
    max_size=12,
)


def elsewhere(action: Action, track_id: int) -> Action:
    return replace(action, track_id=track_id)


def die_before(store: Store, number: int) -> None:
    """The process kills itself before its SQLite runs that statement, counted from now."""
    numbers = itertools.count()

    def one_more(statement: str) -> None:
        if next(numbers) >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    store._database._connection.set_trace_callback(one_more)
