"""What several formats share: JSON without NaN, provenance, the order of poses."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffpose import __version__
from diffpose.checked import MOST_BYTES, Index, Plain, Stored, Text, parse_json, validate
from diffpose.errors import FormatError, SettingsError
from diffpose.formats.atomic import atomic_write
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import Skeleton

PoseKey = tuple[int, int]
"""(track_id, frame): names one pose of a video."""


def check_sequences(sequences: Sequence[PoseSequence], info: VideoInfo) -> Skeleton | None:
    """The skeleton that all sequences share; None if there is no sequence.

    Raises:
        FormatError: Two skeletons, a track id twice, or frames that the video does not have.
    """
    if len({s.skeleton for s in sequences}) > 1:
        names = ", ".join(sorted({s.skeleton.name for s in sequences}))
        raise FormatError(f"Expected tracks of one skeleton in a file, got {names}.")
    ids = [s.track_id for s in sequences]
    if len(set(ids)) < len(ids):
        raise FormatError(f"Expected every track id once, got {sorted(ids)}.")
    for sequence in sequences:
        if len(sequence) and not (
            sequence.frames[0] >= 0 and sequence.frames[-1] < info.num_frames
        ):
            raise FormatError(
                f"Track {sequence.track_id} has frames {sequence.frames[0]} to "
                f"{sequence.frames[-1]}, but {info.path.name} has frames 0 to "
                f"{info.num_frames - 1}; export with the video the poses were made from."
            )
    return sequences[0].skeleton if sequences else None


def ordered_poses(
    sequences: Sequence[PoseSequence], order: Sequence[PoseKey] | None = None
) -> list[tuple[PoseSequence, int]]:
    """Every pose as (sequence, row in its arrays), in the order a flat list shows them.

    Args:
        sequences: Tracks with distinct ids.
        order: (track_id, frame) of every pose, for example in the order the boxes were given;
            None for frame by frame, within a frame in the order of ``sequences``.

    Raises:
        FormatError: ``order`` does not name every pose once.
    """
    rows = {
        (sequence.track_id, int(frame)): (sequence, row)
        for sequence in sequences
        for row, frame in enumerate(sequence.frames)
    }
    if order is None:
        order = sorted(rows, key=lambda pose: pose[1])
    keys = [(int(track_id), int(frame)) for track_id, frame in order]
    if len(keys) != len(rows) or set(keys) != set(rows):
        raise FormatError(
            f"Expected an order that names each of the {len(rows)} poses once, "
            f"got {len(keys)} names, {len(set(keys) & set(rows))} of them poses."
        )
    return [rows[key] for key in keys]


def known_keypoints(sequence: PoseSequence) -> NDArray[np.bool_]:
    """(N, K) whether a keypoint has a place."""
    return np.asarray(np.isfinite(sequence.keypoints).all(axis=-1))


def scores(sequence: PoseSequence) -> NDArray[np.float32]:
    """(N, K) confidence for formats that know no other origin: 1 where a person placed it."""
    placed = np.isnan(sequence.confidence) | (sequence.origin == Origin.CORRECTED)
    return np.where(placed, np.float32(1), sequence.confidence)


def refuse_twice(ids: Iterable[Any], what: str, where: str) -> None:
    """Raise a `FormatError` that names the first repeated id."""
    twice = [name for name, times in Counter(ids).items() if times > 1]
    if twice:
        raise FormatError(
            f"Expected every {what} once in {where}, got {twice[0]} "
            f"{'and others ' if len(twice) > 1 else ''}twice; remove the repetition."
        )


def to_json_numbers(values: NDArray[np.floating]) -> list[Any]:
    """Nested lists of the shortest numbers that read back as the same float32; NaN becomes None.

    Raises:
        FormatError: A value is infinite, which JSON cannot say.
    """
    values = np.asarray(values, dtype=np.float32)
    if np.isinf(values).any():
        raise FormatError("Expected finite numbers (or NaN for unknown) in poses, got infinity.")
    # 0.1f prints as 0.1, not as 0.10000000149011612: a third of the size, the same float32.
    numbers = values.astype(np.str_).astype(np.float64).astype(object)
    numbers[np.isnan(values)] = None
    return numbers.tolist()


def to_json(content: Any) -> str:
    """Compact JSON; a stray NaN is an error, never text that other readers reject."""
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(", ", ": "))


def read_json(path: Path | str) -> Any:
    """The content of a JSON file.

    Raises:
        FormatError: It cannot be read, is no JSON, or is beyond the limits of `parse_json`.
    """
    try:
        if Path(path).stat().st_size > MOST_BYTES:
            raise FormatError(f"{path} has more than {MOST_BYTES // 2**20} MB; split it.")
        content = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(
            f"Cannot read {path} ({error.strerror}); check the name of the file."
        ) from error
    return parse_json(content, str(path))


def provenance_to_json(provenance: Provenance) -> dict[str, Any]:
    """Provenance as a JSON object, with the version of DiffPose that writes it."""
    return {
        "software": "diffpose",
        "diffpose_version": __version__,
        "model": provenance.model,
        "weights": provenance.weights,
        "num_steps": provenance.num_steps,
        "num_hypotheses": provenance.num_hypotheses,
        "seed": provenance.seed,
        "extra": dict(provenance.extra),
    }


class StoredProvenance(Stored):
    """`diffpose.poses.Provenance` in a file."""

    model: Text
    weights: Text
    num_steps: Index
    num_hypotheses: Index
    seed: Index
    extra: dict[str, Plain] = Field(default_factory=dict)


def provenance_from_json(content: Mapping[str, Any]) -> Provenance:
    """The inverse of `provenance_to_json`.

    Raises:
        FormatError: It is something else.
    """
    return Provenance(**dict(validate(StoredProvenance, content, "What made the poses")))


def missing_packages(packages: Sequence[str]) -> tuple[str, ...]:
    """Those of the packages that are not installed."""
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def require_packages(what: str, packages: Sequence[str]) -> None:
    """Say which packages are missing, before anything is read or written.

    Raises:
        SettingsError: One is not installed.
    """
    missing = missing_packages(packages)
    if missing:
        raise SettingsError(
            f"{what} needs the package {', '.join(missing)}, which is not installed; "
            f"run pip install {' '.join(missing)}, or choose another format."
        )


def sidecar_path(path: Path | str) -> Path:
    """Where the provenance of a format without room for it lies: ``<name>.provenance.json``."""
    path = Path(path)
    return path.with_name(path.name + ".provenance.json")


def sidecar_content(path: Path | str, info: VideoInfo, provenance: Provenance) -> dict[str, Any]:
    """What made the poses in ``path``, and from which video."""
    return {
        **provenance_to_json(provenance),
        "file": Path(path).name,
        "video": {"name": info.path.name, "video_id": info.video_id},
    }


def write_sidecar(path: Path | str, info: VideoInfo, provenance: Provenance) -> Path:
    """Write what made the poses in ``path``, and from which video, next to it."""
    content = sidecar_content(path, info, provenance)
    target = sidecar_path(path)
    atomic_write(target, json.dumps(content, allow_nan=False, ensure_ascii=False, indent=2) + "\n")
    return target
