"""A made-up folder of people packs: grey pictures with a white dot for every keypoint."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diffpose.data.people_packs import PeopleLabels, write_people_labels
from diffpose.skeleton import HALPE26

SIZE = (120, 90)  # height, width
DOT = HALPE26.index("left_wrist")


def drawn(dot: tuple[int, int]) -> bytes:
    """A PNG with a white dot."""
    picture = np.full((*SIZE, 3), 60, np.uint8)
    cv2.circle(picture, dot, 3, (255, 255, 255), -1)
    return cv2.imencode(".png", picture)[1].tobytes()


def write_people(folder: Path, *, count: int = 4, stretched: bool = False) -> list[tuple[int, int]]:
    """Write two packs of ``count`` pictures each; where their dots are."""
    rng = np.random.default_rng(count)
    dots, packs = [], []
    (folder / "stills").mkdir(parents=True)
    for name in ("first", "second"):
        here = [(int(x), int(y)) for x, y in rng.integers(20, 70, (count, 2))]
        files: list[dict[str, Any]] = [
            {"file": f"{name}{n}.png", "size": list(SIZE), "boxes": [[10, 5, 80, 110]],
             "stretched": stretched}
            for n in range(count)
        ]  # fmt: skip
        if name == "second":
            for file in files:
                del file["boxes"], file["stretched"]
        contents = {f["file"]: drawn(dot) for f, dot in zip(files, here, strict=True)}
        write_tar(folder / "stills" / f"{name}.tar", contents)
        packs.append({"name": name, "tar": f"stills/{name}.tar", "files": files})
        dots += here
    labelled = [{"name": "coco_mini", "json": "labelled/coco_mini/nothing.json"}]
    (folder / "index.json").write_text(json.dumps({"packs": packs, "labelled": labelled}))
    return dots


def write_tar(path: Path, contents: dict[str, bytes]) -> None:
    """Write an uncompressed archive."""
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def write_dot_labels(path: Path, dots: list[tuple[int, int]], *, aspect: float = 1.0) -> None:
    """Labels of the folder's pictures: the left wrist is the dot."""
    count = len(dots)
    keypoints = np.full((count, 26, 2), np.nan, np.float32)
    keypoints[:, DOT] = dots
    weights = np.zeros((count, 26), np.float32)
    weights[:, DOT] = 0.7
    half = count // 2
    labels = PeopleLabels(
        names=np.array([f"{p}{n}.png" for p in ("first", "second") for n in range(half)]),
        packs=np.array([p for p in ("first", "second") for _ in range(half)]),
        boxes=np.tile(np.array([10, 5, 80, 110], np.float32), (count, 1)),
        keypoints=keypoints,
        weights=weights,
        stretched=np.full(count, aspect != 1),
        aspects=np.full(count, aspect, np.float32),
    )
    write_people_labels(path, labels)
