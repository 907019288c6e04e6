"""Poses of other programs: taken over by the names of keypoints, never by their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffpose.checked import Name, validate
from diffpose.errors import FormatError
from diffpose.poses import FloatArray, Origin, PoseSequence, VideoInfo
from diffpose.skeleton import Skeleton

_LISTED = 8  # names in one sentence
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
# Other programs' words for our keypoints, as far as they mean the same point.
_SAME = {
    "head_top": "head",
    "top_of_head": "head",
    "head_bottom": "neck",
    "mid_hip": "hip",
    "midhip": "hip",
    "pelvis": "hip",
    "bigtoe": "big_toe",
    "smalltoe": "small_toe",
}


@dataclass(frozen=True)
class ForeignPoses:
    """The poses of a file, in the file's own keypoints and frames.

    Attributes:
        sequences: One per person, skeletons as named by the file.
        num_frames: Frames of the file's video; None if it does not say.
        times_s: (N,) time of each of those frames; None if it does not say.
        size: (height, width) of the file's pictures; None if it does not say.
        says_origin: Whether the file tells corrected from predicted keypoints.
        notes: One sentence for each thing the user should know.
    """

    sequences: tuple[PoseSequence, ...]
    num_frames: int | None = None
    times_s: FloatArray | None = None
    size: tuple[int, int] | None = None
    says_origin: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedPoses:
    """Poses in our skeleton and the frames of our video.

    Attributes:
        sequences: One per person.
        notes: What was different in the file, one sentence each, for the user.
    """

    sequences: tuple[PoseSequence, ...]
    notes: tuple[str, ...]


def adopt(
    poses: ForeignPoses, info: VideoInfo, skeleton: Skeleton, *, origin: Origin = Origin.PREDICTED
) -> ImportedPoses:
    """Carry a file's poses over to our skeleton and video, saying what is different.

    Args:
        poses: What the file holds.
        info: The video the poses must belong to.
        skeleton: The keypoints wanted.
        origin: What the known keypoints become if the file does not say: starting poses
            (predicted) or corrections.

    Raises:
        FormatError: No keypoint has a known name, or the frames or the size are another video's.
    """
    notes = list(poses.notes)
    if poses.size is not None and poses.size == info.stored_size != info.size:
        poses = _stretched(poses, poses.size, info)
        notes.append(
            "The file's pixels are those that the video stores, which are not square; its poses "
            f"are stretched to {info.width} x {info.height}."
        )
    if poses.size is not None and poses.size != info.size:
        raise FormatError(
            f"The file is about pictures of {poses.size[1]}x{poses.size[0]} pixels, but "
            f"{info.path.name} has {info.width}x{info.height}; give the video it was made from."
        )
    sequences = [_renamed(sequence, skeleton, notes) for sequence in poses.sequences]
    sequences, more = _in_frames(sequences, poses, info)
    if not poses.says_origin:
        sequences = [_with_origin(sequence, origin) for sequence in sequences]
    return ImportedPoses(tuple(sequences), tuple(dict.fromkeys([*notes, *more])))


def _stretched(poses: ForeignPoses, size: tuple[int, int], info: VideoInfo) -> ForeignPoses:
    """Poses in the pixels that a file stores as poses in display pixels."""
    factor = np.array([info.width / size[1], info.height / size[0]])
    sequences = (
        replace(
            sequence,
            # Pixel centres are whole numbers: the left edge of both pictures is at -0.5.
            keypoints=(sequence.keypoints + 0.5) * factor - 0.5,
            covariance=sequence.covariance * np.outer(factor, factor),
        )
        for sequence in poses.sequences
    )
    return replace(poses, sequences=tuple(sequences), size=info.size)


def foreign_skeleton(names: Sequence[str]) -> Skeleton:
    """A skeleton that has nothing but the names of a file's keypoints.

    Raises:
        FormatError: A name is empty, longer than 200 letters or of more than one line.
    """
    names = validate(list[Name], list(names), "The list of the file's keypoints")
    return Skeleton("file", tuple(names), (), (1.0,) * len(names))


def track_ids(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Ids of the people of a file, and what to say about them.

    A whole number, alone or after ``track_``, is the id; if any name is something else, or two
    are the same, all are numbered in the order of the file.
    """
    found = [re.fullmatch(r"(?:track[_ ]?)?(\d{1,9})", name) for name in names]
    ids = [int(match.group(1)) for match in found if match]
    if len(ids) == len(names) and len(set(ids)) == len(ids):
        return ids, ()
    listed = ", ".join(f"{name[:40]!r} is {number}" for number, name in enumerate(names[:_LISTED]))
    return list(range(len(names))), (f"People are numbered in the order of the file: {listed}.",)


def time_notes(
    frames: NDArray[np.integer], times_s: FloatArray, info: VideoInfo
) -> tuple[str, ...]:
    """What to say if the times a file gives for some frames are not the video's."""
    inside = (frames >= 0) & (frames < info.num_frames) & np.isfinite(times_s)
    late = np.abs(times_s[inside] - info.times_s[frames[inside]])
    if not len(late) or late.max() < 0.5 / info.fps:
        return ()
    return (
        f"The file's times are up to {late.max():.2f} s away from those of {info.path.name}, whose "
        f"frame rate is {info.fps:.2f}: another frame rate? Frames were matched by their number.",
    )


def canonical_name(name: str) -> str:
    """A keypoint's name as our skeletons spell it: ``LKnee``, ``knee_l`` -> ``left_knee``."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", name.strip())
    parts = [part for part in re.split(r"[\s_.\-]+", words.lower()) if part]
    if len(parts) > 1 and parts[0] in _SIDES:
        side, rest = _SIDES[parts[0]], parts[1:]
    elif len(parts) > 1 and parts[-1] in _SIDES:
        side, rest = _SIDES[parts[-1]], parts[:-1]
    else:
        side, rest = "", parts
    point = "_".join(rest)
    point = _SAME.get(point, point)
    return f"{side}_{point}" if side else point


def _renamed(sequence: PoseSequence, skeleton: Skeleton, notes: list[str]) -> PoseSequence:
    names = sequence.skeleton.keypoints
    theirs = [canonical_name(name) for name in names]
    ours = [canonical_name(name) for name in skeleton.keypoints]
    twice = sorted({name for name in theirs if theirs.count(name) > 1 and name in ours})
    if twice:
        raise FormatError(f"The file has two keypoints called {', '.join(twice)}; rename one.")
    source = np.array([theirs.index(name) if name in theirs else -1 for name in ours], np.int64)
    if not (source >= 0).any():
        raise FormatError(
            f"None of the file's keypoints ({', '.join(names[:_LISTED])}) is one of "
            f"{skeleton.name!r} ({', '.join(skeleton.keypoints[:_LISTED])}, ...); rename them."
        )
    notes += _name_notes(names, theirs, ours, skeleton)

    def moved(values: NDArray[np.floating]) -> FloatArray:
        result = values[:, np.maximum(source, 0)].astype(np.float32)
        result[:, source < 0] = np.nan
        return result

    origin = sequence.origin[:, np.maximum(source, 0)].copy()
    origin[:, source < 0] = Origin.PREDICTED
    return PoseSequence(
        skeleton=skeleton,
        track_id=sequence.track_id,
        frames=sequence.frames,
        keypoints=moved(sequence.keypoints),
        confidence=moved(sequence.confidence),
        covariance=moved(sequence.covariance),
        origin=origin,
    )


def _name_notes(
    names: Sequence[str], theirs: list[str], ours: list[str], skeleton: Skeleton
) -> list[str]:
    notes = []
    unknown = [name for name, word in zip(names, theirs, strict=True) if word not in ours]
    if unknown:
        notes.append(f"Ignored: {_listed(unknown)}; {skeleton.name} has no such keypoints.")
    lacking = [
        name for name, word in zip(skeleton.keypoints, ours, strict=True) if word not in theirs
    ]
    if lacking:
        notes.append(f"Missing in the file, so unknown: {_listed(lacking)}.")
    shared = [word for word in theirs if word in ours]
    if shared != [word for word in ours if word in theirs]:
        notes.append("The file has its keypoints in another order; they were matched by name.")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _in_frames(
    sequences: list[PoseSequence], poses: ForeignPoses, info: VideoInfo
) -> tuple[list[PoseSequence], list[str]]:
    """The poses in our video's frames: by time if the file's times are others, else as they are."""
    if poses.times_s is not None and not _same_times(poses.times_s, info):
        return _by_time(sequences, poses.times_s, info)
    last = max((int(s.frames[-1]) for s in sequences if len(s)), default=-1)
    first = min((int(s.frames[0]) for s in sequences if len(s)), default=0)
    if last >= info.num_frames or first < 0:
        raise FormatError(
            f"The file has poses in the frames {first} to {last}, but {info.path.name} has "
            f"frames 0 to {info.num_frames - 1}; give the video the poses were made from."
        )
    notes = []
    if poses.num_frames is not None and poses.num_frames != info.num_frames:
        notes.append(
            f"The file knows {poses.num_frames} frames, {info.path.name} has {info.num_frames}; "
            "frames were matched by their number."
        )
    return sequences, notes


def _same_times(times_s: FloatArray, info: VideoInfo) -> bool:
    count = min(len(times_s), info.num_frames)
    if len(times_s) != info.num_frames and abs(len(times_s) - info.num_frames) > 1:
        return False
    step = 1 / info.fps
    return bool(np.all(np.abs(times_s[:count] - info.times_s[:count]) < step / 2))


def _by_time(
    sequences: list[PoseSequence], times_s: FloatArray, info: VideoInfo
) -> tuple[list[PoseSequence], list[str]]:
    """Each pose in our frame nearest in time: of two the nearer; none if none is near."""
    result, lost, furthest = [], 0, 0.0
    for sequence in sequences:
        when = times_s[sequence.frames]
        nearest = _nearest(when, info.times_s)
        distance = np.abs(when - info.times_s[nearest])
        rows: dict[int, int] = {}
        for row in np.argsort(distance)[::-1].tolist():  # the nearest comes last and stays
            if distance[row] <= 0.5 / info.fps:
                rows[int(nearest[row])] = row
        frames = sorted(rows)
        chosen = np.array([rows[frame] for frame in frames], np.int64)
        lost += len(sequence) - len(chosen)
        furthest = max(furthest, float(distance[chosen].max(initial=0)))
        result.append(_taken(sequence, frames, chosen))
    fps = 1 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else float("nan")
    note = (
        f"The file has {len(times_s)} frames at {fps:.2f} a second, {info.path.name} has "
        f"{info.num_frames} at {info.fps:.2f}: poses were matched by time, at most "
        f"{furthest * 1000:.0f} ms off; {lost} poses have no frame of their own and were left out."
    )
    return result, [note]


def _nearest(values: FloatArray, among: FloatArray) -> NDArray[np.int64]:
    """Index of the entry of the increasing ``among`` that is nearest to each value."""
    after = np.clip(np.searchsorted(among, values), 1, max(len(among) - 1, 1))
    after = np.minimum(after, len(among) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(values - among[before] <= among[after] - values, before, after)


def _taken(sequence: PoseSequence, frames: list[int], rows: NDArray[np.int64]) -> PoseSequence:
    return replace(
        sequence,
        frames=np.array(frames, np.int32),
        keypoints=sequence.keypoints[rows],
        confidence=sequence.confidence[rows],
        covariance=sequence.covariance[rows],
        origin=sequence.origin[rows].reshape(len(rows), len(sequence.skeleton)),
    )


def _with_origin(sequence: PoseSequence, origin: Origin) -> PoseSequence:
    known = np.isfinite(sequence.keypoints).all(axis=-1)
    confidence = sequence.confidence
    if origin is Origin.CORRECTED:
        confidence = np.where(known, np.float32(np.nan), confidence)
    return replace(
        sequence,
        confidence=confidence,
        origin=np.where(known, np.uint8(origin), np.uint8(Origin.PREDICTED)),
    )
