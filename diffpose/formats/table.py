"""A long table: one row per track, frame and keypoint, as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from diffpose.cells import plain_name, safe_name
from diffpose.errors import FormatError, said
from diffpose.formats.atomic import atomic_write, atomic_write_bytes
from diffpose.formats.common import check_sequences, sidecar_content, to_json, write_sidecar
from diffpose.isolated import run_isolated
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import SKELETONS, Skeleton

COLUMNS = (
    "track_id", "frame", "time_s", "keypoint", "x", "y", "confidence",
    "sigma_x", "sigma_y", "covariance_xy", "radius_px", "origin",
)  # fmt: skip


def to_table(sequences: Sequence[PoseSequence], info: VideoInfo) -> pd.DataFrame:
    """Poses as a table with `COLUMNS`; pixels, pixels squared for ``covariance_xy``, seconds."""
    check_sequences(sequences, info)
    parts = [_track_table(sequence, info) for sequence in sequences if len(sequence)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def write_csv(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance | None = None,
) -> None:
    """Write poses as a long table; unknown values are empty cells.

    Args:
        path: File to write. The first line names the columns; there are no comment lines.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses; goes to ``<name>.provenance.json``.
    """
    table = to_table(sequences, info)
    table["keypoint"] = [safe_name(name) for name in table["keypoint"]]
    atomic_write(path, table.to_csv(index=False, lineterminator="\n"))
    if provenance is not None:
        write_sidecar(path, info, provenance)


def write_parquet(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance | None = None,
) -> None:
    """Write the same table as Parquet; needs pyarrow.

    Names are dictionaries, numbers float32, unknown values null. What made the poses is in the
    file's key-value metadata, under ``diffpose``.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses.
    """
    import pyarrow
    from pyarrow import parquet

    table = to_table(sequences, info).astype({"keypoint": "category", "origin": "category"})
    content = pyarrow.Table.from_pandas(table, preserve_index=False)
    if provenance is not None:
        about = to_json(sidecar_content(path, info, provenance)).encode()
        content = content.replace_schema_metadata({**content.schema.metadata, b"diffpose": about})
    memory = pyarrow.BufferOutputStream()
    parquet.write_table(content, memory)
    atomic_write_bytes(path, memory.getvalue().to_pybytes())


def read_parquet(path: Path | str, *, skeleton: Skeleton | None = None) -> list[PoseSequence]:
    """Read a table of `write_parquet`, as `read_csv` does."""
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"Cannot read {path} (no such file); check the name of the file.")
    try:
        columns = run_isolated(
            "diffpose.formats.parquet:read_columns",
            str(path.resolve()),
            list(COLUMNS),
            what=path.name,
            memory=2**32,  # address space; Arrow reserves more than it uses
        )
    except FormatError as error:
        raise FormatError(f"{path} is no Parquet file: {error}") from None
    return _sequences(_checked(pd.DataFrame(columns), path), skeleton, path)


def read_csv(path: Path | str, *, skeleton: Skeleton | None = None) -> list[PoseSequence]:
    """Read a table of `write_csv`; columns and rows may have been re-ordered or removed.

    Args:
        path: The table; columns beyond `COLUMNS` are ignored.
        skeleton: Order of the keypoints; None for the known skeleton with the table's names.

    Returns:
        One sequence per track id, ascending. Keypoints without a row are unknown.

    Raises:
        FormatError: A column is missing, a row stands twice, a name or a number makes no sense.
    """
    table = _checked(_load(path), path)
    table["keypoint"] = [plain_name(str(name)) for name in table["keypoint"]]
    return _sequences(table, skeleton, path)


def _sequences(
    table: pd.DataFrame, skeleton: Skeleton | None, path: Path | str
) -> list[PoseSequence]:
    if skeleton is None:
        skeleton = _skeleton_of(set(table["keypoint"]), path)
    unknown = set(table["keypoint"]) - set(skeleton.keypoints)
    if unknown:
        raise FormatError(
            f"{path} has keypoints that skeleton {skeleton.name!r} has not: "
            f"{', '.join(sorted(map(str, unknown)))}."
        )
    if table.duplicated(["track_id", "frame", "keypoint"]).any():
        raise FormatError(f"{path} has two rows for one keypoint of one frame; remove one.")
    return [
        _sequence(int(track_id), rows, skeleton)
        for track_id, rows in table.groupby("track_id", sort=True)
    ]


def _track_table(sequence: PoseSequence, info: VideoInfo) -> pd.DataFrame:
    count, num = len(sequence), len(sequence.skeleton)
    covariance = sequence.covariance
    names = np.array([""] * (max(Origin) + 1), dtype=object)
    names[list(Origin)] = [origin.name.lower() for origin in Origin]
    return pd.DataFrame(
        {
            "track_id": np.full(count * num, sequence.track_id),
            "frame": np.repeat(sequence.frames, num),
            "time_s": np.repeat(info.times_s[sequence.frames], num),
            "keypoint": np.tile(np.array(sequence.skeleton.keypoints, dtype=object), count),
            "x": sequence.keypoints[..., 0].ravel(),
            "y": sequence.keypoints[..., 1].ravel(),
            "confidence": sequence.confidence.ravel(),
            "sigma_x": np.sqrt(np.maximum(covariance[..., 0, 0], 0)).ravel(),
            "sigma_y": np.sqrt(np.maximum(covariance[..., 1, 1], 0)).ravel(),
            "covariance_xy": covariance[..., 0, 1].ravel(),
            "radius_px": sequence.radius.ravel(),
            "origin": names[sequence.origin.ravel()],
        },
        columns=list(COLUMNS),
    )


def _load(path: Path | str) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, dtype={"keypoint": str, "origin": str}, float_precision="round_trip"
        )
    except OSError as error:
        raise FormatError(
            f"Cannot read {path} ({error.strerror}); check the name of the file."
        ) from error
    except ValueError as error:
        raise FormatError(
            f"{path} is no table of comma-separated values ({said(error)})."
        ) from error


def _checked(table: pd.DataFrame, path: Path | str) -> pd.DataFrame:
    """The table, if it has the columns and its numbers are numbers."""
    table = table.astype({name: object for name in ("keypoint", "origin") if name in table})
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise FormatError(f"{path} has no column {', '.join(missing)}; give a table of DiffPose.")
    numbers = [name for name in COLUMNS if name not in ("keypoint", "origin")]
    try:
        table[numbers] = table[numbers].astype(np.float64)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path} has a cell that is no number ({said(error)}).") from error
    keys = table[["track_id", "frame"]]
    whole = keys.notna() & (keys == keys.round()) & (keys >= -(2**31)) & (keys < 2**31)
    if not whole.all(axis=None):
        raise FormatError(f"Expected whole numbers as track_id and frame in every row of {path}.")
    most = pd.Series(float(np.finfo(np.float32).max), index=numbers)
    most[["sigma_x", "sigma_y"]] **= 0.5  # their squares are kept
    if (table[numbers].abs() > most).any(axis=None):
        raise FormatError(f"Expected finite numbers, or empty cells, in every row of {path}.")
    return table


def _skeleton_of(names: set[str], path: Path | str) -> Skeleton:
    found = [s for s in SKELETONS.values() if names == set(s.keypoints)]
    if not found and names:
        raise FormatError(
            f"The {len(names)} keypoints of {path} are those of no known skeleton "
            f"({', '.join(SKELETONS)}); say which skeleton it has."
        )
    return found[0] if found else next(iter(SKELETONS.values()))


def _sequence(track_id: int, rows: pd.DataFrame, skeleton: Skeleton) -> PoseSequence:
    frames, row = np.unique(rows["frame"].to_numpy(np.int32), return_inverse=True)
    column = rows["keypoint"].map(skeleton.index).to_numpy(np.int64)

    def placed(values: np.ndarray) -> np.ndarray:
        result = np.full((len(frames), len(skeleton), *values.shape[1:]), np.nan, np.float32)
        result[row, column] = values
        return result

    xy = rows["covariance_xy"].to_numpy(np.float64)
    variance_x, variance_y = (
        rows[name].to_numpy(np.float64) ** 2 for name in ("sigma_x", "sigma_y")
    )
    origins = {origin.name.lower(): int(origin) for origin in Origin}
    try:
        origin = rows["origin"].map(lambda name: origins[name]).to_numpy(np.float32)
    except KeyError as error:
        raise FormatError(
            f"Expected an origin of {', '.join(origins)}, got {said(error)}."
        ) from error
    return PoseSequence(
        skeleton=skeleton,
        track_id=track_id,
        frames=frames,
        keypoints=placed(rows[["x", "y"]].to_numpy(np.float64)),
        confidence=placed(rows["confidence"].to_numpy(np.float64)),
        covariance=placed(np.stack([variance_x, xy, xy, variance_y], -1).reshape(-1, 2, 2)),
        origin=np.nan_to_num(placed(origin)).astype(np.uint8),
    )
