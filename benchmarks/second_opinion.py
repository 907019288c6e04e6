"""A second opinion on LSPET's annotations for `diffpose audit --second-opinion`.

python benchmarks/second_opinion.py crops LSPET CROPS
node benchmarks/second_opinion.mjs CROPS POSES
python benchmarks/second_opinion.py collect LSPET POSES RESULTS.json
python benchmarks/second_opinion.py score LSPET POSES --split val

Another estimator, which never saw these annotations, looks at a square around each annotated
person. ``score`` says how often it agrees with a split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.sources import StillSource, load_lspet
from diffpose.evaluation.pck import limb_pck
from diffpose.geometry import apply_affine, invert_affine, similarity, union_box
from diffpose.skeleton import COCO17, HALPE26, convert

SIDE = 256
PADDING = 1.25


def crop_of(source: StillSource, index: int) -> NDArray[np.float64]:
    """Affine (2, 3) from a picture to its square crop."""
    box = union_box(source[index].boxes)
    scale = SIDE / (PADDING * max(box[2:] - box[:2]))
    return similarity(centre=(box[:2] + box[2:]) / 2, scale=scale, angle=0.0, size=(SIDE, SIDE))


def poses_of(source: StillSource, path: Path) -> NDArray[np.float32]:
    """(N, 17, 3): x, y in picture pixels, score."""
    found = np.fromfile(path, np.float32).reshape(len(source), len(COCO17), 3)
    for index, pose in enumerate(found):
        in_crop = pose[:, 1::-1] * SIDE - 0.5
        pose[:, :2] = apply_affine(invert_affine(crop_of(source, index)), in_crop)
    return found


def write_crops(source: StillSource, path: Path) -> None:
    with path.open("wb") as handle:
        for index in range(len(source)):
            affine = crop_of(source, index)
            picture = source.pictures[index]
            handle.write(cv2.warpAffine(picture, affine, (SIDE, SIDE)).tobytes())


def write_results(source: StillSource, poses: NDArray[np.float32], path: Path) -> None:
    entries = [
        {"file_name": name, "category_id": 1, "keypoints": pose.ravel().round(3).tolist(),
         "score": round(float(pose[:, 2].mean()), 4)}
        for name, pose in zip(source.names, poses, strict=True)
    ]  # fmt: skip
    path.write_text(json.dumps(entries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("crops", "collect", "score"))
    parser.add_argument("lspet", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--split", default="train")
    options = parser.parse_args()
    source = load_lspet(options.lspet, options.split, HALPE26)
    if options.what == "crops":
        write_crops(source, options.file)
        return
    poses = poses_of(source, options.file)
    if options.what == "collect":
        write_results(source, poses, options.results)
        return
    found = convert(poses[..., :2], COCO17, HALPE26)
    for threshold in (0.2, 0.1):
        score = limb_pck(found, source.keypoints, HALPE26, threshold=threshold)
        print(f"PCK@{threshold}: {score:.3f}")


if __name__ == "__main__":
    main()
