"""A made-up folder in the format of Leeds Sports Pose Extended."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np


def write_lspet(folder: Path, split: str, *, count: int) -> list[str]:
    """Write noise pictures and random annotations; the names."""
    rng = np.random.default_rng(count)
    names = [f"im{i:05d}.webp" for i in range(count)]
    with tarfile.open(folder / f"lspet_{split}.tar", "w") as archive:
        for name in names:
            picture = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
            content = cv2.imencode(".webp", picture)[1].tobytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    np.savez(
        folder / f"lspet_{split}.npz",
        name=np.array(names),
        joints=rng.uniform(5, 65, (count, 14, 2)).astype(np.float32),
        visible=np.ones((count, 14), bool),
        size=np.tile(np.array([70, 90], np.int16), (count, 1)),
    )
    return names
