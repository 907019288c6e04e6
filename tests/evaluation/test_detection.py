"""Laws of detection scores, with numbers one can check by hand."""

import numpy as np
import pytest

from diffpose.errors import FormatError
from diffpose.evaluation.detection import FoundBoxes, best_threshold, score_detections

BOX = np.array([0.0, 0.0, 10.0, 20.0])
FAR = BOX + 100
NONE = np.zeros((0, 4))


def found(truth, boxes, scores):
    return FoundBoxes(
        np.reshape(truth, (-1, 4)), np.reshape(boxes, (-1, 4)), np.array(scores, float)
    )


def test_what_is_found_exactly_scores_one():
    score = score_detections([found([BOX, FAR], [FAR, BOX], [0.9, 0.6])])

    assert (score.recall, score.precision) == (1.0, 1.0)
    assert score.average_precision == pytest.approx(1.0)


def test_a_duplicate_costs_precision_not_recall():
    score = score_detections([found(BOX, [BOX, BOX + 0.1], [0.9, 0.8])])

    assert (score.recall, score.precision) == (1.0, 0.5)
    assert score.average_precision == pytest.approx(1.0)  # the duplicate comes after


def test_boxes_below_the_score_or_the_overlap_are_misses():
    weak = found(BOX, BOX, [0.4])
    beside = found(BOX, BOX + np.array([6, 0, 6, 0]), [0.9])

    score = score_detections([weak, beside])

    assert (score.recall, score.precision) == (0.0, 0.0)
    assert score.average_precision == pytest.approx(51 / 101 * 0.5)


def test_pictures_of_nobody_count_false_alarms():
    score = score_detections([found(BOX, BOX, [0.9]), found(NONE, FAR, [0.95])])

    assert (score.recall, score.precision) == (1.0, 0.5)
    assert score.average_precision == pytest.approx(0.5)


def test_the_best_threshold_parts_right_from_wrong():
    pictures = [found(BOX, [BOX, FAR], [0.7, 0.3]), found(BOX, [BOX, FAR], [0.6, 0.2])]

    assert best_threshold(pictures) == pytest.approx(0.6)


def test_nothing_to_find_is_an_error():
    with pytest.raises(FormatError, match="at least one true box"):
        score_detections([found(NONE, BOX, [0.5])])
    with pytest.raises(FormatError, match="got none"):
        best_threshold([found(BOX, NONE, [])])
