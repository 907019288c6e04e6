"""People of boxes as glTF files: the same bodies as `box_people`, as programs publish them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import meshoptimizer
import numpy as np

from tests.data.box_people import joints

EYES = {"LeftEye": ("Head", (0.03, 1.69, 0.11)), "RightEye": ("Head", (-0.03, 1.69, 0.11))}
HALF = 0.05
CORNERS = HALF * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = np.array([[(a, b, c), (a, c, d)] for a, b, c, d in QUADS]).reshape(-1, 3)
TURN_UP = (0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4))  # x, y, z, w: 90 degrees about z


def skeleton():
    """Joint to parent and place, eyes included."""
    return joints() | {name: (parent, np.array(place)) for name, (parent, place) in EYES.items()}


class _File:
    """Collects buffer views and accessors."""

    def __init__(self, compress):
        self.compress, self.content = compress, b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, raw, **view):
        self.content += b"\0" * (-len(self.content) % 4)
        place = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(raw)}
        self.content += raw
        self.views.append(place | view)
        return len(self.views) - 1

    def array(self, values, kind, component, **more):
        values = np.ascontiguousarray(values)
        stride = values.itemsize * (values.shape[1] if values.ndim > 1 else 1)
        if not self.compress:
            view = self.add(values.tobytes())
        else:
            indices = kind == "SCALAR"
            encode = meshoptimizer.encode_index_buffer if indices else self._attributes
            packed = encode(values)
            view = self.add(packed)
            place = self.views[view]
            self.views[view] = {
                "buffer": 1, "byteOffset": 0, "byteLength": values.nbytes,
                "extensions": {"EXT_meshopt_compression": place | {
                    "mode": "TRIANGLES" if indices else "ATTRIBUTES", "byteStride": stride,
                    "count": len(values)}},
            }  # fmt: skip
        self.accessors.append(
            {"bufferView": view, "type": kind, "componentType": component, "count": len(values)}
            | more
        )
        return len(self.accessors) - 1

    @staticmethod
    def _attributes(values):
        return meshoptimizer.encode_vertex_buffer(values)


def write_glb(
    path: Path,
    *,
    compress: bool = False,
    raised: bool = False,
    prefix: str = "",
    changes: dict[str, Any] | None = None,
) -> Path:
    """A box of 10 cm at every joint, moved by that joint alone; red, one box of hair.

    The mesh is bound in the T-pose. With ``raised``, the nodes hold the left arm straight up.
    """  # fmt: skip
    tree, file = skeleton(), _File(compress)
    names = list(tree)
    nodes = [{"name": prefix + name} for name in names]
    for name, (parent, place) in tree.items():
        above = tree[parent][1] if parent else np.zeros(3)
        nodes[names.index(name)]["translation"] = (place - above).tolist()
        if parent:
            nodes[names.index(parent)].setdefault("children", []).append(names.index(name))
    if raised:
        nodes[names.index("LeftArm")]["rotation"] = list(TURN_UP)
    places = np.array([place for _, place in tree.values()])
    bind = np.tile(np.eye(4, dtype=np.float32), (len(names), 1, 1))
    bind[:, :3, 3] = -places
    skin = {
        "joints": list(range(len(names))),
        "inverseBindMatrices": file.array(bind.swapaxes(1, 2).reshape(-1, 16), "MAT4", 5126),
    }
    meshes: list[dict[str, Any]] = []
    for owners in (names, ["Head"]):
        rows = np.repeat([names.index(name) for name in owners], 8)
        members = np.zeros((len(rows), 4), np.uint8)
        members[:, 0] = rows
        vertices = (places[rows].reshape(-1, 8, 3) + CORNERS).reshape(-1, 3).astype(np.float32)
        normals = np.zeros((len(rows), 4), np.int8)
        normals[:, 1] = 127
        faces = np.concatenate([TRIANGLES + 8 * i for i in range(len(owners))]).astype(np.uint32)
        meshes.append({"primitives": [{
            "material": len(meshes),
            "indices": file.array(faces.reshape(-1), "SCALAR", 5125),
            "attributes": {
                "POSITION": file.array(vertices, "VEC3", 5126),
                "NORMAL": file.array(normals, "VEC4", 5120, normalized=True),
                "TEXCOORD_0": file.array(np.full((len(rows), 2), 16384, np.uint16), "VEC2", 5123,
                                         normalized=True),
                "JOINTS_0": file.array(members, "VEC4", 5121),
                "WEIGHTS_0": file.array((members * 0 + [255, 0, 0, 0]).astype(np.uint8), "VEC4",
                                        5121, normalized=True),
            }}]})  # fmt: skip
    picture = np.full((16, 16, 3), (40, 40, 200), np.uint8)
    png = file.add(cv2.imencode(".png", picture)[1].tobytes())
    nodes += [{"name": "Body", "mesh": 0, "skin": 0}, {"name": "wig", "mesh": 1, "skin": 0}]
    surface = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    gltf = {
        "asset": {"version": "2.0"}, "nodes": nodes, "skins": [skin], "meshes": meshes,
        "materials": [surface, surface], "textures": [{"source": 0}],
        "images": [{"bufferView": png, "mimeType": "image/png"}],
        "accessors": file.accessors, "bufferViews": file.views,
        "buffers": [{"byteLength": len(file.content)}],
    } | (changes or {})  # fmt: skip
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    content = file.content + b"\0" * (-len(file.content) % 4)
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(content))
        + struct.pack("<I4s", len(text), b"JSON") + text
        + struct.pack("<I4s", len(content), b"BIN\0") + content
    )  # fmt: skip
    return path
