"""How many clicks bring a clip to a target accuracy: a simulated annotator, Markdown tables.

    python benchmarks/clicks.py --rendered assets/examples --jhmdb JHMDB --cache FOLDER

A method proposes a frame; the oracle corrects the worst keypoint of it, at most 2 px from the
truth, or confirms the frame when nothing in it is worse than the target. Each is a click. A clip
is done when 95 % of its keypoints are within 0.1 torso. "Area" is the mean error over the first
clicks (30 for each 100 annotated keypoints), as a share of the error before the first.

JHMDB: 12 limb keypoints inside the picture; clips whose target is under 4 px are left out, for
the oracle itself errs by 2. Every second of the others is for tuning (``--part tune``), the rest
is reported; docs/review.md says what else was looked at.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from real_clips import limbs_of, track_of

from diffpose.evaluation.pck import torso_sizes
from diffpose.formats.native import read_native
from diffpose.geometry import box_of_points
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.flows import person_flows
from diffpose.inference.pipeline import estimate_poses
from diffpose.poses import PoseSequence, SamplingConfig, Track
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.motion import body_size
from diffpose.review.propagate import propagate
from diffpose.review.queue import order
from diffpose.review.trails import seen_motion
from diffpose.skeleton import HALPE26, LIMB_KEYPOINTS, indices_of
from diffpose.tracking.flow import Flow, follow
from diffpose.video.decode import Video

TARGET, SHARE, CLICK_PX, HORIZON = 0.1, 0.95, 2.0, 0.3


@dataclass
class Clip:
    name: str
    poses: PoseSequence
    truth: np.ndarray  # (N, K, 2), NaN where not annotated
    flows: dict[int, Flow]

    def __post_init__(self):
        sizes = torso_sizes(self.truth, self.poses.skeleton)
        typical = np.nanmedian(sizes)
        self.torso = np.maximum(np.nan_to_num(sizes, nan=typical), typical / 2)
        self.known = np.isfinite(self.truth).all(axis=-1)

    def error(self, keypoints):
        """(N, K) in torsos; -1 where there is no truth."""
        distance = np.linalg.norm(keypoints - self.truth, axis=-1) / self.torso[:, None]
        return np.where(self.known, distance, -1)


@dataclass
class Desk:
    """What the annotator has done so far."""

    clip: Clip
    placed: dict  # (row, keypoint) -> xy
    confirmed: np.ndarray
    poses: PoseSequence

    def by_frame(self):
        frames = self.clip.poses.frames
        return {(int(frames[row]), k): xy for (row, k), xy in self.placed.items()}


def conditioned(desk):
    """Ours: the posterior given every correction, and the motion that the picture shows."""
    poses, placed = desk.clip.poses, desk.by_frame()

    def walk(frame, points, direction, most):
        return follow(desk.clip.flows.get, frame, points, direction=direction, most=most)

    return propagate(poses, placed, seen=seen_motion(poses, placed, walk))


def unseen(desk):
    """The posterior given every correction, blind to the picture's motion."""
    return propagate(desk.clip.poses, desk.by_frame())


def interpolated(desk):
    """Straight lines between the corrections of a keypoint; predictions outside them."""
    keypoints = desk.clip.poses.keypoints.copy()
    for k in range(keypoints.shape[1]):
        rows = sorted(row for row, keypoint in desk.placed if keypoint == k)
        if rows:
            points = np.array([desk.placed[row, k] for row in rows])
            between = np.arange(rows[0], rows[-1] + 1)
            for axis in (0, 1):
                keypoints[between, k, axis] = np.interp(between, rows, points[:, axis])
    return placed_in(desk, keypoints)


def placed_in(desk, keypoints):
    poses = desk.clip.poses
    return PoseSequence(poses.skeleton, poses.track_id, poses.frames, keypoints,
                        poses.confidence, poses.covariance)  # fmt: skip


def by_gain(desk, rng):
    corrected = np.zeros(desk.clip.known.shape, bool)
    corrected[tuple(zip(*desk.placed, strict=True)) or ([], [])] = True
    visibility = np.where(desk.clip.known, 2, 0).astype(np.uint8)
    reviewed = ReviewedTrack(desk.poses, visibility, desk.confirmed, corrected)
    # What the reviewer asked for is known to the queue; once it thinks that reached, it continues.
    target = TARGET * body_size(desk.clip.poses)
    items = order(reviewed, target_px=target) or order(reviewed, target_px=0.0)
    return int(np.searchsorted(desk.poses.frames, items[0].frame)) if items else None


def by_confidence(desk, rng):
    """The frame of the lowest mean confidence; what is placed is sure."""
    confidence = desk.clip.poses.confidence.copy()
    for place in desk.placed:
        confidence[place] = 1
    mean = np.where(desk.clip.known, confidence, 0).sum(1) / np.maximum(desk.clip.known.sum(1), 1)
    return int(np.argmin(np.where(desk.confirmed, np.inf, mean)))


def by_least_confidence(desk, rng):
    """The frame that holds the keypoint of the lowest confidence."""
    confidence = np.where(desk.clip.known, desk.clip.poses.confidence, 1)
    for place in desk.placed:
        confidence[place] = 1
    return int(np.argmin(np.where(desk.confirmed, np.inf, confidence.min(axis=1))))


def at_random(desk, rng):
    return int(rng.choice(np.flatnonzero(~desk.confirmed)))


METHODS = {
    "ours": (by_gain, conditioned),
    "ours without conditioning (our queue, linear interpolation)": (by_gain, interpolated),
    "ours without optical flow": (by_gain, unseen),
    "our conditioning, confidence order": (by_confidence, conditioned),
    "confidence (mean of the frame), linear interpolation": (by_confidence, interpolated),
    "confidence (least of the frame), linear interpolation": (by_least_confidence, interpolated),
    "random order, linear interpolation": (at_random, interpolated),
}


def annotate(clip, propose, conclude, *, seed=0):
    """Errors (torsos) after 0, 1, 2, ... clicks, and how many clicks reached the target."""
    rng = np.random.default_rng(seed)
    desk = Desk(clip, {}, np.zeros(len(clip.poses), bool), clip.poses)
    errors = []
    while True:
        error = clip.error(desk.poses.keypoints)
        errors.append(error[clip.known].mean())
        within = (error[clip.known] <= TARGET).mean()
        row = propose(desk, rng) if within < SHARE and not desk.confirmed.all() else None
        if row is None:
            return np.array(errors), len(errors) - 1
        worst = int(error[row].argmax())
        if error[row, worst] <= TARGET:
            desk.confirmed[row] = True
            for k in np.flatnonzero(clip.known[row]):
                desk.placed.setdefault((row, int(k)), desk.poses.keypoints[row, k])
        else:
            angle, radius = rng.uniform(0, 2 * np.pi), CLICK_PX * np.sqrt(rng.uniform())
            slip = radius * np.array([np.cos(angle), np.sin(angle)])
            desk.placed[row, worst] = clip.truth[row, worst] + slip
        desk.poses = conclude(desk)


def predict(path, track, truth, name, *, estimator, sampling, cache):
    """The clip with its predictions: from the cache, else from the model."""
    kept = cache / f"{name}.{estimator.weights_hash}.{sampling.num_steps}." \
                   f"{sampling.num_hypotheses}.npz"  # fmt: skip
    if kept.is_file():
        with np.load(kept) as arrays:
            poses = PoseSequence(estimator.skeleton, 0, **arrays)
    else:
        with Video(path) as video:
            (poses,) = estimate_poses(video, [track], estimator, sampling)
        cache.mkdir(parents=True, exist_ok=True)
        names = ("frames", "keypoints", "confidence", "covariance")
        np.savez(kept, **{field: getattr(poses, field) for field in names})
    with Video(path) as video:
        flows = person_flows(video, track, range(video.info.num_frames), cache=FeatureCache())
    return Clip(name, poses, truth[poses.frames], flows)


def rendered_clips(folder, **how):
    for path in sorted(folder.glob("*.mp4")):
        for person in read_native(path.with_suffix(".truth.json")).sequences:
            truth = person.keypoints.astype(float)
            boxes = np.stack([box_of_points(points) for points in truth])
            track = Track(0, person.frames, boxes, np.ones(len(boxes)))
            yield predict(path, track, truth, f"{path.stem} {person.track_id}", **how)


def jhmdb_clips(folder, **how):
    table = json.loads((folder / "annotations.json").read_text())
    limbs, rows = limbs_of(table["joints"]), indices_of(HALPE26, LIMB_KEYPOINTS)
    for clip in table["clips"]:
        with Video(folder / clip["file"]) as video:
            points = np.array(clip["xy"], float)[: video.info.num_frames]
        inside = ((points >= 0) & (points < table["size"])).all(axis=-1)
        truth = np.full((len(points), len(HALPE26), 2), np.nan)
        truth[:, rows] = np.where(inside[..., None], points, np.nan)[:, limbs]
        found = predict(folder / clip["file"], track_of(points, inside), truth,
                        Path(clip["file"]).stem, **how)  # fmt: skip
        if TARGET * np.median(found.torso) >= 2 * CLICK_PX:
            yield found


def area(errors, clip):
    count = int(HORIZON * clip.known.sum())
    whole = np.concatenate([errors, np.full(count + 1, errors[-1])])[: count + 1]
    return whole.mean() / errors[0]


def report(title, clips, methods, seeds):
    total = sum(int(clip.known.sum()) for clip in clips)
    frames = sum(len(clip.poses) for clip in clips)
    wrong = np.concatenate([c.error(c.poses.keypoints)[c.known] for c in clips]) > TARGET
    print(f"\n{title}: {len(clips)} clips, {frames} frames, {total} keypoints, {wrong.mean():.0%} "
          "of them beyond the target before the first click\n")  # fmt: skip
    print("| method | clicks | clicks / frame | median clip | area |\n|---|---|---|---|---|")
    for name in methods:
        propose, conclude = METHODS[name]
        counts, areas = [], []
        for clip in clips:
            runs = [annotate(clip, propose, conclude, seed=seed) for seed in range(seeds)]
            counts.append(np.mean([clicks for _, clicks in runs]))
            areas.append(np.mean([area(errors, clip) for errors, _ in runs]))
        clicks = sum(counts)
        print(f"| {name} | {clicks:.0f} | {clicks / frames:.2f} | {np.median(counts):.0f} "
              f"| {np.mean(areas):.3f} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rendered", type=Path, help="clips with .truth.json next to them")
    parser.add_argument("--jhmdb", type=Path, help="clips with annotations.json next to them")
    parser.add_argument("--cache", type=Path, required=True, help="keeps the predictions")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--part", choices=("report", "tune"), default="report")
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    how = {"estimator": Estimator.load(options.weights), "sampling": SamplingConfig(4, 8),
           "cache": options.cache}  # fmt: skip
    if options.rendered:
        report("Rendered", list(rendered_clips(options.rendered, **how)), options.methods,
               options.seeds)  # fmt: skip
    if options.jhmdb:
        clips = list(jhmdb_clips(options.jhmdb, **how))
        half = clips[0::2] if options.part == "tune" else clips[1::2]
        report("JHMDB", half, options.methods, options.seeds)


if __name__ == "__main__":
    main()
