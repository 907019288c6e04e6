"""Small files that once failed, where a checkout has them beside it; other tests render theirs."""

from pathlib import Path

import pytest


def case(name):
    """The path of a file; the test is skipped where it is not there."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "data" / "cases" / name
        if path.is_file():
            return path
    pytest.skip(f"{name} is not here")
