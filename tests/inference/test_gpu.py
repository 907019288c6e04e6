"""On a GPU the same windows give the same poses as on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffpose.inference.estimator import Estimator
from diffpose.model.config import preset
from diffpose.model.network import DiffPose
from diffpose.poses import SamplingConfig


@pytest.mark.gpu
def test_gpu_and_cpu_agree():
    network = DiffPose(replace(preset("small"), radius=1))
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 96, 3), dtype=np.uint8)
    affines = np.tile(np.eye(2, 3), (2, 1, 1))
    poses = []

    for device in ("cpu", "cuda"):
        estimator = Estimator(network, weights_hash="x", device=device)
        features = estimator.encode(crops)
        poses.append(estimator.sample(features, affines, SamplingConfig(2, 2)))

    np.testing.assert_allclose(poses[0].heatmaps, poses[1].heatmaps, atol=1e-2)
    assert torch.cuda.is_available()
