"""Where training examples come from: annotated stills and rendered clips, in memory.

A source holds encoded or decoded pictures and hands out `Example`s by index; it draws no random
numbers, so that a training run can be repeated from its seed.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.geometry import box_of_points
from diffpose.skeleton import LSP14, Skeleton, convert


@dataclass(frozen=True)
class Example:
    """Consecutive pictures of one person with the annotation of each.

    Attributes:
        frames: N RGB uint8 pictures (H, W, 3) of one size; N = 1 for a still.
        keypoints: (N, K, 2) f32 picture pixels, NaN where not annotated.
        boxes: (N, 4) f32 xyxy around the person.
        weights: (K,) f32 how far each keypoint's annotation is trusted; None: fully.
        visibility: (N, K) u8, 0 outside the picture, 1 occluded, 2 visible; None: not known.
    """

    frames: tuple[NDArray[np.uint8], ...]
    keypoints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    visibility: NDArray[np.uint8] | None = None


class Source(Protocol):
    """A numbered collection of examples of one skeleton."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def decode_picture(content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encoded JPEG, PNG or WebP to RGB uint8 (H, W, 3).

    Raises:
        FormatError: The bytes are no picture.
    """
    buffer = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise FormatError("Expected an encoded picture (JPEG, PNG or WebP), got other bytes.")
    return picture.astype(np.uint8, copy=False)


class StillSource:
    """Annotated still pictures, decoded once and held in memory.

    Args:
        pictures: N RGB uint8 pictures of any size.
        keypoints: (N, K, 2) pixels of the picture, NaN where not annotated.
        names: N file names.
        weights: (N, K) how far each annotation is trusted; None: fully.
    """

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        keypoints: NDArray[np.floating],
        names: Sequence[str],
        weights: NDArray[np.floating] | None = None,
    ) -> None:
        if not len(pictures) == len(keypoints) == len(names):
            raise FormatError(
                f"Expected as many pictures as annotations, got {len(pictures)} pictures, "
                f"{len(keypoints)} annotations and {len(names)} names."
            )
        self.pictures = list(pictures)
        self.keypoints = np.asarray(keypoints, dtype=np.float32)
        self.names = list(names)
        self.weights = (
            np.ones(self.keypoints.shape[:2], np.float32)
            if weights is None
            else np.asarray(weights, dtype=np.float32)
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Example:
        keypoints = self.keypoints[index]
        box = box_of_points(keypoints).astype(np.float32)
        return Example((self.pictures[index],), keypoints[None], box[None], self.weights[index])


def load_lspet(folder: Path, split: str, skeleton: Skeleton, *, trust: str = "") -> StillSource:
    """Leeds Sports Pose Extended: ``lspet_{split}.tar`` of WebP crops and ``lspet_{split}.npz``.

    Args:
        folder: Where the two files lie.
        split: ``train`` or ``val``.
        skeleton: Keypoints of the result; those that LSP does not label are NaN.
        trust: File of `write_trust` for this split; empty: every annotation is trusted.

    Raises:
        FormatError: A file is missing or a picture of the list is not in the archive.
    """
    table_path, archive_path = folder / f"lspet_{split}.npz", folder / f"lspet_{split}.tar"
    for path in (table_path, archive_path):
        if not path.is_file():
            raise FormatError(f"Expected {path.name} in the LSPET folder; it is not there.")
    with np.load(table_path) as table:
        names = [str(name) for name in table["name"]]
        keypoints = np.where(table["visible"][..., None], table["joints"], np.nan)
    contents = read_archive(archive_path)
    missing = [name for name in names if name not in contents]
    if missing:
        raise FormatError(f"{archive_path.name} lacks {len(missing)} pictures, e.g. {missing[0]}.")
    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(lambda name: decode_picture(contents[name]), names))
    points = convert(keypoints, LSP14, skeleton)
    if not trust:
        return StillSource(pictures, points, names)
    weights, settled = _read_trust(Path(trust), names, skeleton)
    return StillSource(pictures, points if settled is None else settled, names, weights)


def write_trust(
    path: Path,
    names: Sequence[str],
    weights: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    settled: NDArray[np.floating] | None = None,
) -> None:
    """Save how far each annotation of each picture is trusted: (N, K) factors on its loss.

    ``settled`` (N, K, 2), picture pixels, takes the annotations' place where given.
    """
    arrays: dict[str, Any] = {
        "names": np.array(names),
        "weights": weights.astype(np.float32),
        "keypoints": np.array(skeleton.keypoints),
    }
    if settled is not None:
        arrays["settled"] = settled.astype(np.float32)
    np.savez_compressed(path, **arrays)


def _read_trust(
    path: Path, names: Sequence[str], skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    if not path.is_file():
        raise FormatError(f"There is no file {path.name} of trusted annotations; check the path.")
    with np.load(path) as table:
        rows = {str(name): row for row, name in enumerate(table["names"])}
        missing = [name for name in names if name not in rows]
        if missing or tuple(table["keypoints"]) != skeleton.keypoints:
            raise FormatError(
                f"{path.name} was made for other pictures or keypoints than these "
                f"({len(missing)} of {len(names)} pictures are not in it); "
                "run `data check-annotations` again."
            )
        order = [rows[name] for name in names]
        return table["weights"][order], table["settled"][order] if "settled" in table else None


def read_archive(path: Path) -> dict[str, bytes]:
    """The files of a tar archive by their names without folders."""
    contents: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            handle = archive.extractfile(member)
            if handle is not None:
                contents[Path(member.name).name] = handle.read()
    return contents


class ShardSource:
    """Rendered clips from npz shards (`diffpose.data.synthetic.shards`), JPEGs held in memory.

    Args:
        paths: Shard files; each holds C clips of N frames.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._jpegs: list[list[NDArray[np.uint8]]] = []
        self._keypoints: list[NDArray[np.float32]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._visibility: list[NDArray[np.uint8]] = []
        self._times_s: list[NDArray[np.float32]] = []
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            with np.load(io.BytesIO(path.read_bytes())) as shard:
                data, offsets = shard["jpeg"], shard["offsets"]
                keypoints, visibility = shard["keypoints"], shard["visibility"]
                boxes, times_s = shard["boxes"], shard["times_s"]
        except (OSError, KeyError, ValueError) as error:
            raise FormatError(
                f"{path.name} is no readable shard ({error}); render it again."
            ) from None
        clips, frames = keypoints.shape[:2]
        for clip in range(clips):
            start = clip * frames
            self._jpegs.append(
                [data[offsets[i] : offsets[i + 1]] for i in range(start, start + frames)]
            )
        # A keypoint outside the picture is known to be outside: it keeps its coordinates.
        self._visibility.extend(visibility.astype(np.uint8))
        self._keypoints.extend(keypoints.astype(np.float32))
        self._boxes.extend(boxes.astype(np.float32))
        self._times_s.extend(times_s.astype(np.float32))

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: int) -> Example:
        frames = tuple(decode_picture(jpeg) for jpeg in self._jpegs[index])
        return Example(
            frames, self._keypoints[index], self._boxes[index], visibility=self._visibility[index]
        )

    def window(self, index: int, frames: Sequence[int]) -> Example:
        """Only the given frames of one clip, decoded; each distinct frame once."""
        decoded = {f: decode_picture(self._jpegs[index][f]) for f in set(frames)}
        rows = list(frames)
        return Example(
            tuple(decoded[f] for f in rows),
            self._keypoints[index][rows],
            self._boxes[index][rows],
            visibility=self._visibility[index][rows],
        )

    def num_frames(self, index: int) -> int:
        """Frames of one clip."""
        return len(self._jpegs[index])

    def fps(self, index: int) -> float:
        """Frames a second of one clip; 30 for a single frame."""
        steps = np.diff(self._times_s[index])
        return 1 / float(steps.mean()) if len(steps) else 30.0
