"""From BVH recordings to the motion clips that scenes are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.body import shortest_turn
from diffpose.data.synthetic.bones import BONES, LEG_LENGTH_M, LIMB_ENDS
from diffpose.data.synthetic.bvh import BvhRecording, read_bvh, world_poses
from diffpose.data.synthetic.motion import CLIP_FPS, Motion
from diffpose.errors import FormatError, SettingsError
from diffpose.formats.atomic import atomic_path, atomic_write

_ANKLE_HEIGHT_M = 0.08

# How programs name the joints: of the trunk, then of one side. The first name that is there counts.
_CMU = {
    "pelvis": ("Hips",), "spine": ("LowerBack", "Spine"), "neck": ("Neck",), "head": ("Head",),
    "chest": ("Spine2", "Chest2", "Chest", "Spine1", "Spine"),
    "clavicle": ("{Side}Shoulder", "{Side}Collar"), "upper_arm": ("{Side}Arm", "{Side}UpArm"),
    "forearm": ("{Side}ForeArm", "{Side}LowArm"), "hand": ("{Side}Hand",),
    "thigh": ("{Side}UpLeg",), "shin": ("{Side}Leg", "{Side}LowLeg"), "foot": ("{Side}Foot",),
}  # fmt: skip
_JOINTWISE = {
    "pelvis": ("Hips",), "spine": ("Chest", "Spine"), "neck": ("Neck",), "head": ("Head",),
    "chest": ("Chest4", "Chest3", "Chest2", "Chest"),
    "clavicle": ("{Side}Collar",), "upper_arm": ("{Side}Shoulder",), "forearm": ("{Side}Elbow",),
    "hand": ("{Side}Wrist",), "thigh": ("{Side}Hip",), "shin": ("{Side}Knee",),
    "foot": ("{Side}Ankle",),
}  # fmt: skip
_POSER = {
    "pelvis": ("hip",), "spine": ("abdomen",), "chest": ("chest",), "neck": ("neck",),
    "head": ("head",), "clavicle": ("{s}Collar",), "upper_arm": ("{s}Shldr",),
    "forearm": ("{s}ForeArm",), "hand": ("{s}Hand",), "thigh": ("{s}Thigh",),
    "shin": ("{s}Shin",), "foot": ("{s}Foot",),
}  # fmt: skip


def import_motion(
    path: Path,
    folder: Path,
    *,
    label: str,
    name: str = "",
    source: str = "",
    licence: str = "",
    t_pose_frame: int | None = None,
) -> Path:
    """Add a BVH file to a motion folder: ``clips/NAME.npz`` and its entry in ``index.json``.

    Args:
        path: The BVH file.
        folder: The motion folder, made if missing.
        label: What the actor does, in words; scenes are chosen by it.
        name: Of the clip; the file's name without suffix if empty. The same name replaces.
        source: Where the file is from, for the index.
        licence: Of the file, for the index.
        t_pose_frame: As in `motion_of_bvh`.

    Returns:
        The clip.

    Raises:
        FormatError: The file is no BVH file of a person, or the folder's index is damaged.
    """
    name = name or path.stem
    motion = motion_of_bvh(read_bvh(path), name=name, label=label, t_pose_frame=t_pose_frame)
    clip = folder / "clips" / f"{name}.npz"
    entries = _index(folder)
    clip.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(clip) as temporary:
        np.savez_compressed(
            temporary,
            q=motion.quaternions.astype(np.float16),
            root=motion.root.astype(np.float32),
        )
    entry = {"name": name, "frames": len(motion.root), "label": label,
             "source": source or path.name, "licence": licence}  # fmt: skip
    kept = [other for other in entries if other.get("name") != name]
    text = json.dumps(sorted([*kept, entry], key=lambda e: str(e["name"])), indent=1)
    atomic_write(folder / "index.json", text + "\n")
    return clip


def _index(folder: Path) -> list[dict[str, Any]]:
    path = folder / "index.json"
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(entry["name"], str) for entry in entries):
            return list(entries)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise FormatError(f"Expected a list of named clips in {path}; repair or remove it.")


def motion_of_bvh(
    recording: BvhRecording, *, name: str, label: str, t_pose_frame: int | None = None
) -> Motion:
    """Rotations against the T-pose at 30 frames a second, from a recording of any skeleton.

    The skeleton may have any unit, size, up axis and heading; what its limbs need to reach the
    T-pose is measured in its rest pose, or in a frame in which the actor holds one. The path
    begins above the origin; the lowest ankle lies 0.08 m above the ground.

    Args:
        recording: Of one person.
        name: Of the clip.
        label: What the actor does.
        t_pose_frame: A frame in which the actor stands in a T-pose; it and those before it are
            left out. None: the skeleton's rest pose is one.

    Raises:
        FormatError: The skeleton lacks joints of a person.
        SettingsError: There are no frames after ``t_pose_frame``.
    """
    joint = _joints_of_bones(recording)
    rotations, positions = world_poses(recording)
    if t_pose_frame is None:
        rest, first = recording.rest, 0
    else:
        if not 0 <= t_pose_frame < len(rotations) - 1:
            raise SettingsError(
                f"Expected a T-pose frame from 0 to {len(rotations) - 2}, got {t_pose_frame}."
            )
        rest, first = positions[t_pose_frame], t_pose_frame + 1
        rotations = rotations @ np.swapaxes(rotations[t_pose_frame], -1, -2)
    upright = _upright(rest, joint)
    rest = rest @ upright.T
    # A limb's rotation includes what carries it from the T-pose to the rest pose.
    to_rest = np.tile(np.eye(3), (len(BONES), 1, 1))
    for bone, (end, direction) in LIMB_ENDS.items():
        limb = rest[joint[end]] - rest[joint[bone]]
        to_rest[BONES.index(bone)] = shortest_turn(limb, np.array(direction)).T
    driving = [joint[bone] for bone in BONES]
    turns = upright @ rotations[first:, driving] @ upright.T @ to_rest
    times = np.arange(len(turns)) * recording.frame_time_s
    quaternions = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat()[:, [3, 0, 1, 2]]
    moments = np.arange(round(times[-1] * CLIP_FPS) + 1) / CLIP_FPS
    root = _root(positions[first:] @ upright.T, rest, joint)
    return Motion(
        name,
        label,
        _resampled(_continuous(quaternions.reshape(len(turns), len(BONES), 4)), times, moments),
        _resampled(root, times, moments),
    )


def _joints_of_bones(recording: BvhRecording) -> dict[str, int]:
    """Canonical bone to the number of the joint at its beginning."""
    plain = [name.rpartition(":")[2] for name in recording.joints]  # mixamorig:Hips
    found = [_matched(plain, scheme) for scheme in (_CMU, _JOINTWISE, _POSER)]
    best = max(found, key=len)
    missing = [bone for bone in BONES if bone not in best]
    if missing:
        raise FormatError(
            f"Expected the skeleton of a person, found no joint for {', '.join(missing)} among "
            f"{', '.join(plain[:40])}; rename the joints as Mixamo does."
        )
    return best


def _matched(joints: list[str], scheme: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    matched: dict[str, int] = {}
    for bone in BONES:
        side, _, part = bone.partition("_") if "_" in bone else ("", "", bone)
        words = {"Side": side.capitalize(), "s": side[:1]}
        names = [pattern.format(**words) for pattern in scheme[part]]
        present = [joints.index(name) for name in names if name in joints]
        if present:
            matched[bone] = present[0]
    return matched


def _upright(rest: NDArray[np.float64], joint: Mapping[str, int]) -> NDArray[np.float64]:
    """The turn by multiples of 90 degrees after which a rest pose is upright and faces +z."""
    left = rest[joint["left_thigh"]] - rest[joint["right_thigh"]]
    up = rest[joint["neck"]] - (rest[joint["left_thigh"]] + rest[joint["right_thigh"]]) / 2
    if min(np.linalg.norm(left), np.linalg.norm(up)) < 1e-9:
        raise FormatError("Expected hips and a neck at different places in the rest pose.")
    turn = np.zeros((3, 3))
    turn[1] = _nearest_axis(up)
    turn[0] = _nearest_axis(left * (turn[1] == 0))
    turn[2] = np.cross(turn[0], turn[1])
    return turn


def _nearest_axis(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = np.zeros(3)
    longest = np.abs(direction).argmax()
    axis[longest] = np.sign(direction[longest])
    return axis


def _root(
    positions: NDArray[np.float64], rest: NDArray[np.float64], joint: Mapping[str, int]
) -> NDArray[np.float64]:
    """Centre between the hips (T, 3) in metres of the canonical body."""
    leg = rest[[joint[f"left_{part}"] for part in ("thigh", "shin", "foot")]]
    scale = LEG_LENGTH_M / np.linalg.norm(np.diff(leg, axis=0), axis=1).sum()
    hips = positions[:, [joint["left_thigh"], joint["right_thigh"]]].mean(axis=1)
    ankles = positions[:, [joint["left_foot"], joint["right_foot"]], 1]
    origin = np.array([hips[0, 0], ankles.min() - _ANKLE_HEIGHT_M / scale, hips[0, 2]])
    return (hips - origin) * scale


def _continuous(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signs such that neighbouring frames lie on the same half of the sphere."""
    dots = (quaternions[1:] * quaternions[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([quaternions[:1], quaternions[1:] * signs[..., None]])


def _resampled(
    values: NDArray[np.float64], times_s: NDArray[np.floating], moments_s: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Linear in between; quaternions of neighbouring frames are close enough for that."""
    after = np.clip(np.searchsorted(times_s, moments_s, side="left"), 1, max(len(times_s) - 1, 1))
    if len(times_s) == 1:
        return values[np.zeros(len(moments_s), dtype=np.int64)]
    gap = times_s[after] - times_s[after - 1]
    share = np.clip((moments_s - times_s[after - 1]) / gap, 0, 1)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return values[after - 1] * (1 - share) + values[after] * share
