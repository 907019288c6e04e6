"""Laws of the refit: right statements stay, wrong ones are mended, an undo undoes it."""

from dataclasses import replace

import numpy as np
import pytest

from diffpose.evaluation.calibration import IDENTITY
from diffpose.evaluation.statements import LEVEL, Predictions, log_miss
from diffpose.poses import PoseSequence, Provenance
from diffpose.review.events import Action, Confirm, Move, SetPose
from diffpose.review.learning import MIN_FRAMES, learn
from diffpose.review.predictions import RunState
from diffpose.review.session import ReviewSession
from diffpose.review.tracks import LoadedTrack
from diffpose.skeleton import HALPE26
from tests.review.review_objects import VIDEO, log_of, predictions, project, same

TORSO, POSE = 60.0, np.random.default_rng(7).uniform(100, 300, (26, 2))
POSE[[HALPE26.index(f"{s}_{j}") for j in ("shoulder", "hip") for s in ("left", "right")]] = [
    [180, 100], [220, 100], [185, 160], [215, 160],
]  # fmt: skip


def stated_poses(rng, count, *, too_small=1.0):
    """Predictions whose errors are ``too_small`` times what they state, and the truth."""
    radius = rng.uniform(1.5, 9, (count, 26))
    truth = np.repeat(POSE[None], count, axis=0)
    # A slow and a fast part: neighbouring frames err alike.
    slow, fast = (
        rng.normal(size=(count // 4 + 1, 26, 2)).repeat(4, 0)[:count],
        rng.normal(size=(count, 26, 2)),
    )
    error = (slow + fast) / np.sqrt(2) * radius[..., None] * too_small
    poses = PoseSequence(
        HALPE26, 0, np.arange(count), truth + error, np.full((count, 26), 0.8),
        radius[..., None, None] ** 2 * np.eye(2),
    )  # fmt: skip
    return poses, truth


def corrected(poses, truth, rows):
    """A reviewer places what is beyond a tenth of the torso, and confirms."""
    far = np.linalg.norm(poses.keypoints - truth, axis=-1) > 0.1 * TORSO
    events: list[tuple[str, Action]] = []
    for row in rows:
        placed = np.where(far[row][:, None], truth[row], np.nan).astype(np.float32)
        if far[row].any():
            events.append(("a", SetPose(0, row, placed, "import")))
        events.append(("a", Confirm(0, (row,))))
    video = replace(VIDEO, times_s=np.arange(len(poses)) / 25)
    return LoadedTrack(poses, video=video, state=RunState(0, 1, 1), events=log_of(events))


def held(poses, truth, calibration):
    stated = Predictions(
        HALPE26, poses.keypoints, poses.confidence, poses.covariance, np.ones((len(poses), 2))
    )
    return float((log_miss(calibration.apply(stated), truth) <= 0).mean())


def refitted(too_small, frames, seed):
    rng = np.random.default_rng(seed)
    poses, truth = stated_poses(rng, 4 * frames, too_small=too_small)
    learned = learn([corrected(poses, truth, range(0, 4 * frames, 4))])
    others = np.arange(4 * frames) % 4 > 0
    fresh = PoseSequence(
        HALPE26, 0, poses.frames[others], poses.keypoints[others],
        poses.confidence[others], poses.covariance[others],
    )  # fmt: skip
    return (
        learned,
        held(fresh, truth[others], IDENTITY),
        held(fresh, truth[others], learned.calibration),
    )


def test_statements_that_hold_are_left_as_they_are_within_noise():
    runs = [refitted(1.0, MIN_FRAMES, seed) for seed in range(12)]

    assert all(0.8 < learned.factor < 1.25 for learned, _, _ in runs)
    assert abs(np.mean([after for *_, after in runs]) - LEVEL) < 0.02
    assert max(abs(after - LEVEL) for *_, after in runs) < 0.06


@pytest.mark.parametrize(("too_small", "factor"), [(2.0, (1.4, 2.2)), (0.3, (0.2, 0.75))])
def test_statements_that_do_not_hold_are_mended(too_small, factor):
    runs = [refitted(too_small, 20, seed) for seed in range(4)]

    for learned, before, after in runs:
        assert factor[0] < learned.factor < factor[1]
        assert abs(after - LEVEL) <= abs(before - LEVEL)


def test_the_first_frames_say_how_many_more_are_needed():
    poses, truth = stated_poses(np.random.default_rng(0), 20, too_small=3)

    learned = learn([corrected(poses, truth, range(MIN_FRAMES - 1))])

    assert learned.calibration is IDENTITY
    assert learned.words.startswith("Confirm 1 more frame,")


def test_what_is_settled_keeps_its_word_and_an_undo_undoes_the_refit(tmp_path):
    poses, truth = stated_poses(np.random.default_rng(1), 20, too_small=3)
    session = ReviewSession(project(tmp_path / "a.diffpose", poses))
    for row in range(1, MIN_FRAMES):
        session.apply(SetPose(0, row, truth[row].astype(np.float32), "import"))
    session.apply(Confirm(0, tuple(range(1, MIN_FRAMES))))
    session.apply(Move(0, 12, 3, (50.0, 60.0)))
    before = session.reviewed(0)

    session.apply(Confirm(0, (0,)))
    after = session.reviewed(0)

    assert session.learned().factor > 1.2
    np.testing.assert_array_equal(after.poses.keypoints, before.poses.keypoints)
    np.testing.assert_array_equal(after.poses.covariance[:8], before.poses.covariance[:8])
    assert not after.poses.covariance[12, 3].any()
    free = ~after.corrected[8:]
    assert (after.poses.radius[8:] > 1.09 * before.poses.radius[8:])[free].all()
    assert session.reviewed(0) is after
    session.undo()
    assert same(session.reviewed(0), before)


def test_frames_confirmed_on_another_models_word_say_nothing_of_this_one(tmp_path):
    poses, truth = stated_poses(np.random.default_rng(1), 20, too_small=3)
    store = project(tmp_path / "a.diffpose", poses)
    session = ReviewSession(store)
    for row in range(MIN_FRAMES):
        session.apply(SetPose(0, row, truth[row].astype(np.float32), "import"))
    session.apply(Confirm(0, tuple(range(MIN_FRAMES))))
    assert session.learned().enough

    session.replace_predictions(poses, provenance=Provenance("small", "new", 4, 8, 0))
    assert session.learned().frames == 0

    store.add_predictions(poses, video_id=VIDEO.video_id)  # the first model again
    assert session.learned().enough


def test_a_project_without_confirmed_frames_says_nothing(tmp_path):
    session = ReviewSession(project(tmp_path / "a.diffpose", predictions()))
    assert session.learned().words == ""
