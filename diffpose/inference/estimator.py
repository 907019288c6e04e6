"""The Estimator: a network on a device, asked for poses in video pixels."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffpose import heatmap
from diffpose.diffusion.ensemble import EnsemblePose, combine, step_weight
from diffpose.diffusion.sampler import (
    Constraint,
    Denoiser,
    hypothesis_noise,
    sample_ddim,
    unconstrained,
)
from diffpose.diffusion.schedule import cosine_schedule
from diffpose.errors import FormatError, SettingsError, WeightsError
from diffpose.evaluation.calibration import IDENTITY, Calibration
from diffpose.evaluation.statements import Predictions
from diffpose.folding import native_bf16
from diffpose.geometry import apply_affine, apply_affine_covariance, invert_affine
from diffpose.inference.draws import draw_hypotheses, read_feet
from diffpose.inference.mirror import BothSides, mirrored_rows, through_the_mirror
from diffpose.model.config import preset
from diffpose.model.coupling import pool
from diffpose.model.decoder import Features
from diffpose.model.lean import lean
from diffpose.model.network import DiffPose
from diffpose.model.weights import load_calibration, load_weights
from diffpose.poses import SamplingConfig
from diffpose.shipped import WEIGHTS
from diffpose.skeleton import Skeleton
from diffpose.tensorfile import tensors_hash

STRIDE = 4
_MIRRORED = "-mirrored"  # in the hash: such poses are others
_CROPS_AT_ONCE = 8  # in one call of the backbone: what it computes stays in the processor's cache
_ROWS_AT_ONCE = 64  # windows x hypotheses in one call of the decoder: bounds the memory

EMBEDDED_WEIGHTS = WEIGHTS / "diffpose-base.safetensors"


@dataclass(frozen=True)
class PoseBatch:
    """Poses of B windows' centre frames.

    Attributes:
        keypoints: (B, K, 2) video pixels.
        confidence: (B, K) in 0..1, calibrated where the weights carry a calibration, else the
            peak of the mean heatmap.
        covariance: (B, K, 2, 2) px^2, calibrated likewise, else the spread of the heatmap.
        hypotheses: (B, S, K, 2) video pixels.
        heatmaps: (B, K, h, w) f32 in 0..1, mean over hypotheses and steps, weighted by how certain
            each is, in the crop's frame.
    """

    keypoints: NDArray[np.float32]
    confidence: NDArray[np.float32]
    covariance: NDArray[np.float32]
    hypotheses: NDArray[np.float32]
    heatmaps: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.keypoints)


class Estimator:
    """A network ready to be asked: encode once, sample as often as you like.

    One of the four things in DiffPose that hold state: the network and its device. Calls from
    several threads take turns.

    Args:
        network: In evaluation mode.
        weights_hash: Names the weights in exports and caches.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        calibration: Applied to the confidence and covariance of every pose. Its digest is added
            to the hash, so that poses of another calibration are never taken from a job folder.
        mirrored: Every second hypothesis sees the mirrored crop, and two are drawn at least
            (`diffpose.inference.mirror`): more accurate, and the encoder works twice. Is added
            to the hash too.
        bf16: The network multiplies in bfloat16, as it did in training; what it hands on is
            float32 all the same. Not added to the hash: it costs digits, not accuracy.
    """

    def __init__(
        self,
        network: DiffPose,
        *,
        weights_hash: str,
        device: str = "cpu",
        calibration: Calibration = IDENTITY,
        mirrored: bool = False,
        bf16: bool = False,
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise SettingsError(f"Device {device!r} was asked for, but no GPU is here; use cpu.")
        self.device = torch.device(device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self._lean = lean(self.network, bf16=bf16)
        self._coupling = self.network.coupling  # in float32: it is small, and log-probabilities add
        self.calibration = calibration
        self.mirrored, self.bf16 = mirrored, bf16
        self.weights_hash = (
            weights_hash
            + (_MIRRORED if mirrored else "")
            + (f"-{calibration.digest}" if calibration.groups else "")
        )
        config = network.config
        self.config = config
        self.skeleton: Skeleton = config.keypoints
        self.model_name, self.radius = config.name, config.radius
        self.crop_size, self.heatmap_size = config.crop_size, config.heatmap_size
        self._schedule = cosine_schedule(config.num_timesteps)
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        device: str = "cpu",
        calibrated: bool = True,
        mirrored: bool = True,
        bf16: bool | None = None,
    ) -> Estimator:
        """The estimator of a weights file; None takes the weights that DiffPose ships.

        Its hash is over the tensors, not over what the file says of them.

        Args:
            path: The file.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            calibrated: Apply the file's calibration, if it has one.
            mirrored: Look at the mirror image too.
            bf16: Multiply in bfloat16; None: where the CPU does so natively.

        Raises:
            WeightsError: The file is missing, damaged or of another model.
        """
        chosen = path if path is not None else EMBEDDED_WEIGHTS
        if path is None and not chosen.is_file():
            raise WeightsError(
                f"The shipped weights {chosen.name} are missing; "
                "reinstall DiffPose, or name a weights file."
            )
        network, text = load_weights(chosen), load_calibration(chosen) if calibrated else None
        try:
            calibration = IDENTITY if text is None else Calibration.from_json(text)
        except FormatError as error:
            raise WeightsError(f"{chosen.name}: {error}") from None
        return cls(
            network,
            weights_hash=tensors_hash(chosen),
            device=device,
            calibration=calibration,
            mirrored=mirrored,
            bf16=device == "cpu" and native_bf16() if bf16 is None else bf16,
        )

    @classmethod
    def untrained(cls, name: str, *, seed: int = 0, device: str = "cpu") -> Estimator:
        """A preset with random weights: for tests and for measuring speed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = DiffPose(preset(name))
        return cls(network, weights_hash=f"untrained-{seed}", device=device)

    def one_sided(self) -> Estimator:
        """This estimator without its look at mirror images: half the work, the same turns."""
        twin = copy.copy(self)
        twin.mirrored, twin.weights_hash = False, self.weights_hash.replace(_MIRRORED, "")
        return twin

    @torch.inference_mode()
    def encode_frames(self, crops: NDArray[np.uint8]) -> Tensor:
        """Backbone features of single frames: the costly part, once for each frame and crop.

        Args:
            crops: (N, H, W, 3) RGB of the network's crop size.

        Returns:
            (N, C, h, w) on the estimator's device; (N, 2, C, h, w), the mirror image's second, if
            `mirrored`.
        """
        if crops.ndim != 4 or crops.shape[1:] != (*self.crop_size, 3):
            raise SettingsError(
                f"Expected crops of shape (N, {self.crop_size[0]}, {self.crop_size[1]}, 3), "
                f"got {crops.shape}."
            )
        with self._turn, self._precision():
            frames = torch.from_numpy(crops).to(self.device)
            if self.mirrored:  # a frame and its mirror image, one after the other
                frames = torch.stack([frames, frames.flip(2)], dim=1).flatten(0, 1)
            parts = [self._lean.encode_frames(part) for part in frames.split(_CROPS_AT_ONCE)]
            maps = torch.cat(parts).float()
            return maps.unflatten(0, (-1, 2)) if self.mirrored else maps

    @torch.inference_mode()
    def fuse(self, frame_features: Tensor) -> Features | BothSides:
        """STRL and the decoder's constant half, once for each window.

        Args:
            frame_features: (B, T, ...) of what `encode_frames` gave of single frames.
        """
        maps = frame_features.to(self.device)
        with self._turn, self._precision():
            if not self.mirrored:
                return self._lean.fuse(maps).float()
            sides = (self._lean.fuse(maps[:, :, side]).float() for side in (0, 1))
            return BothSides(*sides)

    def encode(self, crops: NDArray[np.uint8]) -> Features | BothSides:
        """Whole windows (B, T, H, W, 3) to features: `encode_frames`, then `fuse`."""
        batch, frames = crops.shape[:2]
        maps = self.encode_frames(crops.reshape(-1, *crops.shape[2:]))
        return self.fuse(maps.unflatten(0, (batch, frames)))

    @torch.inference_mode()
    def sample(
        self,
        features: Features | BothSides,
        affines: NDArray[np.float64],
        sampling: SamplingConfig,
        *,
        seeds: Sequence[int] | None = None,
        constrain: Constraint | None = None,
        placed: Tensor | None = None,
        on_step: Callable[[int, PoseBatch], None] | None = None,
    ) -> PoseBatch:
        """Poses of B windows, and S hypotheses of each, denoised in K steps.

        A network with a coupling states the pose and its uncertainty from the decoder's answer to
        pure noise, whatever the sampling (later steps have the same mean, and noise of their own),
        and draws hypotheses that are whole poses from it in K steps (`diffpose.diffusion.joint`).
        Of any other network, and where something is known, the decoder denoises S noise samples
        in K steps and the pose is read from the mean heatmap.

        Args:
            features: Of B windows.
            affines: (B, 2, 3) from video pixels to crop pixels.
            sampling: K, S and the seed.
            seeds: A number for each window; with ``sampling.seed`` it fixes the window's noise.
                None: 0 for all.
            constrain: Imposes what a reviewer knows on every clean prediction (B * S, K, h, w),
                the hypotheses of a window in a row (`diffpose.diffusion.conditioning`). None:
                nothing is known, and the pose is read mostly from the first step.
            placed: (B, K, 2) crop pixels of keypoints that the hypotheses have to agree with, NaN
                elsewhere.
            on_step: Receives the poses after every step but the last, for showing them early.

        Returns:
            Poses in video pixels. A window's noise never depends on its batch.
        """
        count, asked = len(features), sampling
        if self._coupling is not None and constrain is None:
            sampling = replace(sampling, num_steps=1, num_hypotheses=1)
        wanted = sampling.num_hypotheses
        hypotheses = max(wanted, 2) if self.mirrored else wanted
        marks = [
            sampling.seed * 1_000_003 + s for s in (seeds if seeds is not None else [0] * count)
        ]
        shape = (len(self.skeleton), *self.heatmap_size)
        noise = hypothesis_noise(marks, num_hypotheses=hypotheses, shape=shape)
        rows = features.repeat(hypotheses)

        denoise: Denoiser = lambda x, timestep: self._denoise(x, timestep, rows)  # noqa: E731
        if self.mirrored:
            turned = mirrored_rows(count, hypotheses).to(self.device)
            denoise = through_the_mirror(denoise, turned, self.skeleton.mirror.tolist())

        # What a constraint says only later steps know: then all steps count alike.
        known = constrain is not None
        weights = [
            1.0 if known else step_weight(done, hypotheses=hypotheses)
            for done in range(1, sampling.num_steps + 1)
        ]
        total = torch.zeros(count, *shape, device=self.device)

        def report(done: int, x_0: Tensor) -> None:
            mean = self._heatmaps(x_0, hypotheses).mean(dim=1)
            total.add_(mean, alpha=weights[done - 1])
            if on_step is not None and done < sampling.num_steps:
                on_step(done, assemble(x_0, done))

        def assemble(x_0: Tensor, done: int) -> PoseBatch:
            heatmaps = self._heatmaps(x_0, hypotheses)
            mean = total / sum(weights[:done])
            readings, drawn = None, None
            if self._coupling is not None:
                probability = mean / heatmap.mass(self.config.sigma)
                evidence = self._coupling.evidence(pool(probability))
                seen = self._coupling, probability, evidence
                readings = read_feet(*seen, self.skeleton, placed)
                drawn = draw_hypotheses(
                    *seen, marks, num_steps=asked.num_steps,
                    num_hypotheses=asked.num_hypotheses, placed=placed,
                )  # fmt: skip
            sigma = self.config.sigma
            pose = combine(
                heatmaps[:, :wanted], stride=STRIDE, sigma=sigma, mean=mean,
                readings=readings, hypotheses=drawn,
            )  # fmt: skip
            return self._stated(pose, affines, done, wanted)

        with self._turn:
            x_0 = sample_ddim(
                denoise,
                noise.flatten(0, 1).to(self.device),
                self._schedule,
                num_steps=sampling.num_steps,
                constrain=constrain or unconstrained,
                on_step=report,
            )
            return assemble(x_0, sampling.num_steps)

    def _heatmaps(self, x_0: Tensor, hypotheses: int) -> Tensor:
        return self._lean.heatmaps(x_0).unflatten(0, (-1, hypotheses)).contiguous()

    def _denoise(self, x: Tensor, timestep: int, rows: Features) -> Tensor:
        parts = []
        for start in range(0, len(x), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            some = x[part].contiguous(memory_format=torch.channels_last)
            steps = torch.full((len(some),), timestep, device=x.device)
            with self._precision():
                parts.append(self._lean.denoise(some, steps, rows[part]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _stated(
        self, pose: EnsemblePose, affines: NDArray[np.float64], steps: int, hypotheses: int
    ) -> PoseBatch:
        """Calibrated poses in video pixels; by how many steps and hypotheses they are read."""
        to_video = [invert_affine(affine) for affine in np.asarray(affines, dtype=np.float64)]

        def carry(points: Tensor) -> NDArray[np.float32]:
            arrays = points.cpu().numpy()
            moved = [apply_affine(a, p) for a, p in zip(to_video, arrays, strict=True)]
            return np.stack(moved).astype(np.float32)

        spreads = zip(to_video, pose.covariance.cpu().numpy(), strict=True)
        covariance = np.stack([apply_affine_covariance(a, c) for a, c in spreads])
        stated = self.calibration.apply(
            Predictions(
                self.skeleton,
                carry(pose.keypoints),
                pose.confidence.cpu().numpy(),
                covariance.astype(np.float32),
                np.tile([float(steps), hypotheses], (len(covariance), 1)),
            )
        )
        return PoseBatch(
            keypoints=stated.keypoints,
            confidence=stated.confidence,
            covariance=stated.covariance,
            hypotheses=carry(pose.hypotheses),
            heatmaps=pose.heatmaps.cpu().numpy(),
        )
