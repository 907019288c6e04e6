"""Decoded pictures as 8-bit RGB of an ordinary screen, whatever light and colours they are in.

HDR is shown as ITU-R BT.2408 relates it to SDR: 203 cd/m^2 are white. What is brighter is white,
too; everything below keeps its place, so that people look as they do in an ordinary video.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

Image = NDArray[np.uint8]

WHITE_CD = 203.0  # BT.2408, HDR reference white
_PEAK_CD = 1000.0  # of the screen that HLG is made for, BT.2100
_HLG_GAMMA = 1.2
_GAMMA = 2.4  # of an ordinary screen, BT.1886
_LEVELS = 2**16
_WIDE = {
    int(ColorPrimaries.BT2020): [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    int(ColorPrimaries.SMPTE432): [
        [1.224940, -0.224940, 0.0],
        [-0.042057, 1.042057, 0.0],
        [-0.019638, -0.078636, 1.098274],
    ],
}
"""Linear light of wide primaries to that of BT.709."""
_LUMINANCE_2020 = np.array([[0.2627, 0.6780, 0.0593]], np.float32)


def is_hdr(frame: VideoFrame) -> bool:
    """Whether the picture is in PQ or HLG."""
    return int(frame.color_trc) in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def to_rgb(frame: VideoFrame, **how: Any) -> Image:
    """(H, W, 3) RGB as a screen of BT.709 shows it.

    Args:
        frame: As decoded.
        how: Width, height and interpolation of `VideoFrame.reformat`.
    """
    if not is_hdr(frame) and int(frame.color_primaries) not in _WIDE:
        return frame.to_ndarray(format="rgb24", **how).astype(np.uint8, copy=False)
    stored = frame.to_ndarray(format="rgb48le", **how).astype(np.uint16, copy=False)
    light: NDArray[Any] = np.take(_light_of(int(frame.color_trc)), stored)
    if frame.color_trc == ColorTrc.ARIB_STD_B67:
        luminance = cv2.transform(light, _LUMINANCE_2020)
        # The screen's gamma acts on luminance, so that colours keep their hue.
        light *= (_PEAK_CD / WHITE_CD) * cv2.pow(luminance, _HLG_GAMMA - 1)[..., None]
    matrix = _WIDE.get(int(frame.color_primaries))
    if matrix is not None:
        light = cv2.transform(light, np.array(matrix, np.float32))
    levels = (np.clip(light, 0, 1) * (_LEVELS - 1) + 0.5).astype(np.uint16)
    return np.take(_signal(), levels)


@cache
def _light_of(transfer: int) -> NDArray[np.float32]:
    """Light of each of the 2^16 levels of a signal, 1 for white; of HLG the scene's."""
    signal = np.arange(_LEVELS) / (_LEVELS - 1)
    if transfer == ColorTrc.SMPTE2084:
        power = signal ** (32 / 2523)
        above = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        light = 10_000 / WHITE_CD * above ** (16384 / 2610)
    elif transfer == ColorTrc.ARIB_STD_B67:
        high = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(signal <= 0.5, signal**2 / 3, high)
    else:
        light = signal**_GAMMA
    return light.astype(np.float32)


@cache
def _signal() -> Image:
    levels = (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / _GAMMA)
    return (255 * levels + 0.5).astype(np.uint8)
