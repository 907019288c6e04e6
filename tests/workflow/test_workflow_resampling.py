"""``diffpose review resample``: what the desk suggests, with a small real network."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from app import finding
from app.desk import handlers
from app.handlers import open_example
from app.payloads import parse_sampling
from app.settings import Settings
from app.workspace import Workspace
from diffpose.cli import app
from diffpose.inference.estimator import Estimator
from diffpose.model.network import DiffPose
from diffpose.model.weights import save_weights
from diffpose.review.events import AcceptSuggestion, Confirm, Hide, Move
from diffpose.review.provenance import sampling_of
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.review.suggestions import moves
from tests.app.figures import FigureDetector, finish, write_clip
from tests.review.review_objects import same
from tests.tiny import TINY

FRAME, JOINT, PLACED = 6, 9, (200.25, 150.5)


@dataclass
class Scene:
    """A folder with a clip, weights and a project of one person, corrected in one frame."""

    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / "tiny.safetensors"

    @property
    def project(self) -> Path:
        return next((self.folder / "projects").glob("*.diffpose"))

    def workspace(self) -> Workspace:
        settings = Settings(
            examples=self.folder, work=self.folder / "work", weights=self.weights,
            projects=self.folder / "projects", shared_projects=True,
        )  # fmt: skip
        return Workspace(settings, load_finder=lambda *_: FigureDetector(people=1))

    def resample(self, *arguments, project=None):
        words = ["review", "resample", project or self.project, "--frame", FRAME, *arguments]
        return CliRunner().invoke(app, [*map(str, words), "--weights", str(self.weights)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("scene"))
    write_clip(scene.folder / "one_person.mp4", 14)
    torch.manual_seed(0)
    network = DiffPose(TINY)
    for parameter in network.decoder.head.parameters():
        parameter.data *= 40  # untrained, but sure of itself: its answers weigh
    save_weights(scene.weights, network, training={}, dtype=torch.float32)
    with scene.workspace() as workspace:
        session = workspace.open_session("page", owner="me")
        finish(open_example(workspace, session, "One person"))
        finish(finding.find_poses(workspace, session, parse_sampling(1, 3)))
        assert session.desk is not None, session.status.words
        session.desk.review.apply(Move(0, FRAME, JOINT, PLACED))
        session.desk.review.apply(Hide(0, (FRAME,), 10))
        session.desk.review.apply(Confirm(0, (FRAME + 2,)))
    return scene


@pytest.fixture
def scene(made, tmp_path):
    shutil.copytree(made.folder / "projects", tmp_path / "projects")
    for name in ("one_person.mp4", "tiny.safetensors"):
        shutil.copy(made.folder / name, tmp_path)
    return Scene(tmp_path)


def test_the_command_suggests_what_the_app_does_and_accepting_writes_the_same_event(scene):
    twin = shutil.copy(scene.project, scene.folder / "twin.diffpose")
    with scene.workspace() as workspace:
        session = workspace.open_session("page", owner="me", author="ada")
        finish(handlers.open_project(workspace, session, scene.project.stem))
        desk = session.desk
        assert desk is not None
        shown = desk.suggest(0, FRAME)
        assert shown is not None
        suggestion, reviewed = desk._suggestion, desk.review.reviewed(0)
        assert suggestion is not None
        desk.change("accept", {})
        desks = desk.store.events()[-1]

    done = scene.resample("--json", "--accept", "--author", "ada", project=twin)

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    far = moves(suggestion, reviewed)
    assert len(said["moves"]) == shown["moved"] == far.sum() > 10
    assert [m["xy"] for m in said["moves"]] == suggestion.keypoints[far].tolist()
    assert sorted({m["frame"] for m in said["moves"]}) == shown["frames"]
    with Store(twin) as store:
        mine = store.events()[-1]
    assert (mine.author, mine.revision) == ("ada", said["revision"])
    theirs, ours = desks.action, mine.action
    assert isinstance(theirs, AcceptSuggestion)
    assert isinstance(ours, AcceptSuggestion)
    assert ours.frames == theirs.frames
    for name in ("keypoints", "covariance", "confidence"):
        assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes()


def test_what_was_placed_stays_to_the_bit_and_one_undo_restores_everything(scene):
    with Store(scene.project) as store:
        before = ReviewSession(store).reviewed(0)

    first = scene.resample("--radius", 3, "--steps", 2, "--ensemble", 4, "--accept")

    assert first.exit_code == 0, first.output
    assert "took the suggestion" in first.stderr
    with Store(scene.project) as store:
        session = ReviewSession(store)
        after = session.reviewed(0)
        settled = before.corrected | before.confirmed[:, None]
        for name in ("keypoints", "confidence", "covariance", "origin"):
            old, new = getattr(before.poses, name), getattr(after.poses, name)
            assert old[settled].tobytes() == new[settled].tobytes()
        changed = (before.poses.keypoints != after.poses.keypoints).any(axis=(1, 2))
        assert after.poses.keypoints[before.corrected].tolist() == [list(PLACED)]
        frames = before.poses.frames[changed]
        assert len(frames) > 3
        assert np.abs(frames - FRAME).max() <= 3
        session.undo()
        assert same(session.reviewed(0), before)


def test_a_preview_changes_nothing_and_its_revision_can_be_asked_for(scene):
    before = scene.project.read_bytes()
    scene.project.chmod(0o400)

    shown = scene.resample("--json")
    told = scene.resample()

    assert shown.exit_code == told.exit_code == 0, told.output
    said = json.loads(shown.stdout)
    assert not said["accepted"]
    assert f"Keypoints that would move: {len(said['moves'])}, in" in told.stdout
    assert f"frame {FRAME + 1:5d}" in told.stdout
    assert "--accept takes it" in told.stderr
    assert scene.project.read_bytes() == before
    scene.project.chmod(0o600)
    assert scene.resample("--accept", "--revision", said["revision"]).exit_code == 0
    late = scene.resample("--accept", "--revision", said["revision"])
    assert late.exit_code == 2
    assert "look at what is suggested now" in late.output


def test_steps_and_hypotheses_are_those_of_the_run_unless_others_are_given(scene, monkeypatch):
    asked = []
    sample = Estimator.sample

    def listening(self, features, affines, sampling, **rest):
        asked.append((sampling.num_steps, sampling.num_hypotheses))
        return sample(self, features, affines, sampling, **rest)

    monkeypatch.setattr(Estimator, "sample", listening)
    with Store(scene.project) as store:
        found = sampling_of(store, 0)
    assert (found.num_steps, found.num_hypotheses) == (1, 3)

    same_again = scene.resample("--json")
    assert set(asked) == {(1, 3)}
    given = scene.resample("--json", "--steps", 1, "--ensemble", 3)
    assert set(asked) == {(1, 3)}
    asked.clear()
    scene.resample("--json", "--steps", 3)

    assert given.stdout == same_again.stdout
    assert set(asked) == {(3, 3)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--track", 7), "no track 7"),
        (("--frame", 3), "Nothing was corrected in frame 4 of track 0"),
        (("--frame", 99), "The video has 14 frames"),
        (("--frame", -1), "The video has 14 frames"),
        (("--revision", 2), "Expected the project at revision 2"),
        (("--video", "nowhere.mp4"), "name it with --video"),
        (("--steps", 99), "steps"),
    ],
)
def test_what_cannot_be_is_one_clear_line_and_nothing_is_written(scene, arguments, message):
    with Store(scene.project) as store:
        revision = store.revision

    done = scene.resample("--accept", *arguments)

    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    with Store(scene.project) as store:
        assert store.revision == revision


def test_a_frame_without_a_pose_is_named(scene):
    with Store(scene.project) as store:
        video, boxes = store.video_of(0), store.boxes_of(0)
        poses = store.predictions(0)
        short = replace(
            poses, frames=poses.frames[:9], keypoints=poses.keypoints[:9],
            confidence=poses.confidence[:9], covariance=poses.covariance[:9],
            origin=poses.origin[:9],
        )  # fmt: skip
        store.add_predictions(short, video_id=video.video_id, boxes=boxes)

    done = scene.resample("--frame", 12)

    assert done.exit_code == 2
    assert "no pose in frame 13" in done.stderr
