"""What a file says about showing its pictures is heeded."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from diffpose.errors import VideoError
from diffpose.formats.native import read_native, write_native
from diffpose.poses import Provenance
from diffpose.review.store import Store
from diffpose.video.decode import Video
from diffpose.video.display import Display
from diffpose.video.info import probe
from tests.cases import case
from tests.video.barcode_clips import make_clip, read_barcode

PQ, HLG = 16, 18
BT2020, BT709 = 9, 1


def write(path, images, *, codec="libx264", aspect=None, matrix=None, options=None, **colours):
    """A clip of RGB pictures, or of YUV ones given with their format, and what is said of them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {"crf": "8"})
        first = images[0]
        stream.width, stream.height = first.width, first.height
        stream.pix_fmt = "yuv420p10le" if "10" in first.format.name else "yuv420p"
        for name, value in colours.items():
            setattr(stream.codec_context, name, value)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if matrix is not None:
            (a, c), (b, d) = matrix
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1])
        for number, frame in enumerate(images):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for name, value in colours.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rgb(image):
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def box_picture(size, x, y, width, height):
    image = np.full((*size, 3), 30, np.uint8)
    image[y : y + height, x : x + width] = 230
    return image


def extent(image):
    y, x = np.where(image.mean(2) > 130)
    return np.ptp(x) + 1, np.ptp(y) + 1


@pytest.mark.parametrize(
    ("name", "codec", "aspect", "quarter", "size"),
    [
        ("wide.mp4", "libx264", "64/45", False, (576, 1024)),
        ("wide.mkv", "libx264", "64/45", False, (576, 1024)),
        ("wide.ts", "libx264", "64/45", False, (576, 1024)),
        ("dvd.mpg", "mpeg2video", "64/45", False, (576, 1024)),
        ("narrow.mp4", "libx264", "8/9", False, (576, 640)),
        ("upright.mp4", "libx264", "64/45", True, (1024, 576)),
        ("hdv.mp4", "libx264", "4/3", False, (576, 960)),
    ],
)
def test_a_square_is_square(tmp_path, name, codec, aspect, quarter, size):
    stretch = float(Fraction(aspect))
    drawn = box_picture((576, 720), 200, 100, round(288 / stretch), 288)
    path = tmp_path / name
    matrix = ((0, -1), (1, 0)) if quarter else None
    write(path, [rgb(drawn)] * 3, codec=codec, aspect=aspect, matrix=matrix)

    with Video(path) as video:
        assert video.info.size == size
        assert video.info.stored_size == ((720, 576) if quarter else (576, 720))
        assert all(abs(side - 288) <= 2 for side in extent(video.frame(0)))
        assert video.frame(0).shape[:2] == size
        assert "not square" in video.info.notes[0]
        assert video.warnings == ()


def test_nonsense_about_the_shape_of_pixels_is_ignored(tmp_path):
    path = write(tmp_path / "a.mkv", [rgb(box_picture((48, 64), 8, 8, 8, 8))], aspect="1/40")
    assert probe(path).size == (48, 64)


def test_a_video_too_wide_when_its_pixels_are_square_is_refused(tmp_path):
    picture = rgb(box_picture((48, 4096), 8, 8, 8, 8))
    path = write(tmp_path / "a.mp4", [picture], aspect="3/1")
    with pytest.raises(VideoError, match="12288 x 48"):
        probe(path)


ORIENTATIONS = [
    ((1, 0), (0, 1)), ((-1, 0), (0, 1)), ((1, 0), (0, -1)), ((-1, 0), (0, -1)),
    ((0, 1), (1, 0)), ((0, -1), (1, 0)), ((0, 1), (-1, 0)), ((0, -1), (-1, 0)),
]  # fmt: skip


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_the_whole_display_matrix_counts(tmp_path, matrix):
    path = tmp_path / "a.mp4"
    write(path, [rgb(box_picture((96, 128), 16, 24, 16, 8))] * 3, matrix=matrix)

    with Video(path) as video:
        y, x = np.where(video.frame(0).mean(2) > 130)

    # The middle of the box about the middle of the picture goes where the matrix says.
    there = np.array(matrix) @ [23.5 - 63.5, 27.5 - 47.5]
    height, width = video.info.size
    assert (height, width) == ((96, 128) if matrix[0][0] else (128, 96))
    middle = np.array([x.mean() - (width - 1) / 2, y.mean() - (height - 1) / 2])
    np.testing.assert_allclose(middle, there, atol=0.6)


def levels(signal, depth=10):
    return np.round((64 + 876 * np.asarray(signal)) * 2 ** (depth - 10)).astype(int)


def steps(codes):
    """A grey picture of 10 bits in eight steps."""
    planes = np.full((120 * 3 // 2, 160), 512, np.uint16)
    for number, code in enumerate(codes):
        planes[:120, number * 20 : number * 20 + 20] = code
    return av.VideoFrame.from_ndarray(planes, format="yuv420p10le")


def hdr_clip(path, codes, transfer, primaries=BT2020):
    return write(
        path, [steps(codes)] * 2, codec="libx265",
        options={"x265-params": "log-level=0", "crf": "4"}, color_trc=transfer,
        color_primaries=primaries, colorspace=BT2020, color_range=1,
    )  # fmt: skip


def shown_steps(path):
    with Video(path) as video:
        image = video.frame(0)
    return [image[60, 10 + 20 * number].tolist() for number in range(8)], video.info.notes


def test_pq_is_shown_with_203_candela_as_white(tmp_path):
    wanted = np.array([16, 48, 80, 112, 144, 176, 208, 240])
    power = (203 * (wanted / 255) ** 2.4 / 10_000) ** (2610 / 16384)
    signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)

    shown, notes = shown_steps(hdr_clip(tmp_path / "pq.mov", levels(signal), PQ))

    np.testing.assert_allclose(shown, np.repeat(wanted[:, None], 3, 1), atol=4)
    assert "HDR" in notes[0]


def test_hlg_is_shown_with_three_quarters_as_white(tmp_path):
    signal = [0.25, 0.38, 0.5, 0.6, 0.7, 0.75, 0.8, 1.0]
    # What FFmpeg's own conversion, which takes a minute to prepare, gives for these.
    wanted = [72, 109, 143, 177, 224, 254, 255, 255]

    shown, _ = shown_steps(hdr_clip(tmp_path / "hlg.mov", levels(signal), HLG))

    np.testing.assert_allclose(shown, np.repeat(np.array(wanted)[:, None], 3, 1), atol=4)


def test_wide_primaries_become_those_of_an_ordinary_screen(tmp_path):
    planes = np.full((120 * 3 // 2, 160), 512, np.uint16)
    planes[:120] = levels(0.5)
    planes[120:150] = levels(0.0) + 380  # bluish
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
    tags = {"colorspace": BT2020, "color_range": 1, "color_trc": 14}
    options = {"x265-params": "log-level=0", "crf": "4"}
    shown = []
    for primaries in (BT2020, BT709):
        path = tmp_path / f"{primaries}.mkv"
        write(path, [frame], codec="libx265", options=options, color_primaries=primaries, **tags)
        with Video(path) as video:
            shown.append(video.frame(0)[60, 80].astype(float))
    wide, plain = shown
    assert np.ptp(wide) > np.ptp(plain) + 5


@pytest.mark.parametrize("full", [False, True])
def test_full_and_limited_range_show_the_same_grey(tmp_path, full):
    planes = np.full((72 * 3 // 2, 96), 128, np.uint8)
    planes[:72] = 100 if full else round(16 + 100 * 219 / 255)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    path = write(tmp_path / "a.mp4", [frame], color_range=2 if full else 1)
    with Video(path) as video:
        np.testing.assert_allclose(video.frame(0)[36, 48], 100, atol=2)


def with_fields(frame, first):
    """The picture, marked as made of two fields."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(source, graph.add("setfield", first), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("first", ["tff", "bff"])
def test_the_first_field_of_an_interlaced_picture_is_shown(tmp_path, first, codec):
    # A bar that moves by 20 pixels from field to field.
    frames = []
    for number in range(6):
        image = np.full((96, 256, 3), 30, np.uint8)
        for field in range(2):
            row = field if first == "tff" else 1 - field
            at = 10 + 20 * (2 * number + field)
            image[row::2, at : at + 12] = 230
        frames.append(with_fields(rgb(image), first))
    options = {"flags": "+ildct+ilme"}
    options |= {"crf": "5"} if codec == "libx264" else {"qscale": "2"}
    path = write(tmp_path / "a.mkv", frames, codec=codec, options=options)
    with Video(path, cache_frames=1) as video:
        pictures = [image for _, image in video.frames()]
        for number, image in enumerate(pictures):
            bright = np.where(image[20:76].mean(2) > 130)[1]
            assert abs(bright.min() - (10 + 40 * number)) <= 2
            assert abs(bright.max() - (21 + 40 * number)) <= 2
        np.testing.assert_array_equal(video.frame(4), pictures[4])
        assert video.info.notes == (
            "The video is interlaced: each of its 25 frames a second shows the first of its two "
            "fields.",
        )
        assert video.warnings == ()


def test_pictures_of_another_size_are_fitted_in_not_squeezed(tmp_path):
    parts = [
        make_clip(tmp_path / "a.ts", count=12, size=(72, 96)),
        make_clip(
            tmp_path / "b.ts", count=12, size=(144, 96), ticks=[(12 + i) * 3000 for i in range(12)]
        ),
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))

    with Video(path) as video:
        last = video.frame(video.info.num_frames - 1)
        assert video.info.size == (72, 96) == last.shape[:2]
        assert any("bars" in said for said in video.warnings)
    # 144 x 96 is shown 72 x 48 in the middle.
    assert (last[:, :23] == 114).all()
    assert (last[:, 73:] == 114).all()
    assert read_barcode(last[:, 24:72]) == 11


def test_what_an_older_version_stored_is_shown_as_it_was(tmp_path):
    drawn = box_picture((576, 720), 200, 100, 200, 288)
    path = write(tmp_path / "a.mp4", [rgb(drawn)] * 3, aspect="64/45", matrix=((-1, 0), (0, 1)))
    new = probe(path)
    old = replace(new, width=720, height=576, stored_size=None)

    with Video(path, info=old) as video:
        image = video.frame(0)
    assert image.shape[:2] == (576, 720)
    assert abs(extent(image)[0] - 200) <= 2
    with Video(path) as video:
        video.show_as(old)
        np.testing.assert_array_equal(video.frame(0), image)


def test_the_stored_size_travels_with_projects_and_files(tmp_path):
    drawn = rgb(box_picture((96, 128), 16, 24, 16, 8))
    info = probe(write(tmp_path / "a.mp4", [drawn], aspect="2/1"))
    write_native(tmp_path / "a.json", [], info, Provenance("", "", 1, 1, 0, {}))
    with Store(tmp_path / "a.diffpose") as store:
        store.add_video(info)
        kept = store.videos()[0]

    assert read_native(tmp_path / "a.json").info.stored_size == (96, 128) == kept.stored_size
    assert Display.of_video(kept) == Display(Fraction(2))
    # Ordinary videos are described as before.
    plain = probe(make_clip(tmp_path / "b.mp4", count=2))
    write_native(tmp_path / "b.json", [], plain, Provenance("", "", 1, 1, 0, {}))
    assert "stored_size" not in (tmp_path / "b.json").read_text()


def test_cases_are_shown_as_players_show_them():
    with Video(case("anamorphic_square.mp4")) as video:
        assert video.info.size == (576, 1024)
        y, x = np.where(video.frame(0).mean(2) > 200)
        assert (np.ptp(x) + 1, np.ptp(y) + 1) == (300, 300)
    for name, wanted in [
        ("mirrored_matrix.mp4", (269.8, 43.1)),
        ("mirrored_portrait_matrix.mp4", (43.1, 49.2)),
    ]:
        with Video(case(name)) as video:
            y, x = np.where(video.frame(0).min(2) > 180)
            np.testing.assert_allclose((x.mean(), y.mean()), wanted, atol=0.2)
    with Video(case("hdr10_grey_steps.mov")) as video:
        shown = [int(video.frame(0)[120, 20 + 40 * number, 1]) for number in range(8)]
    np.testing.assert_allclose(shown, [16, 48, 80, 112, 144, 176, 208, 240], atol=4)
