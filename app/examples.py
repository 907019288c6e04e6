"""The example clips, made ready once for all visitors: pictures, times, people."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from app import views
from app.once import Cancelled, Once, Progress
from diffpose.formats.atomic import atomic_write
from diffpose.formats.native import read_native
from diffpose.poses import Track
from diffpose.skeleton import Skeleton, convert
from diffpose.video.decode import Video
from diffpose.video.proxy import write_frames

JPEG_QUALITY = 88


class Prepared:
    """One example as every visitor gets it; nobody changes it.

    Attributes:
        video: Read by all who look at it; what it remembers goes when the last has left.
        num_frames: How many frames are used.
        folder: What the browser may fetch of it.
        has_truth: Whether true poses are known.
        ready: How many pictures there are.
    """

    def __init__(self, video: Video, *, folder: Path, num_frames: int, side: int) -> None:
        self.video, self.folder, self.num_frames, self._side = video, folder, num_frames, side
        self.has_truth = False
        self.ready = 0
        self.pictures = Once(self._write_pictures)
        self._people: dict[str, Once[list[Track]]] = {}
        self._users = 0
        self._lock = threading.Lock()

    @property
    def frames_folder(self) -> Path:
        """Where the pictures are."""
        return self.folder / "frames"

    @property
    def times_file(self) -> Path:
        """Times and, where known, true poses of every frame."""
        return self.folder / "times.json"

    def enter(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Count one user less; the last one closes the video."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.video.close()

    def people(
        self, weights: str, find: Callable[[Progress, Cancelled], list[Track]]
    ) -> Once[list[Track]]:
        """Its people as a detector of the given weights finds them."""
        with self._lock:
            return self._people.setdefault(weights, Once(find))

    def _write_pictures(self, progress: Progress, cancelled: Cancelled) -> None:
        def counted(fraction: float, words: str) -> None:
            self.ready = max(self.ready, int(fraction * self.num_frames + 1e-6))
            progress(fraction, words)

        write_frames(
            self.video, self.frames_folder, stop=self.num_frames, max_side=self._side,
            quality=JPEG_QUALITY, progress=counted, cancelled=cancelled,
        )  # fmt: skip
        self.ready = self.num_frames


class Examples:
    """All examples by the content of their files.

    Args:
        folder: Where their pictures go; the browser may fetch them.
        most_frames: Longer ones are cut here.
        side: Longer side of the pictures, pixels.
        skeleton: Of the true poses, as the page shows them.
    """

    def __init__(
        self, folder: Path, *, most_frames: int, side: int, skeleton: Callable[[], Skeleton]
    ) -> None:
        self._folder, self._most_frames, self._side = folder, most_frames, side
        self._skeleton = skeleton
        self._opened: dict[tuple[Path, int, int], Once[Prepared]] = {}
        self._by_content: dict[str, Prepared] = {}
        self._lock = threading.Lock()

    def open(self, path: Path, *, progress: Progress, cancelled: Cancelled) -> Prepared:
        """The example of a file; its pictures may still be on their way."""
        state = path.stat()
        key = path, state.st_mtime_ns, state.st_size
        with self._lock:
            once = self._opened.setdefault(key, Once(lambda *_: self._make(path)))
        return once.get(progress=progress, cancelled=cancelled)

    def _make(self, path: Path) -> Prepared:
        video = Video(path)
        with self._lock:
            known = self._by_content.get(video.info.video_id)
            if known is not None:
                video.close()
                return known
        folder = self._folder / secrets.token_urlsafe(12)
        folder.mkdir(parents=True)
        count = min(video.info.num_frames, self._most_frames)
        prepared = Prepared(video, folder=folder, num_frames=count, side=self._side)
        truth = read_truth(path, count, self._skeleton())
        prepared.has_truth = truth is not None
        write_times(prepared.times_file, video, count, truth)
        with self._lock:
            return self._by_content.setdefault(video.info.video_id, prepared)


def write_times(
    path: Path, video: Video, num_frames: int, truth: list[list[views.Rows]] | None
) -> None:
    """Write the file with the frames' times and, for examples, the true poses."""
    content = views.times_view(video.info.times_s[:num_frames], truth)
    atomic_write(path, json.dumps(content, separators=(",", ":"), allow_nan=False))


def read_truth(path: Path, num_frames: int, skeleton: Skeleton) -> list[list[views.Rows]] | None:
    """True poses from the file next to an example, of everybody in every frame."""
    truth = path.with_suffix(".truth.json")
    if not truth.is_file():
        return None
    poses: list[list[views.Rows]] = [[] for _ in range(num_frames)]
    for sequence in read_native(truth).sequences:
        keypoints = convert(sequence.keypoints, sequence.skeleton, skeleton)
        for frame, points in zip(sequence.frames.tolist(), keypoints, strict=True):
            if frame < num_frames:
                poses[frame].append(views.point_rows(points))
    return poses
