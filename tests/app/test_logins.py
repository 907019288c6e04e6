"""Laws of logins: who is in the file gets in, nobody else; without a file everybody does."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from app.layout import build_app, launch
from app.logins import read_logins
from app.settings import Settings, read_settings
from app.workspace import Workspace
from diffpose.errors import SettingsError
from tests.app.figures import FigureDetector, FigureEstimator, figure_models


def test_names_and_passwords(tmp_path):
    path = tmp_path / "logins"
    path.write_text("# the clinic\nada:a:b\n\nbob:secret\n")
    check = read_logins(path)
    assert check("ada", "a:b")
    assert check("bob", "secret")
    assert not check("bob", "a:b")
    assert not check("bob", "")
    assert not check("eve", "")
    assert not check("# the clinic", "")


@pytest.mark.parametrize("text", ["", "# nobody\n", "ada\n", ":x\n", "ada:\n", "ada:x\nada:y\n"])
def test_a_file_that_lets_in_nobody_or_anybody_is_refused(tmp_path, text):
    path = tmp_path / "logins"
    path.write_text(text)
    with pytest.raises(SettingsError, match="logins"):
        read_logins(path)
    with pytest.raises(SettingsError, match="absent"):
        read_logins(tmp_path / "absent")


def test_the_setting_comes_from_the_flag_or_the_environment(tmp_path):
    assert read_settings([], {}).auth is None
    assert read_settings(["--auth", "a"], {"DIFFPOSE_AUTH": "b"}).auth == Path("a")
    assert read_settings([], {"DIFFPOSE_AUTH": "b"}).auth == Path("b")


def test_a_server_with_logins_asks_for_one(tmp_path, clip_path):
    logins = tmp_path / "logins"
    logins.write_text("ada:secret\n")
    settings = Settings(examples=clip_path.parent, work=tmp_path, auth=logins)
    with Workspace(
        settings,
        load_estimator=lambda _: FigureEstimator(),
        load_finder=lambda *_: FigureDetector(),
        desk_models=figure_models,
    ) as workspace:
        page = build_app(workspace)
        _, url, _ = launch(page, workspace, prevent_thread_lock=True, quiet=True)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        try:
            for path in ("config", "gradio_api/info"):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    opener.open(url + path)
                assert refused.value.code == 401
            with pytest.raises(urllib.error.HTTPError):
                _log_in(opener, url, "wrong")
            _log_in(opener, url, "secret")
            assert "components" in json.load(opener.open(url + "config"))
        finally:
            page.close(verbose=False)


def _log_in(opener, url, password):
    fields = urllib.parse.urlencode({"username": "ada", "password": password}).encode()
    return opener.open(url + "login", fields)
