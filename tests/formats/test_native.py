"""The native file gives back what it was given and says what it cannot read."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from diffpose import __version__
from diffpose.errors import FormatError, InputError
from diffpose.formats.native import read_native, write_native
from diffpose.poses import Origin, PoseSequence
from diffpose.skeleton import COCO17, Skeleton
from tests.formats.made_poses import PROVENANCE, sequence, video

TRIO = Skeleton(
    "trio", ("head", "left_hip", "right_hip"), (("head", "left_hip"),), (0.1, 0.2, 1 / 3)
)


TRIO = Skeleton(
    "trio", ("head", "left_hip", "right_hip"), (("head", "left_hip"),), (0.1, 0.2, 1 / 3)
)


def same(a, b):
    """Equal to the last bit, NaN equal to NaN."""
    return (
        a.skeleton == b.skeleton
        and a.track_id == b.track_id
        and all(
            np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name != "frames")
            and getattr(a, name).dtype == getattr(b, name).dtype
            for name in ("frames", "keypoints", "confidence", "covariance", "origin")
        )
    )


@st.composite
def sequences(draw):
    """0 to 3 tracks with gaps, any NaN, any finite float32, perhaps without a frame."""
    floats = st.floats(width=32, allow_infinity=False)
    result = []
    for track_id in draw(st.lists(st.integers(0, 99), unique=True, max_size=3)):
        frames = sorted(draw(st.sets(st.integers(0, 19), max_size=4)))
        n = len(frames)
        result.append(
            PoseSequence(
                skeleton=TRIO,
                track_id=track_id,
                frames=np.array(frames, np.int32),
                keypoints=draw(npst.arrays(np.float32, (n, 3, 2), elements=floats)),
                confidence=draw(npst.arrays(np.float32, (n, 3), elements=floats)),
                covariance=draw(npst.arrays(np.float32, (n, 3, 2, 2), elements=floats)),
                origin=draw(npst.arrays(np.uint8, (n, 3), elements=st.integers(0, 2))),
            )
        )
    return result


@settings(max_examples=60, deadline=None)
@given(sequences())
def test_reading_gives_back_what_was_written(tmp_path_factory, given_sequences):
    path = tmp_path_factory.mktemp("native") / "out.json"
    info = video(20)

    write_native(path, given_sequences, info, PROVENANCE)
    result = read_native(path)

    assert len(result.sequences) == len(given_sequences)
    assert all(map(same, result.sequences, given_sequences))
    assert result.provenance == PROVENANCE
    np.testing.assert_array_equal(result.info.times_s, info.times_s)
    for name in ("video_id", "width", "height", "warnings", "names"):
        assert getattr(result.info, name) == getattr(info, name)


def test_the_file_is_strict_json_with_null_for_nan(tmp_path):
    unknown = sequence(0, [3], TRIO, keypoints=np.full((1, 3, 2), np.nan))

    write_native(tmp_path / "out.json", [unknown], video(5), PROVENANCE)

    def refuse(word):
        raise AssertionError(word)

    content = json.loads((tmp_path / "out.json").read_text("utf-8"), parse_constant=refuse)
    pose = content["tracks"][0]["frames"][0]
    assert (content["format"], content["version"]) == ("diffpose", 1)
    assert content["tracks"][0]["track_id"] == 0
    assert content["skeleton"]["edges"] == [["head", "left_hip"]]
    assert content["provenance"]["diffpose_version"] == __version__
    assert pose["frame"] == 3
    assert pose["time_s"] == video(5).times_s[3]
    assert pose["keypoints"] == [[None, None]] * 3
    assert pose["origin"] == ["predicted"] * 3
    assert "image" not in pose


def test_the_folder_of_the_video_stays_private(tmp_path):
    write_native(tmp_path / "out.json", [sequence(1, [0])], video(1), PROVENANCE)

    assert "somewhere" not in (tmp_path / "out.json").read_text("utf-8")


def test_pictures_carry_their_names_and_the_order_of_the_boxes(tmp_path):
    info = video(2, names=("b.jpg", "a.jpg"))
    people = [sequence(0, [0]), sequence(1, [0, 1]), sequence(2, [1])]
    order = [(2, 1), (1, 0), (0, 0), (1, 1)]

    write_native(tmp_path / "out.json", people, info, PROVENANCE, order=order)
    result = read_native(tmp_path / "out.json")

    content = json.loads((tmp_path / "out.json").read_text("utf-8"))
    images = [[pose["image"] for pose in track["frames"]] for track in content["tracks"]]
    assert images == [["b.jpg"], ["b.jpg", "a.jpg"], ["a.jpg"]]
    assert result.order == tuple(order)
    assert all(map(same, result.sequences, people))


def test_pictures_without_an_order_come_picture_by_picture(tmp_path):
    people = [sequence(5, [0, 1]), sequence(3, [0])]

    write_native(tmp_path / "out.json", people, video(2, names=("a.jpg", "b.jpg")), PROVENANCE)

    assert read_native(tmp_path / "out.json").order == ((5, 0), (3, 0), (5, 1))


@pytest.mark.parametrize("order", [[], [(0, 0)], [(0, 0), (0, 0)], [(0, 0), (0, 1), (0, 2)]])
def test_an_order_must_name_every_pose_once(tmp_path, order):
    with pytest.raises(FormatError, match="each of the 2 poses once"):
        write_native(tmp_path / "o.json", [sequence(0, [0, 1])], video(3), PROVENANCE, order=order)


@pytest.mark.parametrize(
    ("people", "words"),
    [
        ([sequence(0, [0]), sequence(0, [1])], "track id once"),
        ([sequence(0, [0]), sequence(1, [0], COCO17)], "one skeleton"),
        ([sequence(0, [0, 9])], "frames 0 to 4"),
        ([sequence(0, [-1])], "frames 0 to 4"),
    ],
)
def test_tracks_that_do_not_fit_together_are_refused(tmp_path, people, words):
    with pytest.raises(FormatError, match=words):
        write_native(tmp_path / "out.json", people, video(5), PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_infinite_coordinates_are_refused(tmp_path):
    bad = sequence(0, [0], TRIO, keypoints=np.full((1, 3, 2), np.inf))

    with pytest.raises(FormatError, match="finite"):
        write_native(tmp_path / "out.json", [bad], video(1), PROVENANCE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "Expected a DiffPose file"),
        ('{"images": []}', "Expected a DiffPose file"),
        ('{"format": "diffpose", "version": 2}', "update DiffPose"),
        ('{"format": "diffpose", "version": 1}', "damaged"),
        ("{", "no JSON"),
        ("\x00", "no JSON"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, text, words):
    (tmp_path / "other.json").write_text(text)

    with pytest.raises(FormatError, match=words):
        read_native(tmp_path / "other.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c["tracks"][0]["frames"][0]["keypoints"].pop(),
        lambda c: c["tracks"][0]["frames"][0].pop("covariance"),
        lambda c: c["tracks"][0]["frames"][0].update(origin=["guessed"] * 3),
        lambda c: c["tracks"][0]["frames"][0].update(frame=99),
        lambda c: c["skeleton"].update(sigmas=[]),
        lambda c: c.update(skeleton=None),
        lambda c: c.update(video=None),
        lambda c: c.update(tracks=3),
        lambda c: c["provenance"].pop("seed"),
    ],
)
def test_damage_is_a_format_error(tmp_path, damage):
    path = tmp_path / "out.json"
    write_native(path, [sequence(0, [0, 2])], video(5), PROVENANCE)
    content = json.loads(path.read_text("utf-8"))
    damage(content)
    path.write_text(json.dumps(content))

    with pytest.raises(FormatError, match="damaged"):
        read_native(path)


def test_a_missing_file_is_a_format_error(tmp_path):
    with pytest.raises(FormatError, match="check the name"):
        read_native(tmp_path / "nothing.json")


def test_a_corrected_keypoint_keeps_its_origin(tmp_path):
    origin = np.array([[Origin.CORRECTED, Origin.PREDICTED, Origin.INTERPOLATED]])

    write_native(tmp_path / "o.json", [sequence(0, [0], TRIO, origin=origin)], video(1), PROVENANCE)

    np.testing.assert_array_equal(read_native(tmp_path / "o.json").sequences[0].origin, origin)


def test_a_missing_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write_native(tmp_path / "no" / "out.json", [], video(0), PROVENANCE)
