"""Cutting a person out of a picture, without aliasing when the person is large."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import Affine, Size, apply_affine, compose_affines, invert_affine

OUTSIDE = (114, 114, 114)
"""RGB of what lies outside the picture: the network is trained with the same grey."""


def cut_crop(picture: NDArray[np.uint8], affine: Affine, *, size: Size) -> NDArray[np.uint8]:
    """Resample a picture to a crop.

    Bilinear; where the crop has less than half the picture's resolution the source is first
    reduced by a whole factor, every pixel having equal weight.

    Args:
        picture: (H, W, 3) RGB.
        affine: (2, 3) from pixels of the picture to pixels of the crop.
        size: (height, width) of the crop.

    Returns:
        (height, width, 3) RGB, `OUTSIDE` where the picture has ended.
    """
    scale = math.sqrt(abs(np.linalg.det(affine[:, :2])))
    factor = int(1 / scale + 1e-9)
    if factor >= 2:
        picture, affine = _reduce(picture, affine, factor=factor, size=size)
    crop = cv2.warpAffine(
        picture,
        affine,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=OUTSIDE,
    )
    return crop.astype(np.uint8, copy=False)


def _reduce(
    picture: NDArray[np.uint8], affine: Affine, *, factor: int, size: Size
) -> tuple[NDArray[np.uint8], Affine]:
    """The part of the picture that the crop shows, ``factor`` times smaller, and its affine."""
    height, width = size
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height]])
    source = apply_affine(invert_affine(affine), corners)
    limits = np.array(picture.shape[1::-1])
    begin = np.clip(np.floor(source.min(axis=0)).astype(int) - factor, 0, limits - 1)
    end = np.clip(np.ceil(source.max(axis=0)).astype(int) + factor + 1, begin + 1, limits)
    part = picture[begin[1] : end[1], begin[0] : end[0]]
    # The last column and row of a reduced part are completed with what lies outside.
    fill = -(end - begin) % factor
    if fill.any():
        part = cv2.copyMakeBorder(
            part, 0, int(fill[1]), 0, int(fill[0]), cv2.BORDER_CONSTANT, value=OUTSIDE
        ).astype(np.uint8, copy=False)
    target = (part.shape[1] // factor, part.shape[0] // factor)
    small = cv2.resize(part, target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Pixel i of the small part averages begin + factor * i + (0 ... factor - 1).
    offset = begin + (factor - 1) / 2
    enlarge = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]], dtype=np.float64)
    return small, compose_affines(affine, enlarge)
