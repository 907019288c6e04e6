"""What sampling steps and hypotheses say about whole poses: a Markdown table.

    python benchmarks/hypotheses.py [--lspet LSPET] [--coco-mini PEOPLE/labelled/coco_mini] \
        [--rendered TEST] [--weights FILE] [--people 135] [--seeds 3]

12 limb keypoints, errors in parts of the torso, boxes annotated, one window a person or clip.

- Energy score of whole poses (32 hypotheses; Gneiting and Raftery 2007, eq. 21), in parts of that
  of keypoints drawn independently (one step): lower is better.
- Limbs: share of the hypotheses' limbs that are more than 30 % longer or shorter than the truth.
- Mixed legs and arms: of limbs whose two sides lie 0.3 torsos apart at both ends, the share of
  hypotheses that take one end from this side and the other end from the other.
- PCK@0.1 of the shown pose, of a hypothesis, and of the best of 8 whole hypotheses.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from stills import sources_of

from diffpose.data.batches import evaluation_batches
from diffpose.data.sources import ShardSource
from diffpose.evaluation.pck import torso_sizes
from diffpose.inference.estimator import Estimator
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of

BATCH, MANY, BEST_OF = 8, 32, 8
SETTINGS = (1, 2, 4, 8, 16)
LIMBS = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]


def limb_rows():
    """(8, 2) rows of both ends of the limbs, the left ones first."""
    return np.array(
        [
            indices_of(HALPE26, [f"{side}_{a}", f"{side}_{b}"])
            for side in ("left", "right")
            for a, b in LIMBS
        ]
    )


def drawn(estimator, source, samplings, people):
    """By sampling: shown poses (N, K, 2), hypotheses (N, S, K, 2), truth (N, K, 2), in pixels."""
    found = {sampling: ([], [], []) for sampling in samplings}
    num_frames = 2 * estimator.radius + 1
    batches = evaluation_batches(
        source, crop_size=estimator.crop_size, num_frames=num_frames, batch_size=BATCH
    )
    for number, (batch, affines, truth) in enumerate(batches):
        if number * BATCH >= people:
            break
        crops = batch.crops.numpy()
        if crops.shape[1] == 1:
            crops = np.repeat(crops, num_frames, axis=1)
        features, seeds = (
            estimator.encode(crops),
            range(number * BATCH, number * BATCH + len(crops)),
        )
        for sampling, lists in found.items():
            poses = estimator.sample(features, affines, sampling, seeds=list(seeds))
            for held, array in zip(lists, (poses.keypoints, poses.hypotheses, truth), strict=True):
                held.append(array)
    return {s: [np.concatenate(held) for held in lists] for s, lists in found.items()}


def energy(difference, known):
    """Energy score of each person's hypotheses: differences (N, S, J, 2) from the truth."""
    apart = np.where(known[:, None, :, None], difference, 0.0)
    flat = apart.reshape(*apart.shape[:2], -1)
    count = flat.shape[1]
    between = np.linalg.norm(flat[:, :, None] - flat[:, None], axis=-1).sum(axis=(1, 2))
    return np.linalg.norm(flat, axis=-1).mean(axis=1) - between / (2 * count * (count - 1))


def mixed(hypotheses, truth, sizes):
    """Share of limbs that mix the sides, over all hypotheses."""
    found = []
    for a, b in LIMBS:
        ends = [
            indices_of(HALPE26, [f"{side}_{end}" for side in ("left", "right")]) for end in (a, b)
        ]
        apart = [np.linalg.norm(truth[:, e[0]] - truth[:, e[1]], axis=-1) / sizes for e in ends]
        tellable = (apart[0] > 0.3) & (apart[1] > 0.3)
        other = []
        for e in ends:
            own = np.linalg.norm(hypotheses[:, :, e] - truth[:, None, e], axis=-1)
            off = np.linalg.norm(hypotheses[:, :, e] - truth[:, None, e[::-1]], axis=-1)
            other.append(off < own)
        found.append((other[0] != other[1])[tellable].reshape(-1))
    return float(np.concatenate(found).mean())


def scores(shown, hypotheses, truth):
    joints = indices_of(HALPE26, LIMB_KEYPOINTS)
    sizes = torso_sizes(truth, HALPE26)
    known = np.isfinite(truth[:, joints]).all(axis=-1) & np.isfinite(sizes)[:, None]
    difference = (hypotheses - truth[:, None])[:, :, joints] / sizes[:, None, None, None]
    error = np.linalg.norm(difference, axis=-1)
    rows = limb_rows()
    length = np.linalg.norm(hypotheses[:, :, rows[:, 0]] - hypotheses[:, :, rows[:, 1]], axis=-1)
    true = np.linalg.norm(truth[:, rows[:, 0]] - truth[:, rows[:, 1]], axis=-1)
    judged = np.broadcast_to((true > 0.15 * sizes[:, None])[:, None], length.shape)
    wrong = np.abs(length / true[:, None] - 1) > 0.3
    few = error[:, :BEST_OF]
    mean = np.where(known[:, None], few, 0).sum(axis=-1)
    best = np.take_along_axis(few, mean.argmin(axis=1)[:, None, None], axis=1)[:, 0]
    own = np.linalg.norm((shown - truth)[:, joints] / sizes[:, None, None], axis=-1)
    enough = known.sum(axis=1) >= 8
    return {
        "energy": float(energy(difference, known)[enough].mean()),
        "limbs": float(wrong[judged].mean()),
        "mixed": mixed(hypotheses, truth, sizes),
        "shown": float((own[known] < 0.1).mean()),
        "one": float((error < 0.1)[np.broadcast_to(known[:, None], error.shape)].mean()),
        "best": float((best[known] < 0.1).mean()),
    }


def table(name, estimator, source, options):
    samplings = [SamplingConfig(k, MANY, seed) for k in SETTINGS for seed in range(options.seeds)]
    found = drawn(estimator, source, samplings, options.people)
    judged = {sampling: scores(*arrays) for sampling, arrays in found.items()}
    first = None
    for steps in SETTINGS:
        runs = [score for sampling, score in judged.items() if sampling.num_steps == steps]
        mean = {key: np.mean([run[key] for run in runs]) for key in runs[0]}
        sd = {key: np.std([run[key] for run in runs]) for key in runs[0]}
        first = first or mean["energy"]
        cells = [f"{mean['energy'] / first:.3f}"]
        cells += [f"{mean[key]:.3f} ± {sd[key]:.3f}" for key in ("limbs", "mixed", "one", "best")]
        print(f"| {name} | {steps} | {' | '.join(cells)} | {mean['shown']:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lspet", type=Path)
    parser.add_argument("--coco-mini", type=Path)
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--people", type=int, default=135)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    estimator = Estimator.load(options.weights)
    print(
        "| people | steps | energy | limbs | mixed | one | best of 8 | shown |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        sources = sources_of(options, Path(folder))
        if options.rendered is not None:
            sources["rendered"] = ShardSource(sorted(options.rendered.glob("shard-*.npz")))
        for name, source in sources.items():
            table(name, estimator, source, options)


if __name__ == "__main__":
    main()
