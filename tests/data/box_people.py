"""Material for synthetic scenes, small enough to compute by hand: people made of boxes.

The files have the format of the real ones: avatar npz, motion npz with an index, JPEG photos.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.bones import BONES, LEG_LENGTH_M

# Joint: parent, position in the T-pose (x to the person's left, y up, facing +z), metres.
_TRUNK = {
    "Hips": ("", (0.0, 1.0, 0.0)),
    "Spine": ("Hips", (0.0, 1.1, 0.0)),
    "Spine2": ("Spine", (0.0, 1.3, 0.0)),
    "Neck": ("Spine2", (0.0, 1.5, 0.0)),
    "Head": ("Neck", (0.0, 1.6, 0.0)),
}
_LEFT = {
    "Shoulder": ("Spine2", (0.05, 1.45, 0.0)),
    "Arm": ("Shoulder", (0.2, 1.45, 0.0)),
    "ForeArm": ("Arm", (0.45, 1.45, 0.0)),
    "Hand": ("ForeArm", (0.7, 1.45, 0.0)),
    "UpLeg": ("Hips", (0.1, 0.95, 0.0)),
    "Leg": ("UpLeg", (0.1, 0.52, 0.0)),
    "Foot": ("Leg", (0.1, 0.1, 0.0)),
    "ToeBase": ("Foot", (0.1, 0.03, 0.12)),
}
# Joint that moves the box, its centre and half sides.
_BOXES = [
    ("Hips", (0.0, 1.0, 0.0), (0.15, 0.08, 0.1)),
    ("Spine2", (0.0, 1.28, 0.0), (0.2, 0.2, 0.1)),
    ("Head", (0.0, 1.68, 0.02), (0.09, 0.12, 0.1)),
]
_LEFT_BOXES = [
    ("Arm", (0.325, 1.45, 0.0), (0.125, 0.05, 0.05)),
    ("ForeArm", (0.575, 1.45, 0.0), (0.125, 0.04, 0.04)),
    ("Hand", (0.75, 1.45, 0.0), (0.06, 0.02, 0.04)),
    ("UpLeg", (0.1, 0.74, 0.0), (0.08, 0.22, 0.08)),
    ("Leg", (0.1, 0.31, 0.0), (0.06, 0.22, 0.06)),
    ("Foot", (0.1, 0.05, 0.02), (0.05, 0.05, 0.08)),
    ("ToeBase", (0.1, 0.03, 0.16), (0.05, 0.03, 0.06)),
]
_HEAD_POINTS = (
    (0.0, 1.65, 0.12), (0.03, 1.69, 0.12), (-0.03, 1.69, 0.12), (0.09, 1.67, 0.02),
    (-0.09, 1.67, 0.02), (0.0, 1.8, 0.02), (0.0, 1.58, 0.1), (0.0, 1.55, 0.0),
)  # fmt: skip

HIP_CENTRE = np.array([0.0, 0.95, 0.0])
LEG_LENGTH = 0.85
ROOT_AT_REST = HIP_CENTRE * LEG_LENGTH_M / LEG_LENGTH
"""The root position that puts a person of boxes where its rest pose is."""


def _mirrored(point: tuple[float, float, float]) -> tuple[float, float, float]:
    return -point[0], point[1], point[2]


def joints() -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Joint to its parent and its position."""
    found = {name: (parent, np.array(place)) for name, (parent, place) in _TRUNK.items()}
    for side in ("Left", "Right"):
        for name, (parent, place) in _LEFT.items():
            above = parent if parent in _TRUNK else side + parent
            found[side + name] = (above, np.array(place if side == "Left" else _mirrored(place)))
    return found


def write_avatar(path: Path, *, colour: tuple[int, int, int] = (200, 60, 60)) -> Path:
    """A person of boxes in one colour (RGB)."""
    tree = joints()
    names = list(tree)
    parents = [names.index(parent) if parent else -1 for parent, _ in tree.values()]
    places = np.array([place for _, place in tree.values()])
    local = np.tile(np.eye(4), (len(names), 1, 1))
    local[:, :3, 3] = [p - places[a] if a >= 0 else p for p, a in zip(places, parents, strict=True)]
    boxes = list(_BOXES)
    for side in ("Left", "Right"):
        for name, centre, half in _LEFT_BOXES:
            boxes.append((side + name, centre if side == "Left" else _mirrored(centre), half))
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    vertices = np.concatenate([np.array(centre) + signs * half for _, centre, half in boxes])
    owners = np.repeat([names.index(name) for name, _, _ in boxes], 8)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    sides = np.array([[(a, b, c), (a, c, d)] for a, b, c, d in quads]).reshape(-1, 3)
    picture = np.full((16, 16, 3), colour[::-1], dtype=np.uint8)
    np.savez(
        path,
        v=np.rint(vertices * 16000).astype(np.int16),
        n=np.tile(np.rint(signs * 127 / np.sqrt(3)), (len(boxes), 1)).astype(np.int8),
        uv=np.full((len(vertices), 2), 32768, dtype=np.uint16),
        j=np.stack([owners] * 4, axis=1).astype(np.uint8),
        w=np.tile(np.array([255, 0, 0, 0], dtype=np.uint8), (len(vertices), 1)),
        f=np.concatenate([sides + 8 * i for i in range(len(boxes))]).astype(np.uint16),
        tex=cv2.imencode(".jpg", picture)[1].ravel(),
        names=np.array(names),
        parent=np.array(parents, dtype=np.int16),
        local=local.astype(np.float32),
        lm=np.array(_HEAD_POINTS, dtype=np.float32),
    )
    return path


def write_motion(folder: Path, clips: dict[str, str], *, num_frames: int = 31) -> Path:
    """Clips (name to label) of a stiff T-pose that slides along x at 1 m/s."""
    (folder / "clips").mkdir(parents=True)
    quaternions = np.zeros((num_frames, len(BONES), 4), dtype=np.float16)
    quaternions[..., 0] = 1
    root = np.tile(ROOT_AT_REST, (num_frames, 1)).astype(np.float32)
    root[:, 0] = np.arange(num_frames) / 30
    for name in clips:
        np.savez(folder / "clips" / f"{name}.npz", q=quaternions, root=root)
    index = [{"name": name, "label": label} for name, label in clips.items()]
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def write_material(folder: Path) -> tuple[Path, Path, Path]:
    """Folders of avatars, motion and photos; every split has something of each."""
    avatars, backgrounds = folder / "avatars", folder / "backgrounds"
    avatars.mkdir(parents=True)
    backgrounds.mkdir()
    for number in range(4):
        for sex in "FM":
            write_avatar(avatars / f"Box{number}_{sex}_1_Casual.npz")
    motion = write_motion(folder / "mocap", {f"slide_{i:02d}": "walk" for i in range(60)})
    for number in range(60):
        photo = np.full((48, 64, 3), (20, 90, 30 + 3 * number), dtype=np.uint8)
        cv2.imwrite(str(backgrounds / f"plain_{number:02d}.jpg"), photo)
    return avatars, motion, backgrounds
