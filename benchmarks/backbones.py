"""Which backbone learns most in equal CPU time, with a plain heatmap head on LSPET.

    python benchmarks/backbones.py DATA/lspet resnet18 mobilenetv4_conv_small --cpu-seconds 300

Prints a Markdown table: PCK on LSPET val after the same CPU time (all threads, loader included).
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from diffpose import heatmap
from diffpose.data.augment import AugmentConfig
from diffpose.data.batches import Mixture, evaluation_batches, prefetch
from diffpose.data.sources import load_lspet
from diffpose.evaluation.pck import limb_pck
from diffpose.geometry import apply_affine, invert_affine
from diffpose.model.backbone import CoarseHead, build_backbone, normalise
from diffpose.skeleton import HALPE26
from diffpose.training.objectives import posterior_loss

SIZE, SIGMA = (128, 96), 1.0


class Plain(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.backbone = build_backbone(name, crop_size=SIZE, skeleton=HALPE26)
        self.head = CoarseHead(self.backbone.channels, len(HALPE26))

    def forward(self, crops):
        x = normalise(crops).contiguous(memory_format=torch.channels_last)
        return self.head(self.backbone(x))


def evaluate(model, source):
    model.eval()
    found, truths = [], []
    with torch.no_grad():
        batches = evaluation_batches(source, crop_size=SIZE, num_frames=1, batch_size=50)
        for batch, affines, truth in batches:
            logits, _ = model(batch.crops[:, 0])
            points, _ = heatmap.decode(
                logits.float().flatten(2).softmax(-1).view_as(logits), stride=4
            )
            pairs = zip(affines, points.numpy(), strict=True)
            found += [apply_affine(invert_affine(a), p) for a, p in pairs]
            truths.append(truth)
    model.train()
    found, truths = np.stack(found), np.concatenate(truths)
    return [limb_pck(found, truths, HALPE26, threshold=t) for t in (0.2, 0.1)]


def train(name, train_source, val_source, *, budget, bf16, rate, seed=0):
    torch.manual_seed(seed)
    model = Plain(name).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    mixture = Mixture([train_source], [1.0], 1, SIZE, 32, HALPE26, AugmentConfig())
    start, steps = time.process_time(), 0
    for batch in prefetch(mixture, seed=seed, first=0):
        done = (time.process_time() - start) / budget
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, steps / 100) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits, outside = model(batch.crops[:, 0])
        loss = posterior_loss(logits, outside, batch.keypoints, stride=4, sigma=SIGMA)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    return steps * 32, loss.item(), *evaluate(model, val_source)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lspet", type=Path)
    parser.add_argument("backbones", nargs="+", help="timm names; add :bf16 for autocast")
    parser.add_argument("--cpu-seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    train_source = load_lspet(options.lspet, "train", HALPE26)
    val_source = load_lspet(options.lspet, "val", HALPE26)
    print("| backbone | samples | loss | PCK@0.2 | PCK@0.1 |\n|---|---|---|---|---|", flush=True)
    for entry in options.backbones:
        name, _, mode = entry.partition(":")
        row = train(name, train_source, val_source, budget=options.cpu_seconds,
                    bf16=mode == "bf16", rate=options.rate)  # fmt: skip
        print(f"| {entry} | {row[0]} | {row[1]:.3f} | {row[2]:.3f} | {row[3]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
