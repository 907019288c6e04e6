"""What a DiffPose network is made of; the named presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from diffpose.errors import SettingsError
from diffpose.movenet import CONFIGS
from diffpose.skeleton import SKELETONS, Skeleton


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network and of what it diffuses.

    Attributes:
        name: The preset's name.
        skeleton: Name of the skeleton whose keypoints are diffused.
        backbone: A MoveNet (`diffpose.movenet.CONFIGS`), which finds keypoints itself, or any timm
            model that gives a stride-16 map.
        crop_size: (height, width) of the crop in pixels; multiples of 16.
        finest_stride: Finest level of a convolutional backbone that enters its map: 8 folds the
            stride-8 level in, 4 the stride-4 level too, 16 neither.
        radius: Frames on each side of the centre frame; T = 2 radius + 1.
        width: Channels of the spatio-temporal feature.
        strl_layers: Transformer layers over the tokens of all frames (paper, section 3.2).
        heads: Attention heads, in STRL and in the decoder.
        neighbour_pool: Cells along a side that share one token in STRL, in all frames but the
            centre one; 1 as published.
        evidence_width: Hidden channels of every keypoint where neighbours' answers correct that
            of the centre frame, for a backbone that finds keypoints itself; 0: they do not.
        coupling_width: Channels of a keypoint's token where decided keypoints condition the
            others (`diffpose.model.coupling`); 0: hypotheses are drawn keypoint by keypoint.
        decoder_widths: Channels of the decoder from the lowest to the highest scale.
        self_refinement_layers: Transformer layers on the noisy heatmap (SeRef).
        correlation_layers: Transformer layers that join local and global features (Trans).
        lookup: One mask for all keypoints, as published; a mask for each keypoint; or ``concat``,
            no lookup at all, for comparison.
        output: ``heatmap`` regresses the heatmap (published: mean squared error); ``posterior``
            gives the probability of every cell, whose mean heatmap follows exactly.
        sigma: Standard deviation of the Gaussian that is x_0, in heatmap cells.
        signal_scale: x_0 = (2 h - 1) signal_scale (DiffusionDet's SNR scale).
        num_timesteps: Length of the diffusion.
    """

    name: str
    skeleton: str
    backbone: str
    crop_size: tuple[int, int] = (256, 192)
    finest_stride: Literal[4, 8, 16] = 16
    radius: int = 2
    width: int = 256
    strl_layers: int = 4
    heads: int = 8
    neighbour_pool: int = 1
    evidence_width: int = 0
    coupling_width: int = 0
    decoder_widths: tuple[int, int, int] = (256, 256, 256)
    self_refinement_layers: int = 2
    correlation_layers: int = 2
    lookup: Literal["joint_agnostic", "per_joint", "concat"] = "joint_agnostic"
    output: Literal["heatmap", "posterior"] = "heatmap"
    sigma: float = 2.0
    signal_scale: float = 1.0
    num_timesteps: int = 1000

    def __post_init__(self) -> None:
        if self.skeleton not in SKELETONS:
            raise SettingsError(
                f"Unknown skeleton {self.skeleton!r}; choose one of {', '.join(SKELETONS)}."
            )
        if any(side % 16 or side <= 0 for side in self.crop_size):
            raise SettingsError(f"Expected a crop of multiples of 16, got {self.crop_size}.")
        if self.finest_stride not in (4, 8, 16):
            raise SettingsError(f"Expected finest_stride 4, 8 or 16, got {self.finest_stride}.")
        if self.width % self.heads or self.decoder_widths[0] % self.heads:
            raise SettingsError(
                f"Widths {self.width} and {self.decoder_widths[0]} must be multiples of the "
                f"{self.heads} attention heads."
            )
        if self.lookup not in ("joint_agnostic", "per_joint", "concat"):
            raise SettingsError(
                f"Unknown lookup {self.lookup!r}: joint_agnostic, per_joint or concat."
            )
        if self.backbone in CONFIGS:
            self._check_prior()
        if self.output not in ("heatmap", "posterior"):
            raise SettingsError(f"Unknown output {self.output!r}: heatmap or posterior.")

    def _check_prior(self) -> None:
        if any(side % 32 for side in self.crop_size):
            raise SettingsError(
                f"Backbone {self.backbone!r} needs a crop of multiples of 32, got {self.crop_size}."
            )
        if self.output != "posterior":
            raise SettingsError(
                f"Backbone {self.backbone!r} gives probabilities of cells; "
                f"expected output 'posterior', got {self.output!r}."
            )

    @property
    def num_frames(self) -> int:
        """T, frames of a window."""
        return 2 * self.radius + 1

    @property
    def keypoints(self) -> Skeleton:
        """The skeleton itself."""
        return SKELETONS[self.skeleton]

    @property
    def feature_size(self) -> tuple[int, int]:
        """(h, w) of the features, stride 16."""
        return self.crop_size[0] // 16, self.crop_size[1] // 16

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w) of the heatmaps, stride 4."""
        return self.crop_size[0] // 4, self.crop_size[1] // 4

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """A config from JSON values.

        Raises:
            SettingsError: A key is unknown or missing.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise SettingsError(f"Unknown keys in the model config: {', '.join(unknown)}.")
        try:
            config = cls(**values)
        except TypeError as error:
            raise SettingsError(f"Incomplete model config: {error}.") from None
        return replace(
            config,
            crop_size=(int(config.crop_size[0]), int(config.crop_size[1])),
            decoder_widths=tuple(config.decoder_widths),  # type: ignore[arg-type]
        )


_PAPER = ModelConfig(
    name="paper-b", skeleton="posetrack15", backbone="vit_base_patch16_224", width=256
)

_BASE = ModelConfig(
    name="base",
    skeleton="halpe26",
    backbone="movenet_thunder",
    crop_size=(256, 192),
    radius=2,
    width=128,
    strl_layers=2,
    heads=4,
    neighbour_pool=2,
    evidence_width=8,
    coupling_width=96,
    decoder_widths=(128, 64, 32),
    self_refinement_layers=1,
    correlation_layers=2,
    lookup="per_joint",
    output="posterior",
    sigma=1.25,
)

PRESETS: dict[str, ModelConfig] = {
    "base": _BASE,
    "paper-b": _PAPER,
    "paper-l": replace(_PAPER, name="paper-l", backbone="vit_large_patch16_224"),
    "paper-h": replace(_PAPER, name="paper-h", backbone="vit_huge_patch14_224"),
    "small": replace(
        _BASE,
        name="small",
        backbone="tf_efficientnet_lite0",
        crop_size=(224, 176),
        finest_stride=4,
        neighbour_pool=1,
        coupling_width=0,
    ),
}


def preset(name: str) -> ModelConfig:
    """The named config.

    Raises:
        SettingsError: There is no such preset.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise SettingsError(
            f"Unknown preset {name!r}; choose one of {', '.join(PRESETS)}."
        ) from None
