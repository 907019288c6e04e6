"""Where the person detector's examples come from: pictures with the boxes of the people in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.people_packs import PackedPicture, unstretched
from diffpose.data.sources import StillSource, decode_picture
from diffpose.errors import FormatError
from diffpose.geometry import box_of_points

_MARGIN = 0.06  # of the side of the keypoints' extent
_LEAST_MARGIN = 0.04  # of its longer side
_LEAST_VISIBLE = 0.2
_LARGEST_PHOTO = 320
_ASPECTS = (4 / 3, 3 / 2, 3 / 4, 2 / 3)  # of pictures before their source made them square


@dataclass(frozen=True)
class PeoplePicture:
    """A picture and who is in it.

    Attributes:
        picture: RGB uint8 (H, W, 3).
        boxes: (N, 4) f32 xyxy around the people.
        unsure: (M, 4) f32 xyxy areas where more people may be: finding some there is no mistake.
    """

    picture: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    unsure: NDArray[np.float32]


class PeopleSource(Protocol):
    """A numbered collection of pictures of people."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PeoplePicture: ...


class SceneSource:
    """Rendered scenes from npz shards (`diffpose.data.synthetic.shards.write_scene_shards`).

    People of whom less than a fifth can be seen count as unsure.

    Args:
        paths: Shard files; their JPEGs are held in memory.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._jpegs: list[NDArray[np.uint8]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._visible: list[NDArray[np.float32]] = []
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            with np.load(io.BytesIO(path.read_bytes())) as shard:
                jpeg, ends = shard["jpeg"], shard["offsets"][1:-1]
                boxes, rows = shard["boxes"].astype(np.float32), shard["box_offsets"][1:-1]
                visible = shard["visible_fraction"].astype(np.float32)
        except (OSError, KeyError, ValueError) as error:
            raise FormatError(
                f"{path.name} is no readable shard of scenes ({error}); render it again."
            ) from None
        self._jpegs += np.split(jpeg, ends)
        self._boxes += np.split(boxes, rows)
        self._visible += np.split(visible, rows)

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: int) -> PeoplePicture:
        seen = self._visible[index] >= _LEAST_VISIBLE
        boxes = self._boxes[index]
        return PeoplePicture(decode_picture(self._jpegs[index]), boxes[seen], boxes[~seen])


class StillPeople:
    """Annotated stills of one person each, as far as enough of the body is annotated.

    Other people may be in the picture, so all of it counts as unsure.

    Args:
        stills: Pictures and keypoints.
        least_keypoints: Pictures with fewer known keypoints are left out: the box would be a
            part of the person only.
    """

    def __init__(self, stills: StillSource, *, least_keypoints: int = 12) -> None:
        known = np.isfinite(stills.keypoints).all(axis=2).sum(axis=1)
        self._stills = stills
        self._rows = np.flatnonzero(known >= least_keypoints)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> PeoplePicture:
        row = int(self._rows[index])
        picture = self._stills.pictures[row]
        box = person_box(self._stills.keypoints[row], size=(picture.shape[0], picture.shape[1]))
        whole = np.array([-0.5, -0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5])
        return PeoplePicture(picture, box[None], whole[None].astype(np.float32))


class BoxedPeople:
    """Pictures of packs in which people have boxes.

    Not everybody in them has one, so all of a picture counts as unsure. A picture that its source
    stretched is there once in each of the aspects that it may have had.

    Args:
        pictures: Those without boxes are left out.
    """

    def __init__(self, pictures: Sequence[PackedPicture]) -> None:
        self._views = [
            (picture, aspect)
            for picture in pictures
            if picture.boxes is not None
            for aspect in (_ASPECTS if picture.stretched else (1.0,))
        ]

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> PeoplePicture:
        packed, aspect = self._views[index]
        assert packed.boxes is not None
        picture, factors = unstretched(packed.decode(), aspect)
        boxes = (packed.boxes.reshape(-1, 2, 2) + 0.5) * factors - 0.5
        whole = np.array([-0.5, -0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5])
        return PeoplePicture(
            picture, boxes.reshape(-1, 4).astype(np.float32), whole[None].astype(np.float32)
        )


def person_box(keypoints: NDArray[np.floating], *, size: tuple[int, int]) -> NDArray[np.float32]:
    """Box (4,) around a person of whom (K, 2) keypoints are known, cut at the picture.

    It is the keypoints' extent, 6 % larger on every side: hair, hands and feet reach beyond the
    outermost joints. A body whose joints lie on a line has a thickness all the same.

    Raises:
        BoxError: No keypoint is known.
    """
    x1, y1, x2, y2 = box_of_points(keypoints)
    longer = max(x2 - x1, y2 - y1)
    dx, dy = (max(_MARGIN * side, _LEAST_MARGIN * longer) for side in (x2 - x1, y2 - y1))
    limits = np.array([size[1], size[0], size[1], size[0]]) - 0.5
    return np.clip([x1 - dx, y1 - dy, x2 + dx, y2 + dy], -0.5, limits).astype(np.float32)


def load_photos(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Photos without people, RGB, shrunk to what a training picture can show.

    Raises:
        FormatError: A file is no picture.
    """
    return [_shrunk(decode_picture(path.read_bytes())) for path in paths]


def _shrunk(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _LARGEST_PHOTO / max(photo.shape[:2])
    if scale >= 1:
        return photo
    smaller = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return smaller.astype(np.uint8, copy=False)
