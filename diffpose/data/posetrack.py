"""PoseTrack as a source of training and evaluation windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffpose.data.pictures import PictureFolder
from diffpose.data.sources import Example
from diffpose.errors import FormatError
from diffpose.formats.posetrack import find_annotations, read_posetrack_folder
from diffpose.formats.posetrack_records import PoseTrackFrame, PoseTrackSequence
from diffpose.skeleton import POSETRACK15, Skeleton, convert


@dataclass(frozen=True)
class PersonInFrame:
    """Where a person's annotation is found.

    Attributes:
        sequence: Position of the sequence.
        frame: Position of the picture in it.
        row: Position of the person in the picture.
    """

    sequence: int
    frame: int
    row: int


class PoseTrackSource:
    """Everybody with annotated keypoints in every labelled frame, as the centre of a window.

    The pictures before and after may be unlabelled; at the ends of a sequence the nearest one is
    repeated. As in the paper, the person's box in the centre frame is the box of the whole window.

    Args:
        sequences: Annotated sequences.
        folder: What the names of their pictures are relative to.
        skeleton: Keypoints of the examples; those that PoseTrack does not label are NaN.
        num_frames: T of the windows that indexing gives.

    Attributes:
        people: Whom each index stands for.

    Raises:
        FormatError: Pictures are missing, or nobody is annotated.
    """

    def __init__(
        self,
        sequences: Sequence[PoseTrackSequence],
        folder: Path,
        *,
        skeleton: Skeleton = POSETRACK15,
        num_frames: int = 5,
    ) -> None:
        self.sequences = tuple(sequences)
        self.skeleton, self.num_frames = skeleton, num_frames
        self.pictures = PictureFolder(folder, (f.name for s in sequences for f in s.frames))
        self.people = [
            PersonInFrame(number, position, int(row))
            for number, sequence in enumerate(sequences)
            for position, frame in enumerate(sequence.frames)
            for row in np.flatnonzero(_usable(frame))
        ]
        if not self.people:
            raise FormatError(
                f"Expected people with keypoints and boxes in the {len(sequences)} annotation "
                "files, got none; the test split of PoseTrack is not public, use train or val."
            )
        self._rows = [
            [{int(t): row for row, t in enumerate(f.track_ids) if t >= 0} for f in s.frames]
            for s in sequences
        ]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> Example:
        return self.around(index, self.num_frames)

    def around(self, index: int, num_frames: int) -> Example:
        """The window of T pictures around a person.

        Its keypoints are NaN in pictures where the same track is not annotated.
        """
        person = self.people[index]
        frames = self.sequences[person.sequence].frames
        rows = window_rows(person.frame, num_frames, len(frames))
        keypoints = np.stack([self._keypoints(person, row) for row in rows])
        box = frames[person.frame].boxes[person.row].astype(np.float32)
        return Example(
            tuple(self.pictures[frames[row].name] for row in rows),
            convert(keypoints, POSETRACK15, self.skeleton).astype(np.float32),
            np.repeat(box[None], num_frames, axis=0),
        )

    def _keypoints(self, person: PersonInFrame, position: int) -> NDArray[np.float64]:
        frames = self.sequences[person.sequence].frames
        if position == person.frame:
            return frames[position].keypoints[person.row]
        track = int(frames[person.frame].track_ids[person.row])
        row = self._rows[person.sequence][position].get(track)
        if row is None:
            return np.full((len(POSETRACK15), 2), np.nan)
        return frames[position].keypoints[row]

    def part(self, sequences: Sequence[int]) -> PoseTrackSource:
        """Only the sequences at the given positions."""
        return PoseTrackSource(
            [self.sequences[number] for number in sequences],
            self.pictures.folder,
            skeleton=self.skeleton,
            num_frames=self.num_frames,
        )


def window_rows(centre: int, num_frames: int, length: int) -> list[int]:
    """Positions of T frames about a centre; the first and last frame stand for those beyond.

    >>> window_rows(1, 5, 9)
    [0, 0, 1, 2, 3]
    """
    radius = num_frames // 2
    return [min(max(row, 0), length - 1) for row in range(centre - radius, centre + radius + 1)]


def _usable(frame: PoseTrackFrame) -> NDArray[np.bool_]:
    """Who can be cropped and has something to learn from."""
    x1, y1, x2, y2 = np.nan_to_num(frame.boxes).T
    return np.asarray(frame.annotated.any(axis=1) & (x2 - x1 >= 1) & (y2 - y1 >= 1))


def load_posetrack(
    folder: Path, split: str, *, skeleton: Skeleton = POSETRACK15, num_frames: int = 5
) -> PoseTrackSource:
    """A split of PoseTrack17, 18 or 21 in its own folders.

    Args:
        folder: It holds ``annotations/{split}`` (2017, 2018) or ``posetrack_data/{split}`` (2021)
            with a JSON file for each sequence, and the pictures under the names in those files.
        split: ``train`` or ``val``.
        skeleton: Keypoints of the examples.
        num_frames: T of the windows.

    Raises:
        FormatError: Files or pictures are missing or damaged; the message says which.
    """
    sequences = read_posetrack_folder(find_annotations(folder, split))
    return PoseTrackSource(sequences, folder, skeleton=skeleton, num_frames=num_frames)
