"""The layers hold, and the front door stays light."""

import subprocess
import sys
from pathlib import Path

import diffpose

ROOT = Path(__file__).parents[1]


def test_imports_point_down():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_importing_diffpose_loads_neither_torch_nor_gradio():
    code = (
        "import sys, diffpose; "
        "heavy = {'torch', 'gradio', 'cv2', 'av', 'pandas'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_every_public_name_exists():
    for name in diffpose.__all__:
        assert hasattr(diffpose, name)


def test_the_top_level_is_what_it_should_be():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    folders = {line.split("/")[0] for line in tracked if "/" in line}

    assert folders <= {"app", "diffpose", "assets", "tests", "docs", "benchmarks", ".ci", ".github"}
