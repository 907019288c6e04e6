"""COCO keypoints as a source of training and evaluation stills."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffpose.data.pictures import PictureFolder
from diffpose.data.sources import Example
from diffpose.errors import FormatError
from diffpose.formats.coco import CocoKeypoints, read_coco_keypoints
from diffpose.skeleton import COCO17, Skeleton, convert


class CocoSource:
    """Everybody with a keypoint in the pictures of a COCO annotation file, one still each.

    Groups (``iscrowd``) and people without keypoints are left out.

    Args:
        annotations: What the annotation file holds.
        folder: Folder of the pictures.
        skeleton: Keypoints of the examples; those that COCO does not label are NaN.

    Attributes:
        people: (N,) rows of ``annotations``, whom each index stands for.

    Raises:
        FormatError: The file has other keypoints or another order, pictures are missing, or
            nobody is annotated.
    """

    def __init__(
        self, annotations: CocoKeypoints, folder: Path, *, skeleton: Skeleton = COCO17
    ) -> None:
        if annotations.keypoint_names != COCO17.keypoints:
            raise FormatError(
                f"Expected COCO's 17 keypoints in the order {', '.join(COCO17.keypoints)}, got "
                f"{', '.join(annotations.keypoint_names)}; write the file in that order."
            )
        self.annotations, self.skeleton = annotations, skeleton
        sides = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
        known = (annotations.keypoints[..., 2] > 0).any(axis=1)
        self.people = np.flatnonzero(known & ~annotations.crowd & (sides >= 1).all(axis=1))
        if not len(self.people):
            raise FormatError(
                "Expected people with keypoints in the COCO annotation file, got none; "
                "use person_keypoints_*.json."
            )
        used = sorted(set(annotations.image[self.people].tolist()))
        self.pictures = PictureFolder(folder, (annotations.image_names[row] for row in used))
        visible = annotations.keypoints[..., 2:] > 0
        points = np.where(visible, annotations.keypoints[..., :2], np.nan)
        self._keypoints = convert(points, COCO17, skeleton).astype(np.float32)

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> Example:
        row = self.people[index]
        picture = self.pictures[self.annotations.image_names[self.annotations.image[row]]]
        box = self.annotations.boxes[row].astype(np.float32)
        return Example((picture,), self._keypoints[row][None], box[None])


def load_coco(folder: Path, split: str, *, skeleton: Skeleton = COCO17) -> CocoSource:
    """A split of COCO keypoints in its own folders.

    Args:
        folder: It holds ``annotations/person_keypoints_{split}2017.json`` and ``{split}2017/``.
        split: ``train`` or ``val``.
        skeleton: Keypoints of the examples.

    Raises:
        FormatError: Files or pictures are missing or damaged; the message says which.
    """
    table = folder / "annotations" / f"person_keypoints_{split}2017.json"
    if not table.is_file():
        raise FormatError(
            f"Expected {table.name} in {table.parent}; it is not there: name the folder that "
            f"holds annotations/ and {split}2017/."
        )
    return CocoSource(read_coco_keypoints(table), folder / f"{split}2017", skeleton=skeleton)
