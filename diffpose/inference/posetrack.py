"""An estimator's poses of a whole PoseTrack split, for one kind of person boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffpose.data.posetrack import PoseTrackSource, window_rows
from diffpose.formats.detections import FrameBoxes
from diffpose.formats.posetrack_records import PoseTrackFrame, PoseTrackSequence
from diffpose.inference.boxed import BoxedPerson, estimate_boxed
from diffpose.inference.estimator import Estimator
from diffpose.poses import SamplingConfig
from diffpose.skeleton import POSETRACK15
from diffpose.tracking.associate import Detections


class Detector(Protocol):
    """What finds people."""

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """People in each picture, best first."""


def annotated_boxes(source: PoseTrackSource) -> dict[str, FrameBoxes]:
    """The ground truth's boxes of everybody with keypoints, by the name of the picture."""
    rows: dict[str, list[int]] = {}
    frames: dict[str, PoseTrackFrame] = {}
    for person in source.people:
        frame = source.sequences[person.sequence].frames[person.frame]
        rows.setdefault(frame.name, []).append(person.row)
        frames[frame.name] = frame
    return {
        name: FrameBoxes(
            frames[name].boxes[chosen], np.ones(len(chosen)), frames[name].track_ids[chosen]
        )
        for name, chosen in rows.items()
    }


def detected_boxes(
    source: PoseTrackSource,
    detector: Detector,
    *,
    progress: Callable[[float], None] = lambda done: None,
) -> dict[str, FrameBoxes]:
    """What a person detector finds in every labelled picture."""
    names = [f.name for s in source.sequences for f in s.frames if f.labeled]
    found = {}
    for number, name in enumerate(names):
        people = detector.detect([source.pictures[name]])[0]
        found[name] = FrameBoxes(
            people.boxes.astype(np.float64),
            people.scores.astype(np.float64),
            np.arange(len(people.boxes)),
        )
        progress((number + 1) / len(names))
    return found


def estimate_posetrack(
    estimator: Estimator,
    source: PoseTrackSource,
    boxes: Mapping[str, FrameBoxes],
    sampling: SamplingConfig,
    *,
    progress: Callable[[float], None] = lambda done: None,
) -> list[PoseTrackSequence]:
    """Poses of everybody with a box: predictions that `posetrack_ap` scores.

    Every window is the paper's: the box of the centre frame, enlarged by 25 %, crops all frames.
    A keypoint's score is its confidence times the box's score.

    Args:
        estimator: Of any skeleton that has PoseTrack's keypoints; those it lacks are missing.
        source: The annotated sequences and their pictures.
        boxes: By the name of the centre picture; none for a picture: nobody there.
        sampling: K, E, seed.
        progress: Receives the finished fraction.

    Returns:
        For each sequence of the source one with the same pictures.
    """
    wanted = _wanted(source, boxes, 2 * estimator.radius + 1)
    keypoints, confidence = estimate_boxed(
        estimator, source.pictures, wanted, sampling, skeleton=POSETRACK15, progress=progress
    )
    rows_of: dict[str, list[int]] = {}
    for row, person in enumerate(wanted):
        rows_of.setdefault(person.centre, []).append(row)

    def poses_of(frame: PoseTrackFrame) -> PoseTrackFrame:
        rows = rows_of.get(frame.name)
        if not rows:
            return _empty(frame)
        given = boxes[frame.name]
        return PoseTrackFrame(
            name=frame.name,
            image_id=frame.image_id,
            labeled=frame.labeled,
            size=frame.size,
            keypoints=keypoints[rows].astype(np.float64),
            scores=confidence[rows] * given.scores[:, None],
            boxes=given.boxes,
            track_ids=given.track_ids,
        )

    return [
        PoseTrackSequence(s.name, tuple(poses_of(f) for f in s.frames), s.year)
        for s in source.sequences
    ]


def _empty(frame: PoseTrackFrame) -> PoseTrackFrame:
    nobody = np.zeros((0, len(POSETRACK15), 2))
    return PoseTrackFrame(
        name=frame.name, image_id=frame.image_id, labeled=frame.labeled, size=frame.size,
        keypoints=nobody,
    )  # fmt: skip


def _wanted(
    source: PoseTrackSource, boxes: Mapping[str, FrameBoxes], num_frames: int
) -> list[BoxedPerson]:
    wanted = []
    for sequence in source.sequences:
        names = [frame.name for frame in sequence.frames]
        for position, name in enumerate(names):
            rows = window_rows(position, num_frames, len(names))
            window = tuple(names[row] for row in rows)
            given = boxes[name].boxes if name in boxes else ()
            wanted += [BoxedPerson(window, np.asarray(box, np.float64)) for box in given]
    return wanted
