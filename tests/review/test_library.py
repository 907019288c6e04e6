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
