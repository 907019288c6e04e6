"""Projects from elsewhere are read, checked and rewritten; their files are never used."""

import json
import sqlite3

import pytest

from diffpose.errors import CancelledError, ProjectError
from diffpose.review import limits, migrations, opening
from diffpose.review.events import Hide, Move, to_dict
from diffpose.review.foreign import import_project
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from tests.review.review_objects import VIDEO_ID, clock, predictions, project, same

MOVE = Move(0, 4, 1, (10.25, 20.5))
SCHEMAS = {
    "a view that never ends": "DROP TABLE project; CREATE VIEW project AS WITH RECURSIVE r(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS name, n AS revision FROM r",
    "a view of huge values": "DROP TABLE project; CREATE VIEW project AS "
    "SELECT zeroblob(900000000) AS name, 1 AS revision",
    "a trigger that drops what is written": "CREATE TRIGGER harm BEFORE INSERT ON events "
    "BEGIN SELECT RAISE(IGNORE); END",
    "a trigger of ours that does nothing": "DROP TRIGGER events_are_not_deleted; "
    "CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events BEGIN SELECT 1; END",
    "a trigger less": "DROP TRIGGER events_are_not_edited",
    "a table more": "CREATE TABLE extra (x)",
}


def changed(path, script):
    """Change a project behind its back."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(script)
    raw.close()


@pytest.fixture
def made(tmp_path):
    """A project of every kind of row, and an empty folder."""
    (tmp_path / "projects").mkdir()
    path = tmp_path / "sent.diffpose"
    with project(path, predictions(), predictions(1)) as store:
        store.append(MOVE, author="ada", tab="t")
        store.append(Hide(1, (3, 4), 2))
        store.undo()
        store.add_predictions(predictions(seed=2), video_id=VIDEO_ID)
        store.set_setting("target_px", 5)
        store.record_export("/home/ada/out.csv", file_format="csv")
        store.models.adapt(AdaptedModel("x", "base", b"tensors", {"before_px": 2.0}, {0: 1, 1: 2}))
    return path


def refused(path, folder, match):
    with pytest.raises(ProjectError, match=match) as caught:
        import_project(path, folder, clock=clock)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_everything_is_taken_over_and_the_file_stays_as_it_was(made, tmp_path):
    before = made.read_bytes()

    taken = import_project(made, tmp_path / "projects", clock=clock)

    assert made.read_bytes() == before
    assert [path.name for path in (tmp_path / "projects").iterdir()] == [taken.name]
    with Store(made, clock=clock, read_only=True) as a, Store(taken, clock=clock) as b:
        assert (a.name, a.revision, a.created_at) == (b.name, b.revision, b.created_at)
        assert a.events() == b.events()
        assert a.exports() == b.exports()
        assert a.models.adapted() == b.models.adapted()
        assert b.setting("target_px") == 5
        assert repr(a.videos()) == repr(b.videos())
        for track in (0, 1):
            assert a.prediction_revisions(track) == b.prediction_revisions(track)
            assert same(ReviewSession(a).reviewed(track), ReviewSession(b).reviewed(track))
        # What is written next has a number of its own.
        assert b.append(MOVE).event_id == 4


def test_places_of_files_can_be_left_behind(made, tmp_path):
    changed(made, "UPDATE videos SET path = '/home/ada/clip.mp4'")

    taken = import_project(made, tmp_path / "projects", keep_places=False, clock=clock)

    with Store(taken, clock=clock) as store:
        assert [str(video.path) for video in store.videos()] == ["clip.mp4"]
        assert [line["path"] for line in store.exports()] == ["out.csv"]


@pytest.mark.parametrize("version", range(1, len(migrations.STEPS) + 1))
def test_files_of_every_version_open_and_are_taken_in(tmp_path, version):
    (tmp_path / "projects").mkdir()
    path = tmp_path / "old.diffpose"
    raw = sqlite3.connect(path, isolation_level=None)
    migrations.migrate(raw, clock=clock, name="old", target=version)
    details = json.dumps({"warnings": [], "names": []})
    raw.execute(
        "INSERT INTO videos VALUES (?, 'v.mp4', 4, 4, zeroblob(80), ?)", (VIDEO_ID, details)
    )
    raw.close()

    for made in (import_project(path, tmp_path / "projects", clock=clock), path):
        with Store(made, clock=clock, read_only=True) as store:
            assert (store.name, len(store.videos())) == ("old", 1)
        with Store(made, clock=clock) as store:
            assert store.add_predictions(predictions(), video_id=VIDEO_ID) == 1


@pytest.mark.parametrize("script", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_another_schema_is_neither_taken_in_nor_opened(made, tmp_path, script):
    changed(made, script)

    refused(made, tmp_path / "projects", "other tables, views or triggers")
    for read_only in (True, False):
        with pytest.raises(ProjectError, match="other tables, views or triggers"):
            Store(made, clock=clock, read_only=read_only)


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("UPDATE project SET revision = 'x'", "revision"),
        ("UPDATE project SET name = x'00'", "name"),
        ("DELETE FROM project", "one row"),
        ("UPDATE videos SET video_id = '../../../x'", "64 hexadecimal"),
        ("UPDATE tracks SET video_id = 'nowhere'", "video of a track"),
        ("UPDATE videos SET times_s = x'000000000000f87f'", "finite times"),
        ("UPDATE videos SET times_s = zeroblob(16)", "at most 1"),
        (
            'UPDATE videos SET details = \'{"warnings": [], "names": ["../x"]}\'',
            "names of pictures",
        ),
        ("UPDATE predictions SET provenance = '[1]'", "origin of the poses"),
        ("UPDATE predictions SET skeleton = 'null'", "a skeleton"),
        ("UPDATE prediction_chunks SET origin = zeroblob(18) || x'07'", "poses"),
        ("UPDATE prediction_chunks SET start = 5", "place of poses"),
        ("UPDATE adaptations SET earlier = '{\"0\": 77}'", "earlier poses"),
        ("UPDATE settings SET value = '{'", "JSON"),
        ("INSERT INTO events VALUES (9, 1, 0, 'me', '2026-01-01', 'move', '{}', '')", "correction"),
    ],
)
def test_rows_that_no_project_has_are_named(made, tmp_path, script, match):
    changed(made, "PRAGMA foreign_keys = OFF;" + script)

    refused(made, tmp_path / "projects", match)


@pytest.mark.parametrize(
    "action",
    [
        Move(0, 99, 1, (1, 2)), Move(0, -1, 1, (1, 2)), Move(0, 4, 3, (1, 2)),
        Hide(0, (4, 2**40), 1), Move(0, 4, 1, (1e30, 2)),
    ],
)  # fmt: skip
def test_an_action_that_its_track_cannot_have_is_refused_everywhere(made, tmp_path, action):
    raw = sqlite3.connect(made, isolation_level=None)
    raw.execute("UPDATE project SET revision = 99")
    raw.execute(
        "INSERT INTO events VALUES (9, 50, 0, 'me', '2026-01-01', ?, ?, '')",
        (to_dict(action)["kind"], json.dumps(to_dict(action))),
    )
    raw.close()

    refused(made, tmp_path / "projects", "of an action")
    with Store(made, clock=clock) as store, pytest.raises(ProjectError, match="damaged"):
        ReviewSession(store).reviewed(0)


def test_too_many_actions_are_refused_before_they_fill_the_memory(made, tmp_path, monkeypatch):
    monkeypatch.setattr("diffpose.review.foreign.MAX_EVENTS", 2)
    monkeypatch.setattr("diffpose.review.store.MAX_EVENTS", 2)

    refused(made, tmp_path / "projects", "more than 2 events")
    with Store(made, clock=clock) as store:
        with pytest.raises(ProjectError, match="more than the 2 actions"):
            store.events()
        with pytest.raises(ProjectError, match="as many as it may"):
            store.append(MOVE)


def test_a_file_that_is_too_large_is_not_read(made, tmp_path, monkeypatch):
    monkeypatch.setattr("diffpose.review.foreign.MAX_FOREIGN", 1000)

    refused(made, tmp_path / "projects", "more than the 1000")


def test_taking_in_can_be_cancelled(made, tmp_path):
    with pytest.raises(CancelledError):
        import_project(made, tmp_path / "projects", cancelled=lambda: True)
    assert list((tmp_path / "projects").iterdir()) == []


def test_what_takes_too_long_is_given_up(made, tmp_path, monkeypatch):
    monkeypatch.setattr("diffpose.review.foreign._WORK_S", -10.0)

    refused(made, tmp_path / "projects", "seconds to read")


def test_an_answer_never_holds_more_than_the_file(made, tmp_path):
    # Every page of a table that points at one leaf gives its rows again and again.
    budget_of = sqlite3.connect(made)
    budget = opening.Budget(budget_of, lambda: 0)
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"), budget.reading():
        budget_of.execute(endless).fetchall()
    budget_of.close()
    with Store(made, clock=clock) as store:
        with pytest.raises(ProjectError, match="more than a file of its size"):
            store._database.all("SELECT a.keypoints FROM prediction_chunks a, videos, "
                                "(WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r "
                                "LIMIT 90000) SELECT n FROM r)")  # fmt: skip
        with pytest.raises(ProjectError, match="more than a file of its size"):
            store._database.all(f"SELECT zeroblob({limits.LONGEST_VALUE + 1})")
        assert len(store.events()) == 3
