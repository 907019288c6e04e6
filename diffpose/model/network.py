"""DiffPose: windows in, denoised heatmaps out."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from diffpose.model.backbone import build_backbone
from diffpose.model.config import ModelConfig
from diffpose.model.coupling import KeypointCoupling
from diffpose.model.decoder import Features, PoseDecoder, posterior_heatmap
from diffpose.model.evidence import NeighbourEvidence
from diffpose.model.strl import Strl


class DiffPose(nn.Module):
    """The network of the paper's figure 2: backbone, STRL, Pose-Decoder.

    Encode a window once (`encode_frames`, `fuse`), denoise as often as you like (`denoise`).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(
            config.backbone,
            crop_size=config.crop_size,
            skeleton=config.keypoints,
            finest_stride=config.finest_stride,
        )
        self.packing = self.backbone.packing
        self.strl = Strl(
            self.packing.coarse,
            width=config.width,
            num_frames=config.num_frames,
            size=config.feature_size,
            layers=config.strl_layers,
            heads=config.heads,
            neighbour_pool=config.neighbour_pool,
        )
        self.evidence = None
        if self.packing.has_prior and config.evidence_width:
            self.evidence = NeighbourEvidence(
                config.keypoints,
                num_frames=config.num_frames,
                channels=config.width,
                width=config.evidence_width,
            )
        self.decoder = PoseDecoder(config, self.packing)
        self.coupling = None
        if config.coupling_width:
            self.coupling = KeypointCoupling(
                len(config.keypoints),
                config.heatmap_size,
                width=config.coupling_width,
                heads=config.heads,
            )

    def encode_frames(self, crops: Tensor) -> Tensor:
        """RGB uint8 crops (N, H, W, 3) to per-frame features (N, C, h, w)."""
        frames = self.backbone.normalise(crops).contiguous(memory_format=torch.channels_last)
        return self.backbone(frames)

    def fuse(self, frame_features: Tensor) -> Features:
        """Features of the frames of B windows, (B, T, C, h, w) oldest first, to `Features`."""
        feature = self.strl(frame_features[:, :, : self.packing.coarse])
        if not self.packing.has_prior:
            return self.decoder.prepare(feature)
        centre = self.packing.unpack(frame_features[:, self.config.radius])
        if self.evidence is not None:
            logits, outside = self.packing.unpack_answer(frame_features)
            correction = self.evidence(logits, outside, feature)
            centre = replace(centre, logits=centre.logits + correction)
        return self.decoder.prepare(feature, centre)

    def denoise(self, x: Tensor, timesteps: Tensor, features: Features) -> Tensor:
        """Noisy x_t (B, K, 4h, 4w), timesteps (B,) and features of B windows to clean x_0."""
        scale = self.config.signal_scale
        output, outside = self.decoder(x / scale, timesteps, features)
        if self.config.output == "posterior":
            output = posterior_heatmap(output, outside, sigma=self.config.sigma)
        return (2 * output.float().clamp(0, 1) - 1) * scale

    def heatmaps(self, x_0: Tensor) -> Tensor:
        """x_0 to heatmaps in 0..1."""
        return (x_0 / self.config.signal_scale + 1) / 2
