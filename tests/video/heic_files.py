"""HEIC stills built box by box around tiles that an encoder wrote."""

import io
import struct
from fractions import Fraction

import av
import numpy as np


def write_heic(path, image, *, tile=64, turns=(), missing=0, kind=b"grid", data_in_header=True):
    """A picture of (H, W, 3) RGB cut into tiles; the last ones reach beyond its edges.

    ``turns``: (b"irot", quarters counter-clockwise) or (b"imir", axis), in order.
    ``missing``: how many of the tiles have no data.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.zeros((rows * tile, columns * tile, 3), np.uint8)
    padded[:height, :width] = image
    pieces = [
        padded[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        for row in range(rows)
        for column in range(columns)
    ]
    header, payloads = _encoded(pieces)
    primary = len(pieces) + 1
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    properties = [
        _box(b"hvcC", header),
        _box(b"ispe", struct.pack(">III", 0, tile, tile)),
        _box(b"ispe", struct.pack(">III", 0, width, height)),
        *(_box(name, bytes([value])) for name, value in turns),
    ]
    of_tiles = bytes([2, 0x81, 2])
    of_grid = bytes([1 + len(turns), 3, *(0x84 + at for at in range(len(turns)))])
    associations = b"".join(
        struct.pack(">H", item) + (of_grid if item == primary else of_tiles)
        for item in range(1, primary + 1)
    )
    items = b"".join(
        _box(b"infe", struct.pack(">IHH", 0x02000000, item, 0) + name + b"\0")
        for item, name in enumerate([b"hvc1"] * len(pieces) + [kind], start=1)
    )

    def meta(start):
        locations, at = b"", start
        for item, payload in enumerate([*payloads, grid], start=1):
            in_header = item == primary and data_in_header
            length = 0 if item <= missing else len(payload)
            place = 0 if in_header else at
            locations += struct.pack(">HHHHII", item, int(in_header), 0, 1, place, length)
            at += len(payload)
        return _box(
            b"meta",
            bytes(4)
            + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + _box(b"pitm", struct.pack(">IH", 0, primary))
            + _box(b"iloc", struct.pack(">IBBH", 0x01000000, 0x44, 0, primary) + locations)
            + _box(b"iinf", struct.pack(">IH", 0, primary) + items)
            + _box(
                b"iref",
                bytes(4)
                + _box(b"dimg", struct.pack(f">HH{len(pieces)}H", primary, len(pieces),
                                            *range(1, primary))),
            )
            + _box(
                b"iprp",
                _box(b"ipco", b"".join(properties))
                + _box(b"ipma", struct.pack(">II", 0, primary) + associations),
            )
            + _box(b"idat", grid),
        )  # fmt: skip

    begin = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    start = len(begin) + len(meta(0)) + 8
    path.write_bytes(begin + meta(start) + _box(b"mdat", b"".join([*payloads, grid])))
    return path


def _box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def _encoded(pieces):
    """(decoder's configuration, bytes of each tile)."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"x265-params": "log-level=0:keyint=1", "crf": "8"}
        stream = container.add_stream("libx265", rate=1, options=options)
        stream.height, stream.width = pieces[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, piece in enumerate(pieces):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(piece), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        header = bytes(container.streams.video[0].codec_context.extradata or b"")
        return header, [bytes(packet) for packet in container.demux(video=0) if packet.size]
