"""Stills of phones and animated pictures: whole, upright, and nothing left out in silence."""

import cv2
import numpy as np
import pytest

from diffpose.errors import VideoError
from diffpose.video import animation
from diffpose.video.decode import Video
from diffpose.video.info import probe
from tests.cases import case
from tests.video.barcode_clips import barcode, make_clip, read_barcode
from tests.video.heic_files import write_heic


def pattern(size=(150, 200)):
    """A picture that is told from all of its turned and mirrored forms."""
    image = np.full((*size, 3), 60, np.uint8)
    image[:40, :60] = 230
    image[-30:, :20] = 150
    return image


@pytest.mark.parametrize("data_in_header", [True, False])
def test_the_tiles_of_a_heic_are_put_together(tmp_path, data_in_header):
    path = write_heic(tmp_path / "photo.heic", pattern(), data_in_header=data_in_header)

    with Video(path) as video:
        assert video.info.size == (150, 200)
        assert video.info.names == ("photo.heic",)
        np.testing.assert_allclose(video.frame(0).astype(int), pattern().astype(int), atol=30)
        assert video.warnings == ()


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([(b"irot", 1)], lambda image: np.rot90(image)),
        ([(b"irot", 3)], lambda image: np.rot90(image, 3)),
        ([(b"imir", 0)], lambda image: image[::-1]),
        ([(b"imir", 1)], lambda image: image[:, ::-1]),
        ([(b"irot", 1), (b"imir", 1)], lambda image: np.rot90(image)[:, ::-1]),
        ([(b"imir", 1), (b"irot", 1)], lambda image: np.rot90(image[:, ::-1])),
    ],
)
def test_a_heic_is_turned_as_it_says(tmp_path, turns, expected):
    path = write_heic(tmp_path / "photo.heic", pattern(), turns=turns)
    wanted = expected(pattern()).astype(int)
    with Video(path) as video:
        assert video.info.size == wanted.shape[:2]
        np.testing.assert_allclose(video.frame(0).astype(int), wanted, atol=30)


@pytest.mark.parametrize("arguments", [{"missing": 2}, {"kind": b"iovl"}])
def test_a_heic_that_cannot_be_put_together_is_refused(tmp_path, arguments):
    path = write_heic(tmp_path / "photo.heic", pattern(), **arguments)
    with pytest.raises(VideoError, match="save it as JPEG"):
        probe(path)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_a_cut_off_heic_is_refused(tmp_path, share):
    path = write_heic(tmp_path / "photo.heic", pattern())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VideoError):
        probe(path)


def test_the_case_is_whole():
    with Video(case("tiled_photo.heic")) as video:
        assert video.info.size == (1024, 1024)
        assert video.frame(0).shape == (1024, 1024, 3)


EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0%c\0\0\0\0\0\0\0"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_exif_turns_every_kind_of_picture(tmp_path, kind, orientation):
    image_module = pytest.importorskip("PIL.Image")
    path = tmp_path / f"a.{kind}"
    exif = (b"Exif\0\0" if kind == "jpeg" else b"") + EXIF % orientation
    image_module.fromarray(pattern()).save(path, kind, exif=exif, quality=95)
    flat = pattern()
    wanted = {
        1: flat, 2: flat[:, ::-1], 3: flat[::-1, ::-1], 4: flat[::-1],
        5: flat.transpose(1, 0, 2), 6: np.rot90(flat, 3),
        7: np.rot90(flat.transpose(1, 0, 2), 2), 8: np.rot90(flat),
    }[orientation]  # fmt: skip
    with Video(path) as video:
        np.testing.assert_allclose(video.frame(0).astype(int), wanted.astype(int), atol=30)


def write_animation(path, count=6, size=(72, 96), durations=None):
    made = cv2.Animation()
    made.frames = [cv2.cvtColor(barcode(i, size), cv2.COLOR_RGB2BGRA) for i in range(count)]
    made.durations = durations or [40 + 20 * (i % 2) for i in range(count)]
    assert cv2.imwriteanimation(str(path), made)
    return path


@pytest.mark.parametrize("kind", ["webp", "png", "gif"])
def test_animated_pictures_are_videos(tmp_path, kind):
    path = write_animation(tmp_path / f"a.{kind}")

    with Video(path, cache_frames=1) as video:
        assert [read_barcode(image) for _, image in video.frames()] == list(range(6))
        for number in (5, 0, 3, 2):
            assert read_barcode(video.frame(number)) == number
        assert video.info.names == ()
        np.testing.assert_allclose(video.info.times_s, [0, 0.04, 0.1, 0.14, 0.2, 0.24])
        assert video.warnings == ()
        info = video.info
    with Video(path, info=info) as video:
        assert read_barcode(video.frame(4)) == 4
    assert len(probe(path, most_frames=3).times_s) == 3


def test_a_cut_off_animation_is_told_or_refused(tmp_path):
    path = write_animation(tmp_path / "a.webp")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        said = (*probe(path).warnings, f"{probe(path).num_frames} of 6")
    except VideoError as error:
        said = (str(error),)
    assert "6 of 6" not in said


def test_an_animation_that_would_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "MOST_BYTES", 6 * 72 * 96 * 4 - 1)
    with pytest.raises(VideoError, match="convert it to MP4"):
        probe(write_animation(tmp_path / "a.webp"))


def test_a_folder_says_what_it_leaves_out(tmp_path):
    write_heic(tmp_path / "1.heic", pattern())
    cv2.imwrite(str(tmp_path / "2.jpg"), pattern())
    write_heic(tmp_path / "3.heic", pattern(), missing=1)
    make_clip(tmp_path / "4.mp4", count=2)
    write_animation(tmp_path / "5.webp")
    (tmp_path / "notes.txt").write_text("left leg")

    info = probe(tmp_path)

    assert info.names == ("1.heic", "2.jpg")
    assert info.notes == (
        "3 files are left out, being no still pictures: 4.mp4, 5.webp, notes.txt.",
    )
    (said,) = info.warnings
    assert "3.heic" in said
    assert "save it as JPEG" in said
