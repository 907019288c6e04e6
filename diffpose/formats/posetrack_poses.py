"""Our poses as a PoseTrack18 sequence of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from diffpose.errors import FormatError
from diffpose.formats.common import check_sequences, known_keypoints, scores
from diffpose.formats.posetrack import write_posetrack
from diffpose.formats.posetrack_records import (
    PoseTrackFrame,
    PoseTrackSequence,
    posetrack_image_id,
)
from diffpose.geometry import box_of_points
from diffpose.poses import PoseSequence, VideoInfo
from diffpose.skeleton import POSETRACK15, convert

_MOST_TRACKS = 1000  # poseval's ids are 0 to 999


def write_posetrack_poses(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    *,
    min_confidence: float = 0.3,
) -> None:
    """Write poses as PoseTrack18 predictions: every frame of the video, with its people.

    The 15 keypoints are picked by name; one that the skeleton has not (COCO's has no
    ``head_top`` and ``head_bottom``) is 0, 0, 0 with score 0, never another keypoint's. Pictures
    that carry PoseTrack's own names keep them and their ids; frames of another video are called
    ``images/val/000001_mpii_test/<frame>.jpg``, so that the ids follow PoseTrack's rule.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video or pictures the poses belong to.
        min_confidence: Below it a keypoint counts as occluded.

    Raises:
        FormatError: A track id above 999, or a video longer than 10,000 frames, which
            PoseTrack's ids cannot number.
    """
    check_sequences(sequences, info)
    if any(s.track_id >= _MOST_TRACKS for s in sequences):
        raise FormatError(
            f"PoseTrack's track ids are 0 to {_MOST_TRACKS - 1}; renumber the people."
        )
    names = _names(info)
    rows = [{int(frame): row for row, frame in enumerate(s.frames)} for s in sequences]
    points = [convert(s.keypoints, s.skeleton, POSETRACK15) for s in sequences]
    score = [
        convert(np.where(known_keypoints(s), scores(s), 0), s.skeleton, POSETRACK15, axis=-1)
        for s in sequences
    ]
    frames = []
    for frame, (name, image_id) in enumerate(names):
        here = [number for number, row_of in enumerate(rows) if frame in row_of]
        keypoints = np.array([points[n][rows[n][frame]] for n in here]).reshape(-1, 15, 2)
        found = np.array([score[n][rows[n][frame]] for n in here]).reshape(-1, 15)
        boxes = [
            box_of_points(p) if np.isfinite(p).any() else np.full(4, np.nan) for p in keypoints
        ]
        frames.append(
            PoseTrackFrame(
                name=name,
                keypoints=keypoints.astype(np.float64),
                image_id=image_id,
                scores=np.nan_to_num(found),
                visible=~(found < min_confidence),
                boxes=np.array(boxes).reshape(-1, 4),
                track_ids=np.array([sequences[n].track_id for n in here], np.int64),
                size=info.size,
            )
        )
    write_posetrack(path, PoseTrackSequence(info.path.stem, tuple(frames)))


def _names(info: VideoInfo) -> list[tuple[str, int]]:
    """File name and image id of every frame."""
    result = []
    for frame in range(info.num_frames):
        name = info.names[frame] if info.names else f"images/val/000001_mpii_test/{frame:06d}.jpg"
        path = PurePosixPath(name)
        number = int(path.stem) if path.stem.isdecimal() else frame
        image_id = posetrack_image_id(path.parent.name, number)
        if image_id is None and not info.names:
            raise FormatError(
                f"{info.path.name} has {info.num_frames} frames; PoseTrack's ids number 10,000. "
                "Cut the video, or choose another format."
            )
        result.append((name, frame if image_id is None else image_id))
    return result
