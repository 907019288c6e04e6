"""Columns of Parquet files; `diffpose.isolated` calls this in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from diffpose.errors import FormatError, said

_MOST_CELLS = 50_000_000


def read_columns(path: str, names: list[str]) -> dict[str, Any]:
    """Those of the columns that the file has: numbers as f64 with NaN for null, texts as a list.

    Raises:
        FormatError: It is no Parquet file, too large, or a column is neither numbers nor texts.
    """
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        with parquet.ParquetFile(Path(path)) as file:
            known = [name for name in names if name in file.schema_arrow.names]
            if file.metadata.num_rows * max(len(known), 1) > _MOST_CELLS:
                raise FormatError(f"it has {file.metadata.num_rows} rows; split it")
            table = file.read(columns=known, use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise FormatError(said(error)) from None
    return {name: _values(table.column(name), name) for name in known}


def _values(column: Any, name: str) -> Any:
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return column.to_pylist()
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
        raise FormatError(f"column {name} holds {kind}, expected numbers or texts")
    return np.asarray(column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False), np.float64)
