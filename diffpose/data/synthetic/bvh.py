"""BVH files: a skeleton, and how it moved.

A frame's numbers are angles in degrees and positions in the file's own unit; a joint's rotations
are applied in the order of its channels, the first one outermost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.errors import FormatError

_AXES = ("X", "Y", "Z")


@dataclass(frozen=True, eq=False)
class BvhRecording:
    """What a BVH file says.

    Attributes:
        joints: J names; a parent comes before its children.
        parents: (J,) index of the parent joint, -1 for the root.
        offsets: (J, 3) of the joint from its parent while nothing is rotated, the file's unit.
        channels: Of each joint, words such as ``Xposition`` and ``Zrotation`` in file order.
        values: (T, C) f64, all channels of all joints in file order; angles in degrees.
        frame_time_s: Time from frame to frame.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    channels: tuple[tuple[str, ...], ...]
    values: NDArray[np.float64]
    frame_time_s: float

    @property
    def rest(self) -> NDArray[np.float64]:
        """Joint positions (J, 3) while nothing is rotated, the root at its own offset."""
        places = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] += places[parent]
        return places


def read_bvh(path: Path) -> BvhRecording:
    """Read a BVH file.

    Raises:
        FormatError: It is no BVH file, or its frames do not fit its skeleton.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FormatError(f"Expected a BVH file, {path.name} is unreadable.") from error
    skeleton, keyword, motion = text.partition("MOTION")
    if not keyword or "HIERARCHY" not in skeleton:
        raise FormatError(f"Expected a BVH file with HIERARCHY and MOTION, got {path.name}.")
    try:
        joints, parents, offsets, channels = _skeleton(skeleton.splitlines())
        frame_time_s, values = _frames(motion.splitlines())
    except (ValueError, IndexError) as error:
        raise FormatError(
            f"The BVH file {path.name} is damaged ({error}); export it again."
        ) from None
    wanted = sum(len(own) for own in channels)
    if values.shape[1] != wanted:
        raise FormatError(
            f"Expected {wanted} numbers a frame in {path.name}, as its skeleton has channels, "
            f"got {values.shape[1]}; export it again."
        )
    return BvhRecording(joints, parents, offsets, channels, values, frame_time_s)


def _skeleton(
    lines: list[str],
) -> tuple[tuple[str, ...], tuple[int, ...], NDArray[np.float64], tuple[tuple[str, ...], ...]]:
    """Names, parents, offsets and channels; the ends of limbs have no channels and are left out."""
    joints: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    open_blocks: list[int] = []
    number = -1  # of the joint whose block is about to open; -1: the end of a limb
    for line in lines:
        words = line.replace("{", " { ").replace("}", " } ").split()
        if words and words[0] in ("ROOT", "JOINT"):
            number = len(joints)
            joints.append(" ".join(words[1:]).removesuffix("{").strip())
            parents.append(open_blocks[-1] if open_blocks else -1)
            channels.append(())
        elif words[:2] == ["End", "Site"]:
            number = -1
        elif words and words[0] == "OFFSET" and open_blocks[-1] >= 0:
            offsets.append([float(word) for word in words[1:4]])
        elif words and words[0] == "CHANNELS":
            channels[open_blocks[-1]] = tuple(words[2 : 2 + int(words[1])])
        open_blocks += [number] * words.count("{")
        for _ in range(words.count("}")):
            open_blocks.pop()
    if open_blocks or not joints or len(offsets) != len(joints):
        raise ValueError("its braces or offsets do not match")
    return tuple(joints), tuple(parents), np.array(offsets).reshape(-1, 3), tuple(channels)


def _frames(lines: list[str]) -> tuple[float, NDArray[np.float64]]:
    """Frame time in seconds and the numbers of all frames."""
    filled = [line.strip() for line in lines if line.strip()]
    count = int(filled[0].partition(":")[2])
    frame_time_s = float(filled[1].partition(":")[2])
    rows = np.array([[float(word) for word in line.split()] for line in filled[2 : 2 + count]])
    if len(rows) != count or count < 1 or frame_time_s <= 0 or not np.isfinite(rows).all():
        raise ValueError(f"{count} frames of {frame_time_s} s announced, {len(rows)} found")
    return frame_time_s, rows


def world_poses(recording: BvhRecording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Global rotations (T, J, 3, 3) and positions (T, J, 3) of all joints at every frame."""
    count = len(recording.values)
    rotations = np.empty((count, len(recording.joints), 3, 3))
    positions = np.empty((count, len(recording.joints), 3))
    start = 0
    for joint, (parent, channels) in enumerate(
        zip(recording.parents, recording.channels, strict=True)
    ):
        values = recording.values[:, start : start + len(channels)]
        start += len(channels)
        turn = _turn(channels, values)
        place = _place(channels, values, recording.offsets[joint])
        if parent < 0:
            rotations[:, joint], positions[:, joint] = turn, place
        else:
            above = rotations[:, parent]
            rotations[:, joint] = above @ turn
            positions[:, joint] = positions[:, parent] + np.einsum("tab,tb->ta", above, place)
    return rotations, positions


def _turn(channels: tuple[str, ...], values: NDArray[np.float64]) -> NDArray[np.float64]:
    picked = [i for i, channel in enumerate(channels) if channel.endswith("rotation")]
    if not picked:
        return np.tile(np.eye(3), (len(values), 1, 1))
    order = "".join(channels[i][0] for i in picked)  # upper case: about the turned axes
    return Rotation.from_euler(order, values[:, picked], degrees=True).as_matrix()


def _place(
    channels: tuple[str, ...], values: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Place in the parent's frame: a position channel replaces the offset along its axis."""
    place = np.tile(offset, (len(values), 1))
    for i, channel in enumerate(channels):
        if channel.endswith("position"):
            place[:, _AXES.index(channel[0])] = values[:, i]
    return place
