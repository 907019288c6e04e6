"""From published avatars (glTF) to the avatar files that scenes are made of.

The person must be rigged with Mixamo's joint names (Hips, LeftArm, ...) and have eye joints, as
VALID's and Ready Player Me's avatars are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diffpose.data.synthetic.body import required_joints
from diffpose.data.synthetic.gltf import Gltf
from diffpose.data.synthetic.head import head_landmarks
from diffpose.data.synthetic.meshopt import simplify
from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_path

_ROOT = "Hips"
_UNSEEN = re.compile(r"teeth|tongue|gland|trans", re.IGNORECASE)
_HAIR = re.compile(r"wig|hair", re.IGNORECASE)
_UNIT_M = 1 / 16000
_REACH_M = 2.04
_BODY_TRIANGLES, _HAIR_TRIANGLES = 8000, 2200
_BODY_TEXTURE_PX, _HAIR_TEXTURE_PX = 640, 320
_QUALITY = 80


@dataclass(frozen=True, eq=False)
class _Skeleton:
    """Kept joints, parents first, and for every node of the file the kept joint that moves it."""

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    world: NDArray[np.float64]
    joint_of_node: dict[int, int]

    @property
    def local(self) -> NDArray[np.float64]:
        """Rest matrices (J, 4, 4) in the parent's frame."""
        above = np.where(self.parents[:, None, None] >= 0, self.world[self.parents], np.eye(4))
        return np.linalg.inv(above) @ self.world


@dataclass(frozen=True, eq=False)
class _Mesh:
    """Vertices in the rest pose, metres, and what moves them."""

    vertices: NDArray[np.float64]
    normals: NDArray[np.float64]
    uv: NDArray[np.float64]
    joints: NDArray[np.int64]
    weights: NDArray[np.float64]
    faces: NDArray[np.int64]


def import_avatar(
    path: Path, folder: Path, *, name: str = "", triangles: int = _BODY_TRIANGLES
) -> Path:
    """Convert a .glb or .gltf file to ``folder/NAME.npz``.

    Args:
        path: The glTF file.
        folder: Where avatars lie, made if missing.
        name: GROUP_SEX_NUMBER_OUTFIT: splits are made by what is before the outfit, and evened
            by F or M; the file's name without suffix if empty.
        triangles: Of the body; more are merged.

    Raises:
        FormatError: The file is damaged, or no person that is rigged as expected.
        SettingsError: It needs the package meshoptimizer, which is not installed.
    """
    arrays: dict[str, Any] = avatar_arrays(Gltf(path), triangles=triangles)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name or path.stem}.npz"
    with atomic_path(target) as temporary:
        np.savez_compressed(temporary, **arrays)
    return target


def avatar_arrays(gltf: Gltf, *, triangles: int = _BODY_TRIANGLES) -> dict[str, NDArray[Any]]:
    """The arrays of an avatar file, as `body.load_avatar` reads them.

    Raises:
        FormatError: As `import_avatar`.
    """
    skeleton = _skeleton(gltf)
    body, hair = _parts(gltf)
    published = [
        _joined([_rest_mesh(gltf, skeleton, *drawn) for drawn in part]) for part in (body, hair)
    ]
    faces, meshes, start = [], [], 0
    for mesh, limit in zip(published, (triangles, _HAIR_TRIANGLES), strict=True):
        kept = simplify(
            mesh.faces, vertices=mesh.vertices, normals=mesh.normals, uv=mesh.uv, target=limit
        )
        used, local = np.unique(kept, return_inverse=True)
        faces.append(local.reshape(-1, 3) + start)
        meshes.append(_picked(mesh, used))
        start += len(used)
    whole = _joined(meshes)
    if not len(whole.vertices) or np.abs(whole.vertices).max() > _REACH_M:
        raise FormatError(
            f"Expected a person of at most {_REACH_M} m from the origin in {gltf.path.name}; "
            "scale it to metres and stand it on the origin."
        )
    index = np.uint16 if start <= 65536 else np.uint32
    world = {name: m[:3, 3] for name, m in zip(skeleton.names, skeleton.world, strict=True)}
    return {
        "v": np.rint(whole.vertices / _UNIT_M).astype(np.int16),
        "n": np.rint(whole.normals * 127).astype(np.int8),
        "uv": np.rint(whole.uv.clip(0, 1) * 65535).astype(np.uint16),
        "j": whole.joints.astype(np.uint8),
        "w": _bytes_of_weights(whole.weights),
        "f": faces[0].astype(index),
        "f2": faces[1].astype(index),
        "tex": _texture(gltf, body, limit=_BODY_TEXTURE_PX),
        "tex2": _texture(gltf, hair, limit=_HAIR_TEXTURE_PX),
        "names": np.array(skeleton.names),
        "parent": skeleton.parents.astype(np.int16),
        "local": skeleton.local.astype(np.float32),
        "lm": head_landmarks(_joined(published).vertices, world).astype(np.float32),
    }


_Drawn = tuple[dict[str, Any], dict[str, Any]]
"""A node with a skin, and one primitive of its mesh."""


def _parts(gltf: Gltf) -> tuple[list[_Drawn], list[_Drawn]]:
    """What is drawn of the body and of the hair; what nobody sees is left out."""
    body: list[_Drawn] = []
    hair: list[_Drawn] = []
    for node in gltf.tree["nodes"]:
        if "mesh" not in node or "skin" not in node or _UNSEEN.search(node.get("name", "")):
            continue
        for primitive in gltf.tree["meshes"][node["mesh"]]["primitives"]:
            named = node.get("name", "") + " " + _material(gltf, primitive).get("name", "")
            (hair if _HAIR.search(named) else body).append((node, primitive))
    if not body:
        raise FormatError(
            f"Expected a skinned mesh in {gltf.path.name}, found none; export it with its skin."
        )
    return body, hair


def _material(gltf: Gltf, primitive: dict[str, Any]) -> dict[str, Any]:
    materials = gltf.tree.get("materials", [])
    return materials[primitive["material"]] if "material" in primitive else {}


def _skeleton(gltf: Gltf) -> _Skeleton:
    """Everything from the hips on but the ends that programs append to the last bones."""
    nodes = gltf.tree["nodes"]
    names = [node.get("name", "").rpartition(":")[2] for node in nodes]  # mixamorig:Hips
    if _ROOT not in names:
        raise FormatError(f"Expected a joint {_ROOT} in {gltf.path.name}; name joints as Mixamo.")
    lines = {i: _line_from(i, gltf.parents) for i in range(len(nodes))}
    root = names.index(_ROOT)
    moving = {joint for skin in gltf.tree.get("skins", []) for joint in skin["joints"]}
    needed = {i for joint in moving for i in lines[joint] if root in lines[i]}
    kept = sorted(
        (i for i in needed if not names[i].endswith("_end")), key=lambda i: (len(lines[i]), i)
    )
    number = {node: joint for joint, node in enumerate(kept)}
    owner = {i: next((number[n] for n in lines[i] if n in number), 0) for i in range(len(nodes))}
    missing = sorted({*required_joints(), "LeftEye", "RightEye"} - {names[i] for i in kept})
    if missing:
        raise FormatError(
            f"{gltf.path.name} lacks the joints {', '.join(missing)}; name joints as Mixamo."
        )
    parents = [-1 if i == root else owner[gltf.parents[i]] for i in kept]
    return _Skeleton(
        names=tuple(names[i] for i in kept),
        parents=np.array(parents, dtype=np.int64),
        world=_node_worlds(gltf, kept),
        joint_of_node=owner,
    )


def _line_from(node: int, parents: dict[int, int]) -> list[int]:
    """A node, its parent, and so on to the top."""
    line = [node]
    while line[-1] in parents and len(line) <= len(parents):
        line.append(parents[line[-1]])
    return line


def _node_worlds(gltf: Gltf, chosen: list[int]) -> NDArray[np.float64]:
    """World matrices (N, 4, 4) of nodes in the file's rest pose."""
    matrices = [_matrix(node) for node in gltf.tree["nodes"]]
    worlds = np.tile(np.eye(4), (len(chosen), 1, 1))
    for row, node in enumerate(chosen):
        for above in _line_from(node, gltf.parents):
            worlds[row] = matrices[above] @ worlds[row]
    return worlds


def _matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    """A node's own matrix (4, 4); glTF lists matrices by columns and quaternions as x, y, z, w."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    turn = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
    matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)))
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _rest_mesh(
    gltf: Gltf, skeleton: _Skeleton, node: dict[str, Any], primitive: dict[str, Any]
) -> _Mesh:
    """One primitive, carried from the pose it was bound in to the skeleton's rest pose."""
    if primitive.get("mode", 4) != 4 or "indices" not in primitive:
        raise FormatError(f"Expected indexed triangles in {gltf.path.name}; export it again.")
    attributes = primitive["attributes"]
    missing = [n for n in ("POSITION", "NORMAL", "JOINTS_0", "WEIGHTS_0") if n not in attributes]
    if missing:
        raise FormatError(
            f"A mesh of {gltf.path.name} lacks {', '.join(missing)}; export it with them."
        )
    skin = gltf.tree["skins"][node["skin"]]
    owners = np.array([skeleton.joint_of_node[joint] for joint in skin["joints"]])
    inverse_bind = gltf.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    to_rest = _node_worlds(gltf, skin["joints"]) @ inverse_bind.astype(np.float64)
    members = gltf.array(attributes["JOINTS_0"]).astype(np.int64)
    weights = gltf.array(attributes["WEIGHTS_0"]).astype(np.float64)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    blended = np.einsum("vk,vkab->vab", weights, to_rest[members])
    vertices = np.einsum(
        "vab,vb->va", blended[:, :3, :3], gltf.array(attributes["POSITION"])[:, :3]
    )
    normals = np.einsum("vab,vb->va", blended[:, :3, :3], gltf.array(attributes["NORMAL"])[:, :3])
    return _Mesh(
        vertices=vertices + blended[:, :3, 3],
        normals=normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12),
        uv=_texture_coordinates(gltf, primitive, len(vertices)),
        joints=owners[members],
        weights=weights,
        faces=gltf.array(primitive["indices"]).reshape(-1, 3).astype(np.int64),
    )


def _texture_coordinates(gltf: Gltf, primitive: dict[str, Any], count: int) -> NDArray[np.float64]:
    if "TEXCOORD_0" not in primitive["attributes"]:
        return np.full((count, 2), 0.5)
    uv = gltf.array(primitive["attributes"]["TEXCOORD_0"]).astype(np.float64)
    texture = _material(gltf, primitive).get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    moved = texture.get("extensions", {}).get("KHR_texture_transform", {})
    return uv * np.array(moved.get("scale", (1, 1))) + np.array(moved.get("offset", (0, 0)))


def _joined(meshes: list[_Mesh]) -> _Mesh:
    if not meshes:
        none = np.zeros((0, 3))
        whole = np.zeros((0, 4))
        return _Mesh(none, none, none[:, :2], whole.astype(int), whole, none.astype(int))
    starts = np.cumsum([0, *[len(mesh.vertices) for mesh in meshes]])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return _Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.joints for mesh in meshes]),
        np.concatenate([mesh.weights for mesh in meshes]),
        np.concatenate(faces),
    )


def _picked(mesh: _Mesh, rows: NDArray[np.integer]) -> _Mesh:
    """Some of the vertices, without faces."""
    return _Mesh(
        mesh.vertices[rows], mesh.normals[rows], mesh.uv[rows], mesh.joints[rows],
        mesh.weights[rows], np.zeros((0, 3), dtype=np.int64),
    )  # fmt: skip


def _bytes_of_weights(weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Weights times 255; the largest of each row takes up what rounding leaves over."""
    rounded = np.rint(weights * 255).astype(np.int64)
    rows = np.arange(len(rounded))
    rounded[rows, rounded.argmax(axis=1)] += 255 - rounded.sum(axis=1)
    return rounded.astype(np.uint8)


def _texture(gltf: Gltf, part: list[_Drawn], *, limit: int) -> NDArray[np.uint8]:
    """The part's base colour: JPEG, or WebP where it has holes; nothing for no part."""
    surfaces = [_material(gltf, p).get("pbrMetallicRoughness", {}) for _, p in part]
    textures = sorted({s["baseColorTexture"]["index"] for s in surfaces if "baseColorTexture" in s})
    if len(textures) > 1:
        raise FormatError(
            f"Expected one texture for the body and one for the hair in {gltf.path.name}, got "
            f"{len(textures)} for one of them; bake them into an atlas."
        )
    if not part:
        return np.zeros(0, dtype=np.uint8)
    if not textures:
        colour = np.array(surfaces[0].get("baseColorFactor", (1, 1, 1, 1))[:3]) ** (1 / 2.2)
        picture: Any = np.full((8, 8, 3), np.rint(colour[::-1] * 255), dtype=np.uint8)
    else:
        content = np.frombuffer(gltf.picture(textures[0]), np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if picture is None or picture.dtype != np.uint8 or picture.ndim != 3:
            raise FormatError(f"A texture of {gltf.path.name} is unreadable; export it again.")
    scale = min(1.0, limit / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if limit == _HAIR_TEXTURE_PX and picture.shape[2] == 4:
        return cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].ravel()
    return cv2.imencode(".jpg", picture[..., :3], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].ravel()
