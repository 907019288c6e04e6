"""Tracks to windows, and windows to chunks that share one crop and so the frames' features.

The paper crops every window with its centre frame's box (section 3.1), so the same frame is
encoded once for each of the T windows that hold it. A chunk crops all its frames alike, and
every frame is encoded once: (M + 2 radius) / M encodings a pose instead of T.

The alignment law: the frames of a track are cut into cells at multiples of M, counted from
frame 0 of the video, and a cell's crop depends on all boxes of the cell and its neighbours, not
on the frames asked for. Equal tracks therefore give equal windows, whichever range of frames is
asked for, and whatever was computed before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import BoxError, SettingsError
from diffpose.geometry import Size, crop_affine, crop_box, union_box
from diffpose.poses import FloatArray, IntArray, Track, VideoInfo, Window


class CropSharing(Enum):
    """Which windows see a frame through the same crop."""

    CHUNK = "chunk"
    FRAME = "frame"  # the paper's: every centre frame its own


@dataclass(frozen=True)
class ChunkConfig:
    """How tracks are cut into chunks.

    Attributes:
        length: Most centre frames in a chunk, M: 16 costs 1.25 encodings a pose at radius 2.
        sharing: One crop a chunk, or the paper's crop for each centre frame.
        max_enlargement: A shared crop wider than this many single crops leaves the person too few
            pixels; the chunk is halved until it is not.
        spacing_s: Seconds between neighbouring frames of a window, as near as the video's rate
            allows; 0 takes consecutive frames, as the paper does.
    """

    length: int = 16
    sharing: CropSharing = CropSharing.CHUNK
    max_enlargement: float = 1.3
    spacing_s: float = 0.0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise SettingsError(f"Expected chunks of at least one frame, got {self.length}.")
        if not 0 <= self.spacing_s < np.inf:
            raise SettingsError(
                f"Expected no or some seconds between frames, got {self.spacing_s}."
            )

    def spacing(self, fps: float) -> int:
        """Frames from one frame of a window to the next in a video of that rate."""
        return max(1, round(self.spacing_s * fps)) if np.isfinite(fps) else 1


DEFAULT_CHUNKS = ChunkConfig()


@dataclass(frozen=True)
class Chunk:
    """Windows that are computed together: the unit of work, of resuming and of live results.

    Attributes:
        video_id: Which video.
        track_ids: (n,) i32, one a window.
        frames: (n, T) i32 frame indices, oldest first; the middle one is the centre frame.
        crops: (n, 2, 3) f64 affines from video pixels to crop pixels.
        view_frames: (V,) i32, increasing: the pictures to cut out and encode, each once.
        view_crops: (V, 2, 3) f64, their affines.
        view_index: (n, T) i64, which view each window has at each of its frames.
    """

    video_id: str
    track_ids: IntArray
    frames: IntArray
    crops: NDArray[np.float64]
    view_frames: IntArray
    view_crops: NDArray[np.float64]
    view_index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def centres(self) -> IntArray:
        """(n,) the frames whose poses the chunk yields."""
        return self.frames[:, self.frames.shape[1] // 2]

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows as records."""
        return tuple(
            Window(video_id=self.video_id, track_id=int(track_id), frames=frames, crop=crop)
            for track_id, frames, crop in zip(self.track_ids, self.frames, self.crops, strict=True)
        )

    @property
    def key(self) -> str:
        """Hash of everything that the features of the chunk depend on apart from the weights."""
        parts = (self.track_ids, self.frames, self.crops)
        content = self.video_id.encode() + b"".join(part.tobytes() for part in parts)
        return hashlib.sha256(content).hexdigest()[:32]


def plan_chunks(
    tracks: Sequence[Track],
    info: VideoInfo,
    *,
    radius: int,
    crop_size: Size,
    start: int = 0,
    stop: int | None = None,
    config: ChunkConfig = DEFAULT_CHUNKS,
) -> list[Chunk]:
    """Cut tracks into chunks, in the order in which a video read forwards completes them.

    At the ends of a track (or of a run of consecutive frames in it) a window repeats the first
    or last frame. In pictures that are unrelated to each other (``info.names``) a window repeats
    its own picture, with the paper's crop.

    Args:
        tracks: People with distinct ids; several boxes of one frame belong to several tracks.
        info: The video the tracks belong to.
        radius: Frames on either side of the centre frame.
        crop_size: (H, W) of the network's input.
        start: First centre frame.
        stop: Frame after the last centre frame; None for all.
        config: Length of the chunks, and which crops they share.

    Raises:
        BoxError: A box is not finite or has no area.
        SettingsError: An empty range or one outside the video.
    """
    stop = info.num_frames if stop is None else stop
    if not 0 <= start < stop <= info.num_frames:
        raise SettingsError(
            f"Expected a range of frames within 0:{info.num_frames}, got {start}:{stop}."
        )
    for track in tracks:
        _check_boxes(track)
    cut = _Cut(
        info.video_id,
        offsets=np.arange(-radius, radius + 1) * config.spacing(info.fps),
        crop_size=crop_size,
        config=config,
    )
    if info.names:
        return list(cut.stills(tracks, range(start, stop)))
    chunks = [
        chunk
        for track in tracks
        for run in _runs(track)
        for chunk in cut.run(run, range(start, stop))
    ]
    return sorted(chunks, key=lambda chunk: (chunk.view_frames[-1], chunk.track_ids[0]))


@dataclass(frozen=True)
class _Cut:
    """How to cut; the arguments of `plan_chunks` that all its helpers need.

    ``offsets`` (T,) are a window's frames, counted from its centre frame.
    """

    video_id: str
    offsets: NDArray[np.int64]
    crop_size: Size
    config: ChunkConfig

    def run(self, run: Track, wanted: range) -> Iterator[Chunk]:
        """Chunks of a track without gaps."""
        length = self.config.length
        first, last = int(run.frames[0]), int(run.frames[-1])
        for cell in range(first - first % length, last + 1, length):
            begin, end = max(first, cell), min(last + 1, cell + length)
            if end <= wanted.start or begin >= wanted.stop:
                continue
            if self.config.sharing is CropSharing.FRAME:
                yield from self._chunk_of(run, range(begin, end), wanted, own_crops=True)
                continue
            for part in self._slow_parts(run, cell, cell + length):
                yield from self._chunk_of(run, part, wanted, own_crops=False)

    def stills(self, tracks: Sequence[Track], wanted: range) -> Iterator[Chunk]:
        """Chunks of unrelated pictures: every window is its own picture, T times."""
        length = self.config.length
        cells: dict[int, list[tuple[int, int, FloatArray]]] = {}
        for track in tracks:
            for frame, box in zip(track.frames.tolist(), track.boxes, strict=True):
                if frame in wanted:
                    cells.setdefault(frame // length, []).append((frame, track.track_id, box))
        for _, people in sorted(cells.items()):
            people.sort(key=lambda person: person[:2])
            for i in range(0, len(people), length):
                frames, ids, boxes = zip(*people[i : i + length], strict=True)
                windows = np.repeat(np.array(frames)[:, None], len(self.offsets), axis=1)
                crops = np.stack([crop_affine(box, size=self.crop_size) for box in boxes])
                yield _chunk(self.video_id, np.array(ids), windows, crops)

    def _slow_parts(self, run: Track, begin: int, end: int) -> Iterator[range]:
        """Halve the cell until one crop holds each part without shrinking the person much."""
        first, last = int(run.frames[0]), int(run.frames[-1])
        part = range(max(first, begin), min(last + 1, end))
        if not part:
            return
        boxes = self._boxes(run, part)
        single = np.median([_width(box, self.crop_size) for box in boxes])
        shared = _width(union_box(boxes), self.crop_size)
        if end - begin == 1 or shared <= self.config.max_enlargement * single:
            yield part
            return
        middle = (begin + end) // 2
        yield from self._slow_parts(run, begin, middle)
        yield from self._slow_parts(run, middle, end)

    def _chunk_of(
        self, run: Track, part: range, wanted: range, *, own_crops: bool
    ) -> Iterator[Chunk]:
        centres = np.array([frame for frame in part if frame in wanted])
        if not len(centres):
            return
        first, last = run.frames[0], run.frames[-1]
        windows = np.clip(centres[:, None] + self.offsets, first, last)
        # A part of one frame is the paper's case: its neighbours do not widen the crop.
        if own_crops or len(part) == 1:
            boxes = run.boxes[centres - first]
            crops = np.stack([crop_affine(box, size=self.crop_size) for box in boxes])
        else:
            crop = crop_affine(union_box(self._boxes(run, part)), size=self.crop_size)
            crops = np.repeat(crop[None], len(centres), axis=0)
        ids = np.full(len(centres), run.track_id)
        yield _chunk(self.video_id, ids, windows, crops)

    def _boxes(self, run: Track, part: range) -> FloatArray:
        """Boxes of the frames that the windows of ``part`` hold."""
        first, reach = int(run.frames[0]), int(self.offsets[-1])
        begin = max(0, part.start - reach - first)
        return run.boxes[begin : part.stop + reach - first]


def _chunk(
    video_id: str, track_ids: IntArray, frames: IntArray, crops: NDArray[np.float64]
) -> Chunk:
    """Find out which pictures the windows share."""
    window_of = np.repeat(np.arange(len(frames)), frames.shape[1])
    flat = crops[window_of].reshape(-1, 6)
    views = np.concatenate([frames.reshape(-1, 1).astype(np.float64), flat], axis=1)
    unique, index = np.unique(views, axis=0, return_inverse=True)
    return Chunk(
        video_id=video_id,
        track_ids=track_ids.astype(np.int32),
        frames=frames.astype(np.int32),
        crops=crops.astype(np.float64),
        view_frames=unique[:, 0].astype(np.int32),
        view_crops=unique[:, 1:].reshape(-1, 2, 3),
        view_index=index.reshape(frames.shape).astype(np.int64),
    )


def _runs(track: Track) -> list[Track]:
    """The stretches of consecutive frames of a track."""
    breaks = np.flatnonzero(np.diff(track.frames) != 1) + 1
    return [
        Track(track.track_id, track.frames[part], track.boxes[part], track.scores[part])
        for part in np.split(np.arange(len(track.frames)), breaks)
        if len(part)
    ]


def _width(box: NDArray[np.floating], crop_size: Size) -> float:
    x1, _, x2, _ = crop_box(box, size=crop_size)
    return float(x2 - x1)


def _check_boxes(track: Track) -> None:
    boxes = track.boxes
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise BoxError(
            f"Expected a box with x1 < x2 and y1 < y2, got {boxes[row].tolist()} "
            f"for track {track.track_id} in frame {track.frames[row]}."
        )
