"""Do stated 90 % intervals hold? Angles, ranges of motion and event times against exact truth.

    python benchmarks/intervals.py render MATERIAL OUT      walks seen from the side, once
    python benchmarks/intervals.py fit --val FILES --test FILES --cache FOLDER
        [--weights FILE] [--clips 10]

FILES: shards of long rendered clips (diffpose.data.synthetic.shards.write_shards with
frames_per_clip=60) and what `render` wrote. MATERIAL holds avatars/, mocap/ and backgrounds/.

`fit` estimates the poses (K=4, E=8, boxes: annotated; kept in FOLDER under the weights' hash),
fits `diffpose.kinematics.sampling.ErrorModel` on the val clips, and reports on the test clips how
often the truth lies in the stated interval. Truth is the same measuring code on the true
keypoints, so the camera's angle and what the angle's definition leaves out are not in it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from diffpose.data.sources import ShardSource
from diffpose.data.synthetic.clip import ClipPlan, render_clip
from diffpose.data.synthetic.library import open_library
from diffpose.inference.estimator import Estimator
from diffpose.inference.pipeline import estimate_poses
from diffpose.kinematics import JOINT_ANGLES, ErrorModel, MeasureSettings
from diffpose.kinematics.gait import measure_gait
from diffpose.kinematics.measure import angle_quantities, prepare
from diffpose.kinematics.repetitions import find_repetitions
from diffpose.kinematics.series import angle_series
from diffpose.poses import PoseSequence, SamplingConfig, Track, VideoInfo

NUM_WALKS = 8
EVENT_MATCH_S = 0.15
LEAST_EVENTS = 20


class Clip:
    """One clip of a shard as a video, with its truth."""

    def __init__(self, source, index, times_s, name):
        self.example, self.name = source[index], name
        height, width = self.example.frames[0].shape[:2]
        self.info = VideoInfo(Path(name), name, width, height, np.asarray(times_s, np.float64))

    def frame(self, index):
        return self.example.frames[index]

    def frames(self, start=0, stop=None):
        yield from enumerate(self.example.frames[start:stop], start)

    @property
    def track(self):
        boxes = self.example.boxes
        known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
        return Track(0, known, boxes[known], np.ones(len(known)))


def clips_of(files, most):
    for path in files:
        source = ShardSource([path])
        with np.load(path) as shard:
            times = shard["times_s"]
        for index in range(min(len(source), most)):
            yield Clip(source, index, times[index], f"{path.parent.name}-{path.stem}-{index}")


def predicted(clip, estimator, cache):
    """The pose sequence of a clip: from the cache, or estimated and put there."""
    path = cache / estimator.weights_hash / f"{clip.name}.npz"
    if not path.is_file():
        (poses,) = estimate_poses(clip, [clip.track], estimator, SamplingConfig(4, 8))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: getattr(poses, key) for key in
                          ("frames", "keypoints", "confidence", "covariance")})  # fmt: skip
    with np.load(path) as saved:
        return PoseSequence(skeleton=estimator.skeleton, track_id=0, **saved)


def true_poses(clip, poses):
    keypoints = clip.example.keypoints[poses.frames]
    return PoseSequence(poses.skeleton, 0, poses.frames, keypoints, np.ones(keypoints.shape[:2]),
                        np.zeros((*keypoints.shape, 2)))  # fmt: skip


def residuals(pairs):
    """Standardised errors of each clip, (N, K * 2), and the times of its frames.

    Frames whose error is beyond 5 stated standard deviations count as 5: they are mistakes of
    another kind (a leg taken for the other), and a fit to them would be about nothing else.
    """
    for poses, truth, times in pairs:
        miss = np.asarray(poses.keypoints - truth.keypoints, np.float64)
        values, vectors = np.linalg.eigh(np.asarray(poses.covariance, np.float64))
        white = np.einsum("nkji,nkj->nki", vectors, miss) / np.sqrt(np.maximum(values, 1e-6))
        back = np.einsum("nkij,nkj->nki", vectors, white)
        yield np.clip(back.reshape(len(back), -1), -5, 5), times


def fit_shares(pairs):
    """Shares and correlation time from the mean product of errors some time apart."""
    lags, products, powers = [], [], []
    for white, times in residuals(pairs):
        power = (white**2).mean()
        for step in range(1, min(len(white) - 1, 45)):
            lags.append(np.mean(times[step:] - times[:-step]))
            products.append((white[step:] * white[:-step]).mean())
            powers.append(power)
    lags, products, powers = map(np.array, (lags, products, powers))
    best = None
    for correlation_s in (0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7):
        # product = power (constant + wandering exp(-lag / time)), shares >= 0
        basis = np.stack([np.ones_like(lags), np.exp(-lags / correlation_s)], 1) * powers[:, None]
        shares = np.clip(np.linalg.lstsq(basis, products, rcond=None)[0], 0, 1)
        miss = ((basis @ shares - products) ** 2).sum()
        if best is None or miss < best[0]:
            best = (miss, shares, correlation_s)
    constant, wandering = best[1] / max(best[1].sum(), 1.0)
    return ErrorModel(constant_share=float(constant), wandering_share=float(wandering),
                      correlation_s=best[2])  # fmt: skip


def judge(pairs, error):
    """For angles, ROM and events: errors, half widths, and error over half width (<= 1 holds)."""
    rows = {"angle": [], "range of motion": [], "event time": []}
    settings = MeasureSettings(error=error)
    for poses, truth, times in pairs:
        # The facing is the true one, as a person who looks at the clip would set it.
        true, facing = prepare(truth, times, replace(settings, num_draws=40))
        found, _ = prepare(poses, times, replace(settings, facing=facing.direction))
        angles = {name: angle_series(found, name) for name in JOINT_ANGLES}
        wanted = {name: angle_series(true, name) for name in JOINT_ANGLES}
        for name, series in angles.items():
            curve, values = series.curve(), wanted[name].values
            turns = 360 * np.round((values - curve.values) / 360)
            # Neighbouring frames say the same: every fifth is enough.
            rows["angle"] += _held(values - turns, curve.values, curve.low, curve.high)[::5]
        truths = {q.name: q for q in angle_quantities(wanted, factor=1.0)}
        for q in angle_quantities(angles, factor=error.extreme_factor):
            if q.name.endswith("range_of_motion"):
                rows["range of motion"] += _held(
                    *(np.array([v]) for v in (truths[q.name].value, q.value, q.low, q.high))
                )
        rows["event time"] += _events(found, true)
    return {name: np.array(values).reshape(-1, 3) for name, values in rows.items()}


def _moments(trajectory):
    """Steps, and where each knee is bent most in a repetition or a stride."""
    knees = [
        repetition.peak
        for side in ("left", "right")
        for repetition in find_repetitions(
            angle_series(trajectory, f"{side}_knee"), trajectory.error, side=side
        )
    ]
    return knees, list(measure_gait(trajectory, None).moments)


def _events(found, true):
    rows = []
    for ours, theirs in zip(_moments(found), _moments(true), strict=True):
        for moment in ours:
            same = [m.time_s for m in theirs if (m.kind, m.side) == (moment.kind, moment.side)]
            nearest = min(same, key=lambda time: abs(time - moment.time_s), default=np.inf)
            event = moment.event(found.times_s, found.frames)
            if abs(nearest - event.time_s) <= EVENT_MATCH_S:
                rows += _held(*(np.array([v]) for v in
                                (nearest, event.time_s, event.low, event.high)))  # fmt: skip
    return rows


def _held(truth, value, low, high):
    known = np.isfinite(truth) & np.isfinite(low)
    off = np.abs(truth - (low + high) / 2) / np.maximum((high - low) / 2, 1e-9)
    return list(zip(np.abs(value - truth)[known], ((high - low) / 2)[known], off[known],
                    strict=True))  # fmt: skip


def _needed(rows):
    return round(float(np.quantile(rows[:, 2], 0.9)), 3)


def fit(options):
    estimator = Estimator.load(options.weights)
    splits = {}
    for split in ("val", "test"):
        pairs = []
        for clip in clips_of(getattr(options, split), options.clips):
            poses = predicted(clip, estimator, options.cache)
            pairs.append((poses, true_poses(clip, poses), clip.info.times_s[poses.frames]))
        splits[split] = pairs
    error = replace(fit_shares(splits["val"]), extreme_factor=1.0, event_factor=1.0)
    # Interval widths follow the scale nearly linearly: the 90 % quantile of error over half
    # width is the factor by which they are too narrow.
    first = judge(splits["val"], error)
    error = replace(error, scale=_needed(first["angle"]))
    second = judge(splits["val"], error)
    error = replace(error, extreme_factor=_needed(second["range of motion"]))
    if len(second["event time"]) >= LEAST_EVENTS:
        error = replace(error, event_factor=_needed(second["event time"]))
    else:
        print(f"{len(second['event time'])} events on val are too few: factor kept.")
        error = replace(error, event_factor=ErrorModel().event_factor)
    print(f"Fitted on {len(splits['val'])} val clips: {error}\n")
    for title, model in (("fitted", error), ("as shipped", ErrorModel())):
        tell(title, judge(splits["test"], model))
    print(f"\n{len(splits['test'])} test clips, K=4, E=8, weights {estimator.weights_hash}")


def tell(title, judged):
    print(f"\n| test, {title} | n | median error | median ± | 90 % intervals hold |\n"
          "|---|---|---|---|---|")  # fmt: skip
    for name, rows in judged.items():
        unit, digits = ("s", 3) if name == "event time" else ("deg", 1)
        if not len(rows):
            print(f"| {name} | 0 | - | - | - |")
            continue
        miss, half = np.median(rows[:, 0]), np.median(rows[:, 1])
        print(f"| {name} | {len(rows)} | {miss:.{digits}f} {unit} | {half:.{digits}f} {unit} | "
              f"{(rows[:, 2] <= 1).mean():.1%} |")  # fmt: skip


def render(options):
    parts = (options.material / name for name in ("avatars", "mocap", "backgrounds"))
    folders = list(parts)
    for split in ("val", "test"):
        library = open_library(*folders, split=split)
        for number in range(NUM_WALKS):
            plan = ClipPlan(f"walk{number}", num_people=1, motions="^walk", person_height=0.72,
                            degraded=0.3)  # fmt: skip
            clip = render_clip(library, plan, seed=number + (100 if split == "val" else 0))
            jpegs = [cv2.imencode(".jpg", f[..., ::-1])[1].ravel() for f in clip.frames]
            options.out.mkdir(parents=True, exist_ok=True)
            np.savez(
                options.out / f"{split}-{number}.npz",
                jpeg=np.concatenate(jpegs),
                offsets=np.cumsum([0, *map(len, jpegs)]),
                keypoints=clip.keypoints[None, :, 0],
                visibility=clip.visibility[None, :, 0],
                boxes=clip.boxes[None, :, 0],
                times_s=(np.arange(len(jpegs)) / clip.fps)[None],
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    rendering = commands.add_parser("render")
    rendering.add_argument("material", type=Path)
    rendering.add_argument("out", type=Path)
    rendering.set_defaults(run=render)
    fitting = commands.add_parser("fit")
    fitting.add_argument("--val", type=Path, nargs="+", required=True)
    fitting.add_argument("--test", type=Path, nargs="+", required=True)
    fitting.add_argument("--cache", type=Path, required=True)
    fitting.add_argument("--weights", type=Path)
    fitting.add_argument("--clips", type=int, default=10)
    fitting.set_defaults(run=fit)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
