"""Law of the endpoints: whatever is sent, the answer is no 500, and the server goes on.

``DIFFPOSE_HOSTILE=10000`` sends so many; ``DIFFPOSE_SEED`` begins at another seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.app.figures import serving, write_clip
from tests.hostile.endpoints import Hostile, Page, send

COUNT = int(os.environ.get("DIFFPOSE_HOSTILE", "40"))
SEED = int(os.environ.get("DIFFPOSE_SEED", "0"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    clip = write_clip(tmp_path_factory.mktemp("examples") / "two_people.mp4")
    settings = Settings(examples=clip.parent, work=Path(tmp_path_factory.mktemp("work")))
    with serving(settings) as app:
        yield Page.of(app)


def test_no_request_breaks_the_server(server: Page) -> None:
    broken = []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        session = server.open(client, "fuzz", "Two people")
        clip = server.workspace.session(session).clip
        assert clip is not None
        hostile = Hostile(SEED, server, session=session, clip=clip.clip_id)
        for number, request in enumerate(hostile.requests(COUNT)):
            try:
                status = send(client, request)
            except httpx.TransportError as error:
                broken.append((number, request, repr(error)))
                continue
            if status >= 500:
                broken.append((number, request, str(status)))
        assert broken == []
        answer = server.call(client, "fuzz", "projects", {"session": session, "do": "list"})
        assert answer.json()["ok"]


def test_the_seed_decides(server: Page) -> None:
    def made(seed: int) -> list[object]:
        return list(Hostile(seed, server, session="s", clip="c").requests(50))

    assert made(1) == made(1)
    assert made(1) != made(2)
