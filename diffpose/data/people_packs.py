"""Real pictures of people in tar archives, and the pseudo-labels that are made for them.

folder/index.json         packs and their files: size, person boxes, ``stretched``
folder/stills/NAME.tar    encoded pictures
labels.npz                what `diffpose data pseudo-label` found (`PeopleLabels`)
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.sources import Example, decode_picture, read_archive
from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write_bytes
from diffpose.skeleton import HALPE26, Skeleton, convert

_LABELLED_FOR_TRAINING = ("sweetk_hpd2d",)  # the other labelled pack is for validation only
_SAME_POINT = {"head_top": "head", "upper_neck": "neck", "pelvis": "hip"}  # MPII's words


@dataclass(frozen=True)
class PackedPicture:
    """One picture of a pack.

    Attributes:
        pack: Name of the pack.
        name: File name in the pack's archive.
        content: Encoded.
        boxes: (N, 4) f32 xyxy of the people in it; None: not known.
        stretched: Whether the source changed the aspect of the picture.
        keypoints: (N, 26, 2) f32 HALPE-26 that people placed, NaN where they placed none; None:
            not annotated.
    """

    pack: str
    name: str
    content: bytes
    boxes: NDArray[np.float32] | None
    stretched: bool = False
    keypoints: NDArray[np.float32] | None = None

    def decode(self) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3).

        Raises:
            FormatError: The picture is damaged.
        """
        try:
            return decode_picture(self.content)
        except FormatError:
            raise FormatError(
                f"Cannot read the picture {self.name} of {self.pack}; copy the archive again."
            ) from None


def read_packs(folder: Path, *, packs: Sequence[str] = ()) -> list[PackedPicture]:
    """All pictures that may be trained on, encoded, in the order of the index.

    Args:
        folder: Holds ``index.json``.
        packs: Only these; empty: all.

    Raises:
        FormatError: A file is missing or is none of ours, or there is no pack of that name.
    """
    try:
        index = json.loads((folder / "index.json").read_text())
        found = [*index["packs"]]
        labelled = [p for p in index.get("labelled", ()) if p["name"] in _LABELLED_FOR_TRAINING]
        names = {pack["name"] for pack in (*found, *labelled)}
        if unknown := sorted(set(packs) - names):
            raise FormatError(
                f"There is no pack {', '.join(unknown)} in {folder}; it has "
                f"{', '.join(sorted(names))}."
            )
        wanted = set(packs or names)
        pictures = [p for pack in found if pack["name"] in wanted for p in _stills(folder, pack)]
        for pack in labelled:
            pictures += _annotated(folder, pack) if pack["name"] in wanted else []
    except (OSError, ValueError, KeyError, TypeError, tarfile.TarError) as error:
        raise FormatError(
            f"Expected a folder of people with index.json and its archives in {folder}, got "
            f"something else ({error}); check the path."
        ) from None
    return pictures


def _stills(folder: Path, pack: dict[str, Any]) -> Iterator[PackedPicture]:
    contents = read_archive(folder / pack["tar"])
    for entry in pack["files"]:
        boxes = entry.get("boxes")
        yield PackedPicture(
            pack["name"],
            entry["file"],
            contents[entry["file"]],
            np.array(boxes, np.float32).reshape(-1, 4) if boxes else None,
            bool(entry.get("stretched", False)),
        )


def _annotated(folder: Path, pack: dict[str, Any]) -> list[PackedPicture]:
    path = folder / pack["json"]
    annotations = json.loads(path.read_text())
    contents = read_archive(path.with_suffix(".tar"))
    names = [_SAME_POINT.get(n, n) for n in annotations["categories"][0]["keypoints"]]
    columns = [(names.index(n), k) for k, n in enumerate(HALPE26.keypoints) if n in names]
    people: dict[int, list[dict[str, Any]]] = {}
    for person in annotations["annotations"]:
        people.setdefault(person["image_id"], []).append(person)
    pictures = []
    for image in annotations["images"]:
        here = people.get(image["id"], [])
        keypoints = np.full((len(here), len(HALPE26), 2), np.nan, np.float32)
        boxes = np.zeros((len(here), 4), np.float32)
        for row, person in enumerate(here):
            x, y, width, height = person["bbox"]
            boxes[row] = x, y, x + width, y + height
            placed = np.asarray(person["keypoints"], np.float32).reshape(-1, 3)
            for source, target in columns:
                if placed[source, 2] > 0:
                    keypoints[row, target] = placed[source, :2]
        name = image["file_name"]
        pictures.append(
            PackedPicture(pack["name"], name, contents[name], boxes, keypoints=keypoints)
        )
    return pictures


LABEL_FIELDS: dict[str, tuple[tuple[int, ...], Any]] = {
    "names": ((), np.str_),
    "packs": ((), np.str_),
    "boxes": ((4,), np.float32),
    "keypoints": ((len(HALPE26), 2), np.float32),
    "weights": ((len(HALPE26),), np.float32),
    "stretched": ((), np.bool_),
    "aspects": ((), np.float32),
}
"""Shape for one person and type of every field of `PeopleLabels`."""


@dataclass(frozen=True)
class PeopleLabels:
    """Labels of N people in packed pictures.

    Attributes:
        names: N file names.
        packs: N names of packs.
        boxes: (N, 4) f32 xyxy around the person, pixels of the picture as it is stored.
        keypoints: (N, 26, 2) f32 HALPE-26, the same pixels, NaN where not labelled.
        weights: (N, 26) f32 how far each label is trusted, 0..1; 0 where there is none.
        stretched: (N,) bool, whether the source changed the picture's aspect.
        aspects: (N,) f32 factor on the picture's width that undoes it; 1 elsewhere.
    """

    names: NDArray[np.str_]
    packs: NDArray[np.str_]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    weights: NDArray[np.float32]
    stretched: NDArray[np.bool_]
    aspects: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, (shape, _) in LABEL_FIELDS.items():
            if getattr(self, name).shape != (len(self.names), *shape):
                raise FormatError(
                    f"Expected {name} of shape {(len(self.names), *shape)} in labels of "
                    f"{len(self.names)} people, got {getattr(self, name).shape}."
                )

    def __len__(self) -> int:
        return len(self.names)


def write_people_labels(path: Path, labels: PeopleLabels) -> None:
    """Save labels as a compressed npz, whole or not at all.

    Raises:
        InputError: The file cannot be written there.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, skeleton=HALPE26.name, **vars(labels))
    atomic_write_bytes(path, buffer.getvalue())


def read_people_labels(path: Path) -> PeopleLabels:
    """Labels that `write_people_labels` saved.

    Raises:
        FormatError: The file is missing or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as table:
            arrays = {name: table[name] for name in LABEL_FIELDS}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise FormatError(
            f"Expected labels of `diffpose data pseudo-label` in {path.name}, got something else "
            f"({error}); make them again."
        ) from None
    return PeopleLabels(**arrays)


class PeopleSource:
    """Labelled people of the packs, one still each; pictures stay encoded until asked for.

    A stretched picture is handed out with its labelled aspect, at its own number of pixels.

    Args:
        pictures: Of the packs; those that nobody is labelled in are let go.
        labels: Whom to hand out.
        skeleton: Keypoints of the examples.

    Raises:
        FormatError: A labelled picture is not there, or nobody is labelled.
    """

    def __init__(
        self,
        pictures: Sequence[PackedPicture],
        labels: PeopleLabels,
        *,
        skeleton: Skeleton = HALPE26,
    ) -> None:
        there = {(picture.pack, picture.name): picture for picture in pictures}
        keys = list(zip(labels.packs.tolist(), labels.names.tolist(), strict=True))
        missing = [f"{pack}/{name}" for pack, name in keys if (pack, name) not in there]
        if missing or not keys:
            raise FormatError(
                f"Expected pictures of {len(keys)} labelled people, but {len(missing)} are not "
                f"there{', e.g. ' + missing[0] if missing else ''}; label these packs with "
                "`diffpose data pseudo-label`."
            )
        self.labels = labels
        self.pictures = [there[key] for key in keys]
        self._keypoints = convert(labels.keypoints, HALPE26, skeleton).astype(np.float32)
        weights = convert(labels.weights, HALPE26, skeleton, axis=-1)
        self._weights = np.nan_to_num(weights).astype(np.float32)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Example:
        picture = self.pictures[index].decode()
        points, box = self._keypoints[index], self.labels.boxes[index]
        aspect = float(self.labels.aspects[index])
        if aspect != 1.0:
            picture, factors = unstretched(picture, aspect)
            points = ((points + 0.5) * factors - 0.5).astype(np.float32)
            box = ((box.reshape(2, 2) + 0.5) * factors - 0.5).astype(np.float32).reshape(4)
        return Example((picture,), points[None], box[None], self._weights[index])


def unstretched(
    picture: NDArray[np.uint8], aspect: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture made wider by a factor at about as many pixels, and the factors on x and y."""
    height, width = picture.shape[:2]
    size = max(1, round(width * aspect**0.5)), max(1, round(height / aspect**0.5))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False), np.array([size[0] / width, size[1] / height])


def load_people(folder: Path, labels: Path, *, skeleton: Skeleton) -> PeopleSource:
    """The labelled people of a folder of packs.

    Raises:
        FormatError: A file is missing, damaged or of another kind.
    """
    known = read_people_labels(labels)
    packs = sorted(set(known.packs.tolist()))
    return PeopleSource(read_packs(folder, packs=packs), known, skeleton=skeleton)


__all__ = [
    "LABEL_FIELDS",
    "PackedPicture",
    "PeopleLabels",
    "PeopleSource",
    "load_people",
    "read_packs",
    "read_people_labels",
    "unstretched",
    "write_people_labels",
]
