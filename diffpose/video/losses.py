"""Sentences about what a video file has lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffpose.video.packets import Packets, hidden_words


class DecodedFrames(Protocol):
    """What came out of a decoder: timestamps of all, of the damaged, and of packets refused."""

    ticks: list[int | None]
    damaged: list[int | None]
    refused: list[int | None]
    sizes: set[tuple[int, int]]

    @property
    def first_size(self) -> tuple[int, int] | None:
        """(height, width) of the first picture as shown."""


def losses(packets: Packets, decoded: DecodedFrames, ticks: NDArray[np.int64] | None) -> list[str]:
    """Everything that a decoded file has lost.

    Args:
        packets: What its packets say.
        decoded: What came out of the decoder.
        ticks: The timestamps of the frames; None if they are of no use.
    """
    first = min((tick for tick in packets.ticks if tick is not None), default=0)
    count = len(decoded.ticks) if ticks is None else len(ticks)

    def between(ticks: Sequence[int | None]) -> str:
        return span_words([(tick - first) * packets.tick_s for tick in ticks if tick is not None])

    said = []
    if packets.stated:
        said.append(
            f"The file is incomplete: its header states {packets.stated}, {count} could be read."
            + (" After a gap its frames come too early." if packets.counts_packets else "")
        )
    said += hidden_words(packets)
    lost = len(decoded.refused) + packets.num_unread
    if lost:
        packet_words = "1 packet" if lost == 1 else f"{lost} packets"
        said.append(
            f"{packet_words}{between(decoded.refused)} could not be read; "
            f"{count} of {len(packets.ticks)} frames are kept."
        )
    elif packets.suspicious and count < len(packets.ticks):
        said.append(f"{count} of {len(packets.ticks)} frames could be read and are kept.")
    if decoded.damaged:
        said.append(damaged_words(len(decoded.damaged), between(decoded.damaged)))
    if ticks is None:
        said.append(
            "The timestamps in the file are missing or out of order; its frames are taken to be "
            f"{packets.frame_s:.3f} s apart."
        )
    elif not said and ticks.tolist() != decoded.ticks[: len(ticks)]:
        said.append("Some frames in the file were out of order; they are sorted by their times.")
    if len(decoded.sizes) > 1 and decoded.first_size is not None:
        height, width = decoded.first_size
        said.append(
            f"The picture size changes within the video; all frames are shown {width} x {height}, "
            "those of another shape with bars."
        )
    return said


def damaged_words(count: int, where: str) -> str:
    """The sentence for frames that the decoder flagged."""
    frames, are = ("frame", "is") if count == 1 else ("frames", "are")
    return f"{count} {frames}{where} {are} damaged and may show wrong pictures."


def span_words(times_s: Sequence[float]) -> str:
    """' between 3.2 s and 3.6 s', ' at 3.2 s', or nothing if no time is known."""
    if not times_s:
        return ""
    low, high = f"{min(times_s):.1f} s", f"{max(times_s):.1f} s"
    return f" at {low}" if low == high else f" between {low} and {high}"
