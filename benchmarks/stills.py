"""PCK on annotated stills of real people, ours and MoveNet's by one rule: a Markdown table.

    python benchmarks/stills.py [--lspet LSPET] [--coco-mini PEOPLE/labelled/coco_mini] \
        [--weights FILE] [--steps 1] [--ensemble 1] [--movenet FILE]

12 limb keypoints, error in parts of the torso. LSPET: val split, annotated keypoints' extent.
coco_mini: people with 8 annotated keypoints or more, annotated boxes. ``--movenet`` (a file of
`diffpose train import-backbone`) scores MoveNet Thunder instead: the square around the box, 1.25
times as large, heatmaps of crop and mirror image averaged.
"""

import argparse
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from torch.utils.data import Subset

from diffpose.data.coco_source import CocoSource
from diffpose.data.sources import load_lspet
from diffpose.evaluation.pck import limb_pck
from diffpose.formats.coco import read_coco_keypoints
from diffpose.geometry import apply_affine, invert_affine, similarity
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, estimate_source
from diffpose.inference.teachers import SIDE, MoveNetTeacher
from diffpose.movenet_files import load_movenet
from diffpose.poses import SamplingConfig
from diffpose.skeleton import COCO17, HALPE26, convert
from diffpose.video.crop import cut_crop

BATCH = 16
LEAST_KEYPOINTS = 8


def coco_mini(folder, unpacked):
    with tarfile.open(folder / "coco_mini.tar") as archive:
        archive.extractall(unpacked, filter="data")
    annotations = read_coco_keypoints(folder / "coco_mini.json")
    source = CocoSource(annotations, unpacked, skeleton=HALPE26)
    known = (annotations.keypoints[source.people, :, 2] > 0).sum(axis=1)
    return Subset(source, np.flatnonzero(known >= LEAST_KEYPOINTS).tolist())


def square_around(box):
    """Affine to MoveNet's crop: the square around a box, 1.25 times as large."""
    centre, side = (box[:2] + box[2:]) / 2, 1.25 * max(box[2:] - box[:2])
    return similarity(centre=centre, scale=SIDE / side, angle=0.0, size=(SIDE, SIDE))


def sources_of(options, unpacked):
    """Annotated stills by name, of those that the options name."""
    sources = {}
    if options.lspet is not None:
        sources["LSPET val"] = load_lspet(options.lspet, "val", HALPE26)
    if options.coco_mini is not None:
        sources["coco_mini"] = coco_mini(options.coco_mini, unpacked)
    return sources


def movenet_poses(teacher, pictures, boxes):
    """(N, 17, 2) picture pixels of MoveNet's keypoints in boxes (N, 4)."""
    affines = [square_around(np.asarray(box, float)) for box in boxes]
    found = []
    for start in range(0, len(boxes), BATCH):
        part = slice(start, start + BATCH)
        crops = [
            cut_crop(p, a, size=(SIDE, SIDE))
            for p, a in zip(pictures[part], affines[part], strict=True)
        ]
        points, _ = teacher(np.stack(crops))
        found += [
            apply_affine(invert_affine(a), p) for a, p in zip(affines[part], points, strict=True)
        ]
    return np.stack(found)


def scored(source, options):
    if options.movenet is None:
        estimator = Estimator.load(options.weights)
        sampling = SamplingConfig(options.steps, options.ensemble)
        return estimate_source(estimator, source, sampling, boxes=BoxSource.ANNOTATION)
    teacher = MoveNetTeacher(load_movenet(options.movenet), name="movenet", both_sides=True)
    examples = [source[index] for index in range(len(source))]
    found = movenet_poses(teacher, [e.frames[0] for e in examples], [e.boxes[0] for e in examples])
    return convert(found, COCO17, HALPE26), np.stack([e.keypoints[0] for e in examples])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lspet", type=Path)
    parser.add_argument("--coco-mini", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--movenet", type=Path)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--ensemble", type=int, default=1)
    options = parser.parse_args()
    print("| pictures | people | PCK@0.2 | PCK@0.1 |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources_of(options, Path(folder)).items():
            found, truth = scored(source, options)
            scores = [limb_pck(found, truth, HALPE26, threshold=t) for t in (0.2, 0.1)]
            print(f"| {name} | {len(source)} | {scores[0]:.3f} | {scores[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
