import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from diffpose.errors import CorrectionError, ProjectError, StaleRevisionError
from diffpose.poses import Provenance, Track, VideoInfo
from diffpose.review import migrations
from diffpose.review.blobs import skeleton_to_json, split_chunks
from diffpose.review.corrections import fold
from diffpose.review.events import Confirm, Hide, Move, Swap, to_dict
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from tests.review.review_objects import VIDEO, VIDEO_ID, K, clock, predictions, project, same

OTHER_ID = "def".rjust(64, "0")
MOVE = Move(0, 4, 1, (10.25, 20.5))


def test_predictions_of_many_chunks_come_back_bit_for_bit(tmp_path):
    given = predictions(count=1200)
    with project(tmp_path / "a.diffpose", given) as store:
        read = store.predictions(0)

    assert read.skeleton == given.skeleton
    for name in ("frames", "keypoints", "confidence", "covariance", "origin"):
        assert getattr(read, name).tobytes() == getattr(given, name).tobytes()


def test_everything_is_there_after_opening_again(tmp_path):
    made_by = Provenance("small", "f00d", 4, 8, 0, {"window": 3})
    corners = np.array([[1, 2, 3, 4.5], [1, 2, 3, 5]])
    boxes = Track(0, np.arange(2, 4), corners, np.array([0.1, 1]))
    with project(tmp_path / "a.diffpose") as store:
        store.rename("Ada walks")
        store.append(MOVE, author="ada", tab="t1")
        store.add_predictions(
            predictions(seed=1), video_id=VIDEO_ID, boxes=boxes, provenance=made_by
        )
        store.set_setting("target_px", 5)
        store.record_export("out.csv", file_format="csv")

    with Store(tmp_path / "a.diffpose", clock=clock) as store:
        (event,) = store.events()
        assert (event.event_id, event.revision, event.author, event.tab) == (1, 2, "ada", "t1")
        assert (event.made_at, event.action) == (clock(), MOVE)
        assert (store.name, store.revision, store.created_at) == ("Ada walks", 3, clock())
        assert store.prediction_revisions(0) == [1, 3]
        assert store.predictions(0, 1).keypoints.tobytes() == predictions().keypoints.tobytes()
        assert store.provenance(0) == made_by
        read = store.boxes_of(0)
        assert read is not None
        assert read.boxes.tobytes() == boxes.boxes.tobytes()
        assert (store.setting("target_px"), store.setting("other", 1)) == (5, 1)
        assert [line["revision"] for line in store.exports()] == [3]
        assert repr(store.videos()) == repr([VIDEO])
        assert store.video_of(0).times_s.tobytes() == VIDEO.times_s.tobytes()


def test_events_can_neither_be_edited_nor_deleted(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as store:
        store.append(MOVE)

    raw = sqlite3.connect(path)
    for statement in ("DELETE FROM events", "UPDATE events SET action = '{}'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
    raw.close()


def test_replaying_the_log_on_a_fresh_store_gives_the_same_poses(tmp_path):
    with project(tmp_path / "a.diffpose") as first, project(tmp_path / "b.diffpose") as second:
        first.append(MOVE)
        first.append(Swap(0, 3, 5), author="bob")
        first.undo()
        first.append(Hide(0, (5,), 0))
        first.redo("bob")
        first.redo()
        for event in first.events():
            second.append(event.action, author=event.author)

        logs = [[to_dict(e.action) for e in store.events()] for store in (first, second)]
        assert logs[0] == logs[1]
        assert same(fold(first.predictions(0), first.events()),
                    fold(second.predictions(0), second.events()))  # fmt: skip


def test_the_second_of_two_writers_at_one_frame_is_told(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as one, Store(path, clock=clock) as other:
        seen = one.revision
        one.append(MOVE, seen)

        with pytest.raises(StaleRevisionError, match=r"revision 1 \(now 2\)") as caught:
            other.append(Hide(0, (4,), 0), seen)

        assert caught.value.revision == other.revision == 2
        assert [e.action for e in other.events()] == [MOVE]
        other.append(Hide(0, (4,), 0), caught.value.revision)
        assert one.revision == 3


def test_changes_at_different_frames_are_merged(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path, predictions(), predictions(1)) as one, Store(path, clock=clock) as other:
        seen = one.revision
        one.append(MOVE, seen)

        other.append(Hide(0, (5,), 1), seen)
        other.append(Hide(1, (4,), 1), seen)

        assert len(one.events()) == 3


def test_an_undo_counts_as_a_change_of_what_it_undid(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.append(MOVE)
        seen = store.revision
        store.undo()

        with pytest.raises(StaleRevisionError):
            store.append(Hide(0, (4,), 0), seen)


def test_a_page_is_never_in_its_own_way(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        seen = store.revision

        store.append(MOVE, seen, tab="p")
        store.append(MOVE, seen, tab="p")

        assert len(store.events()) == 2


def test_new_predictions_hinder_only_what_was_said_of_the_old_ones(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        seen = store.revision
        store.add_predictions(predictions(seed=1), video_id=VIDEO_ID)

        store.append(MOVE, seen)
        with pytest.raises(StaleRevisionError):
            store.append(Confirm(0, (7,)), seen)


def test_a_revision_from_the_future_is_refused(tmp_path):
    with project(tmp_path / "a.diffpose") as store, pytest.raises(CorrectionError, match="not yet"):
        store.append(MOVE, 99)


def test_a_track_belongs_to_one_video(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.add_video(VideoInfo(Path("other.mp4"), OTHER_ID, 64, 48, np.arange(3) / 25))

        with pytest.raises(ProjectError, match="another video"):
            store.add_predictions(predictions(), video_id=OTHER_ID)
        with pytest.raises(ProjectError, match="no track 5"):
            store.video_of(5)
        with pytest.raises(ProjectError, match="no track 5"):
            store.append(Hide(5, (4,), 0))
        with pytest.raises(ProjectError, match="revision 9"):
            store.predictions(0, 9)


def test_a_moved_video_is_found_again_by_its_content(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        moved = VideoInfo(Path("new/place.mp4"), VIDEO_ID, 640, 480, VIDEO.times_s)
        changed = VideoInfo(Path("clip.mp4"), OTHER_ID, 640, 480, VIDEO.times_s)

        with pytest.raises(ProjectError, match=r"content differs from clip\.mp4"):
            store.relink(VIDEO_ID, changed)
        with pytest.raises(ProjectError, match="no video"):
            store.relink("xyz", changed)
        store.relink(VIDEO_ID, moved)

        assert store.video_of(0).path == Path("new/place.mp4")
        assert len(store.videos()) == 1


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.diffpose"
    old = sqlite3.connect(path, isolation_level=None)
    migrations.migrate(old, clock=clock, name="old", target=1)
    old.execute("INSERT INTO videos VALUES ('abc', 'v.mp4', 4, 4, x'', '{}')")
    old.execute("INSERT INTO tracks VALUES (0, 'abc')")
    given = predictions()
    old.execute(
        "INSERT INTO predictions VALUES (1, 0, ?, 'null', ?)",
        (skeleton_to_json(given.skeleton), clock().isoformat()),
    )
    for chunk in split_chunks(given):
        old.execute("INSERT INTO prediction_chunks VALUES (1, 0, ?, ?, ?, ?, ?, ?)", chunk)
    old.execute(
        "INSERT INTO events VALUES (1, 2, 0, 'me', ?, 'move', ?)",
        (clock().isoformat(), json.dumps(to_dict(MOVE))),
    )
    old.execute("UPDATE project SET revision = 2")
    old.close()

    with Store(path, clock=clock, read_only=True) as store:
        assert [e.action for e in store.events()] == [MOVE]
    with Store(path, clock=clock) as store:
        assert [e.action for e in store.events()] == [MOVE]
        assert same(fold(store.predictions(0), store.events()),
                    fold(given, store.events()))  # fmt: skip
        assert store.append(MOVE).revision == 3

    raw = sqlite3.connect(path)
    steps = raw.execute("SELECT version FROM migrations ORDER BY version").fetchall()
    assert steps == [(n + 1,) for n in range(len(migrations.STEPS))]
    raw.close()


def test_a_failing_migration_leaves_the_file_at_its_version(tmp_path, monkeypatch):
    path = tmp_path / "a.diffpose"
    project(path).close()
    broken = ("broken", ("CREATE TABLE extra (x)", "INSERT INTO nowhere VALUES (1)"))
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, broken))

    raw = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrations.migrate(raw, clock=clock, name="a", target=len(migrations.STEPS))

    assert raw.execute("PRAGMA user_version").fetchone() == (len(migrations.STEPS) - 1,)
    assert not raw.execute("SELECT * FROM sqlite_master WHERE name = 'extra'").fetchall()
    raw.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_files_that_are_no_project_of_ours_are_named(tmp_path, read_only):
    newer, other, text = (tmp_path / f"{name}.diffpose" for name in ("newer", "other", "text"))
    project(newer).close()
    raw = sqlite3.connect(newer)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    raw = sqlite3.connect(other)
    raw.execute("CREATE TABLE x (y)")
    raw.close()
    text.write_text("not a database at all, only text, and quite a lot of it" * 9)

    for path, message in ((newer, "newer DiffPose .schema 99"), (other, "another program"),
                          (text, "damaged or no project file")):  # fmt: skip
        before = path.read_bytes()
        with pytest.raises(ProjectError, match=message):
            Store(path, clock=clock, read_only=read_only)
        assert path.read_bytes() == before


def test_a_damaged_file_is_refused_but_can_be_looked_into(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path, predictions(count=900)) as store:
        store.append(MOVE)
    data = bytearray(path.read_bytes())
    middle = 4096 * 12
    data[middle : middle + 4096 * 3] = b"\xff" * (4096 * 3)
    path.write_bytes(data)

    with pytest.raises(ProjectError, match="damaged"):
        Store(path, clock=clock)
    with Store(path, clock=clock, read_only=True) as store:
        assert store.name == "a"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE prediction_chunks SET keypoints = x'0102'",
        "UPDATE predictions SET skeleton = '{}'",
        "INSERT INTO events VALUES (9, 9, 0, 'me', '2026-01-01', 'move', '{\"kind\": 1}', '')",
        "UPDATE videos SET details = '[]'",
    ],
)
def test_content_that_cannot_be_read_is_called_damaged(tmp_path, statement):
    path = tmp_path / "a.diffpose"
    project(path).close()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute(statement)
    raw.close()

    with Store(path, clock=clock) as store, pytest.raises(ProjectError, match="is damaged"):
        ReviewSession(store).reviewed(0)


def test_a_full_disk_acknowledges_nothing_and_keeps_the_project(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.append(MOVE)
        pages = store._database.one("PRAGMA page_count")[0]
        store._database.all(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(ProjectError, match="disk is full: nothing was written"):
            store.add_predictions(predictions(seed=1, count=600), video_id=VIDEO_ID)

        assert store.revision == 2
        assert store.prediction_revisions(0) == [1]
        store._database.all("PRAGMA max_page_count = 1000000")
        store.append(MOVE)
        assert len(store.events()) == 2


def test_a_read_only_project_is_read_and_never_written(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as writer, Store(path, clock=clock, read_only=True) as reader:
        writer.append(MOVE)

        assert [e.action for e in reader.events()] == [MOVE]
        with pytest.raises(ProjectError, match="open read-only"):
            reader.append(MOVE)
    with pytest.raises(ProjectError, match="no project file"):
        Store(tmp_path / "none.diffpose", clock=clock, read_only=True)
    with pytest.raises(ProjectError, match="does not exist"):
        Store(tmp_path / "no" / "folder.diffpose", clock=clock)


_READER = """
import os, sys
from pathlib import Path
from diffpose.errors import ProjectError
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
if os.getuid() == 0:
    os.setuid(65534)
with Store(Path(sys.argv[1]), read_only=True) as store:
    print(len(store.events()), len(store.predictions(0)))
try:
    Store(Path(sys.argv[1]))
except ProjectError as error:
    print(error)
"""


@pytest.mark.parametrize("crashed", [False, True])
def test_a_project_in_a_read_only_folder_can_be_read(tmp_path, crashed):
    folder = tmp_path / "shared"
    folder.mkdir()
    path = folder / "a.diffpose"
    store = project(path)
    store.append(MOVE)
    if crashed:  # what a killed program leaves: the log beside the file, not yet in it
        names = [file for file in folder.iterdir() if not file.name.endswith("-shm")]
        left = {file: file.read_bytes() for file in names}
    store.close()
    if crashed:
        for file, data in left.items():
            file.write_bytes(data)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):  # pytest's own folders
        parent.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-c", _READER, str(path)], capture_output=True, text=True, check=False
    )
    folder.chmod(0o755)

    assert done.returncode == 0, done.stderr
    read, refused = done.stdout.splitlines()
    assert read == "1 6"
    assert "cannot be written; open the project read-only" in refused


def test_a_deleted_project_acknowledges_nothing(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as store:
        path.rename(tmp_path / "b.diffpose")

        with pytest.raises(ProjectError, match="deleted, moved or replaced"):
            store.append(MOVE)


def test_a_copy_is_whole_and_never_replaces_a_file(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        store.append(MOVE)
        store.copy_to(tmp_path / "b.diffpose")
        with pytest.raises(ProjectError, match="exists already"):
            store.copy_to(tmp_path / "b.diffpose")

    with Store(tmp_path / "b.diffpose", clock=clock) as copy:
        assert [e.action for e in copy.events()] == [MOVE]
        assert copy.predictions(0).keypoints.shape == (6, K, 2)


def test_writers_side_by_side_lose_nothing(tmp_path):
    path = tmp_path / "a.diffpose"

    def write(author):
        with Store(path, clock=clock) as store:
            for number in range(8):
                store.append(Move(0, 2 + number % 6, 0, (number, 0)), author=author)

    project(path).close()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))

    with Store(path, clock=clock) as store:
        log = store.events()
        assert [e.revision for e in log] == list(range(2, 2 + 32))
        for author in "abcd":
            xs = [e.action.xy[0] for e in log if e.author == author and isinstance(e.action, Move)]
            assert xs == list(range(8))


def test_a_new_file_opened_twice_at_once_is_made_once(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store(tmp_path / "a.diffpose", clock=clock), range(4)))

    assert {store.name for store in stores} == {"a"}
    assert stores[0]._database.all("SELECT count(*) FROM migrations") == [(len(migrations.STEPS),)]
    for store in stores:
        store.close()


def test_without_its_log_beside_it_a_project_acknowledges_nothing_and_loses_nothing(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as store:
        store.append(MOVE)
        path.with_name(path.name + "-wal").unlink()

        with pytest.raises(ProjectError, match="wal was deleted"):
            store.append(MOVE)

    with Store(path, clock=clock) as store:
        assert [e.action for e in store.events()] == [MOVE]


def test_a_transaction_that_sqlite_has_ended_itself_tells_what_was_wrong(tmp_path):
    raw = sqlite3.connect(tmp_path / "a.diffpose", isolation_level=None)
    raw.execute("BEGIN")

    def fail():
        with migrations.rolled_back(raw):
            raw.execute("ROLLBACK")
            raise ProjectError("the true reason")

    with pytest.raises(ProjectError, match="the true reason"):
        fail()
    raw.close()


def test_text_that_cannot_be_written_is_told(tmp_path):
    with project(tmp_path / "a.diffpose") as store:
        for act in (lambda: store.rename("\ud800"), lambda: store.append(MOVE, author="\ud800")):
            with pytest.raises(ProjectError, match="broken letters"):
                act()
        assert store.revision == 1
