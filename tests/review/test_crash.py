"""A process killed with SIGKILL at any moment loses nothing that it acknowledged."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from diffpose.review.corrections import fold
from diffpose.review.events import Move
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from tests.review.review_objects import clock, project, same

ROOT = Path(__file__).parents[2]

# Forks once for each statement that SQLite runs: the child kills itself just before that one.
_DIE_AT_EVERY_STATEMENT = """
import os, sys
from pathlib import Path
from diffpose.review.events import Move
from diffpose.review.store import Store
from tests.review.review_objects import VIDEO_ID, clock, die_before, predictions, project

folder = Path(sys.argv[1])
for number in range(1000):
    path = folder / f"{number}.diffpose"
    project(path).close()
    acknowledged, child = os.pipe()
    if os.fork() == 0:
        store = Store(path, clock=clock)
        die_before(store, number)
        store.append(Move(0, 4, 1, (1, 2)))
        os.write(child, b"a")
        store.undo()
        os.write(child, b"u")
        store.add_predictions(predictions(seed=1), video_id=VIDEO_ID)
        os.write(child, b"p")
        store.append(Move(0, 5, 1, (3, 4)))
        os.write(child, b"b")
        os._exit(0)
    os.close(child)
    _, status = os.wait()
    said = os.read(acknowledged, 9).decode()
    os.close(acknowledged)
    with Store(path, clock=clock) as store:
        log = [type(e.action).__name__ for e in store.events()]
        print(said, store.revision, len(store.prediction_revisions(0)), *log, sep=",")
        assert len(store.predictions(0)) == 6
    if status == 0:
        break
"""


def _run(code: str, *arguments: object, wait: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    if wait:
        process.wait(timeout=60)
    return process


def _left_by_kills(code: str, folder: Path) -> list[str]:
    """A line for every statement before which a process was killed: what it left."""
    process = _run(code, folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    lines = out.split()
    assert len(lines) > 20
    return lines


def test_killed_before_any_statement_nothing_acknowledged_is_lost(tmp_path):
    for line in _left_by_kills(_DIE_AT_EVERY_STATEMENT, tmp_path):
        said, revision, sets, *log = line.split(",")
        whole = {"a": ["Move"], "au": ["Move", "Undo"], "aup": ["Move", "Undo"]}
        whole |= {"": [], "aupb": ["Move", "Undo", "Move"]}
        # What was not acknowledged may be there too, whole, but only the one thing under way.
        steps = [*whole.values()]
        done = len(log) + int(sets) - 1
        assert log in steps
        assert len(said) <= done <= len(said) + 1
        assert log[: len(whole[said])] == whole[said]
        assert int(revision) == 1 + done


_CORRECT_FOREVER = """
import sys
from diffpose.review.events import Move
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store

session = ReviewSession(Store(sys.argv[1]))
number = len(session.store.events())
while True:
    session.apply(Move(0, 2 + number % 6, number % 3, (number, 7)))
    print(number, flush=True)
    number += 1
"""


def test_killed_while_correcting_every_acknowledged_correction_is_there(tmp_path):
    path = tmp_path / "a.diffpose"
    project(path).close()
    last = -1

    for wait_for in (1, 6, 3):
        process = _run(_CORRECT_FOREVER, path, wait=False)
        assert process.stdout is not None
        for _ in range(wait_for):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.communicate()[0].split()]
        last = max([last, *said])

        with Store(path, clock=clock) as store:
            moves = [e.action for e in store.events()]
            xs = [move.xy[0] for move in moves if isinstance(move, Move)]
            assert len(xs) > last
            assert xs == list(range(len(xs)))
            last = len(xs) - 1


def test_a_session_goes_on_where_a_killed_one_stopped(tmp_path):
    path = tmp_path / "a.diffpose"
    with project(path) as store:
        before = ReviewSession(store).reviewed(0)
    process = _run(_CORRECT_FOREVER, path, wait=False)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.kill()
    process.communicate()

    with Store(path, clock=clock) as store:
        session = ReviewSession(store)
        assert same(session.reviewed(0), fold(store.predictions(0), store.events()))
        while session.can_undo:
            session.undo()
        assert same(session.reviewed(0), before)


# The same for a model that is taken up and given back, over two people's poses.
_DIE_WHILE_ADAPTING = """
import os, sys
from pathlib import Path
from diffpose.review.adapting import return_to_shipped, take_up
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from tests.review.review_objects import clock, die_before, predictions, project

folder = Path(sys.argv[1])
for number in range(1000):
    path = folder / f"{number}.diffpose"
    project(path, predictions(0), predictions(1)).close()
    if os.fork() == 0:
        session = ReviewSession(Store(path, clock=clock))
        die_before(session.store, number)
        better = [predictions(0, seed=1), predictions(1, seed=1)]
        take_up(session, AdaptedModel("x", "base", b"tensors"), better, provenances={})
        return_to_shipped(session)
        os._exit(0)
    _, status = os.wait()
    with Store(path, clock=clock) as store:
        model = store.models.adapted()
        sets = [len(store.prediction_revisions(track_id)) for track_id in (0, 1)]
        print(model.name if model else "shipped", *sets, store.revision, sep=",")
    if status == 0:
        break
"""


def test_killed_before_any_statement_a_model_is_in_force_with_its_poses_or_not(tmp_path):
    states = _left_by_kills(_DIE_WHILE_ADAPTING, tmp_path)
    assert list(dict.fromkeys(states)) == ["shipped,1,1,2", "x,2,2,4", "shipped,3,3,6"]
