"""What cheap cameras and video sites do to pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def random_degradation(rng: np.random.Generator, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Low resolution, soft focus, exposure, grey, noise and compression, the same for a clip.

    Args:
        rng: Source of everything random.
        frames: RGB uint8 (N, H, W, 3).

    Returns:
        RGB uint8 (N, H, W, 3).
    """
    shrink = rng.uniform(0.3, 0.8) if rng.random() < 0.25 else 1.0
    focus = rng.uniform(0.4, 1.4) if rng.random() < 0.3 else 0.0
    curve = _random_curve(rng)
    grey = rng.random() < 0.03
    noise = rng.exponential(4.0) if rng.random() < 0.5 else 0.0
    quality = int(rng.integers(20, 70)) if rng.random() < 0.35 else 0
    result = np.empty_like(frames)
    for index, frame in enumerate(frames):
        picture: Any = _resampled(frame, shrink) if shrink < 1 else frame
        if focus:
            picture = cv2.GaussianBlur(picture, (0, 0), focus)
        picture = cv2.LUT(picture, curve)
        if grey:
            picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if noise > 1:
            picture = _noisy(rng, picture, noise)
        result[index] = _compressed(picture, quality) if quality else picture
    return result


def encode_jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The bytes (L,) of an RGB picture as JPEG."""
    _, content = cv2.imencode(
        ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return content.ravel().astype(np.uint8, copy=False)


def _random_curve(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A tone curve (1, 256, 3): contrast, brightness, gamma, colour cast."""
    levels = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.2))
    contrast, brightness = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.05)
    cast = np.exp(rng.normal(0, 0.05, size=3))
    values = (levels**gamma - 0.5) * contrast + 0.5 + brightness
    return np.clip(255 * values * cast, 0, 255).astype(np.uint8)[None]


def _resampled(frame: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    small = (max(int(width * share), 8), max(int(height * share), 8))
    shrunk = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )


def _noisy(rng: np.random.Generator, frame: NDArray[np.uint8], noise: float) -> NDArray[np.uint8]:
    grain = rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(noise)
    return np.clip(frame + grain, 0, 255).astype(np.uint8)


def _compressed(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    picture: Any = cv2.imdecode(encode_jpeg(frame, quality), cv2.IMREAD_COLOR_RGB)
    return picture.astype(np.uint8, copy=False)
