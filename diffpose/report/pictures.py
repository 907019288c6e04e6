"""Pictures of chosen moments: skeleton drawn, heads hidden if wanted, cut around the person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffpose.draw import draw_pose
from diffpose.poses import PoseSequence
from diffpose.privacy import blur_circles, heads_by_frame
from diffpose.report.content import KeyFrame, Moment, view_of_person
from diffpose.video.decode import Video


def picture_moments(
    video: Video,
    sequences: Sequence[PoseSequence],
    sequence: PoseSequence,
    moments: Sequence[Moment],
    *,
    blur: bool,
) -> list[KeyFrame]:
    """One picture for each moment, of the pose nearest in time.

    Args:
        video: Open; the poses were made from it.
        sequences: Everybody's poses: all their heads are hidden.
        sequence: The poses that are drawn.
        moments: When.
        blur: Hide heads.
    """
    times = video.info.times_s[sequence.frames]
    heads = heads_by_frame(sequences, video.info) if blur else {}
    shown = []
    for moment in moments:
        row = int(np.argmin(np.abs(times - moment.time_s)))
        frame = int(sequence.frames[row])
        picture = video.frame(frame)
        if frame in heads:
            picture = blur_circles(picture, heads[frame])
        drawn = draw_pose(
            picture,
            sequence.keypoints[row],
            skeleton=sequence.skeleton,
            confidence=sequence.confidence[row],
            covariance=sequence.covariance[row],
        )
        view = view_of_person(drawn, sequence.keypoints[row])
        shown.append(KeyFrame(view, moment.caption, moment.time_s))
    return shown
