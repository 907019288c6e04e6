"""A promised device is no excuse to skip; random state is given back after each test."""

import os

import pytest
import torch
from hypothesis import settings

# No test asserts a wall-clock time: a busy machine is slow.
settings.register_profile("diffpose", deadline=None)
settings.load_profile("diffpose")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available() or os.environ.get("DIFFPOSE_REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(autouse=True)
def random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
