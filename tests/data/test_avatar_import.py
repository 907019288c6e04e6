"""A published person becomes an avatar: same places, same weights, whatever the file's packing."""

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("meshoptimizer")

from diffpose.cli import app
from diffpose.data.synthetic.avatar_import import import_avatar
from diffpose.data.synthetic.body import load_avatar
from diffpose.data.synthetic.gltf import Gltf
from diffpose.data.synthetic.meshopt import decompress, simplify
from diffpose.errors import FormatError
from tests.data.glb_people import CORNERS, skeleton, write_glb

STEP_M = 1 / 16000


def imported(tmp_path, **how):
    return load_avatar(import_avatar(write_glb(tmp_path / "Box_F_1_Casual.glb", **how), tmp_path))


def boxes(avatar):
    """Joint to the middle of its box of the body."""
    body = np.unique(avatar.faces)
    owner = avatar.skin_joints[body, 0]
    return {
        name: avatar.vertices[body][owner == j].mean(axis=0) for j, name in enumerate(avatar.joints)
    }


@pytest.mark.parametrize("how", [{}, {"compress": True}, {"prefix": "mixamorig:"}])
def test_joints_and_vertices_are_where_the_file_has_them(tmp_path, how):
    avatar = imported(tmp_path, **how)

    tree = skeleton()
    assert set(avatar.joints) == set(tree)
    for name, (parent, place) in tree.items():
        joint = avatar.joint(name)
        np.testing.assert_allclose(avatar.rest[joint], place, atol=1e-6)
        np.testing.assert_allclose(boxes(avatar)[name], place, atol=STEP_M)
        if parent:
            assert avatar.joints[avatar.parents[joint]] == parent
    assert len(avatar.vertices) == 8 * (len(tree) + 1)
    np.testing.assert_array_equal(avatar.skin_weights[:, 0], 1)
    np.testing.assert_allclose(avatar.normals, np.tile([0, 1, 0], (len(avatar.normals), 1)))
    np.testing.assert_allclose(avatar.uv, 16384 / 65535, atol=1e-5)
    assert len(avatar.hair_faces) == len(CORNERS) * 12 // 8


def test_the_mesh_follows_the_joints_from_the_pose_it_was_bound_in(tmp_path):
    """Bound in the T-pose, left arm raised by 90 degrees about the shoulder at (0.2, 1.45, 0)."""
    avatar = imported(tmp_path, raised=True)

    hand = (0.2, 1.45 + 0.5, 0.0)
    np.testing.assert_allclose(avatar.rest[avatar.joint("LeftHand")], hand, atol=1e-6)
    np.testing.assert_allclose(boxes(avatar)["LeftHand"], hand, atol=STEP_M)
    np.testing.assert_allclose(boxes(avatar)["RightHand"], (-0.7, 1.45, 0), atol=STEP_M)


def test_compression_changes_nothing(tmp_path):
    plain, packed = imported(tmp_path), imported(tmp_path, compress=True)

    for name in ("vertices", "normals", "uv", "skin_joints", "skin_weights", "rest"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(packed, name), err_msg=name)
    # The index codec may begin a triangle at another corner.
    first, second = (np.sort(np.sort(a.faces, axis=1), axis=0) for a in (plain, packed))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_stream_of_bytes_comes_back(stride):
    import meshoptimizer

    rows = np.random.default_rng(0).integers(0, 256, (50, stride), dtype=np.uint8)
    stream = meshoptimizer.encode_vertex_buffer(rows)

    found = decompress(stream, mode="ATTRIBUTES", filtered="NONE", count=50, stride=stride)

    np.testing.assert_array_equal(found.reshape(50, stride), rows)


@pytest.mark.parametrize("mode", ["ATTRIBUTES", "TRIANGLES", "INDICES", "OTHER"])
def test_a_damaged_stream_is_named(mode):
    with pytest.raises(FormatError, match="damaged"):
        decompress(b"\x01\x02\x03" * 9, mode=mode, filtered="NONE", count=12, stride=4)


def test_a_flat_grid_needs_two_triangles():
    x, y = (a.ravel() for a in np.meshgrid(np.arange(9.0), np.arange(9.0)))
    at = np.arange(81).reshape(9, 9)
    a, b, c, d = (v.ravel() for v in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    vertices = np.stack([x, y, 0 * x], 1)

    kept = simplify(
        faces, vertices=vertices, normals=np.tile([0.0, 0, 1], (81, 1)),
        uv=np.stack([x, y], 1) / 8, target=2,
    )  # fmt: skip

    assert len(kept) == 2
    sides = vertices[kept[:, 1:]] - vertices[kept[:, :1]]
    assert np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2 == 64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"asset": {"version": "1.0"}}, "glTF 2.0"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "KHR_draco"),
        ({"buffers": [{"uri": "elsewhere.bin", "byteLength": 9}]}, "elsewhere.bin"),
        ({"accessors": []}, "damaged"),
        ({"nodes": [{"name": "Armature"}]}, "Hips"),
        ({"nodes": [{"name": "Hips"}], "skins": [{"joints": [0]}]}, "lacks the joints"),
    ],
)
def test_what_is_no_rigged_person_is_named(tmp_path, changes, words):
    path = write_glb(tmp_path / "wrong.glb", changes=changes)

    with pytest.raises(FormatError, match=words):
        import_avatar(path, tmp_path)


def test_a_file_outside_the_folder_is_not_read(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"x" * 99)
    buffers = [{"uri": "../secret.bin", "byteLength": 99}]

    with pytest.raises(FormatError, match="next to"):
        Gltf(write_glb(inner / "a.glb", changes={"buffers": buffers})).array(0)


def test_import_avatar_on_the_command_line(tmp_path):
    path = write_glb(tmp_path / "a.glb", compress=True)

    result = CliRunner().invoke(
        app, ["data", "import-avatar", str(path), "-o", str(tmp_path), "--name", "Box_M_2_Busi"]
    )
    wrong = CliRunner().invoke(app, ["data", "import-avatar", __file__, "-o", str(tmp_path)])

    assert result.exit_code == 0, result.output
    assert load_avatar(tmp_path / "Box_M_2_Busi.npz").identity == "Box_M_2"
    assert wrong.exit_code == 2
    assert "Expected a glTF file" in wrong.output
