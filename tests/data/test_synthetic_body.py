from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.body import (
    Avatar,
    identity_of,
    keypoints_3d,
    load_avatar,
    pose_avatar,
    posed_vertices,
)
from diffpose.data.synthetic.bones import BONES
from diffpose.data.synthetic.motion import BodyPoses, mirror_poses
from diffpose.errors import FormatError
from diffpose.skeleton import HALPE26
from tests.data.box_people import HIP_CENTRE, ROOT_AT_REST, joints, write_avatar


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return load_avatar(write_avatar(tmp_path_factory.mktemp("people") / "Box1_F_1_Casual.npz"))


def t_pose() -> BodyPoses:
    return BodyPoses(np.tile(np.eye(3), (1, len(BONES), 1, 1)), ROOT_AT_REST[None])


def random_poses(seed: int) -> BodyPoses:
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_quat(rng.normal(size=(len(BONES), 4))).as_matrix()[None]
    return BodyPoses(rotations, rng.normal(size=(1, 3)))


def keypoint(points: np.ndarray, name: str) -> np.ndarray:
    return points[0, HALPE26.index(name)]


def test_the_t_pose_is_the_rest_pose(avatar):
    skin = pose_avatar(avatar, t_pose())

    np.testing.assert_allclose(skin[0], np.tile(np.eye(4), (len(avatar.joints), 1, 1)), atol=1e-7)


def test_keypoints_lie_at_their_joints(avatar):
    points = keypoints_3d(avatar, pose_avatar(avatar, t_pose()))

    place = {name: position for name, (_, position) in joints().items()}
    np.testing.assert_allclose(keypoint(points, "left_elbow"), place["LeftForeArm"], atol=1e-6)
    np.testing.assert_allclose(keypoint(points, "right_knee"), place["RightLeg"], atol=1e-6)
    np.testing.assert_allclose(keypoint(points, "hip"), HIP_CENTRE, atol=1e-6)
    np.testing.assert_allclose(keypoint(points, "neck"), [0, 1.475, 0], atol=1e-6)
    np.testing.assert_allclose(keypoint(points, "head"), [0, 1.8, 0.02], atol=1e-6)


def test_feet_have_heels_behind_and_big_toes_inside(avatar):
    points = keypoints_3d(avatar, pose_avatar(avatar, t_pose()))

    for side, sign in (("left", 1), ("right", -1)):
        heel, big, small = (
            keypoint(points, f"{side}_{part}") * [sign, 1, 1]
            for part in ("heel", "big_toe", "small_toe")
        )
        assert heel[1:] == pytest.approx([0.0, -0.06], abs=1e-3)
        assert big[[0, 2]] == pytest.approx([0.05, 0.22], abs=1e-3)
        assert small[0] == pytest.approx(0.15, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_bones_keep_their_length_in_every_pose(avatar, seed):
    points = keypoints_3d(avatar, pose_avatar(avatar, random_poses(seed)))

    for side in ("left", "right"):
        upper = keypoint(points, f"{side}_shoulder") - keypoint(points, f"{side}_elbow")
        shin = keypoint(points, f"{side}_knee") - keypoint(points, f"{side}_ankle")
        assert np.linalg.norm(upper) == pytest.approx(0.25)
        assert np.linalg.norm(shin) == pytest.approx(0.42)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_mirrored_motion_exchanges_left_and_right_keypoints(avatar, seed):
    poses = random_poses(seed)

    points = keypoints_3d(avatar, pose_avatar(avatar, poses))
    mirrored = keypoints_3d(avatar, pose_avatar(avatar, mirror_poses(poses)))

    exchanged = mirrored[:, HALPE26.mirror]
    rigid = [i for i, name in enumerate(HALPE26.keypoints) if not name.endswith(("toe", "heel"))]
    np.testing.assert_allclose(exchanged[:, rigid], points[:, rigid] * [-1, 1, 1], atol=1e-4)


def test_a_limb_that_rests_bent_is_straightened(tmp_path):
    path = write_avatar(tmp_path / "Box1_M_1_Casual.npz")
    arrays = dict(np.load(path))
    elbow, wrist = (list(arrays["names"]).index(n) for n in ("LeftForeArm", "LeftHand"))
    arrays["local"][elbow, :3, 3] = [0.0, -0.25, 0.0]  # upper arm hangs down, forearm is level
    np.savez(path, **arrays)
    avatar = load_avatar(path)

    points = keypoints_3d(avatar, pose_avatar(avatar, t_pose()))

    assert arrays["local"][wrist, 0, 3] == pytest.approx(0.25)
    np.testing.assert_allclose(keypoint(points, "left_wrist"), [0.7, 1.45, 0.0], atol=1e-6)


def test_vertices_move_with_the_pelvis(avatar):
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    poses = BodyPoses(np.tile(turn, (1, len(BONES), 1, 1)), ROOT_AT_REST[None])

    vertices = posed_vertices(avatar, pose_avatar(avatar, poses))

    np.testing.assert_allclose(vertices[0], avatar.vertices @ turn.T, atol=1e-4)


def test_an_identity_keeps_its_name_in_every_outfit():
    assert identity_of("Asian_F_1_Casual") == identity_of("Asian_F_1_Util") == "Asian_F_1"


def test_a_file_that_is_no_avatar_is_refused(tmp_path: Path):
    path = tmp_path / "chair.npz"
    np.savez(path, v=np.zeros(3))

    with pytest.raises(FormatError, match=r"chair\.npz lacks n, uv"):
        load_avatar(path)
