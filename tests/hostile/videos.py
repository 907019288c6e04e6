"""Videos that strangers might send: small ones of several containers, and seeded damage."""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

CONTAINERS = {
    "mp4": "libx264", "mkv": "libx264", "ts": "libx264", "flv": "libx264", "avi": "mpeg4",
    "gif": "gif", "webm": "libvpx",
}  # fmt: skip


def whole_files(folder: Path) -> dict[str, Path]:
    """A video of 16 frames of 48 x 32 pixels in each container."""
    return {kind: made(folder / f"whole.{kind}", kind) for kind in CONTAINERS}


def made(path: Path, kind: str, *, count: int = 16, size: tuple[int, int] = (48, 32)) -> Path:
    width, height = size
    with av.open(str(path), "w") as container:
        codec = CONTAINERS[kind]
        stream = container.add_stream(codec, rate=25, options={"threads": "1"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.gop_size = width, height, 4
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number in range(count):
            image = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def mutated(content: bytes, seed: int) -> bytes:
    """The file with seeded damage; headers more often than pictures."""
    rng = random.Random(seed)
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        span = len(data) if rng.random() < 0.5 else min(len(data), 2048)
        at = rng.randrange(span)
        action = rng.randrange(5)
        if action == 0:
            data[at] = rng.randrange(256)
        elif action == 1:
            data[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        elif action == 2:
            data[at : at + 64] = bytes(64)
        elif action == 3 and len(data) > 200:
            del data[at : at + rng.randrange(1, 64)]
        elif rng.random() < 0.1 and at > 64:
            del data[at:]
    return bytes(data)
