"""Training shards: rendered clips and scenes in npz files that appear one after the other.

A shard's content depends only on the material, the seed and the shard's number, so that a run can
be stopped, resumed and split over workers. Shards that exist are kept; a shard is complete or not
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.crowd import random_crowd_scene
from diffpose.data.synthetic.degrade import encode_jpeg, random_degradation
from diffpose.data.synthetic.library import Library, Split, open_library
from diffpose.data.synthetic.render import Renderer
from diffpose.data.synthetic.stage import DEFAULT_MIX, SceneMix, random_person_scene
from diffpose.data.synthetic.truth import VISIBLE, Annotation, annotate
from diffpose.errors import SettingsError
from diffpose.formats.atomic import atomic_path
from diffpose.geometry import Size

CLIPS_PER_SHARD = 64
SCENES_PER_SHARD = 200
SHARD_VERSION = 1

_JPEG_QUALITY = 88
SPACING_S = (1 / 60, 1 / 12)
_LEAST_VISIBLE = 7
_ATTEMPTS = 5

Progress = Callable[[float, str], None]


class HasPath(Protocol):
    """Work that ends with a file."""

    @property
    def path(self) -> Path:
        """The file."""


SomeJob = TypeVar("SomeJob", bound=HasPath)


@dataclass(frozen=True)
class Material:
    """The three folders that scenes are made from, which split of them, and no use of what.

    Attributes:
        avatars: Folder of avatar npz files.
        mocap: Folder with ``index.json`` and ``clips/``.
        backgrounds: Folder of photos without people.
        split: ``train``, ``val`` or ``test``; they share no person, motion or photo.
        without: Names of photos to leave out, with or without suffix.
    """

    avatars: Path
    mocap: Path
    backgrounds: Path
    split: Split
    without: frozenset[str] = frozenset()


def silent(fraction: float, words: str) -> None:
    """Progress that nobody wants to hear."""


def write_shards(
    material: Material,
    out: Path,
    *,
    num_clips: int,
    frames_per_clip: int = 6,
    size: Size = (256, 256),
    spacing_s: tuple[float, float] = SPACING_S,
    mix: SceneMix = DEFAULT_MIX,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
) -> list[Path]:
    """Render clips around one person each, 64 to a shard.

    Each ``shard-00000.npz`` holds, for C clips of N frames: ``jpeg`` (all pictures' bytes, u8),
    ``offsets`` (C * N + 1) i64 into them, ``keypoints`` (C, N, 26, 2) f32 pixels of the HALPE-26
    skeleton, ``visibility`` (C, N, 26) u8 (0 outside, 1 occluded, 2 visible), ``boxes``
    (C, N, 4) f32 xyxy of the main person, cut at the picture, ``identity`` (C,) str, ``times_s``
    (C, N) f32 and ``version``.

    Args:
        material: What to render.
        out: Folder of the shards, made if missing.
        num_clips: Rounded up to whole shards.
        frames_per_clip: N.
        size: Height and width of the pictures.
        spacing_s: Least and most seconds between two frames; each clip draws its own, evenly in
            the logarithm.
        mix: How often the hard things happen.
        seed: Other seeds give other clips.
        workers: Processes; 1 works in this one.
        progress: Called with the finished fraction and words.

    Returns:
        The shards' paths in order, those kept from before included.

    Raises:
        SettingsError: No clips are asked for, or the spacing is no range of positive times.
    """
    if not 0 < spacing_s[0] <= spacing_s[1] < np.inf:
        raise SettingsError(
            f"Expected the least and the most seconds between two frames, got {spacing_s}."
        )
    jobs = [
        _Job(
            material,
            out / f"shard-{i:05d}.npz",
            i,
            seed,
            size,
            CLIPS_PER_SHARD,
            frames_per_clip,
            spacing_s,
            mix,
        )
        for i in range(_num_shards(num_clips, CLIPS_PER_SHARD))
    ]
    return run_jobs(_write_clip_shard, jobs, workers=workers, progress=progress)


def write_scene_shards(
    material: Material,
    out: Path,
    *,
    num_scenes: int,
    size: Size = (288, 384),
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
) -> list[Path]:
    """Render single pictures of nobody to six people, 200 to a shard, for the person detector.

    Each ``scenes-00000.npz`` holds, for C pictures: ``jpeg`` and ``offsets`` (C + 1) as in
    `write_shards`, ``boxes`` (B, 4) f32 xyxy of all people, cut at the picture,
    ``box_offsets`` (C + 1) i64 into them, ``visible_fraction`` (B,) f32: the share of the person
    that is inside the picture and not covered, and ``version``.

    Args and returns as in `write_shards`.
    """
    jobs = [
        _Job(material, out / f"scenes-{i:05d}.npz", i, seed, size, SCENES_PER_SHARD, 1)
        for i in range(_num_shards(num_scenes, SCENES_PER_SHARD))
    ]
    return run_jobs(_write_scene_shard, jobs, workers=workers, progress=progress)


@dataclass(frozen=True)
class _Job:
    material: Material
    path: Path
    index: int
    seed: int
    size: Size
    num_items: int
    num_frames: int
    spacing_s: tuple[float, float] = SPACING_S
    mix: SceneMix = DEFAULT_MIX

    def random(self, item: int, attempt: int = 0) -> np.random.Generator:
        """The random source of one clip, whatever was drawn for others."""
        return np.random.default_rng([self.seed, self.index, item, attempt])


def _num_shards(num_items: int, per_shard: int) -> int:
    if num_items < 1:
        raise SettingsError(f"Expected at least one clip or scene to render, got {num_items}.")
    return -(-num_items // per_shard)


def run_jobs(
    write: Callable[[SomeJob], None], jobs: list[SomeJob], *, workers: int, progress: Progress
) -> list[Path]:
    """Write every job's file that is not there yet, in several processes if asked.

    Args:
        write: Writes one file, which appears complete.
        jobs: At least one; all in one folder.
        workers: Processes; 1 works in this one.
        progress: Called with the finished fraction and words.

    Returns:
        The files of all jobs.
    """
    jobs[0].path.parent.mkdir(parents=True, exist_ok=True)
    missing = [job for job in jobs if not job.path.exists()]
    finished = len(jobs) - len(missing)
    for job in _worked_off(write, missing, workers):
        finished += 1
        progress(finished / len(jobs), f"wrote {job.path.name}")
    return [job.path for job in jobs]


def _worked_off(
    write: Callable[[SomeJob], None], jobs: list[SomeJob], workers: int
) -> Iterator[SomeJob]:
    if workers <= 1:
        for job in jobs:
            write(job)
            yield job
        return
    # A forked OpenGL context is unusable: every worker starts afresh.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(write, job): job for job in jobs}
        for future in as_completed(futures):
            future.result()
            yield futures[future]


@lru_cache(maxsize=1)
def library_of(material: Material) -> Library:
    """The material, opened once in every process."""
    return open_library(
        material.avatars,
        material.mocap,
        material.backgrounds,
        split=material.split,
        without=material.without,
    )


@lru_cache(maxsize=1)
def _renderer(size: Size) -> Renderer:
    return Renderer(size)


def _write_clip_shard(job: _Job) -> None:
    clips = [_random_clip(job, item) for item in range(job.num_items)]
    frames, annotations, identities, times = zip(*clips, strict=True)
    _save(
        job.path,
        pictures=np.concatenate(frames),
        keypoints=np.stack([a.keypoints[:, 0] for a in annotations]),
        visibility=np.stack([a.visibility[:, 0] for a in annotations]),
        boxes=np.stack([a.boxes[:, 0] for a in annotations]),
        identity=np.array(identities),
        times_s=np.stack(times).astype(np.float32),
    )


def _random_clip(
    job: _Job, item: int
) -> tuple[NDArray[np.uint8], Annotation, str, NDArray[np.float64]]:
    """One clip; drawn again while too little of its main person can be seen."""
    library, renderer = library_of(job.material), _renderer(job.size)
    for attempt in range(_ATTEMPTS):
        rng = job.random(item, attempt)
        spacing = np.exp(rng.uniform(*np.log(job.spacing_s)))
        times = np.arange(job.num_frames) * spacing
        scene = random_person_scene(rng, library, size=job.size, times_s=times, mix=job.mix)
        rendered = renderer.render(scene)
        annotation = annotate(scene, rendered)
        if _is_usable(annotation):
            break
    frames = random_degradation(rng, rendered.frames)
    return frames, annotation, scene.actors[0].avatar.identity, times


def _is_usable(annotation: Annotation) -> bool:
    seen = (annotation.visibility[:, 0] == VISIBLE).sum(axis=1)
    return bool(seen.min() >= _LEAST_VISIBLE and np.isfinite(annotation.boxes[:, 0]).all())


def _write_scene_shard(job: _Job) -> None:
    pictures, boxes, fractions = zip(
        *(_random_scene(job, item) for item in range(job.num_items)), strict=True
    )
    counts = [len(found) for found in boxes]
    _save(
        job.path,
        pictures=np.stack(pictures),
        boxes=np.concatenate(boxes),
        box_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        visible_fraction=np.concatenate(fractions),
    )


def _random_scene(
    job: _Job, item: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A picture with the boxes (P, 4) and visible fractions (P,) of the people inside it."""
    library, renderer = library_of(job.material), _renderer(job.size)
    rng = job.random(item)
    scene = random_crowd_scene(rng, library, size=job.size)
    rendered = renderer.render(scene)
    boxes = annotate(scene, rendered).boxes[0]
    fractions = renderer.visible_fractions(scene, rendered)
    kept = np.isfinite(boxes).all(axis=1) & (fractions > 0)
    picture = random_degradation(rng, rendered.frames)[0]
    return picture, boxes[kept], fractions[kept]


def _save(path: Path, *, pictures: NDArray[np.uint8], **arrays: Any) -> None:
    encoded = [encode_jpeg(picture, _JPEG_QUALITY) for picture in pictures]
    offsets = np.concatenate([[0], np.cumsum([len(content) for content in encoded])])
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            version=np.array(SHARD_VERSION),
            jpeg=np.concatenate(encoded),
            offsets=offsets.astype(np.int64),
            **arrays,
        )
