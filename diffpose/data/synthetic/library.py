"""The material of one split: which avatars, motion clips and photos it may use.

Splits share nothing: people are split by identity, motion by clip, photos by file. What goes
where follows from hashes of names, so that it is the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.body import Avatar, identity_of, load_avatar
from diffpose.data.synthetic.motion import Motion, load_motion, read_labels
from diffpose.errors import FormatError

Split = Literal["train", "val", "test"]

_TEST_SHARE, _VAL_SHARE = 0.10, 0.05
_CACHED_AVATARS = 200

# Walking and standing fill the recordings; acrobatics, which people film, are rare in them.
_COMMON = re.compile(r"walk|idle|stand|driv|Sitting_Idle", re.IGNORECASE)
_RARE = re.compile(
    r"break|flip|cartwheel|gymn|roll|kick|martial|jump|dance|climb|crawl|getup|swim|push|kneel|lie",
    re.IGNORECASE,
)


def split_of(name: str) -> Split:
    """The split of one clip or photo: it depends on nothing but the name."""
    share = int(_hash(name)[:8], 16) / 2**32
    return "test" if share < _TEST_SHARE else "val" if share < _TEST_SHARE + _VAL_SHARE else "train"


def split_identities(identities: Sequence[str]) -> dict[str, Split]:
    """The split of every identity: about 85 % train, 5 % val, 10 % test of either sex.

    Few people need an even hand that a hash alone does not give: within a sex they are ranked by
    a hash, and those held out come from different groups. Fewer than three all go to train.
    """
    result: dict[str, Split] = {}
    for sex in sorted({sex_of(name) for name in identities}):
        ranked = _groups_in_turn(sorted({n for n in identities if sex_of(n) == sex}, key=_hash))
        num_test = max(1, round(_TEST_SHARE * len(ranked))) if len(ranked) > 2 else 0
        num_val = max(1, round(_VAL_SHARE * len(ranked))) if len(ranked) > 2 else 0
        for rank, name in enumerate(ranked):
            held_out: Split = "test" if rank < num_test else "val"
            result[name] = held_out if rank < num_test + num_val else "train"
    return result


def _groups_in_turn(identities: Sequence[str]) -> list[str]:
    """The same names, first one of every group, then the others."""
    first = {name.partition("_")[0]: name for name in reversed(identities)}
    leading = [name for name in identities if name in first.values()]
    return leading + [name for name in identities if name not in leading]


def sex_of(identity: str) -> str:
    """``F`` or ``M`` from an identity such as ``Asian_F_2``; empty where it names none."""
    words = identity.split("_")
    return next((word for word in words if word in ("F", "M")), "")


class Library:
    """Avatars, motions and photos of one split; files are read when first needed.

    Args:
        avatars: Avatar files.
        motions: Motion clips.
        backgrounds: Photos without people.
    """

    def __init__(
        self, avatars: Sequence[Path], motions: Sequence[Motion], backgrounds: Sequence[Path]
    ) -> None:
        for what, items in (("avatars", avatars), ("motions", motions), ("photos", backgrounds)):
            if not items:
                raise FormatError(f"This split has no {what}; add more files to their folder.")
        self.avatars, self.motions = tuple(avatars), tuple(motions)
        self.backgrounds = tuple(backgrounds)
        self._loaded: OrderedDict[Path, Avatar] = OrderedDict()

    @cached_property
    def identities(self) -> dict[str, tuple[Path, ...]]:
        """Identity to the files of its outfits."""
        names = sorted({identity_of(path.stem) for path in self.avatars})
        return {n: tuple(p for p in self.avatars if identity_of(p.stem) == n) for n in names}

    @cached_property
    def _motion_weights(self) -> NDArray[np.float64]:
        weights = np.array([_motion_weight(motion) for motion in self.motions])
        return weights / weights.sum()

    def random_avatar(self, rng: np.random.Generator) -> Avatar:
        """Any identity with equal chance, then any of its outfits."""
        identity = sorted(self.identities)[rng.integers(len(self.identities))]
        outfits = self.identities[identity]
        return self.avatar(outfits[rng.integers(len(outfits))])

    def avatar(self, path: Path) -> Avatar:
        """An avatar of this split, read once and kept while there is room."""
        if path not in self._loaded:
            self._loaded[path] = load_avatar(path)
        self._loaded.move_to_end(path)
        if len(self._loaded) > _CACHED_AVATARS:
            self._loaded.popitem(last=False)
        return self._loaded[path]

    def random_motion(self, rng: np.random.Generator) -> Motion:
        """A motion clip: long and acrobatic ones more often, walking less."""
        return self.motions[rng.choice(len(self.motions), p=self._motion_weights)]

    def random_background(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A photo, RGB uint8 (H, W, 3)."""
        path = self.backgrounds[rng.integers(len(self.backgrounds))]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise FormatError(f"Expected a photo, {path.name} is unreadable; remove it.")
        return picture.astype(np.uint8, copy=False)


def read_names(path: Path) -> frozenset[str]:
    """Names from a text file, one a line; what follows a # is a comment.

    Raises:
        FormatError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"Expected a text file with one name a line, got {path}.") from error
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


def open_library(
    avatars: Path,
    mocap: Path,
    backgrounds: Path,
    *,
    split: Split,
    without: frozenset[str] = frozenset(),
) -> Library:
    """The part of three folders that belongs to one split.

    Args:
        avatars: Folder of avatar npz files.
        mocap: Folder with ``index.json`` and ``clips/*.npz``.
        backgrounds: Folder of JPEG photos without people.
        split: ``train``, ``val`` or ``test``.
        without: Names of photos to leave out, with or without suffix.

    Raises:
        FormatError: A folder holds nothing for this split, or no photo has a name in ``without``.
    """
    people = sorted(avatars.glob("*.npz"))
    photos = sorted(backgrounds.glob("*.jpg"))
    if unknown := sorted(without - {name for path in photos for name in (path.name, path.stem)}):
        raise FormatError(
            f"Expected only names of photos to leave out, {', '.join(unknown[:3])} "
            f"{'and others are' if len(unknown) > 3 else 'is'} not in {backgrounds}; "
            "correct the list."
        )
    photos = [path for path in photos if not {path.name, path.stem} & without]
    labels = read_labels(mocap)
    of_person = split_identities([identity_of(path.stem) for path in people])
    return Library(
        [p for p in people if of_person[identity_of(p.stem)] == split],
        [
            load_motion(mocap / "clips" / f"{name}.npz", label=labels[name])
            for name in sorted(labels)
            if split_of(name) == split
        ],
        [p for p in photos if split_of(p.name) == split],
    )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _motion_weight(motion: Motion) -> float:
    weight = np.sqrt(min(motion.duration_s, 20.0) + 0.5)
    if _RARE.search(motion.label):
        return float(2.0 * weight)
    return float(0.4 * weight if _COMMON.search(motion.label) else weight)
