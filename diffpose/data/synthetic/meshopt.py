"""Compressed and oversized meshes, through the package ``meshoptimizer``."""

from __future__ import annotations

from ctypes import c_float, c_size_t
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError, SettingsError

_SEAM_WEIGHTS = (0.5, 0.5, 0.3, 0.3, 0.3)  # of texture coordinates and normals
_NORMAL_SCALE = 0.1
_MOST_ERROR = 0.05  # of the mesh's size


def _library() -> Any:
    try:
        import meshoptimizer
    except ImportError as error:
        raise SettingsError(
            "This avatar is compressed or has too many triangles; install the package "
            "meshoptimizer (run pip install --pre meshoptimizer)."
        ) from error
    return meshoptimizer


def decompress(
    content: bytes, *, mode: str, filtered: str, count: int, stride: int
) -> NDArray[np.uint8]:
    """The bytes of a glTF buffer view that EXT_meshopt_compression has shrunk.

    Args:
        content: The compressed stream.
        mode: ``ATTRIBUTES``, ``TRIANGLES`` or ``INDICES``.
        filtered: ``NONE``, ``OCTAHEDRAL``, ``QUATERNION`` or ``EXPONENTIAL``.
        count: Elements.
        stride: Bytes of an element.

    Raises:
        FormatError: The stream is damaged or of an unknown kind.
    """
    library = _library()
    try:
        if mode in ("TRIANGLES", "INDICES"):
            triangles = mode == "TRIANGLES"
            decode = library.decode_index_buffer if triangles else library.decode_index_sequence
            indices = decode(count, 4, content)
            return indices.astype({2: np.uint16, 4: np.uint32}[stride]).view(np.uint8)
        if mode != "ATTRIBUTES":
            raise ValueError(f"unknown mode {mode}")
        rows = library.decode_vertex_buffer(count, stride, content, dtype=np.dtype(f"V{stride}"))
        rows = rows.view(np.uint8).reshape(count, stride)
        if filtered != "NONE":
            undo = {
                "OCTAHEDRAL": library.decode_filter_oct,
                "QUATERNION": library.decode_filter_quat,
                "EXPONENTIAL": library.decode_filter_exp,
            }[filtered]
            rows = undo(rows, count, stride)
        return np.asarray(rows, dtype=np.uint8).reshape(-1)
    except (RuntimeError, ValueError, KeyError) as error:
        raise FormatError(
            f"The compressed part of the glTF file is damaged ({error}); fetch it again."
        ) from None


def simplify(
    faces: NDArray[np.integer],
    *,
    vertices: NDArray[np.floating],
    normals: NDArray[np.floating],
    uv: NDArray[np.floating],
    target: int,
) -> NDArray[np.uint32]:
    """About ``target`` of the faces (F, 3), over the same vertices; seams of the texture stay.

    Args:
        faces: Triangles.
        vertices: (V, 3).
        normals: (V, 3) unit vectors.
        uv: (V, 2) texture coordinates.
        target: Triangles wanted; a mesh that has no more is returned as it is.
    """
    indices = np.ascontiguousarray(faces, dtype=np.uint32)
    if len(indices) <= target:
        return indices
    library = _library()
    reduced = np.zeros(indices.size, dtype=np.uint32)
    attributes = np.concatenate([uv, normals * _NORMAL_SCALE], axis=1).astype(np.float32)
    # The package hands these numbers to C as they are: they must have C's types.
    used = library.simplify_with_attributes(
        reduced,
        indices.reshape(-1),
        np.ascontiguousarray(vertices, dtype=np.float32),
        attributes,
        np.array(_SEAM_WEIGHTS, dtype=np.float32),
        index_count=c_size_t(indices.size),
        vertex_count=c_size_t(len(vertices)),
        vertex_positions_stride=c_size_t(12),
        vertex_attributes_stride=c_size_t(4 * attributes.shape[1]),
        attribute_count=c_size_t(len(_SEAM_WEIGHTS)),
        target_index_count=c_size_t(3 * target),
        target_error=c_float(_MOST_ERROR),
    )
    return reduced[:used].reshape(-1, 3)
