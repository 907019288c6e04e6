"""What runs in a process of its own comes back whole or as one sentence."""

import os
import subprocess
import sys

import numpy as np
import pytest

from diffpose.errors import FormatError, VideoError
from diffpose.isolated import run_isolated

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of functions that behave badly."""
    (tmp_path / "behaviour.py").write_text(
        "import os, time, ctypes\nimport numpy as np\n"
        "from diffpose.errors import VideoError\n"
        "def echo(*values): return {'given': values, 'array': np.arange(6.0).reshape(2, 3)}\n"
        "def noise(): print('x' * 9); os.write(2, b'y'); return 1\n"
        "def fail(): raise KeyError('frames')\n"
        "def say(): raise VideoError('Expected a video.')\n"
        "def crash(): ctypes.string_at(0)\n"
        "def spin():\n    while True: pass\n"
        "def sleep(): time.sleep(60)\n"
        "def grow(): return len(bytearray(3 * 2**30))\n"
        "def flood(): return 'x' * 2**20\n"
        "def write(path): os.write(os.open(path, os.O_CREAT | os.O_WRONLY), b'here'); return True\n"
        "def environment(): return dict(os.environ)\n"
        "def lie(): os.write(3, (10).to_bytes(8, 'little') + b'{\"value\":1}'); os._exit(0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "behaviour"


def test_values_and_arrays_come_back(module):
    found = run_isolated(f"{module}:echo", 1, "zwei", [None], what="it")

    assert found["given"] == [1, "zwei", [None]]
    np.testing.assert_array_equal(found["array"], [[0, 1, 2], [3, 4, 5]])


def test_what_a_library_prints_is_no_part_of_the_answer(module):
    assert run_isolated(f"{module}:noise", what="it") == 1


def test_an_error_of_ours_keeps_its_words_and_its_kind(module):
    with pytest.raises(VideoError, match=r"^Expected a video\.$"):
        run_isolated(f"{module}:say", what="it")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fail", "KeyError"),
        ("crash", "broke off"),
        ("spin", "was stopped"),
        ("sleep", "took longer"),
        ("grow", "needs more than"),
        ("flood", "broke off"),
        ("lie", "broke off"),
    ],
)
def test_what_goes_wrong_is_one_sentence(module, monkeypatch, function, words):
    monkeypatch.setattr("diffpose.isolated._MOST_HEADER", 2**16)
    seconds = 0.5 if function == "sleep" else 1.0
    with pytest.raises(FormatError, match=words) as caught:
        run_isolated(f"{module}:{function}", what="it.h5", seconds=seconds)

    assert "it.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_writes_no_file_and_knows_no_secret(module, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")

    with pytest.raises(FormatError, match="OSError"):
        run_isolated(f"{module}:write", str(tmp_path / "new"), what="it")

    assert (tmp_path / "new").read_bytes() == b""
    assert "TOKEN" not in run_isolated(f"{module}:environment", what="it")


def test_the_reader_of_tables_imports_no_more_than_it_needs():
    code = (
        "import sys, diffpose.formats.hdf, diffpose.isolated; "
        "print(sorted({'torch', 'pandas', 'scipy', 'cv2', 'av', 'pydantic'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert said.stdout.strip() == "[]"
