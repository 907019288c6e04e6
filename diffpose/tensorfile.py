"""Safetensors files: written whole or not at all, damage named, content hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffpose.errors import WeightsError, said


def file_hash(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256: the name of the weights in every export."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:16]


def tensors_hash(path: Path) -> str:
    """First 16 hex digits of the SHA-256 over a file's tensors, whatever its metadata says.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    tensors, _ = load_tensors(path)
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name, then rename: never half a file.

    Raises:
        WeightsError: The disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, temporary, dict(metadata))
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise WeightsError(
            f"Could not write {path.name}: {said(error)}. Free some space or choose another "
            "folder; the previous file is untouched."
        ) from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; check the path.")
    try:
        with safe_open(path, framework="pt") as handle:
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
            return tensors, dict(handle.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is no intact safetensors file ({said(error)}); fetch it again."
        ) from None
