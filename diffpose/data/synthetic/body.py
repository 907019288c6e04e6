"""One avatar: its mesh, its skeleton, and where HALPE-26 keypoints lie on it.

Model frame: metres, y up, facing +z, x to the person's left. The skin of a posed avatar is
described by one rigid transform per joint that carries the rest pose to the posed one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.bones import BONES, LEG_LENGTH_M, LIMB_ENDS
from diffpose.data.synthetic.motion import BodyPoses
from diffpose.errors import FormatError
from diffpose.skeleton import HALPE26

_ARRAYS = ("v", "n", "uv", "j", "w", "f", "tex", "names", "parent", "local", "lm")

JOINT_OF_BONE = {
    "pelvis": "Hips", "spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head",
    "left_clavicle": "LeftShoulder", "left_upper_arm": "LeftArm",
    "left_forearm": "LeftForeArm", "left_hand": "LeftHand",
    "right_clavicle": "RightShoulder", "right_upper_arm": "RightArm",
    "right_forearm": "RightForeArm", "right_hand": "RightHand",
    "left_thigh": "LeftUpLeg", "left_shin": "LeftLeg", "left_foot": "LeftFoot",
    "right_thigh": "RightUpLeg", "right_shin": "RightLeg", "right_foot": "RightFoot",
}  # fmt: skip

_JOINT_OF_KEYPOINT = {
    "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot",
}  # fmt: skip

# Rows of the file's head landmarks ``lm``; chin and upper neck follow and are not used.
_HEAD_LANDMARKS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head")

_LEAST_VERTICES = 300
_BARE_SKIN = re.compile(r"Head|Neck|Hand|Finger|Eye")


@dataclass(frozen=True, eq=False)
class Avatar:
    """A rigged, textured adult in its rest pose.

    Attributes:
        name: File name without suffix: group, sex, number, outfit.
        identity: The name without the outfit; one person keeps one identity.
        vertices: (V, 3) f32 metres.
        normals: (V, 3) f32.
        uv: (V, 2) f32, texture coordinates with v down.
        skin_joints: (V, 4) indices into the joints.
        skin_weights: (V, 4) f32, rows sum to 1.
        cloth: (V,) f32, 1 where the vertex wears clothes, 0 at head, neck and hands.
        faces: (F, 3) triangles of the body.
        texture: Encoded JPEG of the body.
        hair_faces: (G, 3) triangles of the hair, may be empty.
        hair_texture: Encoded RGBA picture of the hair, or nothing.
        joints: J names.
        parents: (J,) index of the parent joint, -1 for the root; parents come first.
        rest: (J, 3) joint positions of the rest pose.
        head_landmarks: (8, 3) points of the rest pose that follow the head.
    """

    name: str
    identity: str
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    skin_joints: NDArray[np.uint8]
    skin_weights: NDArray[np.float32]
    cloth: NDArray[np.float32]
    faces: NDArray[np.uint32]
    texture: bytes
    hair_faces: NDArray[np.uint32]
    hair_texture: bytes
    joints: tuple[str, ...]
    parents: NDArray[np.int64]
    rest: NDArray[np.float64]
    head_landmarks: NDArray[np.float64]

    def joint(self, name: str) -> int:
        """Index of a joint by its name in the file."""
        return self.joints.index(name)

    @cached_property
    def driver(self) -> NDArray[np.int64]:
        """The canonical bone (J,) whose rotation each joint follows: its own or its parent's."""
        own = {self.joint(joint): BONES.index(b) for b, joint in JOINT_OF_BONE.items()}
        drivers: list[int] = []
        for index, parent in enumerate(self.parents):
            inherited = drivers[parent] if parent >= 0 else 0
            drivers.append(own.get(index, inherited))
        return np.array(drivers, dtype=np.int64)

    @cached_property
    def to_t_pose(self) -> NDArray[np.float64]:
        """Rotations (19, 3, 3) that straighten the limbs of the rest pose into the T-pose."""
        turns = np.tile(np.eye(3), (len(BONES), 1, 1))
        for bone, (end, direction) in LIMB_ENDS.items():
            start, stop = (self.rest[self.joint(JOINT_OF_BONE[b])] for b in (bone, end))
            turns[BONES.index(bone)] = shortest_turn(stop - start, np.array(direction))
        return turns

    @cached_property
    def owner(self) -> NDArray[np.uint8]:
        """The joint (V,) that moves each vertex most."""
        return self.skin_joints[np.arange(len(self.vertices)), self.skin_weights.argmax(axis=1)]

    @cached_property
    def on_head(self) -> NDArray[np.bool_]:
        """Vertices (V,) that the head, the eyes or what else hangs on the head moves most."""
        below = {self.joint("Head")}
        for index, parent in enumerate(self.parents.tolist()):
            if parent in below:
                below.add(index)
        return np.isin(self.owner, sorted(below))

    @cached_property
    def leg_length(self) -> float:
        """Hip to ankle along the left leg, metres."""
        joints = [self.rest[self.joint(name)] for name in ("LeftUpLeg", "LeftLeg", "LeftFoot")]
        return float(np.linalg.norm(np.diff(joints, axis=0), axis=1).sum())

    @cached_property
    def keypoint_anchors(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """HALPE-26 keypoints as points of the rest pose (26, 3) and the joint (26,) they follow."""
        anchors = _head_anchors(self) | _joint_anchors(self)
        for side in ("left", "right"):
            anchors |= _foot_anchors(self, side)
        ordered = [anchors[name] for name in HALPE26.keypoints]
        return (
            np.array([self.joint(joint) for joint, _ in ordered]),
            np.array([point for _, point in ordered]),
        )


def load_avatar(path: Path) -> Avatar:
    """Read an avatar from its npz file.

    Raises:
        FormatError: The file is no avatar or lacks an array.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise FormatError(f"Expected an avatar npz file, {path.name} is unreadable.") from error
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise FormatError(f"The avatar {path.name} lacks {', '.join(missing)}; convert it again.")
    joints = tuple(str(name) for name in arrays["names"])
    weights = arrays["w"].astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    bare = np.array([bool(_BARE_SKIN.search(joint)) for joint in joints])
    return Avatar(
        name=path.stem,
        identity=identity_of(path.stem),
        vertices=(arrays["v"] / 16000.0).astype(np.float32),
        normals=(arrays["n"] / 127.0).astype(np.float32),
        uv=(arrays["uv"] / 65535.0).astype(np.float32),
        skin_joints=arrays["j"],
        skin_weights=weights,
        cloth=1.0 - (weights * bare[arrays["j"]]).sum(axis=1, dtype=np.float32),
        faces=arrays["f"].astype(np.uint32),
        texture=arrays["tex"].tobytes(),
        hair_faces=arrays.get("f2", np.zeros((0, 3))).astype(np.uint32),
        hair_texture=arrays["tex2"].tobytes() if "tex2" in arrays else b"",
        joints=joints,
        parents=arrays["parent"].astype(np.int64),
        rest=_rest_positions(arrays["local"].astype(np.float64), arrays["parent"]),
        head_landmarks=arrays["lm"].astype(np.float64),
    )


def required_joints() -> tuple[str, ...]:
    """Joints that every avatar has, by their names in the file."""
    toes = ("LeftToeBase", "RightToeBase")
    return (*dict.fromkeys(JOINT_OF_BONE.values()), *toes)


def identity_of(name: str) -> str:
    """The identity in an avatar's name: everything before the outfit, the last word."""
    return name.rpartition("_")[0] or name


def pose_avatar(avatar: Avatar, poses: BodyPoses) -> NDArray[np.float64]:
    """Retarget poses to an avatar.

    Returns:
        (T, J, 4, 4) rigid transforms that carry the rest pose to every pose; metres, world.
    """
    turn = (poses.rotations @ avatar.to_t_pose)[:, avatar.driver]  # (T, J, 3, 3)
    hips = [avatar.rest[avatar.joint(name)] for name in ("LeftUpLeg", "RightUpLeg")]
    pelvis = avatar.rest[0] - np.mean(hips, axis=0)
    position = np.zeros((len(turn), len(avatar.joints), 3))
    position[:, 0] = poses.root * (avatar.leg_length / LEG_LENGTH_M) + turn[:, 0] @ pelvis
    offset = avatar.rest - avatar.rest[avatar.parents]
    step = np.einsum("tjab,jb->tja", turn[:, avatar.parents], offset)
    for joint in range(1, len(avatar.joints)):
        position[:, joint] = position[:, avatar.parents[joint]] + step[:, joint]
    skin = np.zeros((*turn.shape[:2], 4, 4))
    skin[..., :3, :3] = turn
    skin[..., :3, 3] = position - np.einsum("tjab,jb->tja", turn, avatar.rest)
    skin[..., 3, 3] = 1.0
    return skin


def keypoints_3d(avatar: Avatar, skin: NDArray[np.floating]) -> NDArray[np.float64]:
    """World positions (T, 26, 3) of the HALPE-26 keypoints of a posed avatar (T, J, 4, 4)."""
    joints, points = avatar.keypoint_anchors
    transforms = skin[:, joints]
    return np.einsum("tkab,kb->tka", transforms[..., :3, :3], points) + transforms[..., :3, 3]


def posed_vertices(
    avatar: Avatar, skin: NDArray[np.floating], *, stride: int = 1
) -> NDArray[np.float64]:
    """World positions (T, M, 3) of every ``stride``-th vertex; of small meshes, of more."""
    stride = min(stride, max(1, len(avatar.vertices) // _LEAST_VERTICES))
    joints, weights = avatar.skin_joints[::stride], avatar.skin_weights[::stride]
    rest = np.concatenate([avatar.vertices, np.ones_like(avatar.vertices[:, :1])], axis=1)[::stride]
    # One product per joint for all its vertices would need a ragged layout; blending first is fine.
    blended = np.einsum("vi,tviab->tvab", weights, skin[:, joints, :3], optimize=True)
    return np.einsum("tvab,vb->tva", blended, rest)


def _rest_positions(
    local: NDArray[np.float64], parents: NDArray[np.integer]
) -> NDArray[np.float64]:
    world = np.empty_like(local)
    for index, parent in enumerate(parents):
        world[index] = local[index] if parent < 0 else world[parent] @ local[index]
    return world[:, :3, 3].copy()


def shortest_turn(start: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) that carries the direction ``start`` to ``goal`` and no further."""
    a, b = start / np.linalg.norm(start), goal / np.linalg.norm(goal)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:  # along each other, or opposite: then any axis across will do
        axis = np.cross(a, np.eye(3)[np.abs(a).argmin()])
    angle = np.arctan2(sine, a @ b)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()


_Anchors = dict[str, tuple[str, NDArray[np.float64]]]


def _head_anchors(avatar: Avatar) -> _Anchors:
    points = zip(_HEAD_LANDMARKS, avatar.head_landmarks, strict=False)
    return {name: ("Head", point) for name, point in points}


def _joint_anchors(avatar: Avatar) -> _Anchors:
    def rest(name: str) -> NDArray[np.float64]:
        return avatar.rest[avatar.joint(name)]

    anchors: _Anchors = {}
    for side in ("left", "right"):
        for part, joint in _JOINT_OF_KEYPOINT.items():
            name = side.capitalize() + joint
            anchors[f"{side}_{part}"] = (name, rest(name))
    shoulders = (rest("LeftArm") + rest("RightArm")) / 2
    # HALPE and LSP put the neck at its base, between the mid-shoulder and the neck joint.
    anchors["neck"] = ("Spine2", (shoulders + rest("Neck")) / 2)
    anchors["hip"] = ("Hips", (rest("LeftUpLeg") + rest("RightUpLeg")) / 2)
    return anchors


def _foot_anchors(avatar: Avatar, side: str) -> _Anchors:
    """Heel and toes as vertices of the foot's mesh, found along the foot's own axis."""
    prefix = side.capitalize()
    foot, toe = (avatar.joint(prefix + name) for name in ("Foot", "ToeBase"))
    family = [foot, toe] + [i for i, parent in enumerate(avatar.parents) if parent == toe]
    mesh = avatar.vertices[np.isin(avatar.owner, family)].astype(np.float64)
    forward = avatar.rest[toe] - avatar.rest[foot]
    forward[1] = 0.0
    forward /= np.linalg.norm(forward)
    lateral = np.array([forward[2], 0.0, -forward[0]]) * (1 if side == "left" else -1)
    along, across = mesh @ forward, mesh @ lateral
    fraction = (along - along.min()) / np.ptp(along)
    heel = np.argmin(along + mesh[:, 1])  # rearmost and lowest
    front = np.flatnonzero(fraction > 0.6)
    tip = np.flatnonzero(fraction > 0.85)
    big, small = tip[np.argmin(across[tip])], front[np.argmax(across[front])]
    return {
        f"{side}_heel": (prefix + "Foot", mesh[heel]),
        f"{side}_big_toe": (prefix + "ToeBase", mesh[big]),
        f"{side}_small_toe": (prefix + "ToeBase", mesh[small]),
    }
