"""A project file from a stranger opens with valid content, or is refused in one sentence.

Two files of each kind in the usual run; DIFFPOSE_HOSTILE=10000 takes so many. One file again:
``hostile_project(seed, ...)``.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.project import honest_project, use

ROOT = Path(__file__).parents[2]
COUNT = int(os.environ.get("DIFFPOSE_HOSTILE", "38"))
BATCH = 100
HANGS_S = 600  # for a batch, on a machine with other work: a hang lasts for ever
MOST_CPU_S, MOST_KB = 10, 2**20


def _batch(folder: Path, first: int) -> list[dict]:
    numbers = str(first), str(min(first + BATCH, COUNT))
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.project", folder, *numbers],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=HANGS_S, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"died of {lines[-1:]}: {done.stderr[-2000:]}"
    return [line for line in lines if "results" in line]


@pytest.mark.parametrize("first", range(0, COUNT, BATCH))
def test_foreign_projects_open_or_are_refused_in_a_sentence(tmp_path, first):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("kept")
    folder = tmp_path / "work"
    folder.mkdir()

    lines = _batch(folder, first)

    assert len(lines) == min(BATCH, COUNT - first)
    for line in lines:
        assert "raw" not in line["results"], line
        for result, words in zip(line["results"], line["words"], strict=True):
            assert (result == "opened") == (not words), line
            assert "\n" not in words, line
            assert len(words) < 1500, line
        assert line["cpu_s"] < MOST_CPU_S, line
        assert line["peak_kb"] < MOST_KB, line
        assert line["listed"] == 1, line
        # Nothing but the given folder was touched, and nothing half made is left in it.
        place = folder / str(line["seed"])
        assert [path.name for path in place.iterdir()] == ["in"]
        made = [path.name for path in (place / "in" / "projects").iterdir()]
        assert len(made) == (line["results"][0] == "opened"), (made, line)
    assert [path.name for path in victim.iterdir()] == ["precious.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "work"}
    # The generator reaches both ends.
    results = Counter(result for line in lines for result in line["results"])
    assert results["opened"], results
    assert results["refused"], results


def test_the_honest_project_is_taken_in_whole(tmp_path):
    honest_project(tmp_path / "a.diffpose")
    (tmp_path / "projects").mkdir()

    use(tmp_path / "a.diffpose", tmp_path / "projects")
