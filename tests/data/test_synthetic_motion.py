import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.bones import BONES, MIRROR, PARENTS
from diffpose.data.synthetic.motion import (
    BodyPoses,
    Motion,
    bend_poses,
    load_motion,
    mirror_poses,
    mix_poses,
    random_bends,
    read_labels,
    sample_motion,
    turn_poses,
)
from diffpose.errors import FormatError
from tests.data.box_people import write_motion

LEFT_FOREARM, LEFT_HAND = BONES.index("left_forearm"), BONES.index("left_hand")


def random_motion(seed: int, *, num_frames: int = 5) -> Motion:
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(num_frames, len(BONES), 4))
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    root = rng.normal(size=(num_frames, 3))
    return Motion("random", "", quaternions, root)


def random_poses(seed: int) -> BodyPoses:
    return sample_motion(random_motion(seed), np.arange(5) / 30)


def assert_same(a: BodyPoses, b: BodyPoses) -> None:
    np.testing.assert_allclose(a.rotations, b.rotations, atol=1e-9)
    np.testing.assert_allclose(a.root, b.root, atol=1e-9)


def test_parents_come_before_their_children():
    assert all(parent < bone for bone, parent in enumerate(PARENTS))


def test_mirroring_bones_exchanges_sides_and_is_its_own_inverse():
    assert BONES[MIRROR[LEFT_HAND]] == "right_hand"
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(len(BONES)))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_mirroring_twice_changes_nothing(seed):
    poses = random_poses(seed)

    assert_same(mirror_poses(mirror_poses(poses)), poses)


def test_sampling_at_recorded_times_gives_the_recorded_poses():
    motion = random_motion(3)

    poses = sample_motion(motion, np.arange(5) / 30)

    recorded = Rotation.from_quat(motion.quaternions[2, :, [1, 2, 3, 0]].T).as_matrix()
    np.testing.assert_allclose(poses.rotations[2], recorded, atol=1e-9)
    np.testing.assert_allclose(poses.root, motion.root)


def test_between_two_frames_the_body_is_half_way():
    motion = random_motion(4)

    poses = sample_motion(motion, np.array([0.5 / 30]))

    np.testing.assert_allclose(poses.root[0], motion.root[:2].mean(axis=0))


def test_before_and_after_the_clip_the_body_holds_still():
    motion = random_motion(5)

    early_and_late = sample_motion(motion, np.array([-1.0, 9.0]))

    np.testing.assert_allclose(early_and_late.root, motion.root[[0, -1]])


def test_no_bend_changes_nothing():
    poses = random_poses(6)

    assert_same(bend_poses(poses, np.tile(np.eye(3), (len(BONES), 1, 1))), poses)


def test_a_bent_elbow_moves_forearm_and_hand_only():
    poses = random_poses(7)
    bends = np.tile(np.eye(3), (len(BONES), 1, 1))
    bends[LEFT_FOREARM] = Rotation.from_euler("y", -60, degrees=True).as_matrix()

    bent = bend_poses(poses, bends)

    moved = np.abs(bent.rotations - poses.rotations).max(axis=(0, 2, 3)) > 1e-6
    assert set(np.flatnonzero(moved)) == {LEFT_FOREARM, LEFT_HAND}


def test_random_elbows_and_knees_bend_one_way_only():
    for seed in range(20):
        bends = random_bends(np.random.default_rng(seed), arm_rad=0.3, leg_rad=0.3, trunk_rad=0.1)
        vectors = dict(zip(BONES, Rotation.from_matrix(bends).as_rotvec(), strict=True))

        assert vectors["left_shin"][0] >= 0
        assert vectors["right_shin"][0] >= 0
        assert vectors["left_forearm"][1] <= 0 <= vectors["right_forearm"][1]


def test_arms_mixed_with_their_own_clip_stay():
    poses = random_poses(8)

    assert_same(mix_poses(poses, poses), poses)


def test_mixing_arms_leaves_trunk_and_legs():
    poses, others = random_poses(9), random_poses(10)

    mixed = mix_poses(poses, others)

    changed = np.abs(mixed.rotations - poses.rotations).max(axis=(0, 2, 3)) > 1e-6
    assert {BONES[i] for i in np.flatnonzero(changed)} == {
        name for name in BONES if name.endswith(("clavicle", "arm", "hand"))
    }


def test_turning_there_and_back_changes_nothing():
    poses = random_poses(11)
    turn = Rotation.from_euler("xyz", [20, 50, -70], degrees=True).as_matrix()

    assert_same(turn_poses(turn_poses(poses, turn), turn.T), poses)


def test_neighbouring_frames_lie_on_one_half_of_the_sphere(tmp_path):
    quaternions = np.zeros((2, len(BONES), 4))
    quaternions[0, :, 0], quaternions[1, :, 0] = 1, -1  # the same rotation twice
    np.savez(tmp_path / "flip.npz", q=quaternions, root=np.zeros((2, 3)))

    motion = load_motion(tmp_path / "flip.npz")

    half_way = sample_motion(motion, np.array([0.5 / 30]))
    np.testing.assert_allclose(half_way.rotations[0, 0], np.eye(3), atol=1e-12)


def test_labels_come_from_the_index(tmp_path):
    folder = write_motion(tmp_path / "mocap", {"a": "walk", "b": "jump"})

    assert read_labels(folder) == {"a": "walk", "b": "jump"}


def test_a_folder_without_index_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"index\.json"):
        read_labels(tmp_path)


def test_a_clip_of_another_skeleton_is_refused(tmp_path):
    np.savez(tmp_path / "dog.npz", q=np.ones((2, 30, 4)), root=np.zeros((2, 3)))

    with pytest.raises(FormatError, match=r"dog\.npz, got \(2, 30, 4\)"):
        load_motion(tmp_path / "dog.npz")
