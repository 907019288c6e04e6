"""Small clips whose frames carry their number in the picture, readable after compression."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICKS = 90_000
_ROWS, _COLUMNS = 3, 4


def barcode(number, size):
    """(H, W, 3) RGB: twelve blocks, dark or bright, spell the number in binary."""
    height, width = size
    bits = [(number >> bit) & 1 for bit in range(_ROWS * _COLUMNS)]
    grid = np.array(bits, np.uint8).reshape(_ROWS, _COLUMNS) * 190 + 30
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    return np.repeat(grid[rows][:, columns, None], 3, 2)


def read_barcode(image):
    height, width = image.shape[:2]
    number = 0
    for bit in range(_ROWS * _COLUMNS):
        y = (2 * (bit // _COLUMNS) + 1) * height // (2 * _ROWS)
        x = (2 * (bit % _COLUMNS) + 1) * width // (2 * _COLUMNS)
        number |= int(image[y - 1 : y + 2, x - 1 : x + 2].mean() > 125) << bit
    return number


def make_clip(
    path,
    *,
    count=60,
    size=(72, 96),
    ticks=None,
    rotation=0,
    gop=12,
    b_frames=2,
    codec="libx264",
    faststart=True,
    options=None,
    time_base=Fraction(1, TICKS),
    with_sound=False,
    noise=0,
):
    """A clip of ``count`` frames at ``ticks`` (30 a second if not given)."""
    ticks = [i * TICKS // 30 for i in range(count)] if ticks is None else ticks
    rng = np.random.default_rng(0)
    movflags = {"movflags": "faststart"} if faststart and Path(path).suffix == ".mp4" else {}
    with av.open(str(path), "w", options=movflags) as container:
        if options is None:
            options = {"x264-params": "scenecut=0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        stream.gop_size, stream.max_b_frames = gop, b_frames
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=16000, layout="mono") if with_sound else None
        for number, tick in enumerate(ticks):
            image = barcode(number, size)
            if noise:
                image = image + rng.integers(0, noise, image.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = round(tick * Fraction(1, TICKS) / time_base)
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _add_silence(container, sound)
    return Path(path)


def make_sound(path):
    with av.open(str(path), "w") as container:
        _add_silence(container, container.add_stream("aac", rate=16000, layout="mono"))
    return Path(path)


def _add_silence(container, stream):
    for number in range(16):
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, number * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def packet_spans(path):
    """(position, size, pts, is_keyframe) of every packet."""
    with av.open(str(path)) as container:
        packets = container.demux(video=0)
        return [(p.pos, p.size, p.pts, p.is_keyframe) for p in packets if p.size]
