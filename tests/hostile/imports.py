"""Pose files of other programs that strangers might send: whole ones, and seeded damage."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

from diffpose.formats.deeplabcut import to_deeplabcut, write_deeplabcut_csv, write_deeplabcut_h5
from diffpose.formats.sleap import write_sleap
from diffpose.formats.table import write_csv, write_parquet
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
_CELLS = ("", "nan", "inf", "1e999", "-1", "9" * 30, "=1+1", "x", '"', "\x00", "0.5", "\n", ",")


def whole_files(folder: Path) -> dict[str, Path]:
    """One sound file of each kind."""
    poses = [sequence(0, [1, 2, 6]), sequence(7, [2])]
    files = {
        name: folder / f"whole-{name}{suffix}"
        for name, suffix in (
            ("csv", ".csv"), ("parquet", ".parquet"), ("dlc", ".csv"), ("h5", ".h5"),
            ("table", ".h5"), ("sleap", ".slp"),
        )
    }  # fmt: skip
    write_csv(files["csv"], poses, VIDEO)
    write_parquet(files["parquet"], poses, VIDEO)
    write_deeplabcut_csv(files["dlc"], poses, VIDEO, PROVENANCE)
    write_deeplabcut_h5(files["h5"], poses, VIDEO, PROVENANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = to_deeplabcut(poses, VIDEO, PROVENANCE)
        table.to_hdf(files["table"], key="df_with_missing", mode="w", format="table")
    write_sleap(files["sleap"], poses, VIDEO, PROVENANCE)
    return files


def mutated(content: bytes, kind: str, seed: int) -> bytes:
    """The file with seeded damage: bytes of any kind, and cells of tables."""
    rng = random.Random(seed)
    if kind in ("csv", "dlc") and rng.random() < 0.7:
        return _cells(content.decode(), rng).encode("utf-8", "surrogatepass")
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64))):
        at = rng.randrange(len(data))
        action = rng.randrange(4)
        if action == 0:
            data[at] = rng.randrange(256)
        elif action == 1:
            data[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7))
        elif action == 2:
            data[at] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.1:
            del data[at + 1 :]
    return bytes(data)


def _cells(text: str, rng: random.Random) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(rng.choice((1, 2, 8))):
        row = rng.choice(rows)
        if not row:
            continue
        action = rng.randrange(4)
        if action == 0:
            row.pop(rng.randrange(len(row)))
        elif action == 1:
            row.insert(rng.randrange(len(row) + 1), rng.choice(_CELLS))
        elif action == 2:
            rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
        if row:
            row[rng.randrange(len(row))] = rng.choice(_CELLS)
    return "\n".join(map(",".join, rows)) + "\n"
