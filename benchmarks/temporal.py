"""Does time pay? The same weights with T frames and with the centre frame repeated.

    python benchmarks/temporal.py TEST [--weights FILE] [--clips 16] [--steps 1] [--ensemble 1] \
        [--spacing SECONDS ...]

TEST: shards of long rendered clips (diffpose.data.synthetic.shards.write_shards with
frames_per_clip=60, split test): moving camera, occluders, blur, several people. Boxes: annotated.

- Windows: consecutive frames, and frames so many seconds apart (``--spacing``, several).
- PCK of the torso, 12 limb keypoints, visible and occluded ones apart.
- Jitter: median acceleration of the *error* in torsos a frame^2, so that true motion costs nothing.
- Sides: frames in which the predicted ankles, knees, wrists or elbows lie nearer to the other
  side's truth than to their own, both of them; and the same within 5 frames of a crossing of the
  true pair, where they are under a quarter of a torso apart.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from diffpose.data.sources import ShardSource
from diffpose.evaluation.pck import torso_sizes
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, estimate_source
from diffpose.inference.windows import DEFAULT_CHUNKS, ChunkConfig
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of

PAIRS = ("ankle", "knee", "wrist", "elbow")


class EveryFrame:
    """A window around every frame of some clips, one after the other."""

    def __init__(self, source, clips, radius, spacing_s):
        self.source, self.offsets = source, np.arange(-radius, radius + 1)
        self.steps = {c: ChunkConfig(spacing_s=spacing_s).spacing(source.fps(c)) for c in clips}
        self.rows = [(c, f) for c in clips for f in range(source.num_frames(c))]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        clip, frame = self.rows[index]
        last = self.source.num_frames(clip) - 1
        rows = np.clip(frame + self.steps[clip] * self.offsets, 0, last)
        return self.source.window(clip, [int(row) for row in rows])


class Repeating(Estimator):
    """Sees the centre frame only, repeated through the window."""

    def fuse(self, frame_features):
        centre = frame_features[:, self.radius : self.radius + 1]
        return super().fuse(centre.expand_as(frame_features))


def sides(found, truth, sizes):
    """(C, 2, 2) of each clip: frames with exchanged sides and frames judged, near crossings too."""
    counts = np.zeros((len(found), 2, 2))
    for part in PAIRS:
        left, right = (HALPE26.index(f"{side}_{part}") for side in ("left", "right"))

        def distance(a, b):
            return np.linalg.norm(found[..., a, :] - truth[..., b, :], axis=-1)

        wrong = (distance(left, right) < distance(left, left)) & (
            distance(right, left) < distance(right, right)
        )
        apart = np.linalg.norm(truth[..., left, :] - truth[..., right, :], axis=-1) / sizes
        # Where the two lie together an exchange is no error; judge where they are apart.
        judged = apart > 0.25
        crossing = apart < 0.25
        window = binary_dilation(crossing, np.ones((1, 11)))
        for row, where in enumerate((judged, judged & window)):
            counts[:, row, 0] += (wrong & where).sum(axis=1)
            counts[:, row, 1] += where.sum(axis=1)
    return counts


def shares(counts):
    """Exchanged shares, everywhere and near crossings, of all clips together."""
    total = counts.sum(axis=0)
    return total[:, 0] / total[:, 1]


def without_each_clip(counts):
    """(C, 2) the shares with one clip left out, for the jackknife."""
    return np.stack([shares(np.delete(counts, clip, axis=0)) for clip in range(len(counts))])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--ensemble", type=int, default=1)
    parser.add_argument("--spacing", type=float, nargs="*", default=[DEFAULT_CHUNKS.spacing_s])
    parser.add_argument("--one-sided", action="store_true", help="do not look at mirror images")
    options = parser.parse_args()
    source = ShardSource(sorted(options.folder.glob("shard-*.npz")))
    clips = range(min(options.clips, len(source)))
    limbs = indices_of(HALPE26, LIMB_KEYPOINTS)
    print("| window | PCK@0.2 visible | @0.1 visible | @0.2 occluded | @0.1 occluded | jitter "
          "| sides exchanged | near crossings |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    exchanged = {}
    kinds = [
        (f"T frames, {s:.3f} s apart" if s else "T consecutive frames", Estimator, s)
        for s in options.spacing
    ]
    for name, kind, spacing_s in [*kinds, ("centre frame repeated", Repeating, 0.0)]:
        estimator = kind.load(options.weights, mirrored=not options.one_sided)
        every = EveryFrame(source, clips, estimator.radius, spacing_s)
        sampling = SamplingConfig(options.steps, options.ensemble)
        found, truth = estimate_source(estimator, every, sampling, boxes=BoxSource.ANNOTATION)
        shape = (len(clips), -1, 26, 2)
        found, truth = found.reshape(shape), truth.reshape(shape)
        visible = np.stack([source[c].visibility for c in clips])
        sizes = torso_sizes(truth.reshape(-1, 26, 2), HALPE26).reshape(found.shape[:2])
        # Seen along the torso its picture has no length; the clip's median stands for it.
        sizes = np.maximum(sizes, np.nanmedian(sizes, axis=1, keepdims=True) / 2)
        miss = (found - truth)[:, :, limbs] / sizes[..., None, None]
        error = np.linalg.norm(miss, axis=-1)
        cells = [
            f"{(error[visible[:, :, limbs] == kind] <= part).mean():.3f}"
            for kind in (2, 1)
            for part in (0.2, 0.1)
        ]
        jitter = np.median(np.linalg.norm(np.diff(miss, n=2, axis=1), axis=-1))
        exchanged[name] = sides(found, truth, sizes)
        cells += [f"{jitter:.4f}", *(f"{share:.3f}" for share in shares(exchanged[name]))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    *windows, still = exchanged
    print("\nSides exchanged, beyond the centre frame repeated, ± a jackknife of the clips:")
    for name in windows:
        more = shares(exchanged[name]) - shares(exchanged[still])
        left_out = without_each_clip(exchanged[name]) - without_each_clip(exchanged[still])
        doubt = left_out.std(axis=0) * np.sqrt(len(clips) - 1)
        everywhere, near = (f"{m:+.3f} ± {d:.3f}" for m, d in zip(more, doubt, strict=True))
        print(f"{name}: {everywhere}, near crossings {near}")
    print(f"\n{len(clips)} clips of {found.shape[1]} frames, K={options.steps}, "
          f"E={options.ensemble}, weights {estimator.weights_hash}")  # fmt: skip


if __name__ == "__main__":
    main()
