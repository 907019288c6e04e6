"""How well and how fast the person detector finds people: a Markdown table.

python benchmarks/detector.py --scenes FOLDER --lspet FOLDER --jhmdb FOLDER
    [--weights FILE] [--side PIXELS]

Stills of LSPET name one person each and clips of JHMDB too, so there precision only says how
often something else was found, which may be another person.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from diffpose.data.people import PeoplePicture, SceneSource, StillPeople, person_box
from diffpose.data.sources import load_lspet
from diffpose.evaluation.detection import FoundBoxes, score_detections
from diffpose.skeleton import HALPE26
from diffpose.tracking.detector import PersonDetector
from diffpose.video.decode import Video

NOBODY = np.zeros((0, 4), np.float32)


def jhmdb_pictures(folder: Path, *, every: int = 10) -> Iterator[PeoplePicture]:
    table = json.loads((folder / "annotations.json").read_text())
    width, height = table["size"]
    for clip in table["clips"]:
        video = Video(folder / clip["file"])
        for index in range(0, min(len(clip["xy"]), video.info.num_frames), every):
            points = np.array(clip["xy"][index], np.float32)
            inside = ((points >= 0) & (points < [width, height])).all(axis=1)
            if inside.sum() >= 8:
                box = person_box(points[inside], size=(height, width))
                yield PeoplePicture(video.frame(index), box[None], NOBODY)
        video.close()


def collections(args: argparse.Namespace) -> Iterator[tuple[str, list[PeoplePicture]]]:
    if args.scenes:
        scenes = SceneSource(sorted(args.scenes.glob("scenes-*.npz")))
        yield "rendered scenes", [scenes[i] for i in range(len(scenes))]
    if args.lspet:
        stills = StillPeople(load_lspet(args.lspet, "val", HALPE26))
        yield "LSPET val", [stills[i] for i in range(len(stills))]
    if args.jhmdb:
        yield "JHMDB clips", list(jhmdb_pictures(args.jhmdb))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scenes", "lspet", "jhmdb", "weights"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--side", type=int, help="longer side of the pictures, pixels")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    detector = PersonDetector.load(args.weights)
    detector.min_score = 0.05
    detector.side = args.side or detector.side
    print(f"detector {detector.weights_hash}, longer side {detector.side} px\n")
    print("| pictures | number | people | recall | precision | AP@0.5 | ms a picture |")
    print("|---|---|---|---|---|---|---|")
    for name, pictures in collections(args):
        found, seconds = [], []
        for picture in pictures:
            started = time.perf_counter()
            found.append(detector.detect([picture.picture])[0])
            seconds.append(time.perf_counter() - started)
        score = score_detections(
            [FoundBoxes(p.boxes, f.boxes, f.scores) for p, f in zip(pictures, found, strict=True)]
        )
        people = sum(len(p.boxes) for p in pictures)
        print(
            f"| {name} | {len(pictures)} | {people} | {score.recall:.3f} | {score.precision:.3f} "
            f"| {score.average_precision:.3f} | {1000 * np.median(seconds):.0f} |"
        )


if __name__ == "__main__":
    main()
