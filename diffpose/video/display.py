"""How stored pictures are shown: turned, mirrored, with square pixels, without interlacing.

All coordinates of the program are pixels of these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import cv2
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from diffpose.poses import VideoInfo
from diffpose.video.crop import OUTSIDE
from diffpose.video.light import to_rgb

Image = NDArray[np.uint8]
Size = tuple[int, int]

_LEAST_STRETCH = 0.002  # what is less turns no limb by a tenth of a degree
_MOST_STRETCH = 8


@dataclass(frozen=True)
class Display:
    """What a file says about showing its pictures.

    Attributes:
        aspect: Width of a stored pixel over its height.
        mirrors: Whether the display matrix may mirror, not only turn.
    """

    aspect: Fraction = Fraction(1)
    mirrors: bool = True

    @classmethod
    def of_stream(cls, stream: VideoStream) -> Self:
        """What the file and its codec say; nonsense counts as square pixels."""
        aspect = stream.sample_aspect_ratio or Fraction(1)
        stretch = max(aspect, 1 / aspect) if aspect > 0 else 0
        is_sensible = 1 + _LEAST_STRETCH < stretch < _MOST_STRETCH
        return cls(Fraction(aspect) if is_sensible else Fraction(1))

    @classmethod
    def of_video(cls, info: VideoInfo) -> Self:
        """How the pictures of a video were shown when it was looked at."""
        if info.stored_size is None:
            return cls(mirrors=False)
        height, width = info.stored_size
        # Only one side is stretched: the stored width, which may stand upright.
        return cls(Fraction(info.width, width) * Fraction(info.height, height))

    def size(self, frame: VideoFrame) -> Size:
        """(height, width) of a picture as it is shown."""
        return _turned(frame, (frame.height, self._width(frame)))

    def stored_size(self, frame: VideoFrame) -> Size | None:
        """(height, width) upright, as stored; None if only a rotation is between."""
        if self._width(frame) == frame.width and not (self.mirrors and is_mirrored(frame)):
            return None
        return _turned(frame, (frame.height, frame.width))

    def picture(self, frame: VideoFrame, size: Size) -> Image:
        """A decoded picture as it is shown, (H, W, 3) RGB of ``size``.

        One of another size, where it changes within a video, is fitted in with bars.
        """
        if frame.interlaced_frame:
            frame = first_field(frame)
        width = self._width(frame)
        if width == frame.width:
            # Without scaling the fast method gives the same picture, several times sooner.
            image = to_rgb(frame, interpolation="FAST_BILINEAR")
        else:
            image = to_rgb(frame, width=width, height=frame.height, interpolation="BICUBIC")
        image = _upright(image, frame, mirrors=self.mirrors)
        return image if image.shape[:2] == size else _fitted(image, size)

    def _width(self, frame: VideoFrame) -> int:
        return max(1, round(frame.width * self.aspect))


def first_field(frame: VideoFrame) -> VideoFrame:
    """The earlier of the two fields of a picture, its missing lines filled in along edges.

    Only this picture is looked at, so that it is the same however it was reached.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(source, graph.add("estdif", "mode=frame"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


def is_mirrored(frame: VideoFrame) -> bool:
    """Whether the display matrix mirrors."""
    matrix = _matrix(frame)
    return matrix is not None and np.linalg.det(matrix) < 0


def is_turned(frame: VideoFrame) -> bool:
    """Whether the display matrix exchanges width and height."""
    return round(frame.rotation / 90) % 2 == 1


def _turned(frame: VideoFrame, size: Size) -> Size:
    return size[::-1] if is_turned(frame) else size


def _matrix(frame: VideoFrame) -> NDArray[np.float64] | None:
    """(2, 2): where the axes x and y of the stored picture point on the screen, as columns."""
    side_data: Any = frame.side_data  # its types are not those it has
    found = side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(found), "<i4", count=5) / 65536
    return np.array([[a, c], [b, d]])


def _upright(image: Image, frame: VideoFrame, *, mirrors: bool) -> Image:
    if mirrors and is_mirrored(frame):
        matrix = _matrix(frame)
        assert matrix is not None
        if is_turned(frame):
            image = image.transpose(1, 0, 2)
            along = matrix[0, 1], matrix[1, 0]
        else:
            along = matrix[0, 0], matrix[1, 1]
        image = image[:: -1 if along[1] < 0 else 1, :: -1 if along[0] < 0 else 1]
    else:
        image = np.rot90(image, round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(image, dtype=np.uint8)


def _fitted(image: Image, size: Size) -> Image:
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, inner[::-1], interpolation=method)
    result = np.full((*size, 3), OUTSIDE, np.uint8)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[0], left : left + inner[1]] = small
    return result
