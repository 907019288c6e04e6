"""A failed write leaves the file of yesterday and nothing else."""

import contextlib

import pytest

from diffpose.errors import InputError
from diffpose.formats.atomic import atomic_path, atomic_write


def test_a_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "out.json"

    atomic_write(path, "old")
    atomic_write(path, "größer\n")

    assert path.read_bytes() == "größer\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")

    with contextlib.suppress(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        atomic_write(path, "\ud800")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_input_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        atomic_write(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_has_the_suffix_and_the_folder_of_the_final_one(tmp_path):
    with atomic_path(tmp_path / "clip.mp4") as temporary:
        temporary.touch()

        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path


def test_a_folder_is_no_file_name(tmp_path):
    with pytest.raises(InputError, match="file name"):
        atomic_write(tmp_path, "text")
