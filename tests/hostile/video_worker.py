"""Reads mutated videos one by one; ends with an error where one hangs, breaks or takes memory."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from diffpose.video.decode import Video
from tests.hostile import running, videos

HANG_S = 10
MOST_KB = 2**20


def read(path: Path) -> None:
    with Video(path) as video:
        count = video.info.num_frames
        for number in {0, count // 2, count - 1}:
            video.frame(number)
        for _ in video.frames():
            pass
        _ = video.warnings


def main(folder: Path, count: int) -> int:
    files = {kind: path.read_bytes() for kind, path in videos.whole_files(folder).items()}
    broken = []
    for seed in range(count):
        kind = list(files)[seed % len(files)]
        path = folder / f"mutated.{kind}"
        path.write_bytes(videos.mutated(files[kind], seed))
        signal.alarm(HANG_S)  # the default action ends the process
        print(f"seed {seed} {kind}", flush=True)
        if words := running.obeys(read, path):
            broken.append(f"seed {seed} {kind}: {words}")
        signal.alarm(0)
    used = running.most_memory_kb()
    if used > MOST_KB:
        broken.append(f"memory reached {used // 1024} MB")
    print("\n".join(broken))
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
