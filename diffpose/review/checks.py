"""What an action must look like to be written down, and how it is described to the reviewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import CorrectionError
from diffpose.poses import VideoInfo
from diffpose.review.blobs import check_poses
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.events import (
    REASONS,
    AcceptSuggestion,
    Action,
    Confirm,
    CopyPrevious,
    Hide,
    Move,
    MoveBody,
    OutOfFrame,
    Redo,
    SetPose,
    Show,
    Swap,
    Unconfirm,
    Undo,
    Visibility,
    frames_of,
)
from diffpose.review.limits import MAX_PLACE
from diffpose.review.rows import DamagedError, damaged
from diffpose.review.suggestions import Suggestion
from diffpose.skeleton import Skeleton

_WORDS: dict[type, str] = {
    Move: "moved {name} in {where}",
    Hide: "called {name} occluded in {where}",
    OutOfFrame: "called {name} out of the picture in {where}",
    Show: "called {name} visible in {where}",
    Confirm: "confirmed {where}",
    Unconfirm: "took back the confirmation of {where}",
    Swap: "exchanged left and right in {where}",
    MoveBody: "moved the whole pose in {where}",
    CopyPrevious: "copied the pose of frame {source} to {where}",
    SetPose: "set the pose ({reason}) in {where}",
    AcceptSuggestion: "took the suggestion for {where}",
}


def check_action(action: Action, reviewed: ReviewedTrack, video: VideoInfo) -> None:
    """Refuse an action that means nothing for this track.

    Raises:
        CorrectionError: An unknown keypoint, a frame outside the video or without a pose, a
            position outside the picture or not finite.
    """
    _check_frames(action, reviewed, video)
    if isinstance(action, Move | Visibility):
        _check_keypoint(action.keypoint, reviewed.poses.skeleton)
    if isinstance(action, Move):
        _check_place(action.xy, video)
    if isinstance(action, MoveBody):
        _check_shift(action.shift_xy, video)
    if isinstance(action, SetPose):
        _check_pose(action, reviewed.poses.skeleton)
    if isinstance(action, AcceptSuggestion):
        check_suggestion(action, reviewed, action.track_id)


def check_stored(action: Action, skeleton: Skeleton, num_frames: int) -> None:
    """Refuse an action of a log that the poses of its track cannot be folded with.

    `check_action` lets none of these into a log; a file may hold anything.

    Args:
        action: From a project file.
        skeleton: Of the action's track.
        num_frames: Of the track's video.

    Raises:
        DamagedError: A keypoint, frame, place or shape that the track does not have.
    """
    if isinstance(action, Undo | Redo):
        return
    frames, num = frames_of(action), len(skeleton)
    if isinstance(action, CopyPrevious):
        frames = action.frame, action.from_frame
    elif isinstance(action, Swap):
        frames = action.first, action.last
    if frames and not (min(frames) >= 0 and max(frames) < num_frames):
        raise damaged("the frames of an action", f"0 to {num_frames - 1}", frames)
    if isinstance(action, Move | Visibility) and not 0 <= action.keypoint < num:
        raise damaged("the keypoint of an action", f"0 to {num - 1}", action.keypoint)
    place = getattr(action, "xy", getattr(action, "shift_xy", (0.0, 0.0)))
    if max(map(abs, place)) > MAX_PLACE:
        raise damaged("the place of an action", f"at most {MAX_PLACE:.0f} px", place)
    if isinstance(action, AcceptSuggestion):
        count = len(action.frames)
        _check_shape(action.keypoints, (count, num, 2))
        _check_shape(action.covariance, (count, num, 2, 2))
        _check_shape(action.confidence, (count, num))
        check_poses(action.keypoints, action.covariance, action.confidence)
    elif isinstance(action, MoveBody | CopyPrevious | SetPose) and action.keypoints is not None:
        _check_shape(action.keypoints, (num, 2))
        if not (np.isnan(action.keypoints) | (np.abs(action.keypoints) <= MAX_PLACE)).all():
            raise DamagedError(f"expected the poses of an action within {MAX_PLACE:.0f} px")


def _check_shape(array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise damaged("the shape of an action's pose", str(shape), array.shape)


def check_suggestion(
    suggestion: Suggestion | AcceptSuggestion, reviewed: ReviewedTrack, track_id: int
) -> NDArray[np.intp]:
    """The rows (M,) of the track that a suggestion is about.

    Raises:
        CorrectionError: Another track, frames without a pose, arrays of other shapes, infinity.
    """
    count, num = len(suggestion.frames), len(reviewed.poses.skeleton)
    shapes = [np.shape(a) for a in (
        suggestion.keypoints, suggestion.covariance, suggestion.confidence
    )]  # fmt: skip
    wanted = [(count, num, 2), (count, num, 2, 2), (count, num)]
    if shapes != wanted or suggestion.track_id != track_id:
        raise CorrectionError(
            f"Expected suggested keypoints, covariance and confidence of shapes {wanted} for "
            f"track {track_id}, got {shapes} for track {suggestion.track_id}."
        )
    if np.isinf(suggestion.keypoints).any():
        raise CorrectionError("Expected finite suggested positions, got infinity.")
    rows = [reviewed.row(int(frame)) for frame in suggestion.frames]
    found = [row for row in rows if row is not None]
    if len(set(found)) != count or count == 0:
        raise CorrectionError(
            f"Expected one or more different frames of track {track_id}, "
            f"got {tuple(suggestion.frames)}."
        )
    return np.array(found)


def describe(action: Action, skeleton: Skeleton) -> str:
    """One line for the reviewer: 'moved left knee in frame 12'; frames count from 1 here."""
    name = ""
    if isinstance(action, Move | Visibility):
        name = skeleton.keypoints[action.keypoint].replace("_", " ")
    return _WORDS[type(action)].format(
        name=name,
        where=_frames_in_words(frames_of(action)),
        source=action.from_frame + 1 if isinstance(action, CopyPrevious) else "",
        reason=getattr(action, "reason", ""),
    )


def _frames_in_words(frames: Sequence[int]) -> str:
    """As the page counts them: from 1."""
    if len(frames) == 1:
        return f"frame {frames[0] + 1}"
    if len(frames) and frames[-1] - frames[0] + 1 == len(frames):
        return f"frames {frames[0] + 1} to {frames[-1] + 1}"
    return f"{len(frames)} frames"


def _check_frames(action: Action, reviewed: ReviewedTrack, video: VideoInfo) -> None:
    frames = frames_of(action)
    if not len(frames):
        raise CorrectionError("Expected at least one frame, the first not after the last.")
    for frame in (frames[0], frames[-1]) if isinstance(action, Swap) else frames:
        if not 0 <= frame < video.num_frames:
            raise CorrectionError(f"The video has {video.num_frames} frames, got index {frame}.")
    # A point can be placed where nobody was found; everything else changes a pose that is there.
    needed: Sequence[int] = frames
    if isinstance(action, Move | SetPose | Swap):
        needed = ()
    elif isinstance(action, CopyPrevious):
        needed = (action.from_frame,)
    missing = [frame for frame in needed if reviewed.row(frame) is None]
    if missing:
        raise CorrectionError(
            f"Track {action.track_id} has no pose in {_frames_in_words(missing)}, counted from 1; "
            f"place a keypoint there first or choose another frame."
        )


def _check_keypoint(keypoint: int, skeleton: Skeleton) -> None:
    if not 0 <= keypoint < len(skeleton):
        raise CorrectionError(
            f"Skeleton {skeleton.name!r} has keypoints 0 to {len(skeleton) - 1}, got {keypoint}."
        )


def _check_place(xy: tuple[float, float], video: VideoInfo) -> None:
    inside = all(
        -0.5 <= value <= size - 0.5
        for value, size in zip(xy, (video.width, video.height), strict=True)
    )
    if not inside:
        raise CorrectionError(
            f"Expected a position inside the picture of {video.width} x {video.height} pixels, "
            f"got {xy}; call the keypoint out of frame if it is not in the picture."
        )


def _check_shift(shift_xy: tuple[float, float], video: VideoInfo) -> None:
    if not all(
        abs(value) <= size
        for value, size in zip(shift_xy, (video.width, video.height), strict=True)
    ):
        raise CorrectionError(
            f"Expected a shift of no more than the picture of {video.width} x {video.height} "
            f"pixels, got {shift_xy}."
        )


def _check_pose(action: SetPose, skeleton: Skeleton) -> None:
    if np.shape(action.keypoints) != (len(skeleton), 2):
        raise CorrectionError(
            f"Expected keypoints of shape ({len(skeleton)}, 2), got {np.shape(action.keypoints)}."
        )
    if np.isinf(action.keypoints).any() or not np.isfinite(action.keypoints).all(-1).any():
        raise CorrectionError("Expected at least one keypoint with a finite position.")
    if action.reason not in REASONS:
        raise CorrectionError(f"Expected a reason among {', '.join(REASONS)}, got {action.reason}.")
