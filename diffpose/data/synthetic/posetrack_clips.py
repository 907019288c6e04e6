"""Rendered clips as a PoseTrack data set, and further files for what PoseTrack cannot hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.clip import ClipPlan, SyntheticClip, render_clip
from diffpose.data.synthetic.degrade import encode_jpeg
from diffpose.data.synthetic.shards import Material, Progress, library_of, run_jobs, silent
from diffpose.data.synthetic.truth import OUTSIDE, VISIBLE
from diffpose.errors import SettingsError
from diffpose.formats.atomic import atomic_path, atomic_write
from diffpose.formats.posetrack import write_posetrack
from diffpose.formats.posetrack_records import (
    PoseTrackFrame,
    PoseTrackSequence,
    posetrack_image_id,
)
from diffpose.geometry import Size
from diffpose.skeleton import HALPE26, POSETRACK15, keypoint_map

_JPEG_QUALITY = 90
_TO_POSETRACK = keypoint_map(HALPE26, POSETRACK15)


@dataclass(frozen=True)
class _Job:
    material: Material
    folder: Path
    number: int
    seed: int
    size: Size
    num_frames: int

    @property
    def name(self) -> str:
        """Named as PoseTrack names its sequences, because its tools look at the name."""
        return f"{self.number:06d}_mpii_test"

    @property
    def path(self) -> Path:
        return self.folder / "annotations" / self.material.split / f"{self.name}.json"

    def place(self, what: str, file: str = "") -> str:
        """Where a part of the sequence lies, relative to the folder."""
        return "/".join(part for part in (what, self.material.split, self.name, file) if part)


def write_posetrack_clips(
    material: Material,
    out: Path,
    *,
    num_clips: int,
    num_frames: int = 41,
    size: Size = (360, 640),
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
) -> list[Path]:
    """Render clips of one to four people as a folder in the format of PoseTrack18.

    Per sequence NAME of SPLIT: frames ``images/SPLIT/NAME/000000.jpg`` and
    ``annotations/SPLIT/NAME.json`` with 15 keypoints, visibility, boxes, head boxes and track ids,
    as PoseTrack has them. Next to them, ``masks/SPLIT/NAME/000000.png``: track id + 1 where a
    person is seen, 0 elsewhere; and ``halpe26/SPLIT/NAME.json``: COCO keypoints of HALPE-26 with
    the flags 2 visible, 1 occluded, 0 outside the picture, each person's ``identity`` and the
    number of pixels seen as ``area``. Every frame is labelled; people outside the picture are not
    listed in that frame.

    Args:
        material: What to render.
        out: Folder of the data set, made if missing.
        num_clips: Sequences; those that are there already are kept.
        num_frames: Of each.
        size: Height and width of the frames.
        seed: Other seeds give other clips.
        workers: Processes; 1 works in this one.
        progress: Called with the finished fraction and words.

    Returns:
        The annotation files in order.
    """
    if num_clips < 1:
        raise SettingsError(f"Expected at least one clip to render, got {num_clips}.")
    jobs = [
        _Job(material, out, number, seed, size, num_frames) for number in range(1, num_clips + 1)
    ]
    return run_jobs(_write_sequence, jobs, workers=workers, progress=progress)


def _write_sequence(job: _Job) -> None:
    clip = render_clip(library_of(job.material), _random_plan(job), seed=job.seed)
    for what in ("images", "masks"):
        (job.folder / job.place(what)).mkdir(parents=True, exist_ok=True)
    for index, (picture, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        _write(job, "images", f"{index:06d}.jpg", encode_jpeg(picture, _JPEG_QUALITY))
        _write(job, "masks", f"{index:06d}.png", cv2.imencode(".png", mask)[1])
    beside = job.folder / "halpe26" / job.material.split / f"{job.name}.json"
    beside.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(beside, json.dumps(_halpe_annotations(clip, job)) + "\n")
    # Last, because it tells that the sequence is complete.
    write_posetrack(job.path, _sequence(clip, job))


def _write(job: _Job, what: str, file: str, content: NDArray[Any]) -> None:
    with atomic_path(job.folder / job.place(what, file)) as temporary:
        temporary.write_bytes(content.tobytes())


def _random_plan(job: _Job) -> ClipPlan:
    """Who does what before which camera; hard things happen in a part of the clips."""
    rng = np.random.default_rng([job.seed, job.number])
    num_people = int(rng.choice(4, p=(0.35, 0.35, 0.2, 0.1))) + 1
    crossing = num_people > 1 and rng.random() < 0.5
    return ClipPlan(
        name=job.name,
        size=job.size,
        num_frames=job.num_frames,
        num_people=num_people,
        motions="walk|run" if crossing and rng.random() < 0.5 else "",
        arrangement="crossing" if crossing else "apart",
        person_height=float(rng.uniform(0.35, 0.85)),
        shutter=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.4 else 0.0,
        num_props=int(rng.random() < 0.4),
        degraded=0.6,
    )


def _sequence(clip: SyntheticClip, job: _Job) -> PoseTrackSequence:
    frames = []
    inside = clip.visibility[:, :, _TO_POSETRACK] != OUTSIDE
    keypoints = np.where(inside[..., None], clip.keypoints[:, :, _TO_POSETRACK], np.nan)
    listed = np.isfinite(clip.boxes).all(axis=-1) & inside.any(axis=-1)
    for index, rows in enumerate(listed):
        frames.append(
            PoseTrackFrame(
                name=job.place("images", f"{index:06d}.jpg"),
                keypoints=keypoints[index, rows].astype(np.float64),
                image_id=posetrack_image_id(job.name, index) or index,
                visible=(clip.visibility[index, rows][:, _TO_POSETRACK] == VISIBLE)
                | ~inside[index, rows],
                boxes=clip.boxes[index, rows].astype(np.float64),
                head_boxes=clip.head_boxes[index, rows].astype(np.float64),
                track_ids=np.flatnonzero(rows),
                size=job.size,
            )
        )
    return PoseTrackSequence(job.name, tuple(frames))


def _halpe_annotations(clip: SyntheticClip, job: _Job) -> dict[str, Any]:
    """COCO keypoints of all people inside each frame."""
    height, width = job.size
    images, people = [], []
    for index in range(len(clip.frames)):
        image_id = posetrack_image_id(job.name, index) or index
        images.append(
            {
                "id": image_id,
                "file_name": job.place("images", f"{index:06d}.jpg"),
                "mask_file": job.place("masks", f"{index:06d}.png"),
                "height": height,
                "width": width,
            }
        )
        for person in np.flatnonzero(np.isfinite(clip.boxes[index]).all(axis=-1)).tolist():
            entry = {"id": image_id * 100 + person, "image_id": image_id, "track_id": person}
            people.append(entry | _halpe_person(clip, index, person))
    category = {"id": 1, "name": "person", "keypoints": list(HALPE26.keypoints),
                "skeleton": (HALPE26.edge_indices + 1).tolist()}  # fmt: skip
    return {"images": images, "annotations": people, "categories": [category]}


def _halpe_person(clip: SyntheticClip, index: int, person: int) -> dict[str, Any]:
    flags = clip.visibility[index, person].astype(np.float64)
    points = np.where(flags[:, None] == OUTSIDE, 0.0, clip.keypoints[index, person])
    x1, y1, x2, y2 = clip.boxes[index, person].astype(np.float64).round(2).tolist()
    return {
        "category_id": 1,
        "identity": clip.identities[person],
        "keypoints": np.concatenate([points, flags[:, None]], axis=1).round(2).ravel().tolist(),
        "num_keypoints": int((flags != OUTSIDE).sum()),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int((clip.masks[index] == person + 1).sum()),
        "iscrowd": 0,
    }
