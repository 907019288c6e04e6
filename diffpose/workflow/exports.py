"""Poses of a project, of a file or of a run, ready to be written in any format.

The app and the command line export here, so both write the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffpose.errors import SettingsError
from diffpose.formats.common import PoseKey
from diffpose.formats.exporting import ExportSettings, export_sequences
from diffpose.formats.overlay import FrameSource
from diffpose.poses import PoseSequence, Provenance, VideoInfo
from diffpose.review.corrections import fold
from diffpose.review.provenance import provenance_of
from diffpose.review.queue import ReviewItem, order
from diffpose.review.session import ReviewSession


@dataclass(frozen=True)
class Exportable:
    """Poses and all that a format may hold of them.

    Attributes:
        sequences: Tracks, with all corrections.
        info: Their video.
        provenance: What made them.
        predictions: As the model made them.
        queue: Gives the frames to look at, the most urgent first.
        order: Of the boxes, for unrelated pictures.
    """

    sequences: Sequence[PoseSequence]
    info: VideoInfo
    provenance: Provenance
    predictions: Sequence[PoseSequence]
    queue: Callable[[], list[ReviewItem]]
    order: Sequence[PoseKey] | None = None


def of_project(session: ReviewSession, info: VideoInfo) -> Exportable:
    """The poses of one video of a project, as reviewed."""
    store = session.store
    ids = [i for i in session.track_ids if store.video_of(i).video_id == info.video_id]
    return Exportable(
        sequences=[session.reviewed(track_id).poses for track_id in ids],
        info=info,
        provenance=provenance_of(store, ids),
        predictions=[store.predictions(track_id) for track_id in ids],
        queue=lambda: [i for i in session.queue(target_px=0.0) if i.track_id in ids],
    )


def of_sequences(
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    order: Sequence[PoseKey] | None = None,
) -> Exportable:
    """Poses that lie in no project."""
    return Exportable(sequences, info, provenance, (), lambda: _queue_of(sequences), order)


def export(
    found: Exportable,
    format_name: str,
    path: Path | str,
    *,
    track_ids: Collection[int] | None = None,
    metres_per_px: float | None = None,
    video: FrameSource | None = None,
    blur_faces: bool = False,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Path, ...]:
    """Write poses in a format of `diffpose.formats.exporting.EXPORT_FORMATS`.

    Args:
        found: The poses.
        format_name: The format.
        path: The main file; its folder must exist.
        track_ids: Only these people; None for all.
        metres_per_px: Scale, for TRC and C3D.
        video: The video of the poses, for the overlay.
        blur_faces: Hide the heads of all people in the overlay, also of those who are not drawn.
        progress: Called with how far the overlay is.
        cancelled: Asked before every frame of the overlay.

    Returns:
        The files written, the main one first.

    Raises:
        SettingsError: No such format or track, a package is missing, or the video is.
        FormatError: The format cannot hold these poses.
        InputError: The files cannot be written there.
        CancelledError: ``cancelled`` said so; nothing is written.
    """
    settings = ExportSettings(
        metres_per_px=metres_per_px,
        order=found.order if track_ids is None else None,
        predictions=found.predictions,
        queue=list(dict.fromkeys(i.frame for i in found.queue())) if format_name == "sleap" else (),
        video=video,
        blurred=found.sequences if blur_faces else (),
        progress=progress,
        cancelled=cancelled,
    )
    chosen = _chosen(found.sequences, track_ids)
    return export_sequences(
        format_name, path, chosen, found.info, found.provenance, settings=settings
    )


def _queue_of(sequences: Sequence[PoseSequence]) -> list[ReviewItem]:
    items = [item for s in sequences for item in order(fold(s, []), target_px=0.0)]
    return sorted(items, key=lambda item: -item.gain_px)


def _chosen(
    sequences: Sequence[PoseSequence], track_ids: Collection[int] | None
) -> list[PoseSequence]:
    if track_ids is None:
        return list(sequences)
    known = [s.track_id for s in sequences]
    missing = [str(track_id) for track_id in track_ids if track_id not in known]
    if missing:
        raise SettingsError(
            f"There is no track {', '.join(missing)}; the tracks are "
            f"{', '.join(map(str, known)) or 'none'}."
        )
    return [s for s in sequences if s.track_id in track_ids]
