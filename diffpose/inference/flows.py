"""The motion of a tracked person between neighbouring frames, found once and kept."""

from __future__ import annotations

import hashlib

import numpy as np

from diffpose.geometry import crop_affine, union_box
from diffpose.inference.features import FeatureCache
from diffpose.inference.interfaces import FrameSource
from diffpose.poses import Track
from diffpose.tracking.flow import FLOW_SIZE, Flow, find_flow


def person_flows(
    video: FrameSource, track: Track, frames: range, *, cache: FeatureCache
) -> dict[int, Flow]:
    """The motion from each frame to the next, in a crop around the person in both.

    Args:
        video: Read only where a motion is not in the cache.
        track: The person's boxes.
        frames: First frames of the pairs; those without a box in both are left out.
        cache: Of motions too.

    Returns:
        Motions by their first frame.
    """
    inside = (track.frames >= frames.start) & (track.frames <= frames.stop)
    boxes = dict(zip(track.frames[inside].tolist(), track.boxes[inside], strict=True))
    last = video.info.num_frames - 1
    pairs = {
        frame: np.stack([boxes[frame], boxes[frame + 1]])
        for frame in frames
        if frame in boxes and frame + 1 in boxes and frame < last
    }
    keys = {frame: _key(video, frame, pair) for frame, pair in pairs.items()}
    found: dict[int, Flow] = {}
    missing = []
    for frame, key in keys.items():
        kept = cache.get(key)
        if kept is None:
            missing.append(frame)
        else:
            found[frame] = kept
    for stretch in np.split(np.array(missing), np.flatnonzero(np.diff(missing) != 1) + 1):
        if not len(stretch):
            continue
        before = None
        for index, picture in video.frames(int(stretch[0]), int(stretch[-1]) + 2):
            if before is not None:
                frame = index - 1
                affine = crop_affine(union_box(pairs[frame]), size=FLOW_SIZE)
                found[frame] = find_flow(before, picture, affine)
                cache.put(keys[frame], found[frame], num_bytes=found[frame].nbytes)
            before = picture
    return found


def _key(video: FrameSource, frame: int, boxes: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(boxes).tobytes()).hexdigest()
    return f"flow/{video.info.video_id}/{frame}/{digest}"
