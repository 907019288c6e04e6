"""DiffPose's own JSON file: everything a pose sequence holds, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import (
    PoseKey,
    check_sequences,
    ordered_poses,
    provenance_from_json,
    provenance_to_json,
    read_json,
    to_json,
    to_json_numbers,
)
from diffpose.names import parse_video_id
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
            f"{path} has version {version} of the DiffPose format, this program reads {VERSION}; "
            "update DiffPose."
        )
    try:
        info = _video_from_json(content["video"])
        skeleton = _skeleton_from_json(content["skeleton"]) if content["skeleton"] else None
        provenance = provenance_from_json(content["provenance"])
        tracks = content["tracks"]
        sequences = tuple(_track_from_json(track, skeleton) for track in tracks)
        check_sequences(sequences, info)
        order = _order_from_json(tracks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise FormatError(f"{path} is damaged: {error}") from error
        raise FormatError(f"{path} is damaged ({error!r}); export the poses again.") from error
    return NativePoses(sequences, info, provenance, order)


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
    }


def _video_from_json(content: dict[str, Any]) -> VideoInfo:
    return VideoInfo(
        path=Path(content["name"]),
        video_id=parse_video_id(content["video_id"]),
        width=int(content["width"]),
        height=int(content["height"]),
        times_s=np.array(content["times_s"], np.float64),
        warnings=tuple(content["warnings"]),
        names=tuple(content["names"]),
    )


def _skeleton_to_json(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "edges": [list(edge) for edge in skeleton.edges],
        "sigmas": list(skeleton.sigmas),
    }


def _skeleton_from_json(content: dict[str, Any]) -> Skeleton:
    return Skeleton(
        name=content["name"],
        keypoints=tuple(content["keypoints"]),
        edges=tuple((a, b) for a, b in content["edges"]),
        sigmas=tuple(float(sigma) for sigma in content["sigmas"]),
    )


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


def _track_from_json(content: dict[str, Any], skeleton: Skeleton | None) -> PoseSequence:
    if skeleton is None:
        raise FormatError("Expected a skeleton for its tracks, got none.")
    poses, num = content["frames"], len(skeleton)

    def stacked(name: str, shape: tuple[int, ...]) -> FloatArray:
        values = np.array([pose[name] for pose in poses], np.float32)
        return values if poses else values.reshape(0, num, *shape)

    origin = [[Origin[name.upper()] for name in pose["origin"]] for pose in poses]
    return PoseSequence(
        skeleton=skeleton,
        track_id=int(content["track_id"]),
        frames=np.array([pose["frame"] for pose in poses], np.int32),
        keypoints=stacked("keypoints", (2,)),
        confidence=stacked("confidence", ()),
        covariance=stacked("covariance", (2, 2)),
        origin=np.array(origin, np.uint8).reshape(len(poses), num),
    )


def _order_from_json(tracks: list[dict[str, Any]]) -> tuple[PoseKey, ...] | None:
    keyed = [
        (pose.get("index"), (int(track["track_id"]), int(pose["frame"])))
        for track in tracks
        for pose in track["frames"]
    ]
    if not keyed or any(index is None for index, _ in keyed):
        return None
    return tuple(key for _, key in sorted(keyed))
