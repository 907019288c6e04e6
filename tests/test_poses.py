"""Laws of the records."""

from typing import Any

import numpy as np
import pytest

from diffpose.errors import FormatError, SettingsError
from diffpose.poses import PoseSequence, SamplingConfig, Track, Window
from diffpose.skeleton import COCO17


def sequence(**changes):
    values: dict[str, Any] = {
        "skeleton": COCO17,
        "track_id": 0,
        "frames": np.arange(3),
        "keypoints": np.zeros((3, 17, 2)),
        "confidence": np.ones((3, 17)),
        "covariance": np.tile(np.diag([9.0, 16.0]), (3, 17, 1, 1)),
    }
    return PoseSequence(**(values | changes))


def test_a_record_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        sequence().keypoints[0] = 1


def test_a_record_does_not_share_the_caller_s_array():
    frames = np.arange(3)
    made = sequence(frames=frames)

    frames[0] = 99

    assert made.frames[0] == 0


def test_shapes_are_checked_and_named():
    with pytest.raises(FormatError, match=r"keypoints of shape \(3, 17, 2\)"):
        sequence(keypoints=np.zeros((3, 16, 2)))


def test_frames_must_increase():
    with pytest.raises(FormatError, match="increasing"):
        Track(0, np.array([2, 1]), np.zeros((2, 4)), np.ones(2))


def test_repr_prints_shapes_not_numbers():
    assert "float32(3, 17, 2)" in repr(sequence())


def test_radius_is_the_root_of_the_mean_variance():
    np.testing.assert_allclose(sequence().radius, np.sqrt(12.5))


def test_the_key_of_a_window_depends_on_all_that_its_features_do():
    crop = np.array([[1.0, 0, 0], [0, 1, 0]])
    window = Window("v", 1, np.arange(5), crop)

    others = [
        Window("w", 1, np.arange(5), crop),
        Window("v", 2, np.arange(5), crop),
        Window("v", 1, np.arange(5) + 1, crop),
        Window("v", 1, np.arange(5), crop * 1.001),
    ]

    assert window.centre == 2
    assert window.key == Window("v", 1, np.arange(5), crop).key
    assert len({window.key, *(other.key for other in others)}) == 5


@pytest.mark.parametrize(
    "values", [{"num_steps": 0}, {"num_steps": 51}, {"num_hypotheses": 0}, {"seed": -1}]
)
def test_sampling_out_of_range_says_the_range(values):
    with pytest.raises(SettingsError, match=r"to \d+, got"):
        SamplingConfig(**values)
