"""A visitor with a login, in Chromium: the policy of the page forbids nothing that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.logins import hash_password
from app.settings import Settings
from diffpose.formats.native import read_native
from tests.app.figures import NUM_FRAMES, serving
from tests.app.test_browser import find_poses, open_example, shown_barcode

pytestmark = pytest.mark.browser


def test_log_in_look_find_download_and_log_out(page: Any, clip_path: Path, tmp_path: Path) -> None:
    logins = tmp_path / "logins"
    logins.write_text(f"ada:{hash_password('secret')}\n")
    settings = Settings(examples=clip_path.parent, work=tmp_path / "work", auth=logins)
    forbidden: list[str] = []
    page.on(
        "console",
        lambda said: forbidden.append(said.text) if "Content Security" in said.text else None,
    )
    with serving(settings) as app:
        page.goto(app.url)
        page.get_by_label("username").fill("ada")
        page.get_by_label("password").fill("secret")
        page.get_by_role("button", name="Login").click()
        page.wait_for_selector("#canvas")

        open_example(page, app)
        assert shown_barcode(page) == 0
        find_poses(page)
        with page.expect_download() as started:
            page.click("#export-go")
        started.value.save_as(tmp_path / "poses.json")
        assert len(read_native(tmp_path / "poses.json").sequences[0].frames) == NUM_FRAMES

        # An injected handler is what the policy is for.
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', "
            '\'<img src="data:," onerror="window.injected = true">\')'
        )
        page.wait_for_function("document.images[document.images.length - 1].complete")
        assert page.evaluate("window.injected") is None
        assert all("script-src-attr" in words for words in forbidden), forbidden
        assert forbidden

        page.goto(f"{app.url}logout")
        page.wait_for_selector("text=Login")
