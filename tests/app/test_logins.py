"""Laws of logins: who is in the file gets in, nobody else; passwords are nowhere to be read."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.door.attempts import Attempts
from app.logins import hash_logins, hash_password, read_logins
from app.main import main
from app.settings import read_settings
from diffpose.errors import SettingsError


def asked(check, name, password):
    """The check's answer, in a thread: a browser's test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(check(name, password))).result()


def test_names_and_passwords(tmp_path):
    path = tmp_path / "logins"
    path.write_text(f"# the clinic\nada:{hash_password('a:b')}\n\nbob:{hash_password('secret')}\n")
    check = read_logins(path)

    assert asked(check, "ada", "a:b")
    assert asked(check, "bob", "secret")
    assert not asked(check, "bob", "a:b")
    assert not asked(check, "bob", "")
    assert not asked(check, "eve", "")
    assert not asked(check, "# the clinic", "")


def test_equal_passwords_have_different_hashes():
    assert hash_password("secret") != hash_password("secret")
    assert "secret" not in hash_password("secret")


@pytest.mark.parametrize("text", ["", "# nobody\n", "ada\n", ":x\n", "ada:\n", "ada:x\nada:y\n"])
def test_a_file_that_lets_in_nobody_or_anybody_is_refused(tmp_path, text):
    path = tmp_path / "logins"
    path.write_text(text)
    with pytest.raises(SettingsError, match="logins"):
        read_logins(path)
    with pytest.raises(SettingsError, match="absent"):
        read_logins(tmp_path / "absent")


@pytest.mark.parametrize("plain", ["secret", "scrypt$1$1$1$x$y", "scrypt$16384$8$1$AA==$AA=="])
def test_a_password_in_clear_text_is_refused_and_can_be_hashed(tmp_path, plain):
    path = tmp_path / "logins"
    path.write_text(f"# staff\nada:{plain}\nbob:{hash_password('kept')}\n")
    with pytest.raises(SettingsError, match=r"Line 2 .* --hash-logins"):
        read_logins(path)

    assert main(["--hash-logins", str(path)]) is None

    assert plain not in path.read_text()
    assert path.read_text().startswith("# staff\nada:scrypt$")
    assert path.stat().st_mode & 0o077 == 0
    check = read_logins(path)
    assert asked(check, "ada", plain)
    assert asked(check, "bob", "kept")
    assert hash_logins(path) == 0


def test_a_line_is_made_by_a_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("getpass.getpass", lambda prompt: "secret")
    assert main(["--hash-password", "ada"]) is None
    path = tmp_path / "logins"
    path.write_text(capsys.readouterr().out)
    assert asked(read_logins(path), "ada", "secret")
    assert main(["--hash-password", "a:b"])
    assert main(["--hash-password"])


def test_the_setting_comes_from_the_flag_or_the_environment():
    assert read_settings([], {}).auth is None
    assert read_settings(["--auth", "a"], {"DIFFPOSE_AUTH": "b"}).auth == Path("a")
    assert read_settings([], {"DIFFPOSE_AUTH": "b"}).auth == Path("b")


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def fail(attempts, times, address="here", name="ada"):
    for _ in range(times):
        attempts.begin(address, name)


def test_wrong_attempts_wait_ever_longer():
    clock = Clock()
    attempts = Attempts(clock)
    fail(attempts, 4)
    assert attempts.wait_s("here", "ada") == 0
    waits = []
    for _ in range(12):
        fail(attempts, 1)
        waits.append(attempts.wait_s("here", "ada"))
        clock.now_s += waits[-1]
    assert waits[:3] == [1, 2, 4]
    assert waits[-1] == 900
    assert attempts.wait_s("here", "bob") == 0


def test_an_address_and_a_name_have_limits_of_their_own():
    attempts = Attempts(Clock())
    for number in range(20):
        fail(attempts, 1, name=f"n{number}")
    assert attempts.wait_s("here", "somebody") > 0
    assert attempts.wait_s("there", "somebody") == 0

    attempts = Attempts(Clock())
    for number in range(60):
        fail(attempts, 1, address=f"a{number}")
    assert 0 < attempts.wait_s("elsewhere", "ada") <= 60


def test_who_knows_the_password_is_never_held_up():
    attempts = Attempts(Clock())
    for _ in range(200):
        attempts.begin("here", "ada")
        attempts.succeeded("here", "ada")
    assert attempts.wait_s("here", "ada") == 0
    assert attempts.wait_s("here", "bob") == 0
