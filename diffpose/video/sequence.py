"""Pictures that are the frames of a video: a folder written frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import SettingsError
from diffpose.video.decode import Video


class PictureSequence:
    """The pictures of an open folder in the order of their names, at a constant frame rate.

    Unlike the folder itself it has no ``info.names``: its frames follow each other in time.
    """

    def __init__(self, pictures: Video, *, fps: float = 30.0) -> None:
        """See the pictures as frames.

        Args:
            pictures: An open folder of pictures; it stays the caller's to close.
            fps: Frames a second.

        Raises:
            SettingsError: The input is no folder of pictures, or the rate is not above 0.
        """
        if not pictures.info.names:
            raise SettingsError(
                f"Expected a folder of pictures for a sequence, got the video "
                f"{pictures.info.path.name}; it is one already."
            )
        if not (math.isfinite(fps) and fps > 0):
            raise SettingsError(f"Expected a frame rate above 0, got {fps}.")
        self._pictures = pictures
        times_s = np.arange(pictures.info.num_frames) / fps
        self.info = replace(pictures.info, names=(), times_s=times_s)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each loss."""
        return self._pictures.warnings

    def frame(self, index: int) -> NDArray[np.uint8]:
        """One picture, (H, W, 3) RGB."""
        return self._pictures.frame(index)

    def frames(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Pictures in sequence, one in memory at a time."""
        return self._pictures.frames(start, stop)
