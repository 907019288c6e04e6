"""Features kept in memory, so that moving a slider runs the decoder only."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpose.inference.interfaces import FrameSource, PoseEstimator, WindowFeatures
from diffpose.poses import Window
from diffpose.video.crop import cut_crop


class FeatureCache:
    """Values by key; the least recently used ones go when ``max_bytes`` is passed.

    May be used from several threads. A value larger than the bound is not kept.
    """

    def __init__(self, *, max_bytes: int = 1 << 30) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Size of what is kept."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Any | None:
        """The value, now the most recently used one; None if it is not kept."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: str, value: Any, *, num_bytes: int) -> None:
        """Keep a value of the given size."""
        with self._lock:
            if key in self._entries:
                self._num_bytes -= self._entries.pop(key)[1]
            if num_bytes > self.max_bytes:
                return
            self._entries[key] = (value, num_bytes)
            self._num_bytes += num_bytes
            while self._num_bytes > self.max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._num_bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._num_bytes = 0


def window_features(
    window: Window, *, video: FrameSource, estimator: PoseEstimator, cache: FeatureCache
) -> WindowFeatures:
    """Features of one window: from the cache, else from its frames' features.

    The frames' features are kept too: the window of the next frame has the same crop as long as
    both lie in one chunk, and then needs one frame more.
    """
    features: WindowFeatures | None = cache.get(_window_key(window, estimator))
    if features is None:
        frames = _frame_features(window, video=video, estimator=estimator, cache=cache)
        features = estimator.fuse(frames[None])
        _keep(window, features, estimator=estimator, cache=cache)
    return features


def keep_features(
    windows: Sequence[Window],
    features: WindowFeatures,
    *,
    estimator: PoseEstimator,
    cache: FeatureCache,
) -> None:
    """Keep what a run has computed of B windows, for `window_features` to find."""
    for row, window in enumerate(windows):
        # An index tensor copies; a slice would keep the whole batch alive.
        _keep(window, features[torch.tensor([row])], estimator=estimator, cache=cache)


def _keep(
    window: Window, features: WindowFeatures, *, estimator: PoseEstimator, cache: FeatureCache
) -> None:
    size = sum(array.nbytes for array in features.to_arrays().values())
    cache.put(_window_key(window, estimator), features, num_bytes=size)


def _window_key(window: Window, estimator: PoseEstimator) -> str:
    return f"{estimator.weights_hash}/window/{window.key}"


def _frame_features(
    window: Window, *, video: FrameSource, estimator: PoseEstimator, cache: FeatureCache
) -> Tensor:
    """(T, C, h, w) features of the window's frames; those not in the cache are encoded."""
    crop = window.crop.astype(np.float64)
    digest = hashlib.sha256(crop.tobytes()).hexdigest()
    prefix = f"{estimator.weights_hash}/frame/{window.video_id}/{digest}"
    frames = sorted(set(window.frames.tolist()))
    found = {frame: cache.get(f"{prefix}/{frame}") for frame in frames}
    known: dict[int, Tensor] = {f: kept for f, kept in found.items() if kept is not None}
    missing = [frame for frame in frames if frame not in known]
    if missing:
        size = estimator.crop_size
        crops = [cut_crop(video.frame(frame), crop, size=size) for frame in missing]
        encoded = estimator.encode_frames(np.stack(crops))
        for frame, features in zip(missing, encoded, strict=True):
            # A slice would keep the whole batch alive.
            known[frame] = features.clone()
            num_bytes = features.numel() * features.element_size()
            cache.put(f"{prefix}/{frame}", known[frame], num_bytes=num_bytes)
    return torch.stack([known[frame] for frame in window.frames.tolist()])
