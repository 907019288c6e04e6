"""Does it see everybody alike? The same scenes with other people, clothes, skin and girth.

    python benchmarks/appearance.py MATERIAL [--weights FILE] [--scenes 40]

MATERIAL: avatars/, mocap/, backgrounds/; the test split's people, motions and photos. Every scene
(motion, camera, light, photo, things in the way, other people) is rendered with each person in each
outfit, with each person's skin in other tones, and thinner and thicker, so differences are not
those of the scenes. The main person is made again, nothing else. 12 limb keypoints inside the
picture, torso-normalised PCK, K = E = 1, true boxes; ± is a jackknife over the scenes.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from diffpose.data.sources import Example
from diffpose.data.synthetic.appearance import skin_tone, tone_class, with_girth, with_skin_tone
from diffpose.data.synthetic.degrade import random_degradation
from diffpose.data.synthetic.library import Library, open_library, sex_of
from diffpose.data.synthetic.render import Renderer
from diffpose.data.synthetic.stage import random_person_scene
from diffpose.data.synthetic.truth import VISIBLE, annotate
from diffpose.evaluation.pck import torso_sizes
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, estimate_source
from diffpose.poses import SamplingConfig
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of

SIZE = (256, 256)
STEP_S = 1 / 30
TONES = {"very light": 65, "light": 48, "intermediate": 34, "tan": 19, "brown": -10, "dark": -45}
GIRTHS = (0.8, 1.25, 1.5)
LEAST_VISIBLE = 7
LIMBS = indices_of(HALPE26, LIMB_KEYPOINTS)


def view_of(points):
    """front, back, side or above by the shoulders' width and order in parts of the torso."""
    left, right = (points[HALPE26.index(f"{side}_shoulder")] for side in ("left", "right"))
    hips = (points[HALPE26.index("left_hip")] + points[HALPE26.index("right_hip")]) / 2
    neck = (left + right) / 2
    torso, up = np.linalg.norm(neck - hips), (neck - hips)
    wide = left - right
    across = (up[0] * wide[1] - up[1] * wide[0]) / max(torso, 1e-6) ** 2
    if torso < 0.5 * np.linalg.norm(left - right):
        return "along the torso"
    return "side" if abs(across) < 0.25 else "front" if across > 0 else "back"


class Casting(Library):
    """A library whose first avatar is a given one; everything random stays as it would be."""

    def __init__(self, library):
        super().__init__(library.avatars, library.motions, library.backgrounds)
        self.lead = None

    def random_avatar(self, rng):
        drawn = super().random_avatar(rng)
        lead, self.lead = self.lead, None
        return lead or drawn


class Windows:
    """The same scenes around one avatar."""

    def __init__(self, casting, renderer, avatar, seeds, frames):
        self.casting, self.renderer, self.avatar = casting, renderer, avatar
        self.seeds, self.times = seeds, np.arange(frames) * STEP_S

    def __len__(self):
        return len(self.seeds)

    def __getitem__(self, index):
        rng = np.random.default_rng([71, self.seeds[index]])
        self.casting.lead = self.avatar
        scene = random_person_scene(rng, self.casting, size=SIZE, times_s=self.times)
        rendered = self.renderer.render(scene)
        truth = annotate(scene, rendered)
        frames = random_degradation(np.random.default_rng([72, self.seeds[index]]), rendered.frames)
        return Example(
            tuple(frames),
            truth.keypoints[:, 0],
            truth.boxes[:, 0],
            visibility=truth.visibility[:, 0],
        )


def usable(windows):
    """Rows whose main person can be seen well enough in every frame."""
    seen = [(windows[row].visibility == VISIBLE).sum(axis=1).min() for row in range(len(windows))]
    return np.flatnonzero(np.array(seen) >= LEAST_VISIBLE)


def hits(estimator, windows):
    """(S, 2) right and judged keypoints of each scene, and its view."""
    examples = [windows[row] for row in range(len(windows))]
    found, truth = estimate_source(
        estimator, examples, SamplingConfig(1, 1), boxes=BoxSource.ANNOTATION
    )
    middle = len(windows.times) // 2
    inside = np.stack([example.visibility[middle] > 0 for example in examples])[:, LIMBS]
    ratio = np.linalg.norm(found - truth, axis=-1) / torso_sizes(truth, HALPE26)[:, None]
    right = (ratio[:, LIMBS] <= 0.2) & inside
    views = [view_of(points) for points in truth]
    return np.stack([right.sum(axis=1), inside.sum(axis=1)], axis=1), views


def share(counts):
    total = np.asarray(counts).reshape(-1, 2).sum(axis=0)
    return total[0] / total[1]


def beyond(counts, others):
    """Mean difference of two groups' (V, S, 2) shares, and a jackknife of it over the scenes."""
    scenes = counts.shape[1]
    left_out = [
        share(np.delete(counts, s, axis=1)) - share(np.delete(others, s, axis=1))
        for s in range(scenes)
    ]
    return share(counts) - share(others), np.std(left_out) * np.sqrt(scenes - 1)


def table(groups, *, against):
    """Rows of (kind, name): PCK and what is beyond the other people, outfits or their own looks."""
    for (kind, name), counts in groups.items():
        others = against(kind, name)
        words = ""
        if others is not None:
            more, doubt = beyond(np.stack(counts), np.stack(others))
            words = f"{more:+.3f} ± {doubt:.3f}"
        print(f"| {kind} | {name} | {share(counts):.3f} | {words} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("material", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--scenes", type=int, default=40)
    options = parser.parse_args()
    folders = [options.material / name for name in ("avatars", "mocap", "backgrounds")]
    casting = Casting(open_library(*folders, split="test"))
    estimator = Estimator.load(options.weights)
    frames = 2 * estimator.radius + 1
    people = {n: [casting.avatar(p) for p in paths] for n, paths in casting.identities.items()}
    first = {name: outfits[0] for name, outfits in people.items()}
    with Renderer(SIZE) as renderer:

        def scenes(avatar, seeds):
            return Windows(casting, renderer, avatar, seeds, frames)

        seeds = list(range(options.scenes))
        for avatar in first.values():
            seeds = [seeds[row] for row in usable(scenes(avatar, seeds))]

        def scored(avatar):
            return hits(estimator, scenes(avatar, seeds))

        worn = {a.name: (a, *scored(a)) for outfits in people.values() for a in outfits}
        tones = {
            (name, tone): scored(with_skin_tone(avatar, angle))[0]
            for name, avatar in first.items()
            for tone, angle in TONES.items()
        }
        girths = {
            (name, factor): scored(with_girth(avatar, factor))[0]
            for name, avatar in first.items()
            for factor in GIRTHS
        }
    print("| | | PCK@0.2 | beyond the others |\n|---|---|---|---|")
    groups = defaultdict(list)
    for avatar, counts, _ in worn.values():
        tone = tone_class(skin_tone(first[avatar.identity]))
        groups["person", f"{avatar.identity.removeprefix('X_')} ({tone} skin)"].append(counts)
        groups["sex", sex_of(avatar.identity)].append(counts)
        groups["outfit", avatar.name.rpartition("_")[2]].append(counts)
    ordered = dict(sorted(groups.items()))

    def others_of(kind, name):
        return [c for (k, n), counts in groups.items() if k == kind and n != name for c in counts]

    table(ordered, against=others_of)
    own = [worn[avatar.name][1] for avatar in first.values()]
    print("\n| | | PCK@0.2 | beyond their own |\n|---|---|---|---|")
    changed = {("skin", t): [tones[name, t] for name in first] for t in TONES}
    changed |= {("girth", f"times {f:g}"): [girths[name, f] for name in first] for f in GIRTHS}
    table({("as they are", ""): own, **changed}, against=lambda kind, name: own if name else None)
    seen = defaultdict(list)
    for _, counts, views in worn.values():
        for row, view in zip(counts, views, strict=True):
            seen[view].append(row)
    print("\n| view | windows | PCK@0.2 |\n|---|---|---|")
    for view, rows in sorted(seen.items()):
        print(f"| {view} | {len(rows)} | {share(rows):.3f} |")
    print(f"\n{len(seeds)} scenes, {len(worn)} people in outfits, weights {estimator.weights_hash}")


if __name__ == "__main__":
    main()
