import cv2
import numpy as np
import pytest

from diffpose.errors import VideoError
from diffpose.video.decode import Video
from diffpose.video.info import probe
from diffpose.video.picture import is_cut_off, list_pictures, picture_size
from tests.video.barcode_clips import barcode, read_barcode


def write(path, number=5, size=(60, 80), extension=None, flags=()):
    bgr = cv2.cvtColor(barcode(number, size), cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(extension or path.suffix, bgr, list(flags))[1].tobytes())
    return path


FORMATS = [
    (".jpg", ()),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".png", ()),
    (".bmp", ()),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
]


@pytest.mark.parametrize(("extension", "flags"), FORMATS)
def test_one_picture_is_a_video_of_one_frame(tmp_path, extension, flags):
    # The content counts, not the name.
    path = write(tmp_path / "still.mp4", size=(61, 83), extension=extension, flags=flags)

    with Video(path) as video:
        assert video.info.size == (61, 83) == picture_size(path.read_bytes())
        assert video.info.names == ("still.mp4",)
        assert video.info.times_s.tolist() == [0]
        assert video.warnings == ()
        assert read_barcode(video.frame(0)) == 5
        assert [i for i, _ in video.frames()] == [0]


@pytest.mark.parametrize(("extension", "flags"), FORMATS)
def test_a_cut_off_picture_is_noticed(tmp_path, extension, flags):
    data = write(tmp_path / "a.x", extension=extension, flags=flags).read_bytes()

    assert not is_cut_off(data)
    assert is_cut_off(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp"])
def test_a_cut_off_picture_is_never_taken_for_a_whole_one(tmp_path, extension):
    whole = write(tmp_path / f"whole{extension}", size=(400, 400)).read_bytes()
    path = tmp_path / f"cut{extension}"
    path.write_bytes(whole[: len(whole) * 2 // 3])

    # Some versions of OpenCV decode what is there, others nothing.
    try:
        said = probe(path).warnings
    except VideoError as error:
        said = (str(error),)
    assert len(said) == 1
    assert path.name in said[0]


def test_a_folder_is_read_in_natural_order(tmp_path):
    for number in (10, 9, 1, 100, 2):
        write(tmp_path / f"Frame{number}.png", number)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder").mkdir()

    with Video(tmp_path) as video:
        assert video.info.names == tuple(f"Frame{n}.png" for n in (1, 2, 9, 10, 100))
        assert [read_barcode(image) for _, image in video.frames()] == [1, 2, 9, 10, 100]
        assert read_barcode(video.frame(4)) == 100


def test_names_of_digits_and_words_can_be_sorted(tmp_path):
    names = ["a1b.png", "1.png", "a.png", "01.png", "a1.png", "B2.png"]
    for name in names:
        write(tmp_path / name)

    listed = [path.name for path in list_pictures(tmp_path)[0]]
    assert listed == ["01.png", "1.png", "a.png", "a1.png", "a1b.png", "B2.png"]


def test_stills_may_differ_in_size(tmp_path):
    write(tmp_path / "a.png", 1, (40, 90))
    write(tmp_path / "b.png", 2, (70, 30))

    with Video(tmp_path) as video:
        assert video.info.size == (70, 90)
        assert [image.shape[:2] for _, image in video.frames()] == [(40, 90), (70, 30)]
        assert video.frame(1).shape[:2] == (70, 30)


def test_unreadable_pictures_are_left_out_by_name(tmp_path):
    write(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(write(tmp_path / "c.png", 3).read_bytes()[:60])

    with Video(tmp_path) as video:
        assert video.info.names == ("a.png", "c.png")
        (said,) = video.warnings
        assert said.startswith("1 of 3 pictures could not be read and are left out: b.png. ")
        assert "damaged data" in said
        assert read_barcode(video.frame(1)) == 3


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(VideoError, match=f"in the folder {tmp_path.name}, got none"):
        probe(tmp_path)


def test_a_picture_that_went_is_named(tmp_path):
    path = write(tmp_path / "a.png")
    with Video(tmp_path) as video:
        path.unlink()
        with pytest.raises(VideoError, match=r"a\.png"):
            video.frame(0)


def test_grey_and_transparent_pictures_come_as_rgb(tmp_path):
    grey = barcode(7, (30, 40))[..., 0]
    (tmp_path / "grey.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    clear = np.dstack([grey, grey, grey, grey])
    (tmp_path / "clear.png").write_bytes(cv2.imencode(".png", clear)[1].tobytes())
    deep = (grey.astype(np.uint16) << 8) + grey
    (tmp_path / "deep.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())

    with Video(tmp_path) as video:
        for _, image in video.frames():
            assert image.shape == (30, 40, 3)
            assert image.dtype == np.uint8
            assert read_barcode(image) == 7


def test_the_camera_s_orientation_is_applied(tmp_path):
    data = write(tmp_path / "a.jpg", 9, (60, 80)).read_bytes()
    # EXIF: one entry, orientation 6: turn by 90 degrees clockwise to show.
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" + bytes(6)
    body = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])

    with Video(tmp_path / "a.jpg") as video:
        assert video.info.size == (80, 60)
        assert read_barcode(np.rot90(video.frame(0), 1)) == 9
