"""Names in a native file are names: none of them leads out of a folder."""

import json

import pytest

from diffpose.errors import FormatError
from diffpose.formats.native import read_native, write_native
from tests.formats.made_poses import PROVENANCE, sequence, video


def changed(path, names=(), **video_values):
    write_native(path, [sequence(0, [1])], video(3, names=names), PROVENANCE)
    content = json.loads(path.read_text())
    content["video"].update(video_values)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\secret.mp4"])
def test_a_videos_path_is_its_name(tmp_path, name):
    info = read_native(changed(tmp_path / "p.json", name=name)).info

    assert info.path.parts == (name.replace("\\", "/").rpartition("/")[2],)


@pytest.mark.parametrize("video_id", ["../../x", "/x", "a*", "", "x" * 200, "a/b", "ab\n"])
def test_an_id_that_could_be_a_path_is_refused(tmp_path, video_id):
    with pytest.raises(FormatError, match="video_id"):
        read_native(changed(tmp_path / "p.json", video_id=video_id))


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "C:\\x.jpg"])
def test_a_picture_outside_its_folder_is_refused(tmp_path, name):
    path = changed(tmp_path / "p.json", names=("a.jpg", "b.jpg", "c.jpg"))
    content = json.loads(path.read_text())
    content["video"]["names"][1] = name
    path.write_text(json.dumps(content))

    with pytest.raises(FormatError, match="outside its folder"):
        read_native(path)
