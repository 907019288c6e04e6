"""JSON files that strangers might send: whole ones, and seeded damage to them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffpose.formats.coco import write_coco_dataset, write_coco_results
from diffpose.formats.native import write_native
from diffpose.formats.posetrack import KEYPOINTS_2018
from diffpose.kinematics.records import Curve, Event, Measurements, Quantity
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
# What a mutation puts where something else stood.
STRANGE: tuple[Any, ...] = (
    None, True, "", "x", "\ud800", "=1+1", "../../etc/passwd", "a\tb\nc", "x" * 10_000, 0, -1, 0.5,
    2**31, 2**63, 10**400, 1e308, -1e308, float("inf"), float("nan"), [], {}, [[]], [None] * 3,
    {"id": []}, [{"x": {}}],
)  # fmt: skip


def measurements() -> Measurements:
    times = np.arange(8) / 30
    values = np.sin(times)
    curve = Curve(
        "left_knee", "Left knee", "deg", times, values, values - 1, values + 1, times > 0.1
    )
    number = Quantity("left_knee.maximum", "Most", 1.0, 0.5, 1.5, "deg")
    events = tuple(
        Event("heel_strike", "left", float(t), float(t) - 0.1, float(t) + 0.1, n)
        for n, t in enumerate(times[::2])
    )
    return Measurements(0, "right", (curve,), (number,), events, ("A note.",), {"tasks": ["gait"]})


def whole_files(folder) -> dict[str, Any]:
    """One sound file of each kind, as parsed JSON."""
    poses = [sequence(0, [1, 2, 6]), sequence(7, [2])]
    write_native(folder / "native.json", poses, VIDEO, PROVENANCE)
    write_coco_dataset(folder / "coco.json", poses, VIDEO, PROVENANCE)
    pictures = video(9, names=tuple(f"picture{number}.jpg" for number in range(9)))
    write_coco_results(folder / "results.json", poses, pictures, PROVENANCE)
    found = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in ("native", "coco", "results")
    }
    about = {"date": "2026-03-31", "name": "before"}
    found["measurements"] = {**measurements().to_dict(), "session": about}
    found["posetrack"] = _posetrack()
    found["posetrack17"] = _posetrack_2017()
    found["boxes"] = [{"image": 1, "bbox": [1, 2, 30, 40]}, {"image": 2, "bbox": [5, 5, 9.5, 9]}]
    found["detections"] = [{"image_id": 10000010001, "bbox": [1, 2, 30, 40], "score": 0.9}]
    return found


def _posetrack() -> dict[str, Any]:
    person = {
        "image_id": 10000010001, "id": 1000001000100, "track_id": 0, "category_id": 1,
        "keypoints": [float(n) for n in range(51)], "scores": [0.5] * 17,
        "bbox": [0, 0, 60, 60], "bbox_head": [0, 0, 9, 9],
    }  # fmt: skip
    image = {
        "id": 10000010001, "file_name": "images/val/000001_mpii_test/000001.jpg",
        "is_labeled": True, "height": 480, "width": 640,
        "ignore_regions_x": [[0, 9, 9]], "ignore_regions_y": [[0, 0, 9]],
    }  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": list(KEYPOINTS_2018)}]
    return {"images": [image], "annotations": [person], "categories": categories}


def _posetrack_2017() -> dict[str, Any]:
    points = [
        {"id": [n], "x": [5.0 * n], "y": [7.0], "score": [0.5], "is_visible": [1]}
        for n in range(15)
    ]
    person = {
        "x1": [1], "y1": [1], "x2": [9], "y2": [9], "track_id": [0],
        "annopoints": [{"point": points}],
    }  # fmt: skip
    region = {"point": [{"x": [0], "y": [0]}, {"x": [9], "y": [0]}, {"x": [9], "y": [9]}]}
    entry = {
        "image": [{"name": "images/bonn/000001_bonn/00000001.jpg"}], "annorect": [person],
        "is_labeled": [1], "ignore_regions": [region],
    }  # fmt: skip
    return {"annolist": [entry]}


def mutated(content: Any, seed: int) -> bytes:
    """The file with one to four places changed, dropped, doubled or broken, as bytes."""
    rng = random.Random(seed)
    changed = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = rng.choice(places)
        action = rng.randrange(5)
        if action == 0 and isinstance(holder, dict | list):
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif action == 2 and isinstance(holder, dict):
            holder[rng.choice(("", "track_id", "id", "name", "$array"))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(rng.choice(STRANGE))
    text = json.dumps(changed).encode()
    return _broken(text, rng) if rng.random() < 0.15 else text


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (list or object, index or key)."""
    keys = content.keys() if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _broken(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text) + 1)
    return rng.choice(
        (
            text[:at],
            text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :],
            text[:at] + b"\\ud800" + text[at:],
            b"[" * 100_000 + text,
            text.replace(b"[", b"[" * 2_000, 1).replace(b"]", b"]" * 2_000, 1),
            b'{"version": 1, "a": ' * 40 + text + b"}" * 40,
            b"\xff\xfe" + text,
            b"",
        )
    )
