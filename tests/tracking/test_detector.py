"""Laws of the person detector: box maps, letterboxing, weights files."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffpose.errors import WeightsError
from diffpose.geometry import apply_affine
from diffpose.movenet import CONFIGS, STRIDE, normalise
from diffpose.tensorfile import file_hash, load_tensors, save_tensors
from diffpose.tracking.boxmaps import (
    boxes_to_shapes,
    decode_boxes,
    encode_boxes,
    shapes_to_boxes,
)
from diffpose.tracking.detector import PersonDetector, letterbox
from diffpose.tracking.network import (
    DetectorConfig,
    PersonNet,
    load_detector_network,
    load_movenet_into,
    save_detector,
)
from diffpose.tracking.torchvision_detector import TorchvisionDetector
from tests.tracking.tiny_movenet import TINY, TINY_MOVENET, published_tiny

SHAPE = (40, 48)

people = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 80), st.floats(9, 90), st.floats(9, 78)).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(autouse=True)
def tiny_movenet(monkeypatch):
    monkeypatch.setitem(CONFIGS, TINY_MOVENET.name, TINY_MOVENET)


def maps_that_know(boxes):
    truth = encode_boxes(torch.tensor(boxes), shape=SHAPE)
    return torch.logit(truth.centres, eps=1e-4), boxes_to_shapes(truth.boxes)


def test_perfect_maps_decode_to_the_boxes():
    boxes = [(10.0, 12.0, 50.0, 110.0), (90.0, 30.0, 140.0, 70.0), (150.0, 100.0, 165.0, 140.0)]

    found, scores = decode_boxes(*maps_that_know(boxes), min_score=0.5)

    order = found[:, 0].argsort()
    torch.testing.assert_close(found[order], torch.tensor(boxes), atol=1e-3, rtol=0)
    assert (scores > 0.99).all()


@given(people)
@settings(max_examples=50, deadline=None)
def test_boxes_survive_their_maps_within_a_pixel(boxes):
    truth = encode_boxes(torch.tensor(boxes, dtype=torch.float32), shape=SHAPE)

    again = shapes_to_boxes(boxes_to_shapes(truth.boxes))

    assert (again - truth.boxes).abs().max() < 0.01
    assert truth.centres.max() == 1


def test_nobody_is_a_flat_map():
    truth = encode_boxes(torch.zeros(0, 4), shape=SHAPE)

    assert truth.centres.max() == 0
    assert len(decode_boxes(*maps_that_know(np.zeros((0, 4))), min_score=0.1)[0]) == 0


def test_the_best_of_duplicates_is_kept():
    boxes = torch.tensor([[40.0, 20.0, 80.0, 120.0], [43.0, 22.0, 82.0, 118.0]])
    logits, shapes = torch.full(SHAPE, -9.0), torch.zeros(4, *SHAPE)
    for box, (row, column), logit in zip(boxes, [(17, 13), (17, 16)], [1.0, 2.0], strict=True):
        logits[row, column] = logit
        shapes[:, row, column] = boxes_to_shapes(box[:, None, None].expand(4, *SHAPE))[
            :, row, column
        ]

    found, scores = decode_boxes(logits, shapes, min_score=0.3)

    torch.testing.assert_close(found, boxes[1:], atol=1e-3, rtol=0)
    assert scores == torch.sigmoid(torch.tensor(2.0))


def test_a_person_is_where_no_neighbouring_cell_scores_higher():
    logits = torch.full((5, 6), -9.0)
    logits[2, 1:5] = torch.tensor([1.0, 2.0, 1.5, 1.2])
    shapes = torch.zeros(4, 5, 6)
    shapes[2:] = 0.5  # boxes of neighbours do not touch

    found, scores = decode_boxes(logits, shapes, min_score=0.5)

    torch.testing.assert_close(found, torch.tensor([[6.5, 6.5, 8.5, 8.5]]))
    torch.testing.assert_close(scores, torch.tensor([2.0]).sigmoid())


def test_a_box_is_its_cell_the_way_to_the_centre_and_the_size():
    """As the published graph reads boxes: (cell + offset -+ scale / 2) cells from the edge."""
    shapes = torch.zeros(4, 8, 8)
    shapes[:, 3, 5] = torch.tensor([0.25, 0.5, 4.0, 2.0])
    shapes[:, 0, 0] = torch.tensor([0.5, 0.5, -1.0, 3.0])

    boxes = shapes_to_boxes(shapes)

    corners = np.array([5 + 0.5 - 1, 3 + 0.25 - 2, 5 + 0.5 + 1, 3 + 0.25 + 2])
    np.testing.assert_allclose(boxes[:, 3, 5], corners * 4 - 0.5)
    assert boxes[1, 0, 0] == boxes[3, 0, 0]  # a size below nothing is nothing


def test_overlapping_people_are_both_found():
    boxes = [(40.0, 20.0, 80.0, 120.0), (64.0, 24.0, 104.0, 124.0)]

    found, _ = decode_boxes(*maps_that_know(boxes), min_score=0.9)

    assert len(found) == 2


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (55, 33), (7, 300)])
def test_letterboxing_keeps_the_edges_of_the_picture(size):
    height, width = size

    canvas, affine = letterbox(np.zeros((height, width, 3), np.uint8), side=256)

    edges = apply_affine(affine, np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
    inner = (canvas[:, :, 0] == 0).any(axis=1).sum(), (canvas[:, :, 0] == 0).any(axis=0).sum()
    np.testing.assert_allclose(edges, [[-0.5, -0.5], [inner[1] - 0.5, inner[0] - 0.5]], atol=1e-9)
    assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
    assert max(inner) == 256


class OneBox(torch.nn.Module):
    """Answers every picture with one box around its dark pixels."""

    config = DetectorConfig(side=256)

    def forward(self, pictures):
        logits, shapes = [], []
        for picture in pictures:
            rows, columns = torch.nonzero(picture[0] < 0, as_tuple=True)
            box = torch.tensor(
                [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
            )
            shape = (picture.shape[1] // STRIDE, picture.shape[2] // STRIDE)
            truth = encode_boxes(box, shape=shape)
            logits.append(torch.logit(truth.centres, eps=1e-4))
            shapes.append(boxes_to_shapes(truth.boxes))
        return torch.stack(logits), torch.stack(shapes)


@pytest.mark.parametrize(("size", "tolerance"), [((192, 256), 1e-3), ((480, 640), 1.3)])
def test_a_box_moves_with_the_person(size, tolerance):
    detector = PersonDetector(OneBox(), weights_hash="one-box")  # type: ignore[arg-type]
    pictures = []
    for x, y in [(30, 40), (101, 67)]:
        picture = np.full((*size, 3), 255, np.uint8)
        picture[y : y + 90, x : x + 40] = 0
        pictures.append(picture)

    first, second = detector.detect(pictures)

    np.testing.assert_allclose(first.boxes, [[29.5, 39.5, 69.5, 129.5]], atol=tolerance)
    np.testing.assert_allclose(second.boxes - first.boxes, [[71, 27, 71, 27]], atol=tolerance)


def test_pictures_of_different_sizes_come_back_in_order():
    detector = PersonDetector.untrained(TINY)
    detector.min_score = 0.001
    sizes = [(40, 64), (40, 64), (64, 30), (40, 64)]

    found = detector.detect([np.full((*size, 3), 90, np.uint8) for size in sizes])

    assert len(found) == 4
    for detections, (height, width) in zip(found, sizes, strict=True):
        assert len(detections)
        assert (detections.boxes >= -0.5).all()
        assert (detections.boxes <= np.tile([width - 0.5, height - 0.5], 2)).all()
    np.testing.assert_allclose(found[0].scores, found[3].scores, atol=1e-5)


def test_no_pictures_no_detections():
    assert PersonDetector.untrained(TINY).detect([]) == []


def test_a_detector_comes_back_from_its_file(tmp_path):
    path = tmp_path / "detector.safetensors"
    network = PersonNet(TINY)

    save_detector(path, network, training={"steps": 1})
    detector = PersonDetector.load(path)

    assert detector.weights_hash == file_hash(path)
    assert detector.network.config == TINY
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(
            detector.network.state_dict()[name], tensor, atol=1e-3, rtol=1e-3
        )


def test_damaged_and_foreign_weights_are_named(tmp_path):
    path = tmp_path / "detector.safetensors"
    save_detector(path, PersonNet(TINY), training={})
    tensors, metadata = load_tensors(path)

    with pytest.raises(WeightsError, match=r"no weights file .*absent"):
        PersonDetector.load(tmp_path / "absent.safetensors")
    save_tensors(path, tensors, metadata | {"format": "diffpose-weights-1"})
    with pytest.raises(WeightsError, match=r"detector.safetensors holds no person detector"):
        load_detector_network(path)
    save_tensors(path, dict(list(tensors.items())[1:]), metadata)
    with pytest.raises(WeightsError, match="does not fit its own config"):
        load_detector_network(path)
    save_tensors(path, tensors, metadata | {"config": '{"size": 3}'})
    with pytest.raises(WeightsError, match="does not fit its own config"):
        load_detector_network(path)
    save_tensors(path, tensors, metadata | {"config": '{"backbone": "resnet10t"}'})
    with pytest.raises(WeightsError, match="does not fit its own config"):
        load_detector_network(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"detector.safetensors is no intact"):
        load_detector_network(path)


def test_a_network_begins_as_the_published_one(tmp_path):
    path = tmp_path / "tiny.safetensors"
    published = published_tiny(path)
    network = PersonNet(TINY).eval()

    load_movenet_into(network, path)

    pictures = normalise(torch.randint(0, 255, (2, 64, 96, 3), dtype=torch.uint8))
    with torch.no_grad():
        heads, (logits, shapes) = published(pictures), network(pictures)
    assert logits.shape == (2, 16, 24)
    torch.testing.assert_close(logits, heads["centre"][:, 0])
    torch.testing.assert_close(shapes[:, :2], heads["box_offset"])
    torch.testing.assert_close(shapes[:, 2:], heads["box_scale"])


def test_only_the_file_of_its_network_fills_it(tmp_path):
    path = tmp_path / "tiny.safetensors"
    published_tiny(path)

    with pytest.raises(WeightsError, match=r"holds movenet_tiny, but .* movenet_multipose"):
        load_movenet_into(PersonNet(DetectorConfig()), path)
    save_detector(path, PersonNet(TINY), training={})
    with pytest.raises(WeightsError, match="holds no MoveNet"):
        load_movenet_into(PersonNet(TINY), path)


def test_torchvision_weights_are_never_downloaded(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        TorchvisionDetector(tmp_path / "absent.pth")
    (tmp_path / "other.pth").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"other.pth holds no fasterrcnn"):
        TorchvisionDetector(tmp_path / "other.pth")
