import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from diffpose.errors import ProjectError
from diffpose.review.events import Move
from diffpose.review.library import (
    copy_project,
    create_project,
    delete_project,
    list_projects,
    list_trash,
    rename_project,
    restore_project,
)
from diffpose.review.store import Store
from tests.review.review_objects import clock, project

MOVE = Move(0, 4, 1, (1, 2))


def test_projects_are_created_and_listed_with_their_names(tmp_path):
    with create_project(tmp_path, "Ada / läuft", clock=clock) as one:
        assert one.path.parent == tmp_path
    with create_project(tmp_path, "Ada / läuft", clock=clock) as two:
        assert two.path != one.path
    (tmp_path / "broken.diffpose").write_text("no database" * 99)
    (tmp_path / "notes.txt").write_text("not a project")

    listed = {info.path: info for info in list_projects(tmp_path)}

    assert {info.name for info in listed.values()} == {"Ada / läuft", "broken"}
    assert len(listed) == 3
    assert "damaged" in listed[tmp_path / "broken.diffpose"].problem
    assert list_projects(tmp_path / "nowhere") == []


def test_a_renamed_project_keeps_its_file(tmp_path):
    path = tmp_path / "a.diffpose"
    project(path).close()

    rename_project(path, "Better name")

    (info,) = list_projects(tmp_path)
    assert (info.path, info.name) == (path, "Better name")
    assert (info.num_videos, info.num_tracks, info.revision) == (1, 1, 1)


def test_an_open_project_is_copied_as_it_is(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.append(MOVE)
        copy = copy_project(store.path, "second", clock=clock)
        store.append(MOVE)

    with Store(copy, clock=clock) as second:
        assert (second.name, len(second.events())) == ("second", 1)


def test_a_deleted_project_can_be_restored(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.append(MOVE)

    gone = delete_project(tmp_path / "a.diffpose")

    assert list_projects(tmp_path) == []
    assert [info.path for info in list_trash(tmp_path)] == [gone]
    project(tmp_path / "a.diffpose").close()
    back = restore_project(gone)
    assert back == tmp_path / "a-2.diffpose"
    with Store(back, clock=clock) as store:
        assert len(store.events()) == 1
    assert list_trash(tmp_path) == []


def test_a_page_that_still_has_a_deleted_project_open_is_told(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        delete_project(store.path)

        with pytest.raises(ProjectError, match="deleted, moved or replaced"):
            store.append(MOVE)


def test_a_damaged_project_can_be_thrown_away(tmp_path):
    (tmp_path / "broken.diffpose").write_text("no database" * 99)

    gone = delete_project(tmp_path / "broken.diffpose")

    assert gone.read_text().startswith("no database")


def test_what_is_not_there_is_named(tmp_path):
    for act in (delete_project, restore_project, lambda path: rename_project(path, "x")):
        with pytest.raises(ProjectError, match=r"no (deleted )?project"):
            act(tmp_path / "none.diffpose")
    with pytest.raises(ProjectError, match="needs a name"):
        create_project(tmp_path, "  ")
    with pytest.raises(ProjectError, match="does not exist"):
        create_project(tmp_path / "none", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE project SET revision = 'x'",
        "UPDATE project SET name = x'ff'",
        "UPDATE videos SET video_id = '../x', times_s = x'00'",
        "DELETE FROM project",
    ],
)
def test_a_project_that_cannot_be_read_hides_no_other(tmp_path, statement):
    for name in ("good", "bad"):
        project(tmp_path / f"{name}.diffpose").close()
    raw = sqlite3.connect(tmp_path / "bad.diffpose", isolation_level=None)
    raw.execute(statement)
    raw.close()

    problems = {info.path.stem: info.problem for info in list_projects(tmp_path)}

    assert problems.keys() == {"good", "bad"}
    assert not problems["good"]
    assert problems["bad"]


def test_a_full_disk_leaves_no_project_behind(tmp_path, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("diffpose.review.opening.migrate", full)

    with pytest.raises(ProjectError, match="disk is full"):
        create_project(tmp_path, "a")

    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_not_listed_as_good(tmp_path):
    (tmp_path / "a.diffpose").touch()

    (info,) = list_projects(tmp_path)

    assert "interrupted" in info.problem


def test_what_a_killed_program_left_half_made_goes_after_an_hour(tmp_path):
    old, new = (tmp_path / f".{digit * 16}.part" for digit in "01")
    kept = tmp_path / ".mine.part"
    for path in (old, old.with_name(old.name + "-wal"), new, kept):
        path.write_text("x")
        os.utime(path, (0, 0) if path != new else None)

    assert list_projects(tmp_path) == []

    assert set(tmp_path.iterdir()) == {new, kept}


_IN_A_READ_ONLY_FOLDER = """
import os, sys
from pathlib import Path
from diffpose.errors import ProjectError
from diffpose.review.library import copy_project, create_project, delete_project, list_projects
if os.getuid() == 0:
    os.setuid(65534)
folder = Path(sys.argv[1])
path = folder / "a.diffpose"
for act in (lambda: copy_project(path, "b"), lambda: delete_project(path),
            lambda: create_project(folder, "c")):
    try:
        act()
    except ProjectError as error:
        print(error)
print(len(list_projects(folder)))
"""


def test_a_read_only_folder_is_told_in_a_sentence(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    project(folder / "a.diffpose").close()
    (folder / "a.diffpose").chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):  # pytest's own folders
        parent.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-c", _IN_A_READ_ONLY_FOLDER, str(folder)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    folder.chmod(0o755)

    assert done.returncode == 0, done.stderr
    *said, listed = done.stdout.splitlines()
    assert len(said) == 3
    assert all("cannot be" in line for line in said), said
    assert listed == "1"
