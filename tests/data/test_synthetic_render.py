import os
from pathlib import Path

import moderngl
import numpy as np
import pytest

from diffpose.data.sources import ShardSource
from diffpose.data.synthetic import shards
from diffpose.data.synthetic.body import load_avatar, pose_avatar
from diffpose.data.synthetic.bones import BONES
from diffpose.data.synthetic.camera import Camera, look_at, perspective, project
from diffpose.data.synthetic.clip import ClipPlan, clip_scene, render_clip
from diffpose.data.synthetic.library import open_library
from diffpose.data.synthetic.motion import BodyPoses
from diffpose.data.synthetic.props import flat_prop
from diffpose.data.synthetic.render import PROP_ID, Renderer
from diffpose.data.synthetic.scene import Actor, Backdrop, Light, Prop, Scene
from diffpose.data.synthetic.stage import SceneMix, random_poses
from diffpose.data.synthetic.truth import OCCLUDED, VISIBLE, annotate
from diffpose.errors import DiffPoseError, SettingsError
from diffpose.skeleton import HALPE26
from tests.data.box_people import ROOT_AT_REST, write_avatar, write_material

pytestmark = pytest.mark.render

SIZE = (96, 96)
PHOTO = (20, 90, 160)
CHEST = HALPE26.index("neck")


@pytest.fixture(scope="module")
def renderer():
    try:
        with Renderer(SIZE) as opened:
            yield opened
    except DiffPoseError as error:
        if os.environ.get("DIFFPOSE_REQUIRE_RENDER") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Actor:
    avatar = load_avatar(write_avatar(tmp_path_factory.mktemp("people") / "Box1_F_1_Casual.npz"))
    poses = BodyPoses(np.tile(np.eye(3), (1, len(BONES), 1, 1)), ROOT_AT_REST[None])
    return Actor(avatar, pose_avatar(avatar, poses), np.eye(3))


@pytest.fixture(scope="module")
def material(renderer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return write_material(tmp_path_factory.mktemp("material"))


def front_camera() -> Camera:
    eye = np.array([0.0, 1.0, 4.0])
    matrix = perspective(0.7, SIZE) @ look_at(eye, np.array([0.0, 1.0, 0.0]))
    return Camera(matrix[None], eye[None], SIZE)


def scene_of(*actors: Actor, props: tuple[Prop, ...] = ()) -> Scene:
    photo = np.full((SIZE[0] + 2, SIZE[1] + 2, 3), PHOTO, dtype=np.uint8)
    light = Light(np.array([0.0, 0.0, 1.0]), np.full(3, 0.5), np.full(3, 0.5), np.full(3, 0.3), 0.0)
    return Scene(actors, props, front_camera(), Backdrop(photo, 1, np.zeros((1, 2))), light)


def board(depth_m: float) -> Prop:
    """A flat box in front of the middle of the picture, so far from the camera."""
    corners = np.array([[30.0, 10.0], [66.0, 10.0], [66.0, 60.0], [30.0, 60.0]])
    green = np.full((4, 4, 3), (0, 200, 0), dtype=np.uint8)
    return flat_prop(corners, depth_m, front_camera(), green)


def test_an_empty_scene_is_its_photo(renderer):
    rendered = renderer.render(scene_of())

    np.testing.assert_array_equal(rendered.frames[0], np.broadcast_to(PHOTO, (*SIZE, 3)))
    assert not rendered.ids.any()
    assert np.isinf(rendered.depth).all()


def test_keypoints_lie_on_the_person(renderer, actor):
    scene = scene_of(actor)
    rendered = renderer.render(scene)

    annotation = annotate(scene, rendered)

    limbs = [i for i, name in enumerate(HALPE26.keypoints) if "toe" not in name and i > 4]
    x, y = annotation.keypoints[0, 0, limbs].round().astype(int).T
    near = [rendered.ids[0, b - 2 : b + 3, a - 2 : a + 3].max() for a, b in zip(x, y, strict=True)]
    assert set(near) == {1}
    left, right = (HALPE26.index(f"{side}_wrist") for side in ("left", "right"))
    wrists = annotation.keypoints[0, 0]
    assert wrists[left, 0] > wrists[right, 0]  # who faces us has the left hand on our right


def test_the_box_holds_the_whole_person(renderer, actor):
    scene = scene_of(actor)
    rendered = renderer.render(scene)

    x1, y1, x2, y2 = annotate(scene, rendered).boxes[0, 0]

    rows, columns = np.nonzero(rendered.ids[0] == 1)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx(
        (x1, y1, x2, y2), abs=1.5
    )


def test_depth_is_measured_in_metres(renderer, actor):
    rendered = renderer.render(scene_of(actor))

    row, column = np.rint(project(front_camera(), np.array([[0.0, 1.3, 0.1]]))[0, 1::-1]).astype(
        int
    )
    assert rendered.depth[0, row, column] == pytest.approx(3.9, abs=0.01)


def test_a_board_in_front_hides_and_one_behind_does_not(renderer, actor):
    in_front, behind = scene_of(actor, props=(board(2.0),)), scene_of(actor, props=(board(6.0),))

    hidden = annotate(in_front, renderer.render(in_front)).visibility[0, 0]
    free = annotate(behind, renderer.render(behind)).visibility[0, 0]

    assert hidden[CHEST] == OCCLUDED
    assert hidden[HALPE26.index("left_ankle")] == VISIBLE
    assert free[CHEST] == VISIBLE
    assert (renderer.render(in_front).ids == PROP_ID).any()


def test_somebody_in_front_hides_whoever_is_behind(renderer, actor):
    scene = scene_of(actor, actor.moved(np.array([0.0, 0.0, 1.0])))
    rendered = renderer.render(scene)

    visibility = annotate(scene, rendered).visibility[0]
    fractions = renderer.visible_fractions(scene, rendered)

    assert visibility[:, CHEST].tolist() == [OCCLUDED, VISIBLE]
    assert fractions[0] < 0.5 < fractions[1] == pytest.approx(1.0)


def test_a_person_half_outside_is_half_visible(renderer, actor):
    scene = scene_of(actor.moved(np.array([1.46, 0.0, 0.0])))

    fraction = renderer.visible_fractions(scene, renderer.render(scene))[0]

    assert fraction == pytest.approx(0.5, abs=0.1)


def test_motion_blur_mixes_the_sub_frames(renderer, actor):
    moving = Actor(actor.avatar, np.concatenate([actor.skin] * 3), actor.dye)
    moving.skin[:, :, 0, 3] += np.array([-0.3, 0.0, 0.3])[:, None]
    still = scene_of(actor)
    camera = Camera(
        np.repeat(still.camera.matrices, 3, axis=0), np.repeat(still.camera.eyes, 3, axis=0), SIZE
    )
    photo = Backdrop(still.backdrop.picture, 1, np.zeros((3, 2)))
    scene = Scene((moving,), (), camera, photo, still.light, subframes=3)

    blurred, sharp = renderer.render(scene), renderer.render(still)

    assert blurred.frames.shape == sharp.frames.shape
    np.testing.assert_array_equal(blurred.ids, sharp.ids)
    assert not np.array_equal(blurred.frames, sharp.frames)


def test_without_opengl_the_message_says_what_to_install(monkeypatch):
    def refuse(**settings: object) -> None:
        raise Exception("libEGL.so not found")

    monkeypatch.setattr(moderngl, "create_context", refuse)

    with pytest.raises(DiffPoseError, match=r"libEGL\.so not found.*libegl1"):
        Renderer(SIZE)


def write_few_clips(
    material: tuple[Path, Path, Path],
    out: Path,
    *,
    seed: int = 3,
    spacing_s: tuple[float, float] = shards.SPACING_S,
) -> dict[str, np.ndarray]:
    (path,) = shards.write_shards(
        shards.Material(*material, "train"),
        out,
        num_clips=1,
        frames_per_clip=2,
        size=SIZE,
        spacing_s=spacing_s,
        seed=seed,
    )
    with np.load(path) as shard:
        return dict(shard)


def test_a_shard_depends_on_nothing_but_its_seed(material, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 2)

    first = write_few_clips(material, tmp_path / "a")
    again = write_few_clips(material, tmp_path / "b")
    other = write_few_clips(material, tmp_path / "c", seed=4)

    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["keypoints"], other["keypoints"])
    assert first["keypoints"].shape == (2, 2, 26, 2)
    assert first["offsets"].shape == (5,)
    assert first["offsets"][-1] == len(first["jpeg"])


def test_clips_keep_to_the_spacing_that_is_asked_for(
    material: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 3)

    shard = write_few_clips(material, tmp_path, spacing_s=(0.1, 0.2))

    spacing = np.diff(shard["times_s"])
    assert ((spacing >= 0.0999) & (spacing <= 0.2001)).all()
    assert len(np.unique(spacing)) == 3
    rates = [ShardSource(list(tmp_path.iterdir())).fps(clip) for clip in range(3)]
    np.testing.assert_allclose(rates, 1 / spacing[:, 0], rtol=1e-3)


def test_spacing_that_is_no_range_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="least and the most seconds"):
        shards.write_shards(
            shards.Material(tmp_path, tmp_path, tmp_path, "val"),
            tmp_path,
            num_clips=1,
            spacing_s=(0.2, 0.1),
        )


def test_people_in_profile_face_the_picture_s_edge(material):
    library = open_library(*material, split="train")
    mix = SceneMix(acrobatic=0, tilted=0, mixed_arms=0, profile=1.0)
    rng = np.random.default_rng(0)

    for _ in range(20):
        poses = random_poses(rng, library, np.array([0.0, 0.03]), mix=mix)
        forward = poses.rotations[1, 0] @ [0.0, 0.0, 1.0]
        flat = np.abs(forward[[0, 2]]) / np.linalg.norm(forward[[0, 2]])
        # The camera looks along z; 0.25 rad of spread, so 1 rad off is four times that.
        assert flat[0] > np.cos(1.0)


def test_finished_shards_are_kept(
    material: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 1)
    write_few_clips(material, tmp_path)
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    heard: list[float] = []

    paths = shards.write_shards(
        shards.Material(*material, "train"),
        tmp_path,
        num_clips=2,
        frames_per_clip=2,
        size=SIZE,
        seed=3,
        progress=lambda fraction, words: heard.append(fraction),
    )

    assert kept.stat().st_mtime_ns == before
    assert sorted(tmp_path.iterdir()) == paths
    assert heard == [1.0]


def test_scene_shards_list_everybody(
    material: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards, "SCENES_PER_SHARD", 6)

    (path,) = shards.write_scene_shards(
        shards.Material(*material, "val"), tmp_path, num_scenes=6, size=(72, 96), seed=1
    )

    with np.load(path) as shard:
        assert shard["box_offsets"][-1] == len(shard["boxes"]) == len(shard["visible_fraction"])
        assert len(shard["box_offsets"]) == len(shard["offsets"]) == 7
        assert (shard["boxes"][:, 2:] > shard["boxes"][:, :2]).all()
        assert ((shard["visible_fraction"] > 0) & (shard["visible_fraction"] <= 1.05)).all()


def test_no_clips_at_all_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="at least one clip"):
        shards.write_shards(
            shards.Material(tmp_path, tmp_path, tmp_path, "val"), tmp_path, num_clips=0
        )


def test_people_cross_in_the_middle_of_a_clip(material):
    library = open_library(*material, split="train")
    plan = ClipPlan("crossing", size=(72, 128), num_frames=7, fps=7, person_height=0.5)

    clip = render_clip(library, plan, seed=1)

    assert clip.frames.shape == (7, 72, 128, 3)
    hips = clip.keypoints[:, :, HALPE26.index("hip"), 0]
    before, after = np.sign(hips[0, 0] - hips[0, 1]), np.sign(hips[-1, 0] - hips[-1, 1])
    assert before == -after


def test_a_clip_without_fitting_motion_is_refused(material):
    library = open_library(*material, split="train")

    with pytest.raises(SettingsError, match=r"No motion .* 'swim'"):
        clip_scene(np.random.default_rng(0), library, ClipPlan("x", motions="swim"))
