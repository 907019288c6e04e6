"""A job folder gives back what was put in, or nothing; never something else."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffpose.errors import InputError
from diffpose.inference.jobs import Job, tracks_from_arrays, tracks_to_arrays
from diffpose.poses import Track

ARRAYS: dict[str, Any] = {"a": np.arange(20, dtype=np.float32), "b": np.eye(3)}


def test_a_part_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    Job(tmp_path).save("x", ARRAYS)

    loaded = Job(tmp_path).load("x")

    assert loaded is not None
    assert set(loaded) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert Job(tmp_path).load("y") is None


def test_damage_anywhere_gives_the_same_arrays_or_nothing(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.save("x", ARRAYS)
    path = tmp_path / "parts" / "x.npz"
    whole = path.read_bytes()

    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        loaded = job.load("x")
        if loaded is not None and set(loaded) == set(ARRAYS):
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(loaded[name], array)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert job.load("x") is None


def test_a_full_disk_says_so_and_keeps_the_finished_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    job.save("before", ARRAYS)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"No space left on device.*kept"):
        job.save("after", ARRAYS)

    assert job.load("before") is not None
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["before.npz"]


def test_the_manifest_counts_finished_parts(tmp_path: Path) -> None:
    job = Job(tmp_path / "new" / "folder")
    assert job.count() == (0, 0)

    job.describe({"model": "m"}, keys=["x", "y"])
    job.save("x", ARRAYS)
    job.save("z", ARRAYS)

    assert job.count() == (1, 2)


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("")

    with pytest.raises(InputError, match="Cannot make the job folder"):
        Job(tmp_path / "job")


def test_tracks_survive_as_arrays() -> None:
    tracks = [
        Track(3, np.array([1, 2]), np.array([[0, 0, 1, 2], [0, 0, 2, 2.5]]), np.array([1, 0])),
        Track(0, np.array([9]), np.array([[5, 5, 6, 7]]), np.array([0.5])),
    ]

    back: list[Any] = tracks_from_arrays(tracks_to_arrays(tracks))

    for a, b in zip(tracks, back, strict=True):
        assert a.track_id == b.track_id
        for name in ("frames", "boxes", "scores"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
