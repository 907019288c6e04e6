"""DeepLabCut's tables: analysis CSV and H5, and reading both and its label files."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffpose.cells import plain_name, safe_name
from diffpose.errors import FormatError, said
from diffpose.formats.atomic import atomic_write, atomic_write_bytes
from diffpose.formats.common import check_sequences, known_keypoints, scores
from diffpose.formats.foreign import ForeignPoses, foreign_skeleton, track_ids
from diffpose.isolated import run_isolated
from diffpose.poses import FloatArray, Origin, PoseSequence, Provenance, VideoInfo

H5_KEY = "df_with_missing"
_COORDS = ("x", "y", "likelihood")
_VARIANCES = ("x_ens_var", "y_ens_var")
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")


def to_deeplabcut(
    sequences: Sequence[PoseSequence], info: VideoInfo, provenance: Provenance
) -> pd.DataFrame:
    """Poses as DeepLabCut's wide table: one row per frame of the video, NaN where unknown.

    A lone track with id 0 has no row of individuals, as in a single-animal project; otherwise
    individuals are called ``track_<id>``. The likelihood of an unknown keypoint is 0, so that a
    threshold drops it, and 1 where a person placed it. Pixels.
    """
    return _wide(sequences, info, provenance, variances=False)


def write_deeplabcut_csv(
    path: Path | str, sequences: Sequence[PoseSequence], info: VideoInfo, provenance: Provenance
) -> None:
    """Write DeepLabCut's analysis CSV, and ``<stem>_variances.csv`` next to it.

    The second file has the columns ``x_ens_var`` and ``y_ens_var`` (px^2), named as in the
    Ensemble Kalman Smoother's files, after the three of the first.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to; every frame of it gets a row.
        provenance: What made the poses; the model's name becomes the scorer.
    """
    path = Path(path)
    plain = to_deeplabcut(sequences, info, provenance)
    variances = _wide(sequences, info, provenance, variances=True)
    beside = path.with_name(f"{path.stem}_variances.csv")
    atomic_write(beside, variances.to_csv(lineterminator="\n"))
    atomic_write(path, plain.to_csv(lineterminator="\n"))


def write_deeplabcut_h5(
    path: Path | str, sequences: Sequence[PoseSequence], info: VideoInfo, provenance: Provenance
) -> None:
    """Write the same table as HDF5 under DeepLabCut's key; needs PyTables.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to; every frame of it gets a row.
        provenance: What made the poses; the model's name becomes the scorer.
    """
    table = to_deeplabcut(sequences, info, provenance)
    memory = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}
    with pd.HDFStore("in-memory", mode="w", **memory) as store:
        _forget_times(store._handle)
        store.put(H5_KEY, table)
        content = store._handle.get_file_image()
    atomic_write_bytes(path, content)


def _forget_times(file: Any) -> None:
    """Keep the time out of a file of PyTables: the same poses are the same bytes."""
    for name in ("create_array", "create_carray", "create_earray", "create_vlarray"):
        setattr(file, name, partial(getattr(file, name), track_times=False))


def read_deeplabcut(path: Path | str) -> ForeignPoses:
    """Read an analysis CSV or H5, or a ``CollectedData`` label file, of one or several animals.

    Rows are frames: the number of the row label, or the number in the name of a labelled picture.
    Individuals called ``track_<id>`` have that id; others are numbered in the order of the file.

    Raises:
        FormatError: The file is no table of DeepLabCut.
    """
    path = Path(path)
    table = _load_h5(path) if path.suffix.lower() in (".h5", ".hdf5") else _load_csv(path)
    if table.columns.nlevels == 3:
        table = pd.concat({"track_0": table}, names=["individuals"], axis=1).swaplevel(0, 1, axis=1)
    if table.columns.nlevels != 4 or not len(table.columns):
        raise FormatError(f"Expected 3 or 4 heading rows of DeepLabCut in {path}, got another.")
    frames, labelled = _frames_of_rows(table.index, path)
    people = list(dict.fromkeys(table.columns.get_level_values(1)))
    ids, notes = track_ids([str(person) for person in people])
    names = list(dict.fromkeys(table.columns.get_level_values(2)))
    order = np.argsort(frames)
    if len(np.unique(frames)) < len(frames):
        raise FormatError(f"{path} has a frame twice; remove one of the rows.")
    sequences = [
        _person(table.xs(person, axis=1, level=1).iloc[order], frames[order], names, track_id)
        for person, track_id in zip(people, ids, strict=True)
    ]
    return ForeignPoses(
        sequences=tuple(sequences),
        num_frames=None if labelled else int(frames.max(initial=-1)) + 1,
        says_origin=False,
        notes=notes,
    )


def _wide(
    sequences: Sequence[PoseSequence], info: VideoInfo, provenance: Provenance, *, variances: bool
) -> pd.DataFrame:
    check_sequences(sequences, info)
    coords = (*_COORDS, *_VARIANCES) if variances else _COORDS
    single = len(sequences) == 1 and sequences[0].track_id == 0
    scorer = re.sub(r"[^A-Za-z0-9]+", "-", f"DiffPose-{provenance.model}").strip("-")
    keys, blocks = [], []
    for sequence in sequences:
        known = known_keypoints(sequence)
        values = np.full((info.num_frames, len(sequence.skeleton), len(coords)), np.nan, np.float32)
        values[..., 2] = 0
        values[sequence.frames, :, :2] = np.where(known[..., None], sequence.keypoints, np.nan)
        values[sequence.frames, :, 2] = np.where(known, scores(sequence), 0)
        if variances:
            values[sequence.frames, :, 3] = sequence.covariance[..., 0, 0]
            values[sequence.frames, :, 4] = sequence.covariance[..., 1, 1]
        blocks.append(values.reshape(info.num_frames, -1))
        person = f"track_{sequence.track_id}"
        cells = [safe_name(name) for name in sequence.skeleton.keypoints]
        keys += [(scorer, person, name, c) for name in cells for c in coords]
    columns = pd.MultiIndex.from_tuples(keys, names=_LEVELS)
    content = np.concatenate(blocks, axis=1) if blocks else np.zeros((info.num_frames, 0))
    table = pd.DataFrame(content, columns=columns)
    return table.droplevel("individuals", axis=1) if single else table


def _load_csv(path: Path) -> pd.DataFrame:
    try:
        head = pd.read_csv(path, header=None, nrows=4, usecols=[0], dtype=str)[0].tolist()
        if head[:1] != ["scorer"] or "coords" not in head:
            raise FormatError(
                f"{path} does not begin with DeepLabCut's rows scorer, bodyparts, coords; "
                "give an analysis or CollectedData file."
            )
        heading = list(range(head.index("coords") + 1))
        # Label files of DeepLabCut 2.2 and later name the picture in three columns.
        second = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0, 1:3]
        index = [0, 1, 2] if len(second) == 2 and second.isna().all() else [0]
        return pd.read_csv(path, header=heading, index_col=index, float_precision="round_trip")
    except OSError as error:
        raise FormatError(
            f"Cannot read {path} ({error.strerror}); check the name of the file."
        ) from error
    except (ValueError, IndexError, OverflowError) as error:  # what pandas raises
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} is no table of DeepLabCut ({said(error)}).") from error


def _load_h5(path: Path) -> pd.DataFrame:
    """The table of an H5 file, read without pandas: its reader runs what the file says.

    Raises:
        FormatError: There is none.
    """
    if not path.is_file():
        raise FormatError(f"Cannot read {path} (no such file); check the name of the file.")
    try:
        found = run_isolated(
            "diffpose.formats.hdf:read_pandas", str(path.resolve()), H5_KEY, what=path.name
        )
    except FormatError as error:
        raise FormatError(f"{path} is no table of DeepLabCut: {error}") from None
    labels = found["index"]
    names = [tuple(label) if len(label) > 1 else label[0] for label in labels] if isinstance(
        labels, list
    ) else labels  # fmt: skip
    columns = [tuple(column) for column in found["columns"]]
    if not columns or len({len(column) for column in columns}) > 1 or len(columns[0]) < 2:
        raise FormatError(f"Expected 3 or 4 heading rows of DeepLabCut in {path}, got another.")
    return pd.DataFrame(
        found["values"],
        columns=pd.MultiIndex.from_tuples(columns),
        index=pd.Index(names, tupleize_cols=False, dtype=object),
    )


def _frames_of_rows(index: pd.Index, path: Path) -> tuple[NDArray[np.int64], bool]:
    """Frame of every row, and whether the rows are labelled pictures."""
    frames, labelled = [], False
    for label in index:
        number = _whole(label)
        if number is not None and not 0 <= number < 2**31:
            raise FormatError(f"Row {str(label)[:40]} of {path} names no frame of a video.")
        if number is None:
            name = label[-1] if isinstance(label, tuple) else label
            digits = re.findall(r"\d+", Path(str(name).replace("\\", "/")).stem)
            if not digits or len(digits[-1]) > 9:
                raise FormatError(
                    f"Row {str(label)[:80]!r} of {path} names no frame; number the pictures."
                )
            number, labelled = int(digits[-1]), True
        frames.append(number)
    return np.array(frames, np.int64), labelled


def _whole(label: Hashable) -> int | None:
    if isinstance(label, int | np.integer):
        return int(label)
    return int(label) if isinstance(label, float) and label.is_integer() else None


def _person(
    table: pd.DataFrame, frames: NDArray[np.int64], names: list[str], track_id: int
) -> PoseSequence:
    """One individual's columns as poses; frames without any known keypoint are no poses."""
    table = table.droplevel(0, axis=1)

    def column(name: str, coordinate: str) -> FloatArray:
        if (name, coordinate) not in table.columns:
            return np.full(len(table), np.nan)
        values = pd.to_numeric(table[name, coordinate], errors="coerce").to_numpy(np.float64)
        return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)

    xy = np.stack([np.stack([column(n, c) for c in ("x", "y")], -1) for n in names], axis=1)
    confidence = np.stack([column(name, "likelihood") for name in names], axis=1)
    kept = np.asarray(np.isfinite(xy).all(axis=-1)).any(axis=1)
    count, num = int(kept.sum()), len(names)
    return PoseSequence(
        skeleton=foreign_skeleton([plain_name(str(name)) for name in names]),
        track_id=track_id,
        frames=frames[kept],
        keypoints=xy[kept],
        confidence=np.clip(confidence[kept], 0, 1),
        covariance=np.full((count, num, 2, 2), np.nan),
        origin=np.full((count, num), Origin.PREDICTED, np.uint8),
    )
