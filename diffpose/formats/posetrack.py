"""PoseTrack annotations and predictions: 2017, 2018 and 2021 files read, 2018 files written.

Whatever the year of a file, keypoints come out in the order of `POSETRACK15` and boxes as xyxy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.checked import validate
from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import read_json, refuse_twice, to_json
from diffpose.formats.posetrack_file import (
    Category2018,
    File2017,
    File2018,
    Frame2017,
    Image2018,
    Person2017,
    Person2018,
    Point2017,
)
from diffpose.formats.posetrack_records import (
    NUM_KEYPOINTS,
    PoseTrackFrame,
    PoseTrackSequence,
    Region,
    checked,
    posetrack_image_id,
)
from diffpose.skeleton import POSETRACK15

KEYPOINTS_2018 = (
    "nose", "head_bottom", "head_top", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""Order of the 17 keypoints in a file of 2018 or 2021; the ears are placeholders, always 0."""

_EDGES_2018 = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
_TO_15 = np.array([KEYPOINTS_2018.index(name) for name in POSETRACK15.keypoints])


def find_annotations(folder: Path, split: str) -> Path:
    """Where a data set's folder has the annotation files of a split.

    Raises:
        FormatError: Neither where 2017 and 2018 have them, nor where 2021 has.
    """
    candidates = [folder / "annotations" / split, folder / "posetrack_data" / split]
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None:
        raise FormatError(
            f"Expected PoseTrack's files in {folder}: annotations/{split} (2017, 2018) or "
            f"posetrack_data/{split} (2021); neither folder is there."
        )
    return found


def read_posetrack_folder(folder: Path | str) -> list[PoseTrackSequence]:
    """Every ``*.json`` of a folder, in the order of their names.

    Raises:
        FormatError: The folder has none, or `read_posetrack` says so of one of them.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise FormatError(
            f"Expected PoseTrack annotation files (*.json) in {folder}, found none; "
            "name the folder that holds one file per sequence."
        )
    return [read_posetrack(path) for path in paths]


def read_posetrack(path: Path | str) -> PoseTrackSequence:
    """Read one sequence, annotations or predictions.

    Raises:
        FormatError: The file is neither of 2017 nor of 2018 or 2021, lists no picture, has
            other keypoints or another order, an id twice, or a number that is none.
    """
    path = Path(path)
    if path.is_file() and not path.stat().st_size:
        raise FormatError(f"{path.name} is empty; copy or download it again.")
    content = read_json(path)
    if isinstance(content, dict) and "annolist" in content:
        old = validate(File2017, content, path.name)
        frames = [_frame_of_2017(e, n, path.name) for n, e in enumerate(old["annolist"])]
        year = 2017
    elif isinstance(content, dict) and {"images", "annotations"} <= set(content):
        new = validate(File2018, content, path.name)
        frames, year = _frames_of_2018(new, path.name), _year(new)
    else:
        raise FormatError(
            f"Expected a PoseTrack file with annolist (2017) or with images, annotations and "
            f"categories (2018, 2021), got {path.name} with {_keys(content)}."
        )
    if not frames:
        raise FormatError(f"{path.name} lists no pictures; copy or download it again.")
    refuse_twice((frame.name for frame in frames), "picture", path.name)
    return PoseTrackSequence(path.stem, tuple(frames), year)


def _year(content: File2018) -> int:
    """2021 tells people apart across videos, and frames whose people have boxes only."""
    new = any("has_labeled_person" in image for image in content["images"])
    return 2021 if new or any("person_id" in p for p in content["annotations"]) else 2018


def _keys(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    return f"the keys {', '.join(sorted(content)[:8])[:200] or 'of an empty object'}"


def _frames_of_2018(content: File2018, file: str) -> list[PoseTrackFrame]:
    images, people = content["images"], content["annotations"]
    _check_order(content.get("categories"), file)
    refuse_twice((image["id"] for image in images), "image id", file)
    refuse_twice((p["id"] for p in people if "id" in p), "annotation id", file)
    of_image: dict[int, list[Person2018]] = defaultdict(list)
    for person in people:
        of_image[person["image_id"]].append(person)
    if lost := sorted(set(of_image) - {image["id"] for image in images}):
        raise FormatError(
            f"{file} annotates image {lost[0]}, which it does not list; complete its images."
        )
    return [_frame_of_2018(image, of_image[image["id"]], file) for image in images]


def _check_order(categories: Sequence[Category2018] | None, file: str) -> None:
    """Joints in another order would be read as other joints, without anything looking wrong."""
    names = tuple(categories[0].get("keypoints", ())) if categories else ()
    if names != KEYPOINTS_2018:
        wrong = next(
            (f"{got} in place of {want}" for want, got in zip(KEYPOINTS_2018, names, strict=False)
             if want != got),
            f"{len(names)} of them",
        )  # fmt: skip
        raise FormatError(
            f"Expected PoseTrack's 17 keypoints in the order {', '.join(KEYPOINTS_2018)} in the "
            f"categories of {file}, got {wrong}; write the file in that order."
        )


def _frame_of_2018(image: Image2018, people: Sequence[Person2018], file: str) -> PoseTrackFrame:
    where = f"{image['file_name']} of {file}"
    triplets = np.stack([_triplets(p, where) for p in people]) if people else np.zeros((0, 17, 3))
    points = triplets[:, _TO_15]
    # A joint that is marked invisible but has coordinates is annotated: poseval counts it.
    absent = (points == 0).all(axis=-1)
    frame = PoseTrackFrame(
        name=image["file_name"],
        keypoints=np.where(absent[..., None], np.nan, points[..., :2]),
        image_id=int(image["id"]),
        labeled=bool(people) or bool(image.get("is_labeled", False)),
        scores=np.stack([_scores(p, where) for p in people]) if people else np.zeros(0),
        visible=(points[..., 2] > 0) | absent,
        boxes=np.array([_corners(p.get("bbox"), where) for p in people]),
        head_boxes=np.array([_corners(p.get("bbox_head"), where) for p in people]),
        track_ids=np.array([p.get("track_id", -1) for p in people], np.int64),
        ignore_regions=_regions(image, where),
        size=(image["height"], image["width"]) if {"height", "width"} <= set(image) else None,
    )  # fmt: skip
    return checked(frame, file)


def _regions(image: Image2018, where: str) -> tuple[Region, ...]:
    xs, ys = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
    if [len(x) for x in xs] != [len(y) for y in ys]:
        raise FormatError(f"Expected as many x as y of the ignore regions in {where}.")
    return tuple(np.array([x, y], np.float64).T.reshape(-1, 2) for x, y in zip(xs, ys, strict=True))


def _triplets(person: Person2018, where: str) -> NDArray[np.float64]:
    """(17, 3) of x, y, visibility; zeros for a person of 2021 who has boxes only."""
    values = np.array(person.get("keypoints") or np.zeros(51), np.float64)
    if values.shape != (51,):
        raise FormatError(
            f"Expected 17 keypoints (x, y, visibility) for a person in {where}, "
            f"got {values.size} numbers; write all 17, zeros for those without annotation."
        )
    return values.reshape(17, 3)


def _scores(person: Person2018, where: str) -> NDArray[np.float64]:
    values = np.array(person.get("scores") or np.full(17, np.nan), np.float64)
    if values.shape != (17,):
        raise FormatError(
            f"Expected 17 scores for a person in {where}, got {values.size}; "
            "write one for each keypoint, 0 for the ears."
        )
    return values[_TO_15]


def _corners(box: Sequence[float] | None, where: str) -> NDArray[np.float64]:
    """A box of x, y, width, height as xyxy."""
    if not box:
        return np.full(4, np.nan)
    if len(box) != 4:
        raise FormatError(f"Expected a box of four finite numbers in {where}, got {box}.")
    x, y, width, height = np.asarray(box, np.float64)
    if not np.isfinite([x, y, width, height]).all() or width < 0 or height < 0:
        raise FormatError(f"Expected a box of four finite numbers in {where}, got {box}.")
    return np.array([x, y, x + width, y + height])


def _frame_of_2017(entry: Frame2017, position: int, file: str) -> PoseTrackFrame:
    name = entry["image"][0]["name"]
    people = entry.get("annorect") or []
    keypoints = np.full((len(people), NUM_KEYPOINTS, 2), np.nan)
    scores = np.full((len(people), NUM_KEYPOINTS), np.nan)
    visible = np.ones((len(people), NUM_KEYPOINTS), bool)
    for row, person in enumerate(people):
        seen: list[int] = []
        for point in _points_2017(person):
            joint = int(point["id"][0])
            if not 0 <= joint < NUM_KEYPOINTS:
                raise FormatError(
                    f"Expected joint ids 0 to {NUM_KEYPOINTS - 1} in {name} of {file}, got {joint}."
                )
            seen.append(joint)
            keypoints[row, joint] = point["x"][0], point["y"][0]
            scores[row, joint] = _first(point, "score", np.nan)
            visible[row, joint] = bool(_first(point, "is_visible", 1))
        refuse_twice(seen, "joint id of a person", f"{name} of {file}")
    corners = [[_first(p, key, np.nan) for key in ("x1", "y1", "x2", "y2")] for p in people]
    folder = PurePosixPath(name).parent.name
    number = PurePosixPath(name).stem
    numbered = number.isdecimal() and len(number) < 10
    image_id = posetrack_image_id(folder, int(number)) if numbered else None
    frame = PoseTrackFrame(
        name=name,
        keypoints=keypoints,
        image_id=image_id or position,
        labeled=bool(people) or bool(_first(entry, "is_labeled", 0)),
        scores=scores,
        visible=visible,
        boxes=np.array([_extent(points) for points in keypoints]),
        head_boxes=np.array(corners, np.float64),
        track_ids=np.array([_first(p, "track_id", -1) for p in people]).astype(np.int64),
        ignore_regions=tuple(
            np.array([[p["x"][0], p["y"][0]] for p in region["point"]], np.float64).reshape(-1, 2)
            for region in entry.get("ignore_regions") or ()
        ),
    )
    return checked(frame, file)


def _points_2017(person: Person2017) -> list[Point2017]:
    """The person's points; the file has an empty list where nobody annotated any."""
    groups = person.get("annopoints") or [None]
    return (groups[0] or {}).get("point") or [] if not isinstance(groups[0], list) else []


def _first(entry: Mapping[str, Any], key: str, default: float) -> float:
    """A scalar of 2017, which is a list of one number."""
    value = entry.get(key, [default])
    return float(value[0] if isinstance(value, list) and value else default)


def _extent(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The person's box in a file without boxes: the keypoints' extent, 1.3 times as large.

    poseval's converter makes the same box when it turns a file of 2017 into one of 2018.
    """
    known = points[np.isfinite(points).all(axis=-1)]
    if not len(known):
        return np.full(4, np.nan)
    low, high = known.min(axis=0), known.max(axis=0)
    half = (high - low) * 0.65
    return np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half])


def write_posetrack(path: Path | str, sequence: PoseTrackSequence) -> None:
    """Write a sequence as PoseTrack18 JSON, which poseval and mmpose read.

    ``scores`` are written for people who have any; a keypoint without one gets 0. `read_posetrack`
    reads the same keypoints back, bit for bit, except an occluded one at exactly (0, 0): the format
    says "none" so.

    Raises:
        FormatError: A picture occurs twice, or two pictures have the same image id.
        InputError: The file cannot be written there.
    """
    file = Path(path).name
    refuse_twice((frame.name for frame in sequence.frames), "picture", file)
    refuse_twice((frame.image_id for frame in sequence.frames), "image id", file)
    # Ids are image id times 100 plus position; a crowd of more needs another digit.
    step = 100 if max((len(frame) for frame in sequence.frames), default=0) <= 100 else 1000
    content = {
        "images": [_image_of(frame, sequence) for frame in sequence.frames],
        "annotations": [
            _person_of(frame, row, frame.image_id * step + row)
            for frame in sequence.frames
            for row in range(len(frame))
        ],
        "categories": [
            {
                "supercategory": "person",
                "id": 1,
                "name": "person",
                "keypoints": list(KEYPOINTS_2018),
                "skeleton": [list(edge) for edge in _EDGES_2018],
            }
        ],
    }
    atomic_write(path, to_json(content) + "\n")


def _image_of(frame: PoseTrackFrame, sequence: PoseTrackSequence) -> dict[str, Any]:
    image: dict[str, Any] = {
        "file_name": frame.name,
        "id": frame.image_id,
        "frame_id": frame.image_id,
        "vid_id": PurePosixPath(frame.name).parent.name.split("_")[0],
        "nframes": len(sequence.frames),
        "is_labeled": frame.labeled,
        "has_no_densepose": True,
        "ignore_regions_x": [region[:, 0].tolist() for region in frame.ignore_regions],
        "ignore_regions_y": [region[:, 1].tolist() for region in frame.ignore_regions],
    }
    if frame.size is not None:
        image["height"], image["width"] = frame.size
    return image


def _person_of(frame: PoseTrackFrame, row: int, number: int) -> dict[str, Any]:
    known = frame.annotated[row]
    triplets = np.zeros((17, 3))
    triplets[_TO_15[known], :2] = frame.keypoints[row, known]
    triplets[_TO_15[known], 2] = frame.visible[row, known]
    scores = np.zeros(17)
    scores[_TO_15] = np.nan_to_num(frame.scores[row], nan=0.0)
    has_scores = np.isfinite(frame.scores[row]).any()
    person: dict[str, Any] = {
        "image_id": frame.image_id,
        "id": number,
        "category_id": 1,
        "keypoints": triplets.reshape(-1).tolist(),
        "scores": scores.tolist() if has_scores else [],
    }
    if frame.track_ids[row] >= 0:
        person["track_id"] = int(frame.track_ids[row])
    for key, box in (("bbox", frame.boxes[row]), ("bbox_head", frame.head_boxes[row])):
        if np.isfinite(box).all():
            person[key] = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
    return person
