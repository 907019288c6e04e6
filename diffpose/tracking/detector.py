"""The person detector: pictures in, boxes and scores out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from diffpose.errors import SettingsError, WeightsError
from diffpose.folding import kept_in_bf16, native_bf16
from diffpose.geometry import Affine, apply_affine, invert_affine
from diffpose.movenet import normalise
from diffpose.shipped import WEIGHTS
from diffpose.tensorfile import file_hash
from diffpose.tracking.associate import Detections
from diffpose.tracking.boxmaps import decode_boxes
from diffpose.tracking.network import DetectorConfig, PersonNet, load_detector_network

EMBEDDED_WEIGHTS = WEIGHTS / "detector-small.safetensors"

_GREY = 114
_MULTIPLE = 32
_LEAST_SIDE_PX = 2.0

Picture = NDArray[np.uint8]


class PersonDetector:
    """A person network on a device. Calls from several threads take turns.

    Args:
        network: The person network.
        weights_hash: Names the weights: equal hashes give equal detections.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        min_score: Weaker detections are not reported; 0.5 is where the shipped weights tell
            people best from the rest.
        bf16: The network multiplies in bfloat16.

    Attributes:
        side: Longer side, pixels, that pictures are brought to: more finds smaller people, slower.
    """

    def __init__(
        self,
        network: PersonNet,
        *,
        weights_hash: str,
        device: str = "cpu",
        min_score: float = 0.25,
        bf16: bool = False,
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise SettingsError(f"Device {device!r} was asked for, but no GPU is here; use cpu.")
        self.device = torch.device(device)
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights_hash, self.min_score = weights_hash, min_score
        self.side = network.config.side
        self.bf16 = bf16
        self._lean = kept_in_bf16(self.network) if bf16 else self.network
        self._turn = threading.Lock()

    @classmethod
    def load(cls, path: Path | None = None, *, device: str = "cpu") -> PersonDetector:
        """The detector of a weights file; None takes the weights that DiffPose ships.

        Raises:
            WeightsError: The file is missing, damaged or of another kind.
        """
        chosen = path if path is not None else EMBEDDED_WEIGHTS
        if path is None and not chosen.is_file():
            raise WeightsError(
                f"The shipped person detector {chosen.name} is missing; "
                "reinstall DiffPose, or give the boxes."
            )
        return cls(
            load_detector_network(chosen),
            weights_hash=file_hash(chosen),
            device=device,
            bf16=device == "cpu" and native_bf16(),
        )

    @classmethod
    def untrained(cls, config: DetectorConfig | None = None, *, seed: int = 0) -> PersonDetector:
        """Random weights: for tests and for measuring speed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PersonNet(config or DetectorConfig())
        return cls(network, weights_hash=f"untrained-{seed}")

    def detect(self, frames: Sequence[Picture]) -> list[Detections]:
        """People in each RGB uint8 (H, W, 3) picture, best first, boxes cut at the picture."""
        found: list[Detections] = []
        for _, group in groupby(frames, key=lambda frame: frame.shape):
            found += self._detect_equal(list(group))
        return found

    @torch.inference_mode()
    def _detect_equal(self, frames: Sequence[Picture]) -> list[Detections]:
        boxed = [letterbox(frame, side=self.side) for frame in frames]
        affine, size = boxed[0][1], frames[0].shape[:2]
        pictures = torch.from_numpy(np.stack([picture for picture, _ in boxed])).to(self.device)
        precision = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
        with self._turn, precision:
            logits, shapes = self._lean(normalise(pictures))
        return [
            _to_video(*decode_boxes(score, shape, min_score=self.min_score), affine, size)
            for score, shape in zip(logits.cpu(), shapes.cpu(), strict=True)
        ]


def letterbox(frame: Picture, *, side: int) -> tuple[Picture, Affine]:
    """The picture with its longer side at ``side``, in the corner of a grey canvas.

    Returns:
        The canvas, whose sides are multiples of 32, and the affine from picture to canvas pixels.
    """
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    shrinks = inner[0] < height
    resized = cv2.resize(
        frame, inner[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    outer = [-(-n // _MULTIPLE) * _MULTIPLE for n in inner]
    canvas = np.full((*outer, 3), _GREY, np.uint8)
    canvas[: inner[0], : inner[1]] = resized
    sx, sy = inner[1] / width, inner[0] / height
    # The picture's edge, not its first pixel's centre, stays where it is.
    return canvas, np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5]])


def _to_video(
    boxes: torch.Tensor, scores: torch.Tensor, affine: Affine, size: tuple[int, ...]
) -> Detections:
    """Boxes of the canvas to boxes of the picture; those that are hardly inside are dropped."""
    corners = apply_affine(invert_affine(affine), boxes.numpy().reshape(-1, 2, 2))
    limits = np.array([size[1], size[0]]) - 0.5
    cut = np.clip(corners, -0.5, limits).reshape(-1, 4)
    kept = (cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf) >= _LEAST_SIDE_PX
    return Detections(cut[kept], scores.numpy()[kept])
