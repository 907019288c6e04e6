"""Tables in HDF5 files of other programs, read as plain arrays: no pickle is run, no link followed.

`diffpose.isolated` calls the functions of this module in a process of their own, so it imports
h5py and NumPy only. An HDF5 file may point to other files - external links, virtual and external
data sets - and would then show what the reader may read and the sender may not: refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError, said

MOST_BYTES = 2**28
_MOST_NAMES = 100_000
# What builds lists, tuples, texts and numbers; nothing that names, calls or builds anything else.
_PLAIN_OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE"),
        *("NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2"),
        *("TUPLE3", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    )
)


def read_pandas(path: str, key: str) -> dict[str, Any]:
    """A data frame that pandas wrote, in its ``fixed`` or ``table`` layout.

    Args:
        path: The file.
        key: The frame's name; another one is taken where it is the only one.

    Returns:
        ``columns``, a list of names by level for each column; ``index``, the rows' labels: an
        array of numbers, or a list of names by level for each row; ``values`` (rows, columns) f64.

    Raises:
        FormatError: There is no such frame, or it is stored in a way that is not read here.
    """
    with _opened(path) as file:
        group = _frame_group(file, key)
        kind = _text(group.attrs.get("pandas_type", b""))
        found = _fixed(group) if kind == "frame" else _table(group)
    columns, index, values = found
    if len(columns) != len(set(columns)):
        raise FormatError("a column occurs twice")
    rows = len(index)
    if values.shape != (rows, len(columns)):
        raise FormatError(f"{rows} rows and {len(columns)} columns, but values of {values.shape}")
    labels = index if isinstance(index, np.ndarray) else [list(label) for label in index]
    return {"columns": [list(column) for column in columns], "index": labels, "values": values}


def read_sleap_tables(path: str) -> dict[str, Any]:
    """The tables of a SLEAP file by their columns, and its texts.

    Returns:
        ``format_id``, ``metadata`` (JSON text), ``videos_json`` and ``tracks_json`` (lists of JSON
        texts), and ``tables``: of each of frames, instances, points and pred_points the columns.
    """
    with _opened(path) as file:
        metadata = _group(file, "metadata")
        tables = {}
        for name in ("frames", "instances", "points", "pred_points"):
            rows = _array(file, name)
            if rows.dtype.names is None or rows.ndim != 1:
                raise FormatError(f"{name} is no table")
            tables[name] = {field: _numbers(rows[field]) for field in rows.dtype.names}
        return {
            "format_id": float(metadata.attrs.get("format_id", 1.0)),
            "metadata": _text(metadata.attrs["json"]),
            "tables": tables,
            "videos_json": _texts(file, "videos_json"),
            "tracks_json": _texts(file, "tracks_json"),
        }


def _opened(path: str) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError(f"no HDF5 file ({said(error)})") from None


def _frame_group(file: h5py.File, key: str) -> h5py.Group:
    frames = [
        name
        for name in file
        if isinstance(file.get(name, getlink=True), h5py.HardLink)
        and isinstance(file[name], h5py.Group)
        and _text(file[name].attrs.get("pandas_type", b"")) in ("frame", "frame_table")
    ]
    if key not in frames and len(frames) != 1:
        listed = ", ".join(frames[:8]) or "none"
        raise FormatError(f"expected a table called {key}, or one alone, got {listed}")
    return file[key if key in frames else frames[0]]


_Labels = NDArray[Any] | list[tuple[str, ...]]
_Frame = tuple[list[tuple[str, ...]], _Labels, NDArray[np.float64]]


def _fixed(group: h5py.Group) -> _Frame:
    """One data set for the labels of each axis, and one for the values of each type."""
    columns = _names(_axis(group, "axis0"))
    index = _axis(group, "axis1")
    values = np.full((len(index), len(columns)), np.nan)
    position = {column: number for number, column in enumerate(columns)}
    for block in range(_whole(group.attrs.get("nblocks", 0), 10_000)):
        names = _names(_axis(group, f"block{block}_items"))
        stored = _numbers(_array(group, f"block{block}_values"))
        turned = bool(group[f"block{block}_values"].attrs.get("transposed", 0))
        rows = stored if turned else stored.T
        if rows.shape != (len(index), len(names)):
            raise FormatError(f"block {block} has values of {rows.shape}")
        values[:, [position[name] for name in names]] = rows
    return columns, index, values


def _axis(group: h5py.Group, name: str) -> _Labels:
    """Labels of an axis: an array of numbers, or names by level."""
    if _text(group.attrs.get(f"{name}_variety", b"regular")) != "multi":
        return _labels(group, name)
    levels = []
    for number in range(_whole(group.attrs.get(f"{name}_nlevels", 0), 8)):
        found = _labels(group, f"{name}_level{number}")
        codes = _numbers(_array(group, f"{name}_label{number}")).ravel()
        words = [label[0] for label in _names(found)]
        if codes.dtype.kind not in "iu" or len(codes) > MOST_BYTES // 64:
            raise FormatError(f"{name} has labels that are no numbers")
        if len(codes) and not (codes.min() >= -1 and codes.max() < len(words)):
            raise FormatError(f"{name} has labels beyond its level")
        levels.append([words[code] if code >= 0 else "" for code in codes.tolist()])
    if not levels or len({len(level) for level in levels}) > 1:
        raise FormatError(f"{name} has levels of different lengths")
    return list(zip(*levels, strict=True))


def _labels(group: h5py.Group, name: str) -> _Labels:
    array = _array(group, name).ravel()
    return [(_text(word),) for word in array] if array.dtype.kind == "S" else _numbers(array)


def _names(labels: _Labels) -> list[tuple[str, ...]]:
    if isinstance(labels, np.ndarray):
        labels = [(str(label),) for label in labels.tolist()]
    if len(labels) > _MOST_NAMES:
        raise FormatError(f"{len(labels)} columns, more than {_MOST_NAMES}")
    return labels


def _table(group: h5py.Group) -> _Frame:
    """One table; the names of its columns are a pickled list in an attribute."""
    stored = _dataset(group, "table")
    fields = stored.dtype.names or ()
    if "index" not in fields:
        raise FormatError("its rows have several labels, stored as a table")
    rows = _whole_array(stored)
    axes = _plain_pickle(group.attrs["non_index_axes"])
    columns = _column_names(axes[0][1] if len(axes) == 1 else None)
    values = np.full((len(rows), len(columns)), np.nan)
    position = {column: number for number, column in enumerate(columns)}
    for field in fields:
        if field == "index":
            continue
        names = _column_names(_plain_pickle(stored.attrs[f"{field}_kind"]))
        block = _numbers(rows[field]).reshape(len(rows), -1)
        if block.shape[1] != len(names):
            raise FormatError(f"{field} has {block.shape[1]} columns and {len(names)} names")
        values[:, [position[name] for name in names]] = block
    label = rows["index"]
    index: _Labels = [(_text(w),) for w in label] if label.dtype.kind == "S" else _numbers(label)
    return columns, index, values


def _column_names(names: Any) -> list[tuple[str, ...]]:
    if not isinstance(names, list) or len(names) > _MOST_NAMES:
        raise FormatError("its columns are not named by a list")
    rows = [tuple(name) if isinstance(name, tuple) else (name,) for name in names]
    if not all(len(row) <= 8 and all(isinstance(word, str | int) for word in row) for row in rows):
        raise FormatError("its columns are not named by texts")
    return [tuple(str(word) for word in row) for row in rows]


class _NoGlobals(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise FormatError(f"an attribute asks for {module}.{name}; nothing of it was run")


def _plain_pickle(attribute: Any) -> Any:
    """Lists, tuples, texts and numbers from a pickle that holds nothing else.

    pandas keeps the names of columns so. The opcodes are looked at first; none that is let
    through imports, calls or builds an object.
    """
    content = bytes(attribute)
    try:
        foreign = {code.name for code, _, _ in pickletools.genops(content)} - _PLAIN_OPCODES
        if not foreign:
            return _NoGlobals(io.BytesIO(content)).load()
    except (ValueError, IndexError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise FormatError(f"an attribute is damaged ({said(error)})") from None
    raise FormatError("an attribute holds objects; only names and numbers are read")


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    if isinstance(parent.get(name, getlink=True), h5py.HardLink):
        found = parent[name]
        if isinstance(found, h5py.Group):
            return found
    raise FormatError(f"no group {name}")


def _dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise FormatError(f"no data set {name} in the file itself")
    found = parent[name]
    if not isinstance(found, h5py.Dataset):
        raise FormatError(f"{name} is no data set")
    if found.external or found.is_virtual:
        raise FormatError(f"{name} lies in another file; give one file that holds everything")
    if found.shape is None or found.size * found.dtype.itemsize > MOST_BYTES:
        raise FormatError(f"{name} is empty or larger than {MOST_BYTES // 2**20} MB")
    return found


def _array(parent: h5py.Group, name: str) -> NDArray[Any]:
    stored = _dataset(parent, name)
    if "shape" in stored.attrs:  # how pandas stores an array without elements
        shape = [_whole(length, 2**31) for length in np.ravel(stored.attrs["shape"])]
        if 0 not in shape:
            raise FormatError(f"{name} is said to be empty and is not")
        return np.zeros(shape)
    return _whole_array(stored)


def _whole_array(stored: h5py.Dataset) -> NDArray[Any]:
    if stored.dtype.hasobject:
        raise FormatError(f"{stored.name} holds objects; only numbers and names are read")
    try:
        return np.asarray(stored[()])
    except OSError as error:
        raise FormatError(f"{stored.name} cannot be read ({said(error)})") from None


def _numbers(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise FormatError(f"expected numbers, got {array.dtype}")
    return array


def _texts(parent: h5py.Group, name: str) -> list[str]:
    stored = _dataset(parent, name)
    if h5py.check_string_dtype(stored.dtype) is None or stored.ndim != 1:
        raise FormatError(f"{name} is no list of texts")
    return [_text(word) for word in stored[()]]


def _text(value: Any) -> str:
    """A text as HDF5 gives it: bytes, a string, or nothing at all."""
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else ""
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise FormatError(f"expected a text, got {type(text).__name__}")
    text.encode("utf-8")  # HDF5's own decoding lets half characters through
    return text


def _whole(value: Any, most: int) -> int:
    number = np.asarray(value)
    if number.dtype.kind not in "iu" or number.size != 1 or not 0 <= int(number.item()) <= most:
        raise FormatError(f"expected a number from 0 to {most}")
    return int(number.item())
