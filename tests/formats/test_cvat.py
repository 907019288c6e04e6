"""CVAT has no reader outside CVAT: the rules of its own loader are checked one by one."""

import re
from xml.etree.ElementTree import fromstring, parse

import numpy as np

from diffpose.formats.cvat import write_cvat
from diffpose.poses import Origin
from diffpose.skeleton import HALPE26
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)


def person(track_id=0, frames=(1, 2, 6)):
    keypoints = np.random.default_rng(track_id).uniform(1, 400, (len(frames), 26, 2))
    keypoints[0, 2] = np.nan
    confidence = np.full((len(frames), 26), 0.9)
    confidence[0, 3] = 0.1
    confidence[0, 5] = np.nan
    origin = np.zeros((len(frames), 26), np.uint8)
    origin[0, 5], origin[0, 6] = Origin.CORRECTED, Origin.INTERPOLATED
    return sequence(track_id, frames, keypoints=keypoints, confidence=confidence, origin=origin)


def written(tmp_path, people):
    write_cvat(tmp_path / "a.xml", people, VIDEO, PROVENANCE)
    return parse(tmp_path / "a.xml").getroot()


def points_of(root, frame, track="0"):
    (skeleton,) = root.findall(f"track[@id='{track}']/skeleton[@frame='{frame}']")
    return {point.get("label"): point for point in skeleton}


def test_every_element_has_what_cvats_loader_asks_for(tmp_path):
    root = written(tmp_path, [person(0), person(7)])

    assert root.findtext("version") == "1.1"
    assert [track.get("id") for track in root.iter("track")] == ["0", "7"]
    for track in root.iter("track"):
        assert track.get("label") == "person"
        for skeleton in track:
            assert skeleton.get("keyframe") == "1"  # others are ignored on import
            assert [p.get("label") for p in skeleton] == list(HALPE26.keypoints)
            for point in skeleton:
                assert {"label", "outside", "occluded", "keyframe", "points"} <= set(point.keys())
                assert re.fullmatch(r"-?\d+\.\d\d,-?\d+\.\d\d", point.get("points"))


def test_places_come_back_by_name_to_a_hundredth_of_a_pixel(tmp_path):
    root = written(tmp_path, [person()])

    for row, frame in enumerate((1, 2, 6)):
        points = points_of(root, frame)
        for index, name in enumerate(HALPE26.keypoints):
            known = np.isfinite(person().keypoints[row, index]).all()
            assert points[name].get("outside") == str(int(not known))
            if known:
                place = [float(v) for v in points[name].get("points").split(",")]
                np.testing.assert_allclose(place, person().keypoints[row, index], atol=0.00501)


def test_hidden_is_occluded_and_placed_by_a_person_is_not(tmp_path):
    points = points_of(written(tmp_path, [person()]), 1)

    assert points[HALPE26.keypoints[3]].get("occluded") == "1"
    assert points[HALPE26.keypoints[5]].get("occluded") == "0"
    assert points[HALPE26.keypoints[5]].findtext("attribute[@name='origin']") == "corrected"
    assert points[HALPE26.keypoints[6]].findtext("attribute[@name='origin']") == "interpolated"


def test_gaps_are_switched_off_so_that_cvat_does_not_interpolate_through_them(tmp_path):
    root = written(tmp_path, [person()])

    frames = [int(skeleton.get("frame")) for skeleton in root.iter("skeleton")]
    assert frames == [1, 2, 3, 6, 7]
    for frame in (3, 7):
        assert {point.get("outside") for point in points_of(root, frame).values()} == {"1"}


def test_a_track_to_the_last_frame_needs_no_end(tmp_path):
    root = written(tmp_path, [person(frames=(8,))])

    assert [skeleton.get("frame") for skeleton in root.iter("skeleton")] == ["8"]


def test_the_labels_describe_the_skeleton_with_numbers_from_1(tmp_path):
    root = written(tmp_path, [person()])

    labels = {label.findtext("name"): label for label in root.iter("label")}
    assert labels["person"].findtext("type") == "skeleton"
    assert all(labels[name].findtext("parent") == "person" for name in HALPE26.keypoints)
    svg = fromstring(f"<svg>{labels['person'].findtext('svg')}</svg>")
    nodes = {c.get("data-node-id"): c.get("data-label-name") for c in svg.iter("circle")}
    assert nodes == {str(i): name for i, name in enumerate(HALPE26.keypoints, start=1)}
    edges = {
        (nodes[e.get("data-node-from")], nodes[e.get("data-node-to")]) for e in svg.iter("line")
    }
    assert edges == set(HALPE26.edges)
    values = labels["nose"].findtext("attributes/attribute/values").split("\n")
    assert values == [origin.name.lower() for origin in Origin]
