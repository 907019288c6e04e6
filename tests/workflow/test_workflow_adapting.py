"""From a project's corrections to an adapted model in its file, with a small real network."""

from typing import Any

import numpy as np
import torch

from diffpose.inference.adapt import AdaptConfig
from diffpose.inference.estimator import Estimator
from diffpose.inference.features import FeatureCache
from diffpose.inference.pipeline import estimate_poses
from diffpose.model.network import DiffPose
from diffpose.poses import Provenance, SamplingConfig, Track
from diffpose.review.adapting import return_to_shipped
from diffpose.review.events import Move
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.workflow.adapting import learn_from, model_of, put_in_force
from tests.fakes import FakeVideo, box_around, walk
from tests.review.review_objects import same
from tests.tiny import TINY

SAMPLING = SamplingConfig(1, 2)


def test_a_project_keeps_its_adapted_model_and_returns_to_the_shipped_one(tmp_path):
    torch.manual_seed(0)
    shipped = Estimator(DiffPose(TINY), weights_hash="none")
    boxes = np.array([box_around(walk(f)[0]) for f in range(10)])
    video, track = FakeVideo(num_frames=10), Track(0, np.arange(10), boxes, np.ones(10))
    (poses,) = estimate_poses(video, [track], shipped, SAMPLING)
    store = Store(tmp_path / "a.diffpose")
    store.add_video(video.info)
    made = Provenance("small", shipped.weights_hash, 1, 2, 0)
    store.add_predictions(poses, video_id=video.info.video_id, boxes=track, provenance=made)
    session = ReviewSession(store)
    for frame in range(8):
        session.apply(Move(0, frame, 5, (20.0 + frame, 30.0)))
    before = session.reviewed(0)
    quiet: Any = {"progress": lambda *_: None, "cancelled": lambda: False}

    found = learn_from(
        session, shipped, video, tracks={0: track}, cache=FeatureCache(),
        config=AdaptConfig(steps=3, judged=SAMPLING), **quiet,
    )  # fmt: skip
    assert same(session.reviewed(0), before)
    model = put_in_force(session, shipped, video, found, tracks={0: track}, stop=None, **quiet)
    (expected,) = estimate_poses(video, [track], model, SAMPLING)
    store.close()

    with Store(tmp_path / "a.diffpose") as store:
        session = ReviewSession(store)
        again, after = model_of(session, shipped), session.reviewed(0)
        kept = store.provenance(0)
        assert kept is not None
        assert again.weights_hash == model.weights_hash == kept.weights
        (poses,) = estimate_poses(video, [track], again, SAMPLING)
        np.testing.assert_array_equal(poses.keypoints, expected.keypoints)
        free = ~after.corrected
        np.testing.assert_array_equal(after.poses.keypoints[free], expected.keypoints[free])
        assert after.poses.keypoints[3, 5].tolist() == [23, 30]

        return_to_shipped(session)
        assert same(session.reviewed(0), before)
        assert model_of(session, shipped) is shipped
