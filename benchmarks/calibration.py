"""Are the stated uncertainties calibrated? Tables by joint group, raw and calibrated, and a plot.

    python benchmarks/calibration.py [--weights FILE] [--lspet LSPET] [--shards TEST] \
        [--jhmdb JHMDB] [--every 1] [--plot docs/reliability.png]

LSPET: its val split. TEST: rendered shards of the test split, keypoints inside the picture.
JHMDB and the example clips: windows around every tenth frame. Boxes: annotated extent. Nothing
here may have been shown to `diffpose train calibrate`.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from diffpose.data.sources import Example, ShardSource, load_lspet
from diffpose.evaluation.reliability import coverage_table, measure
from diffpose.evaluation.statements import ELLIPSE, determinant
from diffpose.formats.native import read_native
from diffpose.geometry import box_of_points
from diffpose.inference.calibrate import SETTINGS, Thinned
from diffpose.inference.estimator import Estimator
from diffpose.inference.evaluate import BoxSource, predict_source
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of
from diffpose.video.decode import Video

COLOURS = ((178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204))  # Okabe and Ito, BGR
PLOT, LEFT = 720, 90  # pixels


class Windows:
    """Windows around every tenth frame of videos with known poses."""

    def __init__(self, radius):
        self.radius, self.examples = radius, []

    def add(self, path, truth):
        with Video(path) as video:
            frames = [picture for _, picture in video.frames()][: len(truth)]
        for centre in range(5, len(frames), 10):
            rows = np.clip(
                np.arange(centre - self.radius, centre + self.radius + 1), 0, len(frames) - 1
            )
            if np.isfinite(truth[rows]).all(axis=-1).sum(axis=1).min() < 6:
                continue
            boxes = np.stack([box_of_points(truth[row]) for row in rows])
            margin = 0.06 * (boxes[:, 2:] - boxes[:, :2])  # head and feet reach beyond the joints
            boxes += np.concatenate([-margin, margin], axis=1)
            self.examples.append(Example(tuple(frames[r] for r in rows), truth[rows], boxes))

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


def example_clips(radius):
    windows = Windows(radius)
    for path in sorted(Path("assets/examples").glob("*.mp4")):
        truth = read_native(path.with_suffix(".truth.json")).sequences[0].keypoints
        windows.add(path, np.asarray(truth, np.float32))
    return windows


def real_clips(folder, radius):
    table = json.loads((folder / "annotations.json").read_text())
    sides = {"r_": "right_", "l_": "left_"}
    named = [
        sides.get(j[:2], "") + j.removeprefix("r_").removeprefix("l_") for j in table["joints"]
    ]
    rows, windows = [named.index(name) for name in LIMB_KEYPOINTS], Windows(radius)
    for clip in table["clips"]:
        points = np.array(clip["xy"], np.float32)
        inside = ((points >= 0) & (points < table["size"])).all(axis=-1, keepdims=True)
        truth = np.full((len(points), len(HALPE26), 2), np.nan, np.float32)
        truth[:, indices_of(HALPE26, LIMB_KEYPOINTS)] = np.where(inside, points, np.nan)[:, rows]
        windows.add(folder / clip["file"], truth)
    return windows


def width_of_occluded(predictions, visibility, seen):
    """Median radius of the 90 % ellipse in parts of the pose's size, visible or occluded."""
    extent = np.ptp(predictions.keypoints, axis=1).max(axis=1)
    radius = np.sqrt(ELLIPSE) * determinant(predictions.covariance) ** 0.25 / extent[:, None]
    return float(np.median(radius[visibility == seen]))


def draw(measured, path):
    """The reliability plot: stated confidence against what came true."""
    picture = np.full((PLOT + 2 * LEFT, PLOT + 2 * LEFT, 3), 255, np.uint8)

    def at(x, y):
        return round(LEFT + x * PLOT), round(LEFT + (1 - y) * PLOT)

    def write(text, place, colour=(60, 60, 60)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)

    for part in np.linspace(0, 1, 6):
        cv2.line(picture, at(part, 0), at(part, 1), (225, 225, 225), 1)
        cv2.line(picture, at(0, part), at(1, part), (225, 225, 225), 1)
        write(f"{part:.0%}", (at(part, 0)[0] - 18, at(0, 0)[1] + 28))
        write(f"{part:.0%}", (LEFT - 62, at(0, part)[1] + 6))
    cv2.line(picture, at(0, 0), at(1, 1), (140, 140, 140), 1, cv2.LINE_AA)
    write("stated confidence", (LEFT + PLOT // 2 - 90, at(0, 0)[1] + 62))
    write("share within a tenth of the torso", (LEFT - 62, LEFT - 30))
    for number, (name, part) in enumerate(measured.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [at(x, y) for x, y in zip(part["stated"], part["observed"], strict=True)]
        cv2.polylines(picture, [np.array(points)], False, colour, 2, cv2.LINE_AA)
        for point, count in zip(points, part["counts"], strict=True):  # area as many keypoints
            radius = 2 + round(14 * (count / max(part["counts"])) ** 0.5)
            cv2.circle(picture, point, radius, colour, -1, cv2.LINE_AA)
        label = f"{name}: error {part['error']:.3f}"
        write(label, (LEFT + 14, LEFT + 26 + 26 * number), colour)
    cv2.imwrite(str(path), picture)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--lspet", type=Path)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--jhmdb", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    calibration = Estimator.load(options.weights).calibration
    estimator = Estimator.load(options.weights, calibrated=False)
    sources = {"example clips": example_clips(estimator.radius)}
    if options.lspet:
        sources["LSPET val"] = load_lspet(options.lspet, "val", HALPE26)
    if options.shards:
        sources["rendered test"] = ShardSource(sorted(options.shards.glob("shard-*.npz")))
    if options.jhmdb:
        sources["JHMDB"] = real_clips(options.jhmdb, estimator.radius)
    raw, calibrated, widths = {}, {}, []
    for name, source in sources.items():
        thinned = Thinned(source, options.every)
        stated, truths, visibility = predict_source(
            estimator, thinned, SETTINGS, boxes=BoxSource.ANNOTATION
        )
        for part, sampling in zip(stated, SETTINGS, strict=True):
            title = f"{name} {sampling.num_steps}, {sampling.num_hypotheses}"
            after = calibration.apply(part)
            raw[title], calibrated[title] = measure(part, truths), measure(after, truths)
            if visibility is not None:
                pair = [width_of_occluded(after, visibility, seen) for seen in (2, 1)]
                widths.append(f"{title}: visible {pair[0]:.3f}, occluded {pair[1]:.3f}")
    print("Titles: data, then K, E.\n\nAs the network states it:\n\n" + coverage_table(raw))
    if not calibration.groups:
        print("\nThese weights carry no calibration: run `diffpose train calibrate`.")
    else:
        print("\nCalibrated:\n\n" + coverage_table(calibrated))
    for line in widths:
        print(f"\nMedian radius of the 90 % ellipse in parts of the person, {line}")
    chosen = {n: p for n, p in calibrated.items() if n.startswith(("LSPET", "rendered"))}
    if options.plot and chosen:
        draw(chosen, options.plot)


if __name__ == "__main__":
    main()
