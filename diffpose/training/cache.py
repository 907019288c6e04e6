"""Features of a frozen backbone kept on disk: STRL and decoder train without computing them again.

A cached window is what the backbone says of one augmented window: the packed maps of its centre
frame, and of its other frames what STRL reads of them, pooled as STRL pools it. Shards are made
one by one from their numbers, so that a cache which was interrupted is completed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffpose.data.batches import Batch, Mixture, make_ahead, make_batch
from diffpose.errors import WeightsError
from diffpose.model.lean import lean
from diffpose.model.network import DiffPose
from diffpose.tensorfile import load_tensors, save_tensors

SHARD = 64  # windows of a file

Encoder = Callable[[Tensor], Tensor]


def window_seed(seed: int) -> int:
    """The seed of the cached windows of a run: other draws than those of its other stages."""
    return seed + 7_777_777


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard's number."""
    return folder / f"features-{number:05d}.safetensors"


def shard_paths(folder: Path, count: int) -> list[Path]:
    """The files of a whole cache.

    Raises:
        WeightsError: One is missing.
    """
    paths = [shard_path(folder, number) for number in range(count)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise WeightsError(
            f"{len(missing)} files of cached features are missing, e.g. {missing[0]}; "
            "run the training again to make them."
        )
    return paths


def encoder_of(network: DiffPose, *, bf16: bool) -> Encoder:
    """The backbone as a cache runs it: RGB uint8 crops (N, H, W, 3) to features (N, C, h, w)."""
    running = lean(network, bf16=bf16)

    @torch.inference_mode()
    def encode(crops: Tensor) -> Tensor:
        with torch.autocast(crops.device.type, torch.bfloat16, enabled=bf16):
            return running.encode_frames(crops).float()

    return encode


def fill_cache(
    folder: Path,
    network: DiffPose,
    encode: Encoder,
    mixture: Mixture,
    *,
    seed: int,
    shards: range,
    device: torch.device,
    progress: Callable[[int], None] = lambda number: None,
) -> None:
    """Make the shards of those numbers that are not there yet.

    Args:
        folder: Where they lie.
        network: Of the features; says how STRL pools neighbours.
        encode: Its backbone, as `encoder_of` gives it.
        mixture: What windows are drawn from; its batch size does not matter.
        seed: Of the windows: shard ``i`` depends on it and on ``i`` only.
        shards: Numbers.
        device: Where the backbone computes.
        progress: Called with each finished number.
    """

    def made(batch: Batch, number: int) -> dict[str, Tensor]:
        return _shard(batch.to(device), network, encode)

    fill_shards(folder, made, mixture, seed=seed, shards=shards, progress=progress)


def fill_shards(
    folder: Path,
    make: Callable[[Batch, int], Mapping[str, Tensor]],
    mixture: Mixture,
    *,
    seed: int,
    shards: range,
    progress: Callable[[int], None],
) -> None:
    """Make the shards that are not there yet, each from the batch and the number given to ``make``.

    The annotations of the batch are kept in its shard, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = replace(mixture, batch_size=SHARD)
    for number in shards:
        path = shard_path(folder, number)
        if not path.is_file():
            batch = make_batch(drawn, seed=window_seed(seed), index=number)
            tensors = {**make(batch, number), "keypoints": batch.keypoints}
            if batch.weights is not None:
                tensors["weights"] = batch.weights
            save_tensors(path, {n: t.cpu().contiguous() for n, t in tensors.items()}, {})
        progress(number)


def _shard(batch: Batch, network: DiffPose, encode: Encoder) -> dict[str, Tensor]:
    centre = batch.crops.shape[1] // 2
    pool, coarse = network.config.neighbour_pool, network.packing.coarse
    packed, neighbours, answers = [], [], []
    for window in batch.crops:
        maps = encode(window)
        others = torch.cat([maps[:centre], maps[centre + 1 :]])
        packed.append(maps[centre].half())
        neighbours.append(F.avg_pool2d(others[:, :coarse], pool).half())
        answers.append(others[:, others.shape[1] - network.packing.answer_channels :].half())
    return {
        "centre": torch.stack(packed),
        "neighbours": torch.stack(neighbours),
        "answers": torch.stack(answers),
    }


class CachedWindows:
    """A whole cache, from which batches are drawn at random.

    Args:
        folder: With the shards ``0 .. count - 1``.
        count: How many shards there are.
        batch_size: Windows a batch.
    """

    def __init__(self, folder: Path, count: int, *, batch_size: int) -> None:
        self.paths, self.batch_size = shard_paths(folder, count), batch_size

    def batch(self, *, seed: int, index: int) -> Batch:
        """Batch number ``index`` of a run."""
        raise NotImplementedError

    def ahead(self, *, seed: int, first: int, stride: int = 1) -> Iterator[Batch]:
        """Batches ``first``, ``first + stride``, ... made while the trainer computes."""
        return make_ahead(
            lambda index: self.batch(seed=seed, index=index), first=first, stride=stride
        )


class CachedFeatures(CachedWindows):
    """Windows of a cache, drawn at random into batches.

    Args:
        folder: With the shards ``0 .. count - 1``.
        count: How many shards there are.
        network: Of the features.
        batch_size: Windows a batch.
    """

    def __init__(self, folder: Path, count: int, network: DiffPose, *, batch_size: int) -> None:
        super().__init__(folder, count, batch_size=batch_size)
        self.config, self.packing = network.config, network.packing

    def batch(self, *, seed: int, index: int) -> Batch:
        """Batch number ``index`` of a run: all from one shard, which its number draws.

        A shard holds windows of one source in the order in which they were drawn at random.
        """
        rng = np.random.default_rng([seed, index])
        tensors, _ = load_tensors(self.paths[int(rng.integers(len(self.paths)))])
        rows = torch.from_numpy(rng.permutation(len(tensors["centre"]))[: self.batch_size])
        weights = tensors["weights"][rows] if "weights" in tensors else None
        features = self._windows(*(tensors[n][rows] for n in ("centre", "neighbours", "answers")))
        height, width = self.config.crop_size
        nothing = torch.empty(len(rows), 0, height, width, 3, dtype=torch.uint8)
        return Batch(nothing, tensors["keypoints"][rows], weights, features=features)

    def _windows(self, centre: Tensor, neighbours: Tensor, answers: Tensor) -> Tensor:
        """Packed features (B, T, C, h, w) that STRL and decoder read as they do the originals."""
        centre, neighbours = centre.float(), neighbours.float()
        num_frames, middle = self.config.num_frames, self.config.radius
        if neighbours.shape[1] == 0:  # a still stands for all frames
            return centre[:, None].expand(-1, num_frames, -1, -1, -1)
        pool = self.config.neighbour_pool
        large = neighbours.repeat_interleave(pool, dim=-1).repeat_interleave(pool, dim=-2)
        features = centre.new_zeros(len(centre), num_frames, *centre.shape[1:])
        features[:, middle] = centre
        others = [frame for frame in range(num_frames) if frame != middle]
        features[:, others, : self.packing.coarse] = large
        features[:, others, features.shape[2] - answers.shape[2] :] = answers.float()
        return features
