"""Real pictures with pseudo-labels as training data."""

from dataclasses import replace

import pytest

from diffpose.errors import SettingsError
from diffpose.training.config import parse_training_config
from diffpose.training.data import load_data, mixture_of
from tests.data.lspet_folder import write_lspet
from tests.data.people_folder import write_dot_labels, write_people


@pytest.fixture
def folder(tmp_path):
    write_dot_labels(tmp_path / "labels.npz", write_people(tmp_path / "people"))
    write_lspet(tmp_path, "train", count=26)
    return tmp_path


def config_of(**data):
    stage = {"name": "one", "objective": "coarse", "steps": 1, "clip_share": 0.0}
    return parse_training_config({"data": data, "stages": [stage]})


def test_people_share_the_stills_part_by_their_number(folder):
    config = config_of(
        lspet=str(folder), people=str(folder / "people"),
        people_labels=str(folder / "labels.npz"), monitor=2,
    )  # fmt: skip

    data = load_data(config)
    mixture = mixture_of(data, config.stages[0], config)

    assert data.people is not None
    assert [len(source) for source in mixture.sources] == [24, 8]
    assert mixture.weights == pytest.approx([0.75, 0.25])


def test_people_alone_are_enough(folder):
    config = config_of(people=str(folder / "people"), people_labels=str(folder / "labels.npz"))

    mixture = mixture_of(load_data(config), config.stages[0], config)

    assert mixture.weights == pytest.approx([1.0])


def test_pictures_without_labels_are_refused(folder):
    config = config_of(lspet=str(folder), people=str(folder / "people"))

    with pytest.raises(SettingsError, match="people_labels together"):
        load_data(config)
    with pytest.raises(SettingsError, match="no training data"):
        load_data(replace(config, data=replace(config.data, lspet="", people="")))
