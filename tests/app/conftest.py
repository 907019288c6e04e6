"""A workspace with stand-ins for the models, a served page, and Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.app.figures import (
    Served,
    serving,
    unserved,
    write_clip,
)

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("examples") / "two_people.mp4")


@pytest.fixture
def figures(clip_path: Path, tmp_path: Path) -> Iterator[Served]:
    """A workspace nobody serves."""
    with unserved(Settings(examples=clip_path.parent, work=tmp_path)) as figures:
        yield figures


@pytest.fixture(scope="session")
def served(clip_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(examples=clip_path.parent, work=tmp_path_factory.mktemp("work"))
    with serving(settings) as app:
        yield app


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=CHROMIUM_FLAGS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must neither fail in its scripts nor ask anybody but this machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    sheet = context.new_page()
    sheet.set_default_timeout(60_000)
    errors: list[str] = []
    sheet.on("pageerror", lambda error: errors.append(str(error)))
    sheet.on("request", lambda request: errors.extend(_outside(request.url)))
    yield sheet
    context.close()
    assert errors == []


def _outside(url: str) -> list[str]:
    local = url.startswith(("http://127.0.0.1:", "http://localhost:", "data:", "blob:"))
    return [] if local else [f"asked {url}"]
