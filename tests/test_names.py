"""What may name a file, and what may not."""

from pathlib import Path

import pytest

from diffpose.errors import FormatError, InputError
from diffpose.names import is_plain_name, parse_video_id, resolve_within

LONG = "a" * 64


def test_a_video_id_is_64_hexadecimal_digits():
    assert parse_video_id(LONG) == LONG
    for value in ("", "a" * 63, "A" * 64, "g" * 64, f"{LONG}\n", "../../../x", None, 5, b"a" * 64):
        with pytest.raises(FormatError, match="64 hexadecimal"):
            parse_video_id(value)


@pytest.mark.parametrize("name", ["walk.mp4", "Bild\u202f1.png", "a b", "*", "läuft", "a" * 255])
def test_names_of_files_are_plain(name):
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "/a",
        "a\\b",
        "a\0",
        "a\n",
        "\ud800",
        "a" * 256,
        "ä" * 128,
        None,
        1,
        b"a",
    ],
)
def test_whatever_leads_elsewhere_is_refused(name, tmp_path: Path):
    assert not is_plain_name(name)
    with pytest.raises(InputError, match="Expected the name of a file"):
        resolve_within(tmp_path, name)


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "ring").symlink_to(folder / "ring")

    assert resolve_within(folder, "new") == folder / "new"
    for name in ("link", "ring"):
        with pytest.raises(InputError):
            resolve_within(folder, name)
