"""Laws of reading another estimator's result list."""

import json

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.formats.coco_results import read_coco_results


def entry(name, value, score):
    return {"file_name": f"some/folder/{name}", "keypoints": [value, value, score] * 17,
            "score": score}  # fmt: skip


def test_the_best_pose_of_each_picture_is_read_in_the_order_asked_for(tmp_path):
    path = tmp_path / "results.json"
    content = [entry("b.webp", 1, 0.2), entry("b.webp", 2, 0.7), entry("a.webp", 3, 0.5)]
    path.write_text(json.dumps([*content, entry("other.webp", 9, 1)]))
    points, scores = read_coco_results(path, ["a.webp", "b.webp", "c.webp"])
    assert points.shape == (3, 17, 2)
    assert (points[0] == 3).all()
    assert (points[1] == 2).all()
    assert np.isnan(points[2]).all()
    np.testing.assert_allclose(scores, np.repeat([[0.5], [0.7], [0.0]], 17, axis=1))


@pytest.mark.parametrize(
    "content",
    [{}, [1], [{"file_name": "a.webp"}], [{"file_name": "a.webp", "keypoints": [1], "score": 1}]],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"results\.json"):
        read_coco_results(path, ["a.webp"])
