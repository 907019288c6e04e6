"""Pictures of a data set that is too large to hold in memory: read from disk when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.data.sources import decode_picture
from diffpose.errors import FormatError

_KEPT = 16  # decoded pictures: the people of a frame share it, windows share frames


class PictureFolder:
    """The pictures below a folder, by the names that an annotation file has for them.

    Args:
        folder: What the names are relative to.
        names: All that will be asked for.

    Raises:
        FormatError: Some are not there; the message says how many, and names the first.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        wanted = dict.fromkeys(names)
        missing = _missing(folder, wanted)
        if missing:
            raise FormatError(
                f"Expected {len(wanted)} annotated pictures in {folder}, but {len(missing)} are "
                f"not there, e.g. {missing[0]}; complete the folder, or remove the annotation "
                "files of pictures that you do not have."
            )
        self._remember()

    def _remember(self) -> None:
        self._read = lru_cache(maxsize=_KEPT)(self._decode)

    def __getstate__(self) -> dict[str, Any]:
        """Workers in other processes decode for themselves."""
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.folder = state["folder"]
        self._remember()

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3), not to be changed.

        Raises:
            FormatError: The file is damaged.
        """
        return self._read(name)

    def _decode(self, name: str) -> NDArray[np.uint8]:
        try:
            picture = decode_picture((self.folder / name).read_bytes())
        except (OSError, FormatError) as error:
            raise FormatError(f"Cannot read the picture {name} ({error}); copy it again.") from None
        picture.setflags(write=False)
        return picture


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """One listing for each folder: a data set has 60,000 pictures in 600 folders."""
    listed: dict[Path, set[str]] = {}
    missing = []
    for name in names:
        path = folder / name
        if path.parent not in listed:
            there = path.parent.iterdir() if path.parent.is_dir() else ()
            listed[path.parent] = {entry.name for entry in there}
        if path.name not in listed[path.parent]:
            missing.append(name)
    return missing
