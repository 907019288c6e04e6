"""One step of each objective: batch to loss, and batch to predicted keypoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffpose import heatmap
from diffpose.data.batches import Batch
from diffpose.diffusion.sampler import sample_ddim
from diffpose.diffusion.schedule import NoiseSchedule, noised
from diffpose.model import coupling
from diffpose.model.decoder import Features
from diffpose.model.frame_maps import cell_probability
from diffpose.model.network import DiffPose
from diffpose.training.config import StageConfig
from diffpose.training.objectives import (
    annotated,
    heatmap_loss,
    inside,
    near_the_truth,
    posterior_loss,
)
from diffpose.training.state import Trainee

STRIDE = 4

Made = TypeVar("Made")
LossStep = Callable[[Trainee, Batch, StageConfig, NoiseSchedule, torch.Generator], Tensor]


def coarse_loss(
    trainee: Trainee,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy of the plain head on the centre frames."""
    crops = batch.crops[:, batch.crops.shape[1] // 2]
    network = trainee.network
    maps = _through(network.backbone, network.encode_frames, crops, stage=stage)
    return plain_loss(trainee, maps, batch, stage)


def plain_loss(trainee: Trainee, maps: Tensor, batch: Batch, stage: StageConfig) -> Tensor:
    """Cross-entropy of the answer without STRL and decoder, from maps of the centre frames.

    Where annotations are not exact and there is a teacher, its opinion is a part of the target.
    """
    logits, outside = trainee.plain(maps)
    opinion = None
    if trainee.teacher is not None and stage.teacher_share > 0 and not batch.exact:
        opinion = trainee.teacher(batch.crops[:, batch.crops.shape[1] // 2])
    return posterior_loss(
        logits,
        outside,
        batch.keypoints,
        stride=STRIDE,
        sigma=stage.sigma,
        weight=batch.weights,
        opinion=opinion,
        opinion_share=stage.teacher_share,
    )


def _through(
    part: nn.Module, function: Callable[..., Made], *inputs: Any, stage: StageConfig
) -> Made:
    """``function``, which is computed by ``part``; again on the way back if the stage says so."""
    if not (stage.checkpoint_activations and torch.is_grad_enabled()):
        return function(*inputs)
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _still_statistics(part)),
    )


@contextmanager
def _still_statistics(part: nn.Module) -> Iterator[None]:
    """Batch statistics have seen the batch already when it passes for the second time."""
    norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def encode_windows(network: DiffPose, batch: Batch, *, stage: StageConfig) -> Features:
    """A batch's windows to features; one frame stands for all T of a motionless clip."""
    if batch.features is not None:
        return network.fuse(batch.features)
    crops = batch.crops
    windows, frames = crops.shape[:2]
    with torch.set_grad_enabled(torch.is_grad_enabled() and stage.backbone_rate > 0):
        maps = _through(network.backbone, network.encode_frames, crops.flatten(0, 1), stage=stage)
        maps = maps.unflatten(0, (windows, frames))
    if frames == 1:
        maps = maps.expand(-1, network.config.num_frames, -1, -1, -1)
    return network.fuse(maps)


def diffusion_loss(
    trainee: Trainee,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """The paper's objective: predict x_0 from x_t at random timesteps (section 3.1)."""
    features = encode_windows(trainee.network, batch, stage=stage)
    return denoising_loss(trainee, features, batch, stage, schedule, generator)


def denoising_loss(
    trainee: Trainee,
    features: Features,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """A keypoint without annotation enters as pure noise at every timestep and costs nothing."""
    network, config = trainee.network, trainee.network.config
    draws = stage.noise_draws
    keypoints = batch.keypoints.repeat_interleave(draws, dim=0)
    weight = None if batch.weights is None else batch.weights.repeat_interleave(draws, dim=0)
    truth = heatmap.encode(keypoints, size=config.heatmap_size, stride=STRIDE, sigma=config.sigma)
    x_0 = (2 * truth - 1) * config.signal_scale
    x_t, timesteps = noised(
        x_0, annotated(keypoints), schedule,
        first_step_share=stage.first_step_share, generator=generator,
    )  # fmt: skip
    decoder = network.decoder
    output, outside = _through(
        decoder, decoder, x_t / config.signal_scale, timesteps, features.repeat(draws), stage=stage
    )
    if config.output == "posterior":
        return posterior_loss(
            output, outside, keypoints, stride=STRIDE, sigma=config.sigma, weight=weight
        )
    return heatmap_loss(output, keypoints, stride=STRIDE, sigma=config.sigma)


def joint_loss(
    trainee: Trainee,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """The plain head on every window's centre frame, and the diffusion on the first windows.

    The centre frames pass through the backbone once, for both.
    """
    network = trainee.network
    count = max(1, round(len(batch.crops) * stage.diffusion_share))
    frames = batch.crops.shape[1]
    centre = frames // 2
    others = [frame for frame in range(frames) if frame != centre]
    every = torch.cat([batch.crops[:, centre], batch.crops[:count, others].flatten(0, 1)])
    maps = _through(network.backbone, network.encode_frames, every, stage=stage)
    centres, rest = maps[: len(batch.crops)], maps[len(batch.crops) :]
    coarse = plain_loss(trainee, centres, batch, stage)
    window = centres[:count].unsqueeze(1)
    if frames == 1:
        window = window.expand(-1, network.config.num_frames, -1, -1, -1)
    else:
        rest = rest.unflatten(0, (count, len(others)))
        window = torch.cat([rest[:, :centre], window, rest[:, centre:]], dim=1)
    features = network.fuse(window)
    weights = None if batch.weights is None else batch.weights[:count]
    part = Batch(batch.crops[:count], batch.keypoints[:count], weights)
    return coarse + denoising_loss(trainee, features, part, stage, schedule, generator)


@torch.no_grad()
def first_answer(
    network: DiffPose,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """What the decoder answers to pure noise: probabilities (B, K, h, w) that a coupling reads."""
    features = encode_windows(network, batch, stage=stage)
    shape = (len(batch.keypoints), len(network.config.keypoints), *network.config.heatmap_size)
    noise = torch.randn(shape, generator=generator).to(batch.keypoints.device)
    last = torch.full((len(noise),), schedule.num_timesteps, device=noise.device)
    return coupling.pool(cell_probability(*network.decoder(noise, last, features)))


def coupling_loss(
    trainee: Trainee,
    batch: Batch,
    stage: StageConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy of keypoints given any others of the same pose.

    Of every window ``noise_draws`` random sets of keypoints are decided. They lie where the
    network itself puts them near the truth, as they will when a pose is drawn keypoint by keypoint.
    """
    network, config = trainee.network, trainee.network.config
    assert network.coupling is not None
    pooled = batch.features
    if pooled is None:
        pooled = first_answer(network, batch, stage, schedule, generator)
    with torch.autocast(pooled.device.type, enabled=False):
        evidence = network.coupling.evidence(pooled).repeat(stage.noise_draws)
        keypoints = batch.keypoints.repeat_interleave(stage.noise_draws, dim=0)
        weight = batch.weights
        if weight is not None:
            weight = weight.repeat_interleave(stage.noise_draws, dim=0)
        share = torch.rand(len(keypoints), 1, generator=generator)
        chosen = torch.rand(keypoints.shape[:2], generator=generator) < share
        decided = chosen.to(keypoints.device) & inside(keypoints, crop_size=config.crop_size)
        points = near_the_truth(
            evidence.cells, keypoints, stride=coupling.STRIDE, generator=generator
        )
        unknown = keypoints.new_tensor(float("nan"))
        logits, outside = network.coupling(
            torch.where(decided[..., None], points, unknown), evidence
        )
        asked = torch.where(decided[..., None], unknown, keypoints)
        return posterior_loss(
            logits,
            outside,
            asked,
            stride=coupling.STRIDE,
            sigma=config.sigma * STRIDE / coupling.STRIDE,
            weight=weight,
        )


LOSSES: dict[str, LossStep] = {
    "coarse": coarse_loss,
    "diffusion": diffusion_loss,
    "joint": joint_loss,
    "coupling": coupling_loss,
}


@torch.no_grad()
def predict(
    trainee: Trainee, batch: Batch, stage: StageConfig, schedule: NoiseSchedule, *, seed: int = 0
) -> Tensor:
    """Keypoints (B, K, 2) in crop pixels: of the plain head, or of one step and one sample."""
    if stage.objective == "coarse":
        crops = batch.crops[:, batch.crops.shape[1] // 2]
        logits, _ = trainee.plain(trainee.network.encode_frames(crops))
        maps = logits.float().flatten(2).softmax(dim=-1).view_as(logits)
        return heatmap.decode(maps, stride=STRIDE)[0]
    network = trainee.network
    features = encode_windows(network, batch, stage=stage)
    shape = (len(batch.crops), len(network.config.keypoints), *network.config.heatmap_size)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator).to(batch.crops.device)

    def denoise(x: Tensor, t: int) -> Tensor:
        return network.denoise(x, torch.full((len(x),), t, device=x.device), features)

    x_0 = sample_ddim(denoise, noise, schedule, num_steps=1)
    return heatmap.decode(network.heatmaps(x_0), stride=STRIDE)[0]
