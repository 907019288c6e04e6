"""Laws of skeletons and of the conversion between them."""

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.skeleton import (
    COCO17,
    HALPE26,
    LIMB_KEYPOINTS,
    LSP14,
    POSETRACK15,
    SKELETONS,
    convert,
    indices_of,
    keypoint_map,
)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_mirroring_twice_is_the_identity_and_keeps_edges(skeleton):
    mirror = skeleton.mirror
    edges = {frozenset(edge) for edge in skeleton.edge_indices.tolist()}

    assert (mirror[mirror] == np.arange(len(skeleton))).all()
    assert {frozenset(mirror[list(edge)].tolist()) for edge in edges} == edges


@pytest.mark.parametrize("part", [COCO17, POSETRACK15, LSP14], ids=lambda s: s.name)
def test_halpe_holds_every_keypoint_of_the_other_skeletons(part):
    assert (keypoint_map(HALPE26, part) >= 0).all()


def test_conversion_there_and_back_keeps_what_both_have():
    points = np.arange(34, dtype=float).reshape(17, 2)

    back = convert(convert(points, COCO17, HALPE26), HALPE26, COCO17)

    np.testing.assert_array_equal(back, points)


def test_what_a_skeleton_lacks_becomes_unknown():
    there = convert(np.ones((2, 14, 2)), LSP14, HALPE26)

    assert np.isnan(there[:, HALPE26.index("nose")]).all()
    assert np.isfinite(there[:, HALPE26.index("neck")]).all()


def test_head_top_and_head_are_one_point():
    points = np.arange(15.0)[:, None]

    there = convert(points, POSETRACK15, HALPE26)

    assert there[HALPE26.index("head"), 0] == POSETRACK15.index("head_top")
    assert there[HALPE26.index("neck"), 0] == POSETRACK15.index("head_bottom")


def test_an_unknown_name_and_a_wrong_count_are_refused():
    with pytest.raises(FormatError, match="left_tail"):
        COCO17.index("left_tail")
    with pytest.raises(FormatError, match="17 keypoints"):
        convert(np.zeros((5, 2)), COCO17, HALPE26)


def test_the_twelve_limb_keypoints_are_in_every_skeleton():
    for skeleton in SKELETONS.values():
        assert len(indices_of(skeleton, LIMB_KEYPOINTS)) == 12
