"""Rendered clips as a PoseTrack folder: the format's own reader gives the rendered truth back."""

import json
import os

import cv2
import numpy as np
import pytest
import torchvision  # noqa: F401  (its LLVM must be loaded before the one of OpenGL)
from typer.testing import CliRunner

from diffpose.cli import app
from diffpose.data.posetrack import PoseTrackSource
from diffpose.data.synthetic import posetrack_clips
from diffpose.data.synthetic.clip import render_clip
from diffpose.data.synthetic.posetrack_clips import write_posetrack_clips
from diffpose.data.synthetic.render import Renderer
from diffpose.data.synthetic.shards import Material, library_of
from diffpose.errors import DiffPoseError, SettingsError
from diffpose.formats.posetrack import read_posetrack
from diffpose.skeleton import HALPE26, POSETRACK15, convert
from tests.data.box_people import write_material

pytestmark = pytest.mark.render

SIZE = (72, 128)
NAME = "000001_mpii_test"


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    try:
        Renderer(SIZE).close()
    except DiffPoseError as error:
        if os.environ.get("DIFFPOSE_REQUIRE_RENDER") == "1":
            raise
        pytest.skip(str(error))
    return Material(*write_material(tmp_path_factory.mktemp("material")), split="train")


@pytest.fixture(scope="module")
def folder(material, tmp_path_factory):
    folder = tmp_path_factory.mktemp("posetrack")
    write_posetrack_clips(material, folder, num_clips=2, num_frames=3, size=SIZE, seed=5)
    return folder


@pytest.fixture(scope="module")
def clip(material, folder):
    job = posetrack_clips._Job(material, folder, 1, 5, SIZE, 3)
    return render_clip(library_of(material), posetrack_clips._random_plan(job), seed=5)


def listed(clip, index):
    points = convert(clip.keypoints[index], HALPE26, POSETRACK15)
    flags = convert(clip.visibility[index, ..., None].astype(float), HALPE26, POSETRACK15)[..., 0]
    rows = np.isfinite(clip.boxes[index]).all(axis=1) & (flags > 0).any(axis=1)
    return rows, points[rows], flags[rows]


def test_posetrack_s_reader_gives_the_rendered_truth(folder, clip):
    sequence = read_posetrack(folder / "annotations" / "train" / f"{NAME}.json")

    assert len(sequence.frames) == 3
    for index, frame in enumerate(sequence.frames):
        rows, points, flags = listed(clip, index)
        assert frame.track_ids.tolist() == np.flatnonzero(rows).tolist()
        np.testing.assert_array_equal(frame.annotated, flags > 0)
        np.testing.assert_allclose(frame.keypoints[flags > 0], points[flags > 0], atol=1e-4)
        np.testing.assert_array_equal(frame.visible[flags > 0], flags[flags > 0] == 2)
        np.testing.assert_allclose(frame.boxes, clip.boxes[index, rows], atol=1e-4)
        np.testing.assert_allclose(frame.head_boxes, clip.head_boxes[index, rows], atol=1e-4)


def test_the_folder_is_a_source_of_windows(folder):
    paths = sorted((folder / "annotations" / "train").iterdir())
    source = PoseTrackSource([read_posetrack(path) for path in paths], folder)

    assert [path.stem for path in paths] == [NAME, "000002_mpii_test"]
    assert source[0].frames[0].shape == (*SIZE, 3)


def test_masks_and_halpe_keypoints_lie_beside(folder, clip):
    beside = json.loads((folder / "halpe26" / "train" / f"{NAME}.json").read_text())

    assert beside["categories"][0]["keypoints"] == list(HALPE26.keypoints)
    for person in beside["annotations"]:
        (image,) = [i for i in beside["images"] if i["id"] == person["image_id"]]
        index, track = beside["images"].index(image), person["track_id"]
        mask = cv2.imread(str(folder / image["mask_file"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, clip.masks[index])
        assert person["area"] == (mask == track + 1).sum()
        triplets = np.array(person["keypoints"]).reshape(26, 3)
        np.testing.assert_array_equal(triplets[:, 2], clip.visibility[index, track])
        inside = triplets[:, 2] > 0
        np.testing.assert_allclose(
            triplets[inside, :2], clip.keypoints[index, track, inside], atol=0.006
        )
        assert person["identity"] == clip.identities[track]


def test_the_head_box_holds_the_nose_and_lies_in_the_person_s(clip):
    for index in range(len(clip.frames)):
        rows, _, _ = listed(clip, index)
        nose = clip.keypoints[index, rows, HALPE26.index("nose")]
        heads, inside = clip.head_boxes[index, rows], clip.visibility[index, rows, 0] > 0
        assert (heads[:, :2] - 1 <= nose).all()
        assert (nose <= heads[:, 2:] + 1).all()
        whole = clip.boxes[index, rows]
        limits = np.array([SIZE[1], SIZE[0]]) - 0.5
        centre = (heads[:, :2] + heads[:, 2:]) / 2
        within = (centre >= whole[:, :2]) & (centre <= whole[:, 2:])
        assert within[inside & (centre < limits).all(axis=1)].all()


def test_finished_sequences_are_kept(material, folder):
    path = folder / "annotations" / "train" / f"{NAME}.json"
    before = path.stat().st_mtime_ns

    paths = write_posetrack_clips(material, folder, num_clips=1, num_frames=3, size=SIZE, seed=5)

    assert paths == [path]
    assert path.stat().st_mtime_ns == before


def test_synthesize_posetrack_on_the_command_line(material, tmp_path):
    without = tmp_path / "without.txt"
    without.write_text("plain_07\n")
    arguments = ["data", "synthesize", str(material.avatars.parent), "-o", str(tmp_path / "out"),
                 "--format", "posetrack", "--clips", "1", "--frames", "2", "--split", "val",
                 "--without", str(without)]  # fmt: skip

    made = CliRunner().invoke(app, arguments)
    mixed = CliRunner().invoke(app, [*arguments, "--scenes", "3"])

    assert made.exit_code == 0, made.output
    assert "1 videos" in made.output
    assert (tmp_path / "out" / "images" / "val" / NAME / "000001.jpg").is_file()
    assert mixed.exit_code == 2
    assert "--scenes" in mixed.output


def test_no_clips_at_all_are_refused(material, tmp_path):
    with pytest.raises(SettingsError, match="at least one clip"):
        write_posetrack_clips(material, tmp_path, num_clips=0)
