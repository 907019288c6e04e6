"""COCO annotation files as poses of a video: starting poses or corrections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diffpose.checked import Identifier
from diffpose.errors import FormatError
from diffpose.formats.coco_file import (
    CocoAnnotation,
    CocoImage,
    keypoint_category,
    read_coco_file,
)
from diffpose.formats.common import refuse_twice
from diffpose.formats.foreign import ForeignPoses, foreign_skeleton, time_notes
from diffpose.poses import FloatArray, IntArray, Origin, PoseSequence, VideoInfo

_HIDDEN = 1  # COCO's visibility of a keypoint that was placed but not seen


def read_coco_poses(path: Path | str, info: VideoInfo) -> ForeignPoses:
    """Read the people of a COCO annotation file as tracks in the frames of ``info``.

    An image of a video is the frame whose number ends its file name, or else its id; of pictures,
    the one with its name. People are distinguished by ``track_id``, ours or
    the one among ``attributes``. Of an export of DiffPose the confidence, the uncertainty (as a
    circle) and the origin of every keypoint come back; otherwise a hidden keypoint has confidence
    0 and a visible one 1.

    Raises:
        FormatError: The file is no annotation file, has an image that is not in the video, or
            several people in one image of a video without saying who is who.
    """
    content = read_coco_file(path, instead="has neither names nor people")
    category, names = keypoint_category(content, path)
    people = [
        a
        for a in content["annotations"]
        if a["category_id"] == category and "keypoints" in a and not a.get("iscrowd")
    ]
    refuse_twice((image["id"] for image in content["images"]), "image id", str(path))
    frames, notes = _frames(content["images"], info)
    missing = {a["image_id"] for a in people} - set(frames)
    if missing:
        listed = ", ".join(sorted(map(str, missing))[:5])
        raise FormatError(f"{path} annotates images it does not list: {listed}.")
    tracks = _tracks(people, frames, info)
    sequences = [_sequence(track_id, poses, names) for track_id, poses in sorted(tracks.items())]
    return ForeignPoses(
        sequences=tuple(sequences),
        size=_size(content["images"], info),
        says_origin=all("source" in a for a in people) and bool(people),
        notes=(*notes, *time_notes(*_times(content["images"], frames), info)),
    )


def _frames(
    images: Sequence[CocoImage], info: VideoInfo
) -> tuple[dict[Identifier, int], tuple[str, ...]]:
    """Frame of each image id, and what to say about how it was found."""
    if info.names:
        return {image["id"]: _picture(image.get("file_name", ""), info) for image in images}, ()
    stems = [PurePosixPath(str(i.get("file_name", "")).replace("\\", "/")).stem for i in images]
    numbers = [re.search(r"(\d+)$", stem) for stem in stems]
    if all(numbers) and len({m.group(1) for m in numbers if m}) == len(images):
        frames = [_frame(match.group(1)) for match in numbers if match]
        return dict(zip((image["id"] for image in images), frames, strict=True)), ()
    note = "The file names of the images hold no frame numbers; their ids were taken as frames."
    return {image["id"]: _frame(image["id"]) for image in images}, (note,)


def _frame(number: Identifier) -> int:
    """A frame's number, as `PoseSequence` holds it."""
    text = str(number)
    if not text.isdecimal() or len(text) > 9:
        raise FormatError(f"Expected a frame's number in the file, got {text[:40]!r}.")
    return int(text)


def _times(
    images: Sequence[CocoImage], frames: Mapping[Identifier, int]
) -> tuple[IntArray, FloatArray]:
    """Frames and times, seconds, of the images that have one."""
    known = [(frames[image["id"]], float(image["time_s"])) for image in images if "time_s" in image]
    return np.array([f for f, _ in known], np.int64), np.array([t for _, t in known], np.float64)


def _picture(name: str, info: VideoInfo) -> int:
    spellings: tuple[Callable[[str], str], ...] = (
        lambda n: n,
        lambda n: PurePosixPath(n).name,
        lambda n: PurePosixPath(n).stem,
    )
    for spelling in spellings:
        found = [i for i, own in enumerate(info.names) if spelling(own) == spelling(name)]
        if len(found) == 1:
            return found[0]
    raise FormatError(
        f"The file annotates {name}, but {info.path.name} has no picture of that name; "
        "give the pictures the annotations belong to."
    )


def _tracks(
    people: Sequence[CocoAnnotation], frames: Mapping[Identifier, int], info: VideoInfo
) -> dict[int, dict[int, CocoAnnotation]]:
    """Poses by track and frame."""
    ids = [_track_id(person) for person in people]
    if any(track_id is None for track_id in ids):
        crowd = Counter(person["image_id"] for person in people)
        if not info.names and max(crowd.values(), default=0) > 1:
            raise FormatError(
                "The file has several people in one image and does not say who is who; "
                "give every annotation a track_id."
            )
        seen: Counter[Identifier] = Counter()
        ids = []
        for person in people:
            ids.append(seen[person["image_id"]])
            seen[person["image_id"]] += 1
    tracks: dict[int, dict[int, CocoAnnotation]] = {}
    for track_id, person in zip(ids, people, strict=True):
        poses = tracks.setdefault(int(track_id or 0), {})
        frame = frames[person["image_id"]]
        if frame in poses:
            raise FormatError(f"Track {track_id} has two poses in frame {frame}; remove one.")
        poses[frame] = person
    return tracks


def _track_id(person: CocoAnnotation) -> int | None:
    value = person.get("track_id", (person.get("attributes") or {}).get("track_id"))
    return None if value is None else int(value)


def _sequence(
    track_id: int, poses: Mapping[int, CocoAnnotation], names: Sequence[str]
) -> PoseSequence:
    frames, num = sorted(poses), len(names)
    given = [poses[frame]["keypoints"] for frame in frames]
    if wrong := [frame for frame, values in zip(frames, given, strict=True)
                 if len(values) != 3 * num]:  # fmt: skip
        raise FormatError(
            f"Expected x, y and visibility of {num} keypoints in frame {wrong[0]}, got another "
            "number of values."
        )
    triplets = np.array(given, np.float64).reshape(len(frames), num, 3)
    known = triplets[..., 2] > 0
    origin = np.full(known.shape, Origin.PREDICTED, np.uint8)
    for row, frame in enumerate(frames):
        for index, word in enumerate(poses[frame].get("source", ())[:num]):
            if word is not None:
                origin[row, index] = _origin(word)
    confidence = _stacked(poses, frames, "confidence", num)
    seen = np.where(triplets[..., 2] == _HIDDEN, 0.0, 1.0)
    confidence = np.where(np.isnan(confidence), seen, confidence)
    confidence[(origin == Origin.CORRECTED) | ~known] = np.nan
    variance = _stacked(poses, frames, "sigma_px", num) ** 2
    return PoseSequence(
        skeleton=foreign_skeleton([str(name) for name in names]),
        track_id=track_id,
        frames=np.array(frames, np.int32),
        keypoints=np.where(known[..., None], triplets[..., :2], np.nan),
        confidence=confidence,
        covariance=variance[..., None, None] * np.eye(2),
        origin=origin,
    )


def _origin(word: str) -> Origin:
    try:
        return Origin[word.upper()]
    except KeyError:
        raise FormatError(
            f"Expected a source of {', '.join(o.name.lower() for o in Origin)}, got {word!r}."
        ) from None


def _stacked(
    poses: Mapping[int, CocoAnnotation],
    frames: Sequence[int],
    key: Literal["confidence", "sigma_px"],
    num: int,
) -> FloatArray:
    """(N, K) of numbers in addition to COCO's keys; NaN where the file has none."""
    unknown: list[float | None] = [None] * num
    rows = [poses[frame].get(key) or unknown for frame in frames]
    if any(len(row) != num for row in rows):
        raise FormatError(f"Expected {num} values of {key} for every pose, got another number.")
    values: NDArray[np.float64] = np.array(rows, np.float64).reshape(len(frames), num)
    return values


def _size(images: Sequence[CocoImage], info: VideoInfo) -> tuple[int, int] | None:
    """(height, width) of a video's images; pictures may have several."""
    sizes = {(int(i["height"]), int(i["width"])) for i in images if "height" in i and "width" in i}
    return sizes.pop() if len(sizes) == 1 and not info.names else None
