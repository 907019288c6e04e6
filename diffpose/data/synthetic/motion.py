"""Motion clips: reading them, sampling them at any time, and varying them.

A clip holds global rotations of the canonical bones (`bones.BONES`) at a fixed frame rate; poses
are sampled from it and can be mirrored, bent, mixed and turned. World frame: y up, metres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.bones import BONES, MIRROR, PARENTS, bone_indices
from diffpose.errors import FormatError

CLIP_FPS = 30.0

_REFLECTION = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Motion:
    """One recorded clip.

    Attributes:
        name: Its file name without suffix.
        label: What the actor does, in words.
        quaternions: (T, 19, 4) f64 global rotations w, x, y, z against the T-pose.
        root: (T, 3) f64 centre between the hips, metres of the canonical body.
    """

    name: str
    label: str
    quaternions: NDArray[np.float64]
    root: NDArray[np.float64]

    @property
    def duration_s(self) -> float:
        """Time between the first and the last recorded pose."""
        return (len(self.root) - 1) / CLIP_FPS


@dataclass(frozen=True, eq=False)
class BodyPoses:
    """Poses of the canonical body at T times.

    Attributes:
        rotations: (T, 19, 3, 3) f64 global rotations against the T-pose.
        root: (T, 3) f64 centre between the hips, metres of the canonical body.
    """

    rotations: NDArray[np.float64]
    root: NDArray[np.float64]


def load_motion(path: Path, *, label: str = "") -> Motion:
    """Read a motion clip from its npz file.

    Raises:
        FormatError: The file is no motion clip.
    """
    try:
        with np.load(path) as file:
            quaternions, root = file["q"].astype(np.float64), file["root"].astype(np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"Expected a motion clip with q and root in {path.name}.") from error
    if quaternions.shape[1:] != (len(BONES), 4) or root.shape != (len(quaternions), 3):
        raise FormatError(
            f"Expected q (T, {len(BONES)}, 4) and root (T, 3) in {path.name}, "
            f"got {quaternions.shape} and {root.shape}."
        )
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    # Neighbouring frames must lie on the same half of the sphere, or blending goes the long way.
    dots = (quaternions[1:] * quaternions[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    quaternions[1:] *= signs[..., None]
    return Motion(path.stem, label, quaternions, root)


def read_labels(folder: Path) -> dict[str, str]:
    """Clip name to label, from ``index.json`` next to the folder ``clips``.

    Raises:
        FormatError: There is no such index.
    """
    try:
        entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        return {entry["name"]: entry["label"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"Expected a readable index.json in the motion folder {folder}."
        ) from error


def sample_motion(motion: Motion, times_s: NDArray[np.floating]) -> BodyPoses:
    """Poses at arbitrary times (T,), seconds from the clip's start; held at both ends."""
    position = np.clip(np.asarray(times_s) * CLIP_FPS, 0, len(motion.root) - 1)
    before = np.minimum(position.astype(np.int64), max(len(motion.root) - 2, 0))
    after = np.minimum(before + 1, len(motion.root) - 1)
    share = position - before
    root = motion.root[before] * (1 - share)[:, None] + motion.root[after] * share[:, None]
    blend = share[:, None, None]
    quaternions = motion.quaternions[before] * (1 - blend) + motion.quaternions[after] * blend
    return BodyPoses(_matrices(quaternions), root)


def mirror_poses(poses: BodyPoses) -> BodyPoses:
    """The poses seen in a mirror at x = 0: left and right exchange their parts."""
    rotations = _REFLECTION @ poses.rotations[:, MIRROR] @ _REFLECTION
    return BodyPoses(rotations, poses.root @ _REFLECTION)


def turn_poses(poses: BodyPoses, turn: NDArray[np.floating]) -> BodyPoses:
    """Rotate bodies and their path about the world's origin by a (3, 3) rotation."""
    return BodyPoses(turn @ poses.rotations, poses.root @ turn.T)


def bend_poses(poses: BodyPoses, bends: NDArray[np.floating]) -> BodyPoses:
    """Bend joints by constant rotations (19, 3, 3), each in the frame of its bone's parent.

    A bend moves everything that hangs on the bone; the pelvis (index 0) turns the whole body.
    """
    return _from_local(bends @ _to_local(poses.rotations), poses.root)


def mix_poses(poses: BodyPoses, arms: BodyPoses) -> BodyPoses:
    """The poses with the arms of another clip, as held against the chest there."""
    local, other = _to_local(poses.rotations), _to_local(arms.rotations)
    taken = bone_indices("clavicle", "upper_arm", "forearm", "hand")
    local[:, taken] = other[:, taken]
    return _from_local(local, poses.root)


def random_bends(
    rng: np.random.Generator, *, arm_rad: float, leg_rad: float, trunk_rad: float
) -> NDArray[np.float64]:
    """Random joint bends (19, 3, 3) with the given standard deviations per axis."""
    scale = np.zeros(len(BONES))
    scale[bone_indices("upper_arm", "hand")] = arm_rad
    scale[bone_indices("thigh", "foot")] = leg_rad
    scale[bone_indices("spine", "chest", "neck", "head", "clavicle")] = trunk_rad
    turns = rng.normal(size=(len(BONES), 3)) * scale[:, None]
    # Elbows and knees are hinges: they only bend one way.
    for part, flexion, rad in (
        ("left_forearm", (0.0, -1.0, 0.0), arm_rad),
        ("right_forearm", (0.0, 1.0, 0.0), arm_rad),
        ("left_shin", (1.0, 0.0, 0.0), leg_rad),
        ("right_shin", (1.0, 0.0, 0.0), leg_rad),
    ):
        turns[BONES.index(part)] = np.array(flexion) * abs(rng.normal(0, 1.5 * rad))
    return Rotation.from_rotvec(turns).as_matrix()


def _matrices(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = quaternions[..., [1, 2, 3, 0]].reshape(-1, 4)
    return Rotation.from_quat(flat).as_matrix().reshape(*quaternions.shape[:-1], 3, 3)


def _to_local(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    local = rotations.copy()
    children = np.array([i for i, parent in enumerate(PARENTS) if parent >= 0])
    above = rotations[:, np.array(PARENTS)[children]]
    local[:, children] = np.swapaxes(above, -1, -2) @ rotations[:, children]
    return local


def _from_local(local: NDArray[np.float64], root: NDArray[np.float64]) -> BodyPoses:
    rotations = local.copy()
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            rotations[:, bone] = rotations[:, parent] @ local[:, bone]
    return BodyPoses(rotations, root)
