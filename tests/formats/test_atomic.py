"""A failed write leaves the file of yesterday and nothing else."""

import contextlib
import os

import pytest

from diffpose.errors import InputError
from diffpose.formats.atomic import atomic_path, atomic_write, staged_folder


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


def test_the_files_of_a_stage_appear_together(tmp_path):
    (tmp_path / "a").write_text("old")

    with staged_folder(tmp_path) as stage:
        (stage / "a").write_text("new")
        (stage / "b").write_text("new")
        assert (tmp_path / "a").read_text() == "old"

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "new"


def test_a_stage_that_fails_leaves_nothing_and_names_the_users_folder(tmp_path):
    def fail():
        with staged_folder(tmp_path) as stage:
            (stage / "a").write_text("new")
            raise InputError(f"Cannot write {stage / 'b'}.")

    with pytest.raises(InputError) as caught:
        fail()

    assert str(caught.value) == f"Cannot write {tmp_path / 'b'}."
    assert list(tmp_path.iterdir()) == []


def test_a_stage_in_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"), staged_folder(tmp_path / "no"):
        pass


def test_what_a_killed_program_left_goes_with_the_next_write(tmp_path):
    stale, new = tmp_path / ".out.0123abcd.json", tmp_path / ".out.0123abce.json"
    others = [tmp_path / name for name in (".out.json", ".out.0123abcd.csv", ".in.0123abcd.json")]
    for path in (stale, new, *others):
        path.write_text("half")
        os.utime(path, None if path == new else (0, 0))

    atomic_write(tmp_path / "out.json", "whole")

    assert set(tmp_path.iterdir()) == {tmp_path / "out.json", new, *others}
