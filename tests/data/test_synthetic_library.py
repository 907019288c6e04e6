import numpy as np
import pytest

from diffpose.data.synthetic.library import (
    Library,
    Split,
    open_library,
    read_names,
    split_identities,
    split_of,
)
from diffpose.errors import FormatError
from tests.data.box_people import write_material

SPLITS: tuple[Split, ...] = ("train", "val", "test")
GROUPS = ("Asian", "Black", "White", "MENA")
IDENTITIES = [f"{group}_{sex}_{n}" for group in GROUPS for sex in "FM" for n in range(5)]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Library]:
    folders = write_material(tmp_path_factory.mktemp("material"))
    return {split: open_library(*folders, split=split) for split in SPLITS}


def test_splits_share_no_person_motion_or_photo(libraries):
    for kind, total in (("avatars", 8), ("motions", 60), ("backgrounds", 60)):
        names = [
            getattr(item, "stem", None) or item.name
            for library in libraries.values()
            for item in getattr(library, kind)
        ]
        assert len(names) == len(set(names)) == total


def test_every_split_has_both_sexes_of_different_groups():
    split = split_identities(IDENTITIES)

    held_out = [name.split("_") for name in IDENTITIES if split[name] == "test"]
    assert sorted(sex for _, sex, _ in held_out) == ["F", "F", "M", "M"]
    for sex in "FM":
        groups = [group for group, own, _ in held_out if own == sex]
        assert len(set(groups)) == len(groups)
    assert sorted(n.split("_")[1] for n in IDENTITIES if split[n] == "val") == ["F", "M"]


def test_the_order_of_names_does_not_matter():
    assert split_identities(IDENTITIES) == split_identities(IDENTITIES[::-1])


def test_a_clip_stays_in_its_split_whatever_else_is_there():
    splits = [split_of(f"clip_{i}") for i in range(1000)]

    assert splits == [split_of(f"clip_{i}") for i in range(1000)]
    assert splits.count("test") == pytest.approx(100, abs=30)
    assert splits.count("val") == pytest.approx(50, abs=25)


def test_the_same_seed_draws_the_same(libraries):
    library = libraries["train"]

    first = [library.random_avatar(np.random.default_rng(1)).name for _ in range(3)]

    assert len(set(first)) == 1
    motion = library.random_motion(np.random.default_rng(2))
    assert motion is library.random_motion(np.random.default_rng(2))


def test_an_empty_split_is_refused():
    with pytest.raises(FormatError, match="has no avatars"):
        Library([], [], [])


def test_listed_photos_are_left_out_and_nothing_else_changes(tmp_path, tmp_path_factory):
    folders = write_material(tmp_path_factory.mktemp("listed"))
    listed = tmp_path / "people.txt"
    listed.write_text("# somebody stands there\nplain_03\nplain_05.jpg  # a statue\n\n")

    every = [open_library(*folders, split=split) for split in SPLITS]
    fewer = [open_library(*folders, split=split, without=read_names(listed)) for split in SPLITS]

    for before, after in zip(every, fewer, strict=True):
        dropped = ("plain_03.jpg", "plain_05.jpg")
        kept = tuple(path for path in before.backgrounds if path.name not in dropped)
        assert after.backgrounds == kept
        assert after.avatars == before.avatars
    assert sum(len(library.backgrounds) for library in fewer) == 58


def test_a_photo_to_leave_out_that_is_not_there_is_named(tmp_path_factory):
    folders = write_material(tmp_path_factory.mktemp("unlisted"))

    with pytest.raises(FormatError, match="plain_99 is not in"):
        open_library(*folders, split="train", without=frozenset({"plain_99", "plain_01"}))
    with pytest.raises(FormatError, match="one name a line"):
        read_names(folders[0])
