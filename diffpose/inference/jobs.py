"""A job folder: finished parts of a long run, so that a crash costs one part only.

    folder/manifest.json      what the run was asked for, for people and for progress
    folder/parts/<key>.npz    one file a finished part, named by a hash of all its result depends on

A part's name is its identity, so a folder may be used again with other settings or another
video: what fits is used, nothing is mixed up.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import InputError
from diffpose.inference.interfaces import PoseEstimator
from diffpose.inference.windows import Chunk
from diffpose.poses import SamplingConfig, Track

_VERSION = 1  # part of every name: raise it when the meaning of a part changes


class Job:
    """The finished parts in a folder, which is made if need be.

    Raises:
        InputError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._parts = self.folder / "parts"
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"Cannot make the job folder {self.folder} ({error.strerror}); choose another."
            ) from error

    def load(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished part; None if it is missing or damaged."""
        try:
            with np.load(self._parts / f"{key}.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except FileNotFoundError:
            return None
        # Every way in which a damaged zip archive shows: reading it checks its CRC sums.
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            RuntimeError,
            SyntaxError,
            zipfile.BadZipFile,
            zlib.error,
        ):
            return None

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished part, whole or not at all.

        Raises:
            InputError: The disk is full or the folder cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self._write(self._parts / f"{key}.npz", buffer.getvalue())

    def describe(self, content: Mapping[str, Any], *, keys: Sequence[str]) -> None:
        """Write the manifest: what the run is, and the names of all its parts.

        Raises:
            InputError: The disk is full or the folder cannot be written.
        """
        manifest = {"format": "diffpose-job", "version": _VERSION, **content, "parts": list(keys)}
        self._write(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode() + b"\n")

    def count(self) -> tuple[int, int]:
        """How many parts of the manifest's run are finished, and how many it has."""
        try:
            keys = json.loads((self.folder / "manifest.json").read_bytes())["parts"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        return sum((self._parts / f"{key}.npz").is_file() for key in keys), len(keys)

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise InputError(
                f"Cannot write to the job folder {self.folder} ({error.strerror}); free some space "
                "and run again: the finished parts are kept."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def part_key(chunk: Chunk, estimator: PoseEstimator, sampling: SamplingConfig) -> str:
    """Hash of everything that the poses of a chunk depend on."""
    return _hash(
        "poses",
        estimator.model_name,
        estimator.weights_hash,
        estimator.skeleton.name,
        estimator.crop_size,
        sampling.num_steps,
        sampling.num_hypotheses,
        sampling.seed,
        chunk.key,
    )


def detection_key(
    video_id: str, weights_hash: str, min_score: float, *, frames: Sequence[int]
) -> str:
    """Hash of everything that detected tracks depend on."""
    looked_at = np.asarray(frames, np.int64).tobytes().hex()
    return _hash("tracks", video_id, weights_hash, float(min_score), looked_at)


def tracks_to_arrays(tracks: Sequence[Track]) -> dict[str, NDArray[Any]]:
    """Tracks as arrays of equal length, one row a box."""
    return {
        "track_ids": np.concatenate(
            [np.full(len(track.frames), track.track_id, np.int32) for track in tracks]
        ),
        "frames": np.concatenate([track.frames for track in tracks]),
        "boxes": np.concatenate([track.boxes for track in tracks]),
        "scores": np.concatenate([track.scores for track in tracks]),
    }


def tracks_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> list[Track]:
    """The inverse of `tracks_to_arrays`, in the same order."""
    ids = arrays["track_ids"]
    order = list(dict.fromkeys(ids.tolist()))
    return [
        Track(i, *(arrays[name][ids == i] for name in ("frames", "boxes", "scores"))) for i in order
    ]


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr((_VERSION, *parts)).encode()).hexdigest()[:32]
