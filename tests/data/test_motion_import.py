"""BVH recordings with known rotations come out as those rotations, at 30 frames a second."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.data.synthetic.bones import BONES, LEG_LENGTH_M
from diffpose.data.synthetic.bvh import read_bvh, world_poses
from diffpose.data.synthetic.motion import load_motion, read_labels
from diffpose.data.synthetic.motion_import import import_motion, motion_of_bvh
from diffpose.errors import FormatError, SettingsError
from tests.data.box_people import LEG_LENGTH, joints

ARM = """HIERARCHY
ROOT Upper
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Lower {
    OFFSET 2 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 90 0
"""


def test_a_two_bone_arm_turns_as_its_angles_say(tmp_path):
    path = tmp_path / "arm.bvh"
    path.write_text(ARM)

    rotations, positions = world_poses(read_bvh(path))

    np.testing.assert_array_equal(rotations[0], np.tile(np.eye(3), (2, 1, 1)))
    np.testing.assert_array_equal(positions[0], [[0, 0, 0], [2, 0, 0]])
    np.testing.assert_allclose(positions[1], [[1, 2, 3], [1, 4, 3]], atol=1e-12)
    # A quarter turn about z and then, in the turned frame, about x: z goes to x.
    np.testing.assert_allclose(rotations[1, 1] @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def person(angles, *, names=str, scale=100.0, axes=(0, 1, 2), fps=30.0, root=None, rest=None):
    """The person of boxes as BVH text.

    Args:
        angles: Joint to (T, 3) degrees about z, y, x of the file.
        names: Joint names of the file.
        scale: Units a metre.
        axes: The axes of the file's coordinates.
        root: (T, 3) metres added to the hips.
        rest: Joint to its place, instead of the T-pose's.
    """
    tree = joints()
    places = {name: (rest or {}).get(name, place) for name, (_, place) in tree.items()}
    count = len(next(iter(angles.values())))
    root = np.zeros((count, 3)) if root is None else root
    lines, columns = ["HIERARCHY"], []

    def block(name, depth):
        parent = tree[name][0]
        offset = (places[name] - (places[parent] if parent else 0))[list(axes)] * scale
        words = "ROOT" if not parent else "JOINT"
        lines.extend([f"{words} {names(name)}", "{", "OFFSET " + " ".join(map(str, offset))])
        if not parent:
            columns.append((places[name] + root)[:, list(axes)] * scale)
        positions = "Xposition Yposition Zposition " if not parent else ""
        lines.append(f"CHANNELS {3 if parent else 6} {positions}Zrotation Yrotation Xrotation")
        columns.append(np.asarray(angles.get(name, np.zeros((count, 3))), float))
        children = [child for child, (above, _) in tree.items() if above == name]
        for child in children:
            block(child, depth + 1)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 0 1", "}"])
        lines.append("}")

    block("Hips", 0)
    rows = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {count}", f"Frame Time: {1 / fps}"]
    return "\n".join(lines + [" ".join(map(str, row)) for row in rows])


def converted(tmp_path, text, **how):
    path = tmp_path / "clip.bvh"
    path.write_text(text)
    return motion_of_bvh(read_bvh(path), name="clip", label="wave", **how)


def matrices(motion, bone):
    quaternions = motion.quaternions[:, BONES.index(bone)][:, [1, 2, 3, 0]]
    return Rotation.from_quat(quaternions).as_matrix()


def turned(axis, degrees):
    """Matrices of turns about one axis."""
    direction = np.eye(3)["XYZ".index(axis)]
    return Rotation.from_rotvec(np.radians(degrees)[..., None] * direction).as_matrix()


SWING = {
    "LeftArm": np.linspace(0, 60, 7)[:, None] * [1, 0, 0],
    "RightLeg": np.linspace(0, 40, 7)[:, None] * [0, 0, 1],
}
JOINTWISE = {"Arm": "Shoulder", "ForeArm": "Elbow", "Hand": "Wrist", "UpLeg": "Hip",
             "Leg": "Knee", "Foot": "Ankle", "Shoulder": "Collar"}  # fmt: skip


def jointwise(name):
    for side in ("Left", "Right"):
        if name.startswith(side):
            return side + JOINTWISE.get(name.removeprefix(side), name.removeprefix(side))
    return {"Spine": "Chest", "Spine2": "Chest2"}.get(name, name)


@pytest.mark.parametrize(
    "how", [{}, {"scale": 1.0}, {"names": lambda n: "mixamorig:" + n}, {"names": jointwise}]
)
def test_a_recording_in_the_t_pose_keeps_its_rotations(tmp_path, how):
    path = np.outer(np.arange(7) / 30, [1.0, 0, 0.5])

    motion = converted(tmp_path, person(SWING, root=path, **how))

    for bone in ("left_upper_arm", "left_forearm", "left_hand"):
        expected = turned("Z", SWING["LeftArm"][:, 0])
        np.testing.assert_allclose(matrices(motion, bone), expected, atol=1e-9)
    expected = turned("X", SWING["RightLeg"][:, 2])
    np.testing.assert_allclose(matrices(motion, "right_shin"), expected, atol=1e-9)
    np.testing.assert_allclose(matrices(motion, "right_thigh"), np.tile(np.eye(3), (7, 1, 1)))
    moved = motion.root - motion.root[0]
    np.testing.assert_allclose(moved, path * LEG_LENGTH_M / LEG_LENGTH, atol=1e-9)
    np.testing.assert_allclose(motion.root[0], [0, 0.08 + 0.85 * LEG_LENGTH_M / LEG_LENGTH, 0])


def test_a_z_up_recording_is_stood_upright(tmp_path):
    """y of the canonical frame is z of the file: turns about it are about the file's first word."""
    turning = {"Hips": np.stack([np.linspace(0, 90, 7), np.zeros(7), np.zeros(7)], axis=1)}

    motion = converted(tmp_path, person(turning, axes=(2, 0, 1)))

    expected = turned("Y", turning["Hips"][:, 0])
    np.testing.assert_allclose(matrices(motion, "pelvis"), expected, atol=1e-9)


def test_a_skeleton_with_hanging_arms_is_measured_against_the_t_pose(tmp_path):
    """Arms at rest hang down: in the rest pose they are turned by 90 degrees from the T-pose."""
    tree = joints()
    hanging = {}
    for side in ("Left", "Right"):
        shoulder = tree[side + "Arm"][1]
        for part in ("ForeArm", "Hand"):
            reach = np.abs(tree[side + part][1] - shoulder)[0]
            hanging[side + part] = shoulder - [0, reach, 0]

    motion = converted(tmp_path, person({"Hips": np.zeros((2, 3))}, rest=hanging))

    np.testing.assert_allclose(
        matrices(motion, "left_upper_arm") @ [1, 0, 0], np.tile([0, -1, 0], (2, 1)), atol=1e-9
    )
    np.testing.assert_allclose(matrices(motion, "chest"), np.tile(np.eye(3), (2, 1, 1)))


def test_a_t_pose_frame_is_the_measure_and_left_out(tmp_path):
    angles = {name: values + np.array([20.0, 0, 0]) for name, values in SWING.items()}

    motion = converted(tmp_path, person(angles), t_pose_frame=0)

    assert len(motion.root) == 6
    expected = turned("Z", SWING["LeftArm"][1:, 0])
    # The T-pose frame's own arm was 20 degrees too high; the straightening takes that back.
    found = matrices(motion, "left_upper_arm") @ [1, 0, 0]
    tilt = turned("Z", 20)
    np.testing.assert_allclose(found, expected @ tilt @ [1, 0, 0], atol=1e-9)
    with pytest.raises(SettingsError, match="from 0 to 5"):
        converted(tmp_path, person(angles), t_pose_frame=6)


@pytest.mark.parametrize("fps", [30.0, 60.0, 120.0, 24.0])
def test_the_clip_lasts_as_long_as_the_recording(tmp_path, fps):
    count = int(fps) + 1
    turning = {"Hips": np.stack([np.zeros(count), np.linspace(0, 30, count), np.zeros(count)], 1)}

    motion = converted(tmp_path, person(turning, fps=fps))

    assert motion.duration_s == pytest.approx(1.0)
    middle = turned("Y", 15)
    np.testing.assert_allclose(matrices(motion, "pelvis")[15], middle, atol=1e-4)


def test_an_imported_clip_joins_the_folder(tmp_path):
    path = tmp_path / "swing.bvh"
    path.write_text(person(SWING))
    folder = tmp_path / "mocap"
    command = [
        "data",
        "import-motion",
        str(path),
        "-o",
        str(folder),
        "--label",
        "wave",
        "--licence",
        "MIT",
    ]

    for _ in range(2):  # the second time replaces the first
        assert CliRunner().invoke(app, command).exit_code == 0
    import_motion(path, folder, label="kick", name="again")

    assert read_labels(folder) == {"again": "kick", "swing": "wave"}
    entry = json.loads((folder / "index.json").read_text())[1]
    assert entry == {"name": "swing", "frames": 7, "label": "wave", "source": "swing.bvh",
                     "licence": "MIT"}  # fmt: skip
    kept = load_motion(folder / "clips" / "swing.npz", label="wave")
    np.testing.assert_allclose(
        matrices(kept, "left_hand"), matrices(converted(tmp_path, person(SWING)), "left_hand"),
        atol=2e-3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "HIERARCHY"),
        (ARM, "no joint for pelvis"),
        (ARM.replace("Frames: 2", "Frames: 3"), "damaged"),
        (ARM.replace("Frames: 2", "Frames: many"), "damaged"),
        (ARM.replace("1 2 3 90", "1 2 nan 90"), "damaged"),
        (ARM.replace("0 0 0 0 0 0 0 0 0", "0 0 0 0").replace("3 90 0 0 0 90 0", "3 4"), "numbers"),
        (ARM.replace("  }\n}", "}"), "damaged"),
    ],
)
def test_what_is_no_person_s_recording_is_named(tmp_path, text, words):
    with pytest.raises(FormatError, match=words):
        converted(tmp_path, text)


def test_a_damaged_index_is_not_overwritten(tmp_path):
    path = tmp_path / "swing.bvh"
    path.write_text(person(SWING))
    (tmp_path / "index.json").write_text("[{")

    with pytest.raises(FormatError, match=r"index\.json"):
        import_motion(path, tmp_path, label="wave")

    assert (tmp_path / "index.json").read_text() == "[{"
