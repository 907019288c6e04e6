"""Per-frame features: any timm model, brought to one map of stride 16."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffpose.errors import SettingsError
from diffpose.model.frame_maps import Packing
from diffpose.model.pose_backbone import MoveNetBackbone
from diffpose.movenet import CONFIGS
from diffpose.pyramid import build_pyramid, first_parts
from diffpose.skeleton import Skeleton

_STRIDE = 16


class VitBackbone(nn.Module):
    """A plain vision transformer of patch 16: its tokens are the map (paper, section 3.2).

    Built as ViTPose's: no class token, and two pixels of padding before the patches are cut.
    """

    def __init__(self, name: str, *, crop_size: tuple[int, int]) -> None:
        super().__init__()
        vit: Any = timm.create_model(
            name,
            pretrained=False,
            img_size=crop_size,
            patch_size=_STRIDE,
            num_classes=0,
            class_token=False,
            global_pool="avg",
            fc_norm=False,
        )
        vit.patch_embed.proj.padding = (2, 2)
        self.vit = vit
        self.channels: int = vit.embed_dim
        self.packing = Packing(self.channels)

    @staticmethod
    def normalise(crops: Tensor) -> Tensor:
        """RGB uint8 crops (N, H, W, 3) to what the network expects."""
        return normalise(crops)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (N, 3, H, W) to features (N, C, H/16, W/16)."""
        maps = self.vit.forward_intermediates(frames, indices=1, norm=True, intermediates_only=True)
        return maps[-1]


class ConvBackbone(nn.Module):
    """A convolutional pyramid merged into one map of stride 16.

    Coarser levels are enlarged; a finer one is folded (space to depth), so that what tells where
    *within* a cell of 16 pixels a keypoint lies is not lost. A transformer's patch embedding
    keeps it in the same way.
    """

    def __init__(self, name: str, *, channels: int = 256, finest_stride: int = _STRIDE) -> None:
        super().__init__()
        pyramid = build_pyramid(name)
        self.pyramid = pyramid
        strides = pyramid.feature_info.reduction()
        depths = pyramid.feature_info.channels()
        for stride in {_STRIDE, finest_stride} - set(strides):
            raise SettingsError(f"Backbone {name!r} gives no stride-{stride} map, only {strides}.")
        self.levels = [i for i, stride in enumerate(strides) if stride >= finest_stride]
        self.folds = [max(1, _STRIDE // strides[i]) for i in self.levels]
        self.lateral = nn.ModuleList(
            nn.Conv2d(depths[i] * fold**2, channels, 1)
            for i, fold in zip(self.levels, self.folds, strict=True)
        )
        self.merge = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.channels = channels
        self.packing = Packing(channels)

    @staticmethod
    def normalise(crops: Tensor) -> Tensor:
        """RGB uint8 crops (N, H, W, 3) to what the network expects."""
        return normalise(crops)

    def first_parts(self, count: int) -> list[nn.Module]:
        """The stem and the first ``count`` groups of blocks.

        Raises:
            SettingsError: The pyramid is built otherwise than EfficientNet or ResNet.
        """
        return first_parts(self.pyramid, count)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (N, 3, H, W) to features (N, C, H/16, W/16)."""
        pyramid = self.pyramid(frames)
        size = (frames.shape[-2] // _STRIDE, frames.shape[-1] // _STRIDE)
        maps = [
            F.interpolate(
                lateral(F.pixel_unshuffle(pyramid[level], fold) if fold > 1 else pyramid[level]),
                size=size,
                mode="nearest-exact",
            )
            for lateral, level, fold in zip(self.lateral, self.levels, self.folds, strict=True)
        ]
        return self.merge(torch.stack(maps).sum(dim=0))


Backbone = VitBackbone | ConvBackbone | MoveNetBackbone


def build_backbone(
    name: str,
    *,
    crop_size: tuple[int, int],
    skeleton: Skeleton,
    finest_stride: int = _STRIDE,
) -> Backbone:
    """The backbone of that name, with random weights.

    Args:
        name: Of a MoveNet (`diffpose.movenet.CONFIGS`) or of a timm model.
        crop_size: (height, width) of the crops.
        skeleton: Keypoints that a backbone which finds keypoints itself answers for.
        finest_stride: Of a convolutional timm model's levels that are merged.

    Raises:
        SettingsError: Nobody knows it, or it has no stride-16 map.
    """
    if name in CONFIGS:
        return MoveNetBackbone(name, skeleton=skeleton)
    if not timm.is_model(name):
        raise SettingsError(
            f"Unknown backbone {name!r}: expected one of {', '.join(CONFIGS)} or a model of "
            "timm.list_models()."
        )
    if name.startswith("vit_"):
        return VitBackbone(name, crop_size=crop_size)
    return ConvBackbone(name, finest_stride=finest_stride)


_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def normalise(crops: Tensor) -> Tensor:
    """RGB uint8 crops (N, H, W, 3) to (N, 3, H, W) in ImageNet statistics."""
    frames = crops.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(_MEAN, device=crops.device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=crops.device).view(1, 3, 1, 1)
    return (frames - mean) / std


class CoarseHead(nn.Module):
    """Features to heatmap logits in one step: trains a backbone before there is a decoder.

    Each stride-16 cell predicts its own 4 x 4 block of stride-4 cells; one more logit for each
    keypoint says that it lies outside the crop.
    """

    def __init__(self, channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.cells = nn.Conv2d(channels, num_keypoints * 16, 1)
        self.outside = nn.Linear(channels, num_keypoints)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w) to logits (N, K, 4 h, 4 w) and outside logits (N, K)."""
        return (
            F.pixel_shuffle(self.cells(features), 4),
            self.outside(features.mean(dim=(-2, -1))),
        )
