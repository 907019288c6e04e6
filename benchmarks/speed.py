"""How fast and how large: frames a second of `infer`, by stage, and peak memory on a long clip.

    python benchmarks/speed.py speed CLIP [--frames 150] [--threads 2] [--one-sided]
    python benchmarks/speed.py slider CLIP
    python benchmarks/speed.py correction CLIP [--threads 1]
    python benchmarks/speed.py memory [--minutes 10]

`speed` gives a Markdown table for (K, E) = (1, 1) and (4, 8) on one person, split into stages,
and as a ratio to a bare forward pass of the same backbone on as many crops, in one run;
benchmarks/mediapipe_speed.py gives MediaPipe's rate on the same frames.
`slider` times what a slider of the app waits for: the decoder alone on cached features.
`correction` times a suggestion of the review desk after a keypoint was placed (K = 4, E = 8): with
nothing cached, with everything, three frames further on, and where the desk has prepared the frame.
`memory` writes a 720p clip of that length, infers it in a process of its own, and gives that
process' peak.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from diffpose.inference.detector import load_detector
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.pipeline import detect_tracks, estimate_poses, sample_window, window_at
from diffpose.poses import SamplingConfig
from diffpose.review.suggestions import ResampleRequest
from diffpose.video.decode import Video
from diffpose.video.encode import write_video
from diffpose.workflow.resampling import follow, prepare

STAGES = ("decode", "crop", "backbone", "strl", "decoder")


def measure(video, tracks, estimator, sampling, frames):
    timings = {}
    start = time.perf_counter()
    estimate_poses(video, tracks, estimator, sampling, stop=frames, timings=timings)
    return time.perf_counter() - start, timings


def bare_backbone(estimator, frames):
    crops = np.zeros((32, *estimator.crop_size, 3), np.uint8)
    start = time.perf_counter()
    for _ in range(0, frames, 32):
        estimator.encode_frames(crops)
    return (time.perf_counter() - start) / (-(-frames // 32) * 32)


def speed(options):
    torch.set_num_threads(options.threads)
    estimator = Estimator.load(mirrored=not options.one_sided)
    detector = load_detector()
    with Video(options.clip) as video:
        frames = min(options.frames, video.info.num_frames)
        begin = time.perf_counter()
        tracks = detect_tracks(video, detector, stop=frames)[:1]
        searching = (time.perf_counter() - begin) / frames
        measure(video, tracks, estimator, SamplingConfig(1, 1), min(16, frames))  # warm up
        print(f"{options.clip.name}: {frames} frames of {video.info.width}x{video.info.height}, ")
        print(f"{options.threads} threads; finding people {searching * 1e3:.1f} ms a frame\n")
        print("| K, E | fps | " + " | ".join(f"{s} ms" for s in STAGES) + " | / bare backbone |")
        print("|---|---|" + "---|" * (len(STAGES) + 1))
        for steps, ensemble in ((1, 1), (4, 8)):
            bare = bare_backbone(estimator, frames)
            total, timings = measure(
                video, tracks, estimator, SamplingConfig(steps, ensemble), frames
            )
            cells = [f"{timings.get(s, 0) / frames * 1e3:.1f}" for s in STAGES]
            ratio = total / frames / bare
            row = [f"{steps}, {ensemble}", f"{frames / total:.1f}", *cells, f"{ratio:.1f}"]
            print(f"| {' | '.join(row)} |")


def slider(options):
    torch.set_num_threads(options.threads)
    estimator, cache = Estimator.load(), FeatureCache(max_bytes=1 << 28)
    with Video(options.clip) as video:
        track = detect_tracks(video, load_detector(), stop=30)[0]
        window = window_at(video, track, estimator, frame=10)
        print("| K, E | ms |\n|---|---|")
        for steps, ensemble in ((1, 1), (4, 8), (8, 8), (4, 32)):
            sampling = SamplingConfig(steps, ensemble)
            sample_window(video, window, estimator, sampling, cache=cache)
            start = time.perf_counter()
            for _ in range(5):
                sample_window(video, window, estimator, sampling, cache=cache)
            print(f"| {steps}, {ensemble} | {(time.perf_counter() - start) / 5 * 1e3:.0f} |")


def correction(options):
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    estimator, cache, sampling = Estimator.load(), FeatureCache(), SamplingConfig(4, 8)
    with Video(options.clip) as video:
        track = detect_tracks(video, load_detector(), stop=60)[0]
        (poses,) = estimate_poses(video, [track], estimator, sampling, stop=60)
        print(f"{video.info.width}x{video.info.height}, {options.threads} threads\n")
        print("| suggestion | ms |\n|---|---|")
        prepare(video, track, estimator, sampling, frame=52, cache=cache)
        sample_window(
            video, window_at(video, track, estimator, frame=52), estimator, sampling, cache=cache
        )
        for name, frame in (("nothing cached", 20), ("features and motion cached", 20),
                            ("three frames on", 23), ("prepared by the desk", 52)):  # fmt: skip
            row = int(np.searchsorted(poses.frames, frame))
            placed = {(frame, 9): tuple((poses.keypoints[row, 9] + 20).tolist())}
            request = ResampleRequest(0, frame, 8, placed, poses, poses)
            start = time.perf_counter()
            follow(request, video=video, track=track, estimator=estimator, sampling=sampling,
                   cache=cache)  # fmt: skip
            print(f"| {name} | {(time.perf_counter() - start) * 1e3:.0f} |")


def long_clip(path, minutes):
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (720, 1280, 3)).astype(np.uint8)
    count = int(minutes * 60 * 30)

    def frames():
        for i in range(count):
            picture = ground.copy()
            x = 100 + i % 1000
            picture[200:600, x : x + 120] = (200, 80, 40)
            yield picture

    write_video(path, frames(), np.arange(count) / 30)


def memory(options):
    with tempfile.TemporaryDirectory() as folder:
        clip, boxes = Path(folder) / "long.mp4", Path(folder) / "boxes.json"
        long_clip(clip, options.minutes)
        boxes.write_text('[{"image": 0, "bbox": [100, 200, 120, 400]}]')
        code = "from diffpose.cli import main; main()"
        command = [sys.executable, "-c", code, "infer", str(clip), "-o", f"{folder}/out.json",
                   "--boxes", str(boxes), "--steps", "1", "--ensemble", "1"]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        seconds = time.perf_counter() - start
        print(f"{options.minutes} min of 1280x720: peak {peak:.2f} GB, {seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "slider", "correction", "memory"])
    parser.add_argument("clip", type=Path, nargs="?", default=Path("assets/examples/walk.mp4"))
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--one-sided", action="store_true", help="speed: no mirror images")
    options = parser.parse_args()
    work = {"speed": speed, "slider": slider, "correction": correction, "memory": memory}
    work[options.what](options)


if __name__ == "__main__":
    main()
