"""DiffPose's own JSON file: everything a pose sequence holds, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NotRequired

import numpy as np
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from diffpose.checked import Index, Name, Number, Plain, Single, Text, Whole, validate
from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import (
    PoseKey,
    check_sequences,
    ordered_poses,
    provenance_from_json,
    provenance_to_json,
    read_json,
    refuse_twice,
    to_json,
    to_json_numbers,
)
from diffpose.names import VideoId, parse_video_id
from diffpose.poses import FloatArray, Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import Skeleton

FORMAT = "diffpose"
VERSION = 1


@dataclass(frozen=True)
class NativePoses:
    """The content of a native file.

    Attributes:
        sequences: One per track, in the order of the file.
        info: The video; its path is the name only, because files travel.
        provenance: What made the poses.
        order: (track_id, frame) of every pose in the order the boxes were given; None if the
            file does not say.
    """

    sequences: tuple[PoseSequence, ...]
    info: VideoInfo
    provenance: Provenance
    order: tuple[PoseKey, ...] | None = None


def write_native(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    order: Sequence[PoseKey] | None = None,
) -> None:
    """Write poses so that `read_native` gives back the same arrays, bit for bit.

    Args:
        path: File to write; an old one is replaced only once the new one is complete.
        sequences: Tracks of one skeleton with distinct ids, keypoints in video pixels.
        info: The video or pictures the poses belong to.
        provenance: What made the poses.
        order: (track_id, frame) of every pose in the order the boxes were given. Written for
            pictures in any case: frame by frame if not given.

    Raises:
        FormatError: Two skeletons, a track id twice, a frame outside the video.
        InputError: The file cannot be written there.
    """
    skeleton = check_sequences(sequences, info)
    index: dict[PoseKey, int] = {}
    if order is not None or info.names:
        for position, (sequence, row) in enumerate(ordered_poses(sequences, order)):
            index[sequence.track_id, int(sequence.frames[row])] = position
    head = [
        f'"format": {to_json(FORMAT)}',
        f'"version": {VERSION}',
        f'"video": {to_json(_video_to_json(info))}',
        f'"skeleton": {to_json(None if skeleton is None else _skeleton_to_json(skeleton))}',
        f'"provenance": {to_json(provenance_to_json(provenance))}',
    ]
    # One line per pose: a person can read it, and a diff shows which poses changed.
    tracks = ",\n".join(_track_text(sequence, info, index) for sequence in sequences)
    atomic_write(path, "{\n" + ",\n".join(head) + ',\n"tracks": [\n' + tracks + "\n]\n}\n")


def read_native(path: Path | str) -> NativePoses:
    """Read a file of `write_native`.

    Raises:
        FormatError: Another format, a newer version, or a damaged file.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FormatError(
            f'Expected a DiffPose file ("format": "diffpose"), got another JSON file: {path}; '
            "give the file that diffpose infer writes."
        )
    version = content.get("version")
    if version != VERSION:
        raise FormatError(
            f"{path} has version {str(version)[:40]} of the DiffPose format, this program reads "
            f"{VERSION}; update DiffPose."
        )
    stored = validate(_StoredFile, content, f"{path} is damaged: it")
    try:
        info = _video(stored["video"])
        skeleton = None if stored["skeleton"] is None else _skeleton(stored["skeleton"])
        provenance = provenance_from_json(stored["provenance"])
        tracks = stored["tracks"]
        sequences = tuple(_track(track, skeleton) for track in tracks)
        check_sequences(sequences, info)
        order = _order(tracks)
    except FormatError as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    return NativePoses(sequences, info, provenance, order)


def _checked_id(value: str) -> VideoId:
    try:
        return parse_video_id(value)
    except FormatError as error:
        raise ValueError(str(error)) from None  # what a model reports with the field's name


_Side = Annotated[Index, Field(ge=1, le=2**16)]


class _StoredVideo(TypedDict):
    name: Name
    video_id: Annotated[str, AfterValidator(_checked_id)]
    width: _Side
    height: _Side
    warnings: list[Text]
    names: list[Name]
    times_s: list[Number]
    stored_size: NotRequired[tuple[_Side, _Side]]


class _StoredSkeleton(TypedDict):
    name: Name
    keypoints: Annotated[list[Name], Field(max_length=1000)]
    edges: list[tuple[Name, Name]]
    sigmas: list[Number]


class _StoredPose(TypedDict):
    frame: Index
    index: NotRequired[Index | None]
    keypoints: list[tuple[Single | None, Single | None]]
    confidence: list[Single | None]
    covariance: list[
        tuple[tuple[Single | None, Single | None], tuple[Single | None, Single | None]]
    ]
    origin: list[Literal["predicted", "corrected", "interpolated", "resampled"]]


class _StoredTrack(TypedDict):
    track_id: Whole
    frames: list[_StoredPose]


class _StoredFile(TypedDict):
    video: _StoredVideo
    skeleton: _StoredSkeleton | None
    provenance: dict[str, Plain]
    tracks: list[_StoredTrack]


def _video_to_json(info: VideoInfo) -> dict[str, Any]:
    return {
        # The name without folders: a shared file must not tell where its owner keeps patients.
        "name": info.path.name,
        "video_id": info.video_id,
        "width": info.width,
        "height": info.height,
        "warnings": list(info.warnings),
        "names": list(info.names),
        "times_s": info.times_s.tolist(),
        **({"stored_size": list(info.stored_size)} if info.stored_size else {}),
    }


def _video(content: _StoredVideo) -> VideoInfo:
    times_s = np.array(content["times_s"], np.float64)
    if np.any(np.diff(times_s) < 0):
        raise FormatError("the times of its frames do not increase.")
    names = content["names"]
    if names and len(names) != len(times_s):
        raise FormatError(f"it names {len(names)} pictures and has {len(times_s)} frames.")
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            raise FormatError(f"the picture {name!r} would lie outside its folder.")
    return VideoInfo(
        # The name only, whatever the file says: a path of its choice is none of ours.
        path=Path(PurePosixPath(content["name"].replace("\\", "/")).name),
        video_id=content["video_id"],
        width=content["width"],
        height=content["height"],
        times_s=times_s,
        warnings=tuple(content["warnings"]),
        names=tuple(names),
        stored_size=content.get("stored_size"),
    )


def _skeleton_to_json(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "edges": [list(edge) for edge in skeleton.edges],
        "sigmas": list(skeleton.sigmas),
    }


def _skeleton(content: _StoredSkeleton) -> Skeleton:
    refuse_twice(content["keypoints"], "keypoint", "its skeleton")
    skeleton = Skeleton(
        name=content["name"],
        keypoints=tuple(content["keypoints"]),
        edges=tuple(content["edges"]),
        sigmas=tuple(content["sigmas"]),
    )
    _ = skeleton.edge_indices  # an edge to no keypoint fails now
    return skeleton


def _track_text(sequence: PoseSequence, info: VideoInfo, index: dict[PoseKey, int]) -> str:
    keypoints = to_json_numbers(sequence.keypoints)
    confidence = to_json_numbers(sequence.confidence)
    covariance = to_json_numbers(sequence.covariance)
    lines = []
    for row, frame in enumerate(sequence.frames.tolist()):
        pose: dict[str, Any] = {"frame": frame, "time_s": float(info.times_s[frame])}
        if info.names:
            pose["image"] = info.names[frame]
        if index:
            pose["index"] = index[sequence.track_id, frame]
        pose["keypoints"] = keypoints[row]
        pose["confidence"] = confidence[row]
        pose["covariance"] = covariance[row]
        pose["origin"] = [Origin(value).name.lower() for value in sequence.origin[row]]
        lines.append(to_json(pose))
    frames = ",\n".join(lines)
    return f'{{"track_id": {sequence.track_id}, "frames": [\n{frames}\n]}}'


def _track(content: _StoredTrack, skeleton: Skeleton | None) -> PoseSequence:
    if skeleton is None:
        raise FormatError("Expected a skeleton for its tracks, got none.")
    poses, num = content["frames"], len(skeleton)
    wrong = [
        pose["frame"]
        for pose in poses
        if {len(pose[k]) for k in ("keypoints", "confidence", "covariance", "origin")} != {num}
    ]
    if wrong:
        raise FormatError(f"Expected {num} keypoints of every pose, got others in {wrong[0]}.")

    def stacked(values: list[Any], *shape: int) -> FloatArray:
        return np.array(values, np.float32).reshape(len(poses), num, *shape)

    origin = [[Origin[name.upper()] for name in pose["origin"]] for pose in poses]
    return PoseSequence(
        skeleton=skeleton,
        track_id=content["track_id"],
        frames=np.array([pose["frame"] for pose in poses], np.int32),
        keypoints=stacked([pose["keypoints"] for pose in poses], 2),
        confidence=stacked([pose["confidence"] for pose in poses]),
        covariance=stacked([pose["covariance"] for pose in poses], 2, 2),
        origin=np.array(origin, np.uint8).reshape(len(poses), num),
    )


def _order(tracks: list[_StoredTrack]) -> tuple[PoseKey, ...] | None:
    keyed = [
        (pose.get("index"), (track["track_id"], pose["frame"]))
        for track in tracks
        for pose in track["frames"]
    ]
    known = [(index, key) for index, key in keyed if index is not None]
    if not keyed or len(known) < len(keyed):
        return None
    return tuple(key for _, key in sorted(known))
