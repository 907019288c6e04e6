"""glTF 2.0 files (.glb, .gltf): their arrays and pictures, meshopt-compressed ones too."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.meshopt import decompress
from diffpose.errors import FormatError

_TYPES: dict[int, Any] = {
    5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32,
    5126: np.float32,
}  # fmt: skip
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MESHOPT = "EXT_meshopt_compression"
_WEBP = "EXT_texture_webp"
_UNDERSTOOD = (_MESHOPT, _WEBP, "KHR_mesh_quantization", "KHR_texture_transform", "KHR_materials_")


class Gltf:
    """One glTF file.

    Args:
        path: The file; buffers and pictures next to it are read when asked for.

    Raises:
        FormatError: It is no glTF 2.0 file, or requires an extension that is not understood.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FormatError(f"Expected a glTF file, {path.name} is unreadable.") from error
        try:
            text, self._chunk = _chunks(content)
            self.tree: dict[str, Any] = json.loads(text)
            version = str(self.tree["asset"]["version"])
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise FormatError(f"Expected a glTF file, {path.name} is none.") from error
        unknown = [
            name
            for name in self.tree.get("extensionsRequired", [])
            if not name.startswith(_UNDERSTOOD)
        ]
        if not version.startswith("2.") or unknown:
            raise FormatError(
                f"Expected glTF 2.0 without {', '.join(unknown) or 'other versions'} in "
                f"{path.name}; export it again, uncompressed or meshopt-compressed."
            )
        self._views: dict[int, NDArray[np.uint8]] = {}

    @cached_property
    def parents(self) -> dict[int, int]:
        """Node to the node that it hangs on; nodes at the top are not in it."""
        nodes = self.tree["nodes"]
        return {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}

    def array(self, accessor: int) -> NDArray[Any]:
        """The numbers (count, components) of an accessor; normalised integers become f32.

        Raises:
            FormatError: The file is damaged.
        """
        try:
            return self._array(self.tree["accessors"][accessor])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def picture(self, texture: int) -> bytes:
        """The encoded picture (JPEG, PNG or WebP) of a texture.

        Raises:
            FormatError: The file is damaged or the picture is missing.
        """
        try:
            entry = self.tree["textures"][texture]
            webp = entry.get("extensions", {}).get(_WEBP, {})
            image = self.tree["images"][webp.get("source", entry.get("source"))]
            if "uri" in image:
                return self._resource(image["uri"])
            return self._view(image["bufferView"]).tobytes()
        except (KeyError, IndexError, TypeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> FormatError:
        detail = str(error) or type(error).__name__
        return FormatError(f"{self.path.name} is damaged ({detail}); fetch or export it again.")

    def _array(self, entry: dict[str, Any]) -> NDArray[Any]:
        if "sparse" in entry:
            raise ValueError("sparse accessors are not supported")
        kind = np.dtype(_TYPES[entry["componentType"]])
        width = _COMPONENTS[entry["type"]]
        if "bufferView" not in entry:
            return np.zeros((entry["count"], width), dtype=kind)
        view = self.tree["bufferViews"][entry["bufferView"]]
        stride = view.get("byteStride") or kind.itemsize * width
        start, count = entry.get("byteOffset", 0), entry["count"]
        content = self._view(entry["bufferView"])[start:]
        if count and len(content) < stride * (count - 1) + kind.itemsize * width:
            raise ValueError("an array reaches beyond its buffer")
        rows = np.lib.stride_tricks.as_strided(
            content, (count, kind.itemsize * width), (stride, 1), writeable=False
        )
        values = rows.copy().view(kind).reshape(count, width)
        if entry.get("normalized"):
            return np.maximum(values.astype(np.float32) / np.iinfo(kind).max, -1)
        return values

    def _view(self, index: int) -> NDArray[np.uint8]:
        if index not in self._views:
            view = self.tree["bufferViews"][index]
            packed = view.get("extensions", {}).get(_MESHOPT)
            source = packed or view
            start, length = source.get("byteOffset", 0), source["byteLength"]
            content = self._buffers[source["buffer"]][start : start + length]
            if len(content) < length:
                raise IndexError("a buffer is too short")
            if packed:
                self._views[index] = decompress(
                    content,
                    mode=packed["mode"],
                    filtered=packed.get("filter", "NONE"),
                    count=packed["count"],
                    stride=packed["byteStride"],
                )
            else:
                self._views[index] = np.frombuffer(content, np.uint8)
        return self._views[index]

    @cached_property
    def _buffers(self) -> list[bytes]:
        """All buffers; one that only decompression would fill is empty."""
        buffers = []
        for number, buffer in enumerate(self.tree["buffers"]):
            if "uri" in buffer:
                buffers.append(self._resource(buffer["uri"]))
            else:
                buffers.append(self._chunk if number == 0 else b"")
        return buffers

    def _resource(self, uri: str) -> bytes:
        """A ``data:`` URI, or a file next to this one."""
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise self._damaged(error) from error
        path = self.path.parent / unquote(uri)
        if not path.resolve().is_relative_to(self.path.parent.resolve()) or not path.is_file():
            raise FormatError(f"Expected the file {uri} next to {self.path.name}; copy it there.")
        return path.read_bytes()


def _chunks(content: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk; the latter is empty for a .gltf."""
    if content[:4] != b"glTF":
        return content, b""
    length, kind = struct.unpack_from("<I4s", content, 12)
    if kind != b"JSON":
        raise ValueError("the first chunk is no JSON")
    text, rest = content[20 : 20 + length], content[20 + length :]
    if len(rest) < 8:
        return text, b""
    (size,) = struct.unpack_from("<I", rest)
    return text, rest[8 : 8 + size]
