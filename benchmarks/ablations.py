"""The paper's ablations on our model: what each part is worth, as Markdown tables.

    python benchmarks/ablations.py CHECKPOINT --lspet LSPET --shards TRAIN --test TEST \
        [--steps 300] [--seeds 2] [--windows 256]

CHECKPOINT is a training run's; its backbone is frozen and encodes every window once. `parts`
trains STRL and decoder from nothing on those features, each variant for the same number of steps
of 16 windows, and scores them on held-out rendered clips (T frames) and held-out stills.
`sampling` scores the checkpoint's own STRL and decoder for other K, E and starting points.
PCK of the torso over the 12 limb keypoints; mean and range over the seeds.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from diffpose import heatmap
from diffpose.data.augment import AugmentConfig
from diffpose.data.batches import Batch, Mixture, make_batch
from diffpose.data.sources import ShardSource
from diffpose.diffusion.ensemble import step_weight
from diffpose.diffusion.sampler import hypothesis_noise, sample_ddim
from diffpose.diffusion.schedule import NoiseSchedule, cosine_schedule
from diffpose.evaluation.pck import limb_pck
from diffpose.skeleton import HALPE26
from diffpose.training.config import DataConfig, StageConfig, TrainingConfig
from diffpose.training.data import load_data
from diffpose.training.state import Trainee, load_average
from diffpose.training.steps import STRIDE, denoising_loss

SCHEDULE = cosine_schedule(1000)
HALF = NoiseSchedule(SCHEDULE.signal[:501], SCHEDULE.noise[:501])
STAGE = StageConfig("ablation", "diffusion", steps=1, noise_draws=1, first_step_share=0.6)
PLAIN = AugmentConfig(rotation=0, scale=0.0, shift=0.0, colour=0, occlude=0, blur=0, flip=0)
VARIANTS = {
    "as shipped": {},
    "one frame instead of five": {"radius": 0},
    "one mask for all keypoints (published)": {"lookup": "joint_agnostic"},
    "concatenation instead of lookup": {"lookup": "concat"},
    "squared error (published)": {"output": "heatmap"},
    "signal scale 0.1": {"signal_scale": 0.1},
    "signal scale 2": {"signal_scale": 2.0},
}


def read_checkpoint(path):
    tensors, config = load_average(path)
    trainee = Trainee(config)
    trainee.load_state_dict(tensors)
    return trainee.eval()


def windows_of(source, config, count, *, seed, augment=PLAIN):
    mixture = Mixture([source], [1.0], config.num_frames, config.crop_size, 16, HALPE26, augment)
    batches = [make_batch(mixture, seed=seed, index=i) for i in range(count // 16)]
    return batches


@torch.inference_mode()
def encode(trainee, batches):
    """[(features (B, T, C, h, w) half, keypoints)]; a still's one frame stands for all."""
    kept = []
    for batch in batches:
        frames = batch.crops.flatten(0, 1)
        maps = trainee.network.encode_frames(frames).unflatten(0, batch.crops.shape[:2])
        kept.append((maps.half(), batch.keypoints))
    return kept


def window_maps(maps, config):
    """What a network of that radius sees of windows encoded at the checkpoint's radius."""
    centre = maps.shape[1] // 2
    if maps.shape[1] == 1:
        return maps.float().expand(-1, config.num_frames, -1, -1, -1)
    return maps[:, centre - config.radius : centre + config.radius + 1].float()


def train(config, base, encoded, *, steps, seed):
    torch.manual_seed(seed)
    trainee = Trainee(config)
    trainee.network.backbone.load_state_dict(base.network.backbone.state_dict())
    parts = [*trainee.network.strl.parameters(), *trainee.network.decoder.parameters()]
    optimizer = torch.optim.AdamW(parts, lr=1e-3, weight_decay=0.05)
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    trainee.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                1e-3 * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
            )
        maps, points = encoded[int(rng.integers(len(encoded)))]
        with torch.autocast("cpu", torch.bfloat16):
            features = trainee.network.fuse(window_maps(maps, config))
            batch = Batch(torch.empty(len(points)), points)
            loss = denoising_loss(trainee, features, batch, STAGE, SCHEDULE, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
    return trainee.eval()


@torch.inference_mode()
def score(trainee, encoded, *, steps, hypotheses, seed=0, start="noise", read="by certainty"):
    """PCK@0.2 and @0.1 over the encoded windows."""
    weights = {
        "by certainty": [step_weight(done + 1, hypotheses=hypotheses) for done in range(steps)],
        "all steps alike": [1.0] * steps,
        "last step": [0.0] * (steps - 1) + [1.0],
    }[read]
    network, config = trainee.network, trainee.network.config
    shape = (len(config.keypoints), *config.heatmap_size)
    found, truths = [], []
    for index, (maps, points) in enumerate(encoded):
        features = network.fuse(window_maps(maps, config))
        marks = [seed * 7919 + index * 16 + row for row in range(len(points))]
        noise = hypothesis_noise(marks, num_hypotheses=hypotheses, shape=shape).flatten(0, 1)
        rows, sums = features.repeat(hypotheses), []

        def denoise(x, t, rows=rows):
            cuts = [slice(s, s + 64) for s in range(0, len(x), 64)]
            return torch.cat(
                [network.denoise(x[c], torch.full((len(x[c]),), t), rows[c]) for c in cuts]
            )

        if start == "coarse":
            noise = coarse_start(trainee, maps, noise, hypotheses)
        sample_ddim(
            denoise, noise, HALF if start == "coarse" else SCHEDULE, num_steps=steps,
            on_step=lambda done, x, sums=sums: sums.append(x),
        )  # fmt: skip
        mean = sum(w * x for w, x in zip(weights, sums, strict=True)) / sum(weights)
        mean = network.heatmaps(mean).unflatten(0, (-1, hypotheses)).mean(dim=1)
        found.append(heatmap.decode(mean.contiguous(), stride=STRIDE)[0].numpy())
        truths.append(points.numpy())
    found, truths = np.concatenate(found), np.concatenate(truths)
    return [limb_pck(found, truths, HALPE26, threshold=t) for t in (0.2, 0.1)]


def coarse_start(trainee, maps, noise, hypotheses):
    """The plain head's heatmap with noise of timestep `HALF`, where sampling then begins."""
    network = trainee.network
    logits, _ = trainee.coarse(maps[:, maps.shape[1] // 2].float())
    mass = heatmap.mass(network.config.sigma)
    heat = (logits.flatten(2).softmax(-1).view_as(logits) * mass).clamp(max=1)
    x_0 = ((2 * heat - 1) * network.config.signal_scale).repeat_interleave(hypotheses, dim=0)
    return float(HALF.signal[-1]) * x_0 + float(HALF.noise[-1]) * noise


def cell(values):
    values = np.asarray(values)
    spread = f" ({values.min():.3f} to {values.max():.3f})" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def parts(base, data, options):
    print(f"\nEach trained {options.steps} steps of 16 windows, {options.seeds} seeds, K=1, E=1\n")
    print(
        "| variant | clips @0.2 | clips @0.1 | stills @0.2 | stills @0.1 |\n|---|---|---|---|---|"
    )
    for name, changes in VARIANTS.items():
        config = replace(base.network.config, **changes)
        rows = []
        for seed in range(options.seeds):
            trainee = train(config, base, data["train"], steps=options.steps, seed=seed)
            rows.append(
                score(trainee, data["clips"], steps=1, hypotheses=1)
                + score(trainee, data["stills"], steps=1, hypotheses=1)
            )
        cells = " | ".join(cell(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {cells} |", flush=True)


def sampling(base, data, options):
    print("\nThe checkpoint itself, other sampling\n")
    print("| K | E | start | read from | clips @0.2 | clips @0.1 | stills @0.2 | stills @0.1 |")
    print("|---|---|---|---|---|---|---|---|")
    read, alike, last = "by certainty", "all steps alike", "last step"
    grid = [(k, e, "noise", read) for k in (1, 2, 4, 8, 16) for e in (1, 8)]
    grid += [(4, e, "noise", read) for e in (4, 16, 32)]
    grid += [(k, e, "noise", how) for how in (alike, last) for k, e in ((4, 1), (16, 1), (4, 8))]
    # A coarse heatmap is no pure noise: nothing sets its first step apart.
    grid += [(k, e, "coarse", alike) for k, e in ((1, 1), (4, 1), (4, 8))]
    for steps, hypotheses, start, how in grid:
        seeds = range(options.seeds if hypotheses < 8 else 1)
        rows = [
            [
                value
                for part in ("clips", "stills")
                for value in score(
                    base, data[part], steps=steps, hypotheses=hypotheses, seed=seed, start=start,
                    read=how,
                )
            ]
            for seed in seeds
        ]  # fmt: skip
        print(f"| {steps} | {hypotheses} | {start} | {how} | "
              + " | ".join(cell(column) for column in zip(*rows, strict=True)) + " |",
              flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--lspet", required=True)
    parser.add_argument("--shards", required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--windows", type=int, default=2048, help="to train on, of each kind")
    parser.add_argument("--scored", type=int, default=240, help="of each kind")
    parser.add_argument("--only", choices=("parts", "sampling"))
    options = parser.parse_args()
    base = read_checkpoint(options.checkpoint)
    config = base.network.config
    data = load_data(
        TrainingConfig(config, DataConfig(options.lspet, shards=options.shards), (STAGE,))
    )
    mild = replace(PLAIN, rotation=20.0, scale=0.1, flip=0.5)
    encoded = {
        "clips": encode(base, windows_of(
            ShardSource(sorted(options.test.glob("shard-*.npz"))), config, options.scored, seed=1)),
        "stills": encode(base, windows_of(data.monitor, config, options.scored, seed=1)),
    }  # fmt: skip
    print(f"{options.scored} held-out windows of rendered clips and {options.scored} of stills")
    if options.only != "parts":
        sampling(base, encoded, options)
    if options.only != "sampling":
        train_windows = [
            windows_of(source, config, options.windows, seed=2, augment=mild)
            for source in (data.stills, data.clips)
        ]
        encoded["train"] = encode(base, [b for kind in train_windows for b in kind])
        parts(base, encoded, options)


if __name__ == "__main__":
    main()
