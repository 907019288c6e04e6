"""Stand-ins for the app's tests: a clip of two coloured figures, a detector of colours, and an
estimator whose answer shows the settings: K moves the pose, E spreads it, both shape the heatmaps.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from app.desk.models import DeskModels
from app.session import Clip, Session
from app.settings import Settings
from app.workspace import Workspace
from diffpose.geometry import apply_affine, invert_affine
from diffpose.poses import Hypotheses, Provenance, SamplingConfig
from diffpose.review.adapting import take_up
from diffpose.review.models import AdaptedModel
from diffpose.review.store import Store
from diffpose.review.suggestions import ResampleRequest, Suggestion
from diffpose.skeleton import HALPE26
from diffpose.tracking.associate import Detections
from tests.fakes import FakeFeatures, FakePoses

SIZE = (360, 640)
NUM_FRAMES = 40
FPS = 20
BITS, CELL = 8, 16
"""The frame's index as black and white squares along the top edge."""

COLOURS = {0: (220, 60, 60), 1: (60, 90, 220)}

# Fractions of the box (x, y) of HALPE26's keypoints of somebody who stands facing the camera.
_STANDING = np.array([
    (0.50, 0.10), (0.53, 0.08), (0.47, 0.08), (0.56, 0.09), (0.44, 0.09), (0.66, 0.22),
    (0.34, 0.22), (0.76, 0.36), (0.24, 0.36), (0.82, 0.50), (0.18, 0.50), (0.59, 0.52),
    (0.41, 0.52), (0.60, 0.74), (0.40, 0.74), (0.61, 0.94), (0.39, 0.94), (0.50, 0.02),
    (0.50, 0.18), (0.50, 0.52), (0.64, 0.99), (0.36, 0.99), (0.68, 0.98), (0.32, 0.98),
    (0.60, 0.97), (0.40, 0.97),
])  # fmt: skip


def figure_boxes(frame: int) -> np.ndarray:
    """(2, 4) boxes of the two figures: the large one walks right, the small one stands."""
    x = 120.0 + 4 * frame
    return np.array([(x, 60.0, x + 110, 340.0), (500.0, 150.0, 570.0, 320.0)])


def figure_frame(index: int) -> np.ndarray:
    """One picture of the clip, (H, W, 3) RGB."""
    picture = np.full((*SIZE, 3), 70, np.uint8)
    picture[SIZE[0] // 2 :] = 95
    for person, box in enumerate(figure_boxes(index)):
        x1, y1, x2, y2 = box.round().astype(int)
        colour = COLOURS[person]
        head = (y2 - y1) // 7
        cv2.circle(picture, ((x1 + x2) // 2, y1 + head), head, colour, -1)
        cv2.rectangle(picture, (x1, y1 + 2 * head), (x2, y2), colour, -1)
    for bit in range(BITS):
        value = 235 if index >> bit & 1 else 16
        picture[:CELL, bit * CELL : (bit + 1) * CELL] = value
    return picture


def write_clip(path: Path, num_frames: int = NUM_FRAMES) -> Path:
    """The clip as an MP4 that every reader plays."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(figure_frame(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class FigureDetector:
    """Finds the red figure, and the blue one; only the first where ``people`` is 1."""

    def __init__(self, people: int = 2) -> None:
        self.people = people

    @property
    def weights_hash(self) -> str:
        return f"figures of {self.people}"

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        return [self._detect(picture) for picture in frames]

    def _detect(self, picture: np.ndarray) -> Detections:
        boxes = []
        for person in range(self.people):
            like = np.abs(picture.astype(int) - COLOURS[person]).max(axis=-1) < 60
            y, x = np.nonzero(like)
            if len(x) > 200:
                boxes.append((x.min(), y.min(), x.max(), y.max()))
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32)
        )


class FigureEstimator:
    """A standing figure in the middle of every crop.

    Every step K moves all keypoints by two pixels of the crop to the right; hypotheses lie on a
    circle whose radius grows with E; heatmaps are Gaussians that E widens.
    """

    model_name = "figures"
    weights_hash = "figures"
    heatmap_size = (32, 24)
    crop_size = (128, 96)
    radius = 2
    skeleton = HALPE26

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.num_encoded = 0
        self.free_chunks = 1
        self._chunks = 0

    def hold_after(self, chunks: int) -> None:
        """Let so many chunks of a run through, then wait until `gate` is set."""
        self._chunks, self.free_chunks = 0, chunks
        self.gate.clear()

    def encode_frames(self, crops: np.ndarray) -> torch.Tensor:
        assert crops.shape[1:] == (*self.crop_size, 3)
        self.num_encoded += len(crops)
        return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()

    def fuse(self, frame_features: torch.Tensor) -> FakeFeatures:
        return FakeFeatures(frame_features[:, :, :, ::8, ::8].contiguous())

    def sample(
        self,
        features: FakeFeatures,
        crops_affine: np.ndarray,
        sampling: SamplingConfig,
        *,
        seeds: Any = None,
    ) -> FakePoses:
        if len(features) > 1:
            self._chunks += 1
            if self._chunks > self.free_chunks:
                self.gate.wait(30)
        steps, count = sampling.num_steps, sampling.num_hypotheses
        height, width = self.crop_size
        # The crop is the box enlarged by a quarter.
        inner = np.array([width, height]) / 1.25
        middle = (np.array([width, height]) - 1) / 2
        crop_points = middle + (_STANDING - 0.5) * inner + [2.0 * steps, 0]
        turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
        circle = np.stack([np.cos(turns), np.sin(turns)], axis=-1) * (1 + 0.15 * count)
        scatter = crop_points[None] + circle[:, None]
        back = [invert_affine(affine) for affine in np.asarray(crops_affine, np.float64)]
        keypoints = np.stack([apply_affine(a, crop_points) for a in back])
        hypotheses = np.stack([apply_affine(a, scatter) for a in back])
        spread = [np.eye(2) * (1 + 0.15 * count) ** 2 * abs(np.linalg.det(a[:, :2])) for a in back]
        num = len(self.skeleton)
        confidence = np.full((len(back), num), 0.9, np.float32)
        confidence[:, self.skeleton.index("left_ankle")] = 0.2
        return FakePoses(
            keypoints=keypoints.astype(np.float32),
            confidence=confidence,
            covariance=np.stack([np.repeat(s[None], num, 0) for s in spread]).astype(np.float32),
            hypotheses=hypotheses.astype(np.float32),
            heatmaps=np.stack([self._heatmaps(crop_points, count)] * len(back)),
        )

    def _heatmaps(self, crop_points: np.ndarray, count: int) -> np.ndarray:
        cells = (crop_points - 1.5) / 4
        y, x = np.mgrid[: self.heatmap_size[0], : self.heatmap_size[1]]
        distance = (x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2
        return np.exp(-distance / (2 * (1 + 0.1 * count) ** 2)).astype(np.float32)


ANKLE = HALPE26.index("left_ankle")


def figure_models(workspace: Workspace, clip: Clip, store: Store) -> DeskModels:
    """A model that lets the whole body follow half of a correction, two frames around, and that
    thinks the left ankle 40 px farther left with a share of a quarter.
    """

    def resample(request: ResampleRequest) -> Suggestion:
        poses = request.poses
        rows = np.flatnonzero(np.abs(poses.frames - request.frame) <= 2)
        here = int(np.searchsorted(poses.frames, request.frame))
        shifts = [
            np.asarray(xy) - request.predictions.keypoints[here, k]
            for (frame, k), xy in request.placed.items()
            if frame == request.frame
        ]
        shift = np.mean(shifts, axis=0) if shifts else np.zeros(2)
        return Suggestion(
            track_id=request.track_id,
            frames=tuple(poses.frames[rows].tolist()),
            keypoints=(request.predictions.keypoints[rows] + shift / 2).astype(np.float32),
            covariance=np.tile(np.eye(2, dtype=np.float32), (len(rows), len(HALPE26), 1, 1)),
            confidence=np.full((len(rows), len(HALPE26)), 0.8, np.float32),
        )

    def hypotheses(track_id: int, frame: int) -> Hypotheses:
        poses = store.predictions(track_id)
        pose = poses.keypoints[poses.frames == frame][0]
        samples = np.tile(pose, (8, 1, 1)).astype(np.float32)
        samples[6:, ANKLE] += (-40, 0)
        return Hypotheses(frame, samples, np.full((8, len(HALPE26)), 0.5))

    return resample, hypotheses


@dataclass
class Served:
    """A running app and what stands behind it."""

    url: str
    workspace: Workspace
    estimator: FigureEstimator
    detector: FigureDetector
    blocks: Any = None
    app: Any = None


@contextmanager
def unserved(settings: Settings) -> Iterator[Served]:
    """A workspace with stand-ins for the models, which nobody serves."""
    estimator, detector = FigureEstimator(), FigureDetector()
    with Workspace(
        settings,
        load_estimator=lambda _: estimator,
        load_finder=lambda *_: detector,
        desk_models=figure_models,
    ) as workspace:
        yield Served("", workspace, estimator, detector)


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """An app with stand-ins for the models, served until the block ends."""
    from app.layout import build_app, launch

    with unserved(settings) as figures:
        page = build_app(figures.workspace)
        app, url, _ = launch(page, figures.workspace, prevent_thread_lock=True, quiet=True)
        try:
            yield replace(figures, url=url, blocks=page, app=app)
        finally:
            page.close(verbose=False)


def finish(job: Iterator[None]) -> None:
    """Run a job to its end."""
    for _ in job:
        pass


STEP = np.array([10, 0], np.float32)


def moved_by_ten(workspace: Workspace, session: Session, found: Any) -> FigureEstimator:
    """A stand-in for an adapted model: everything lies ten pixels further right."""
    assert session.desk is not None
    review, estimator = session.desk.review, workspace.estimator
    old = review.store.predictions(0)
    made = Provenance("figures", "figures-adapted-x", 1, 4, 0)
    take_up(
        review,
        AdaptedModel("x", "figures", b"", found.report),
        [replace(old, keypoints=old.keypoints + STEP)],
        provenances={0: made},
    )
    assert isinstance(estimator, FigureEstimator)
    return estimator
