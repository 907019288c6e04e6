"""COCO keypoints: result lists, annotation files, and reading the latter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.coco_file import (
    CocoAnnotation,
    CocoImage,
    keypoint_category,
    read_coco_file,
)
from diffpose.formats.common import (
    PoseKey,
    check_sequences,
    ordered_poses,
    provenance_to_json,
    refuse_twice,
    scores,
    to_json,
    to_json_numbers,
    write_sidecar,
)
from diffpose.geometry import box_of_points
from diffpose.poses import FloatArray, IntArray, Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import COCO17, Skeleton, convert

CATEGORY_ID = 1


def image_ids(info: VideoInfo) -> list[int]:
    """COCO image id of every frame.

    A video's frame has its index. A picture has the number its name consists of, as in COCO's own
    ``000000000139.jpg``; if any name is no number, or two are the same, every picture has its
    position, counted from 0.
    """
    numbers = _numbers_in_names(info)
    return list(range(info.num_frames)) if numbers is None else numbers


def write_coco_results(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance | None = None,
    *,
    order: Sequence[PoseKey] | None = None,
) -> None:
    """Write a COCO keypoint result list, one entry per pose.

    An entry is ``{image_id, category_id, keypoints: [x, y, score] * 17, score}``. A keypoint's
    score is its confidence, 1 where a person placed it; the entry's is the mean over the known
    ones. Keypoints that are unknown, or that the skeleton has not, are 0, 0, 0. Pictures whose
    ids are positions carry their ``file_name`` as well.

    Args:
        path: File to write.
        sequences: Tracks of any one skeleton; the 17 are picked by name.
        info: The video or pictures the poses belong to.
        provenance: What made the poses; goes to ``<name>.provenance.json``, because the list has
            no room for it.
        order: (track_id, frame) of every pose in the order wanted; None for frame by frame.
    """
    check_sequences(sequences, info)
    ids = image_ids(info)
    with_name = bool(info.names) and _numbers_in_names(info) is None
    poses = {s.track_id: _coco_arrays(s, COCO17) for s in sequences}
    lines = []
    for sequence, row in ordered_poses(sequences, order):
        frame = int(sequence.frames[row])
        keypoints, confidence, _ = poses[sequence.track_id]
        triplets = _triplets(keypoints[row], confidence[row])
        known = triplets[_known(keypoints[row]), 2]
        entry: dict[str, Any] = {
            "image_id": ids[frame],
            "category_id": CATEGORY_ID,
            "keypoints": to_json_numbers(triplets.reshape(-1)),
            "score": round(float(known.mean()), 6) if len(known) else 0.0,
        }
        if with_name:
            entry["file_name"] = info.names[frame]
        lines.append(to_json(entry))
    atomic_write(path, "[\n" + ",\n".join(lines) + "\n]\n")
    if provenance is not None:
        write_sidecar(path, info, provenance)


def write_coco_dataset(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    skeleton: Skeleton = COCO17,
    min_confidence: float = 0.3,
) -> None:
    """Write a COCO annotation file with images, annotations and the category of ``skeleton``.

    Visibility is 2 for a keypoint that was seen or placed by a person, 1 for one below
    ``min_confidence`` (placed by the model, not seen) and 0 with x = y = 0 for an unknown one.
    In addition to COCO's own keys an annotation has ``attributes`` (``object_id`` and
    ``track_id``, one more than ours, because readers take 0 for none), our ``track_id``,
    ``confidence``, ``sigma_px`` and ``source`` per keypoint.

    Args:
        path: File to write.
        sequences: Tracks of any one skeleton.
        info: The video or pictures the poses belong to.
        provenance: What made the poses; goes to ``info``.
        skeleton: The keypoints wanted, picked by name.
        min_confidence: Below it a predicted keypoint counts as hidden.
    """
    check_sequences(sequences, info)
    ids = image_ids(info)
    used = sorted({int(frame) for s in sequences for frame in s.frames})
    images = [
        _image(info, frame, ids) for frame in (range(info.num_frames) if info.names else used)
    ]
    arrays = {s.track_id: _coco_arrays(s, skeleton) for s in sequences}
    annotations = [
        {
            # Ids start at 1: COCO's evaluation reads 0 as "not matched".
            "id": number,
            "image_id": ids[int(sequence.frames[row])],
            **_annotation(sequence, row, arrays[sequence.track_id], skeleton, min_confidence),
        }
        for number, (sequence, row) in enumerate(ordered_poses(sequences), start=1)
    ]
    content = {
        "info": {
            "description": f"DiffPose: {info.path.name}",
            "version": "1.0",
            "video_id": info.video_id,
            "provenance": provenance_to_json(provenance),
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [_category(skeleton)],
    }
    atomic_write(path, to_json(content) + "\n")


@dataclass(frozen=True)
class CocoKeypoints:
    """The people of a COCO annotation file, M images and N annotations.

    Attributes:
        keypoint_names: K names, in array order.
        image_ids: (M,) i64, in the order of the file.
        image_names: M file names.
        image_sizes: (M, 2) i64 (height, width).
        ids: (N,) i64 annotation ids.
        image: (N,) i64 row of each annotation's image in the image arrays.
        keypoints: (N, K, 3) f64 x, y, visibility; x = y = 0 where visibility is 0.
        boxes: (N, 4) f64 xyxy, pixels.
        areas: (N,) f64 px^2, of the person's outline where the file has one.
        crowd: (N,) bool, true for a group that evaluation leaves out.
    """

    keypoint_names: tuple[str, ...]
    image_ids: IntArray
    image_names: tuple[str, ...]
    image_sizes: IntArray
    ids: IntArray
    image: IntArray
    keypoints: FloatArray
    boxes: FloatArray
    areas: FloatArray
    crowd: NDArray[np.bool_]


def read_coco_keypoints(path: Path | str) -> CocoKeypoints:
    """Read the first category with keypoints of a COCO annotation file.

    Raises:
        FormatError: The file is no annotation file or has no category with keypoints.
    """
    content = read_coco_file(path, instead="is not one")
    category, names = keypoint_category(content, path)
    images = content["images"]
    row_of = {image["id"]: row for row, image in enumerate(images)}
    people = [
        a for a in content["annotations"] if a["category_id"] == category and "keypoints" in a
    ]
    refuse_twice((image["id"] for image in images), "image id", str(path))
    refuse_twice((a.get("id") for a in people), "annotation id", str(path))
    lost = {a["image_id"] for a in people} - set(row_of)
    if lost:
        raise FormatError(f"{path} annotates images it does not list: {_some(lost)}.")
    _check_complete(images, people, len(names), path)
    boxes = np.array([a["bbox"] for a in people], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    keypoints = np.array([a["keypoints"] for a in people], np.float64)
    return CocoKeypoints(
        keypoint_names=tuple(names),
        image_ids=np.array(list(row_of), np.int64),
        image_names=tuple(image["file_name"] for image in images),
        image_sizes=np.array([(i["height"], i["width"]) for i in images], np.int64).reshape(-1, 2),
        ids=np.array([a["id"] for a in people], np.int64),
        image=np.array([row_of[a["image_id"]] for a in people], np.int64),
        keypoints=keypoints.reshape(len(people), len(names), 3),
        boxes=boxes,
        # Of people without a mask COCO's own tools take the box's area.
        areas=np.array([a.get("area", a["bbox"][2] * a["bbox"][3]) for a in people], np.float64),
        crowd=np.array([a.get("iscrowd") or False for a in people], np.bool_),
    )


def _check_complete(
    images: Sequence[CocoImage], people: Sequence[CocoAnnotation], num: int, path: Path | str
) -> None:
    """Evaluation and training need more of a file than an import of poses does."""
    for image in images:
        missing = {"file_name", "height", "width"} - set(image)
        if missing or not isinstance(image["id"], int):
            raise FormatError(
                f"{path}: expected a number as id, a file_name, height and width of every image, "
                f"got image {image['id']!r} without {', '.join(sorted(missing)) or 'a number'}."
            )
    for person in people:
        number = person.get("id")
        if not isinstance(number, int) or len(person.get("bbox", ())) != 4:
            raise FormatError(
                f"{path}: expected a number as id and a bbox of every annotation, got "
                f"annotation {number!r}."
            )
        if len(person["keypoints"]) != 3 * num:
            raise FormatError(
                f"{path}: annotation {number} has {len(person['keypoints'])} numbers for {num} "
                "keypoints; expected x, y and visibility of each."
            )


def _some(ids: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, ids))[:5])


def _numbers_in_names(info: VideoInfo) -> list[int] | None:
    stems = [PurePosixPath(name).stem for name in info.names]
    # Readers keep ids as int64 or, in JavaScript, as doubles: 15 digits fit in both.
    if not stems or not all(s.isascii() and s.isdigit() and len(s) <= 15 for s in stems):
        return None
    numbers = [int(stem) for stem in stems]
    return numbers if len(set(numbers)) == len(numbers) else None


def _coco_arrays(
    sequence: PoseSequence, skeleton: Skeleton
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Keypoints (N, K, 2), confidence (N, K) with 1 for placed keypoints, radius (N, K)."""
    return (
        convert(sequence.keypoints, sequence.skeleton, skeleton),
        convert(scores(sequence), sequence.skeleton, skeleton, axis=-1),
        convert(sequence.radius, sequence.skeleton, skeleton, axis=-1),
    )


def _known(keypoints: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(keypoints).all(axis=-1))


def _triplets(keypoints: FloatArray, third: FloatArray) -> FloatArray:
    """(K, 3) of x, y and a third number; all 0 where the keypoint is unknown."""
    known = _known(keypoints)
    triplets = np.concatenate([keypoints, third[:, None]], axis=-1)
    return np.where(known[:, None], triplets, 0)


def _image(info: VideoInfo, frame: int, ids: list[int]) -> dict[str, Any]:
    return {
        "id": ids[frame],
        "file_name": info.names[frame] if info.names else f"{info.path.stem}/{frame:06d}.jpg",
        "width": info.width,
        "height": info.height,
        "time_s": float(info.times_s[frame]),
    }


def _annotation(
    sequence: PoseSequence,
    row: int,
    arrays: tuple[FloatArray, FloatArray, FloatArray],
    skeleton: Skeleton,
    min_confidence: float,
) -> dict[str, Any]:
    keypoints, confidence, radius = (values[row] for values in arrays)
    triplets = _triplets(keypoints, np.where(confidence < min_confidence, 1, 2))
    known = _known(keypoints)
    box = box_of_points(keypoints[known]) if known.any() else np.zeros(4)
    width, height = box[2:] - box[:2]
    origin = convert(sequence.origin[row].astype(np.float32), sequence.skeleton, skeleton, axis=-1)
    return {
        "category_id": CATEGORY_ID,
        "iscrowd": 0,
        "bbox": [*box[:2].tolist(), float(width), float(height)],
        "area": float(width * height),
        "num_keypoints": int(known.sum()),
        "keypoints": to_json_numbers(triplets.reshape(-1)),
        "attributes": {
            "object_id": sequence.track_id + 1,
            "track_id": sequence.track_id + 1,
            "occluded": bool((triplets[known, 2] == 1).any()),
            "keyframe": bool((sequence.origin[row] == Origin.CORRECTED).any()),
        },
        "track_id": sequence.track_id,
        "confidence": to_json_numbers(np.where(known, confidence, np.nan)),
        "sigma_px": to_json_numbers(np.where(known, radius, np.nan)),
        "source": [
            Origin(int(value)).name.lower() if seen else None
            for value, seen in zip(origin, known, strict=True)
        ],
    }


def _category(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "id": CATEGORY_ID,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": (skeleton.edge_indices + 1).tolist(),
    }
