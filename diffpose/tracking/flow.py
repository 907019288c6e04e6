"""Where a point of one frame lies in the frames around: optical flow, checked backwards.

Dense inverse search (Kroeger et al., ECCV 2016) of OpenCV on a crop around the person, so that
large and small people are seen alike, in both directions of time: a point that does not come back
to where it started has been lost, and by how much it misses says how reliable the step is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.geometry import Affine, Size, apply_affine
from diffpose.video.crop import cut_crop

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

FLOW_SIZE: Size = (256, 192)
"""Height and width of the crops in which motion is looked for."""


@dataclass(frozen=True, eq=False)
class Flow:
    """How a crop moves from one frame to the next.

    Attributes:
        affine: (2, 3) from video pixels to crop pixels, the same in both frames.
        forward: (h, w, 2) f16 crop pixels, from the earlier to the later frame.
        backward: (h, w, 2) f16 crop pixels, from the later to the earlier frame.
    """

    affine: Affine
    forward: NDArray[np.float16]
    backward: NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.forward.nbytes + self.backward.nbytes


@dataclass(frozen=True, eq=False)
class Trails:
    """Where P points went, frame by frame, until they were lost.

    Attributes:
        steps: (m, P, 2) video pixels, from each frame to the one walked to next; NaN once lost.
        misses: (m, P) video pixels by which walking a step back misses its start; NaN once lost.
    """

    steps: Array
    misses: Array

    def __len__(self) -> int:
        return len(self.steps)


def find_flow(before: Picture, after: Picture, affine: Affine, *, size: Size = FLOW_SIZE) -> Flow:
    """The motion between two frames (H, W, 3) RGB within a crop."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    first, second = (
        cv2.cvtColor(cut_crop(picture, affine, size=size), cv2.COLOR_RGB2GRAY)
        for picture in (before, after)
    )
    nothing = np.zeros((*size, 2), np.float32)
    return Flow(
        affine,
        search.calc(first, second, nothing.copy()).astype(np.float16),
        search.calc(second, first, nothing.copy()).astype(np.float16),
    )


def follow(
    flow_after: Callable[[int], Flow | None],
    frame: int,
    points: Array,
    *,
    direction: int,
    most: int,
) -> Trails:
    """Follow points of one frame through time.

    Args:
        flow_after: The motion from a frame to the next; None where it is not known.
        frame: Where the points were placed.
        points: (P, 2) video pixels.
        direction: 1 follows them into later frames, -1 into earlier ones.
        most: Frames to follow them through.

    Returns:
        At most ``most`` steps; a point that leaves the crop is lost, and the walk ends where
        the motion is not known.
    """
    here = np.asarray(points, np.float64)
    steps, misses = [], []
    for _ in range(most):
        flow = flow_after(frame if direction > 0 else frame - 1)
        if flow is None:
            break
        step, miss = _step(flow, here, direction=direction)
        steps.append(step)
        misses.append(miss)
        here, frame = here + step, frame + direction
    count = len(here)
    return Trails(
        np.array(steps, np.float64).reshape(-1, count, 2),
        np.array(misses, np.float64).reshape(-1, count),
    )


def _step(flow: Flow, points: Array, *, direction: int) -> tuple[Array, Array]:
    """Displacements (P, 2) and misses (P,), video pixels; NaN where the crop shows nothing."""
    there, back = flow.forward, flow.backward
    if direction < 0:
        there, back = back, there
    start = apply_affine(flow.affine, points)
    away = _read(there, start)
    miss = np.linalg.norm(away + _read(back, start + away), axis=-1)
    linear = flow.affine[:, :2]
    step = np.where(np.isfinite(miss)[:, None], away @ np.linalg.inv(linear).T, np.nan)
    return step, miss / np.sqrt(abs(np.linalg.det(linear)))


def _read(field: NDArray[np.float16], at: Array) -> Array:
    """Displacements at crop pixels (P, 2); NaN outside."""
    height, width = field.shape[:2]
    column, row = np.rint(np.nan_to_num(at, nan=-1.0)).astype(np.int64).T
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = field[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].astype(np.float64)
    return np.where(inside[:, None], found, np.nan)
