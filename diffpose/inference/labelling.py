"""Pseudo-labels: teachers look at unlabelled people in several views, and what they agree on stays.

A chunk of pictures is one part of the work and is kept when it is done; a run that was killed goes
on with the next chunk and ends with the same labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffpose.data.people_packs import LABEL_FIELDS, PackedPicture, PeopleLabels
from diffpose.errors import CancelledError
from diffpose.evaluation.agreement import AgreementRule, consensus, same_person
from diffpose.evaluation.proportions import learn_proportions, likely_aspect
from diffpose.geometry import box_iou, box_of_points
from diffpose.inference.interfaces import PersonFinder, Picture
from diffpose.inference.jobs import Job
from diffpose.inference.teachers import Answers, Look, Teacher, View, ask
from diffpose.skeleton import COCO17, HALPE26

_VERSION = 1  # part of every part's name: raise it when the same pictures get other labels

VIEWS = (View(0, 1.25), View(15, 1.1, mirrored=True), View(-25, 1.4))
"""How every person is shown; the first view says whether it is worth going on."""

UPENDED = (90.0, -90.0, 180.0)
"""Degrees that people are turned by whom nobody recognises upright."""

ASPECTS = (1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3)
"""Width to height of the pictures that were stretched to squares."""


_ONE_PERSON = 0.6  # overlap (IoU) of two boxes of one person


@dataclass(frozen=True)
class LabellingRule:
    """Whom to label, and when a label is good enough.

    Attributes:
        agreement: When views agree.
        least_side: Pixels of a box's longer side; smaller people are left out.
        hopeless: Mean score of a pose that says that there is nobody.
        clear: Mean score of a pose that needs no turning.
        upright: How much higher a turned view must score, to be believed.
        keypoints: Labelled keypoints that a person has at least.
        inside: Share of them that lies in the box made wider by 15 %.
        found: Score of a found box.
        large: Least share of the picture's longer side that a found person has.
        most: People of a picture, the largest first.
    """

    agreement: AgreementRule = field(default_factory=AgreementRule)
    least_side: float = 48.0
    hopeless: float = 0.12
    clear: float = 0.25
    upright: float = 1.2
    keypoints: int = 6
    inside: float = 0.7
    found: float = 0.3
    large: float = 0.3
    most: int = 5


@dataclass(frozen=True)
class Teachers:
    """Who labels.

    Attributes:
        full: All are asked in every view; the first also decides which way up a person is.
        quick: Looks for boxes and aspects; may be one of the others.
        finder: Finds people in pictures without boxes.
    """

    full: tuple[Teacher, ...]
    quick: Teacher
    finder: PersonFinder

    @property
    def name(self) -> str:
        """Names all the weights."""
        names = [teacher.name for teacher in (*self.full, self.quick)]
        return " ".join([*names, self.finder.weights_hash])


@dataclass(eq=False)
class _Person:
    """A person who is being labelled; aspect and angle are found on the way."""

    row: int
    picture: Picture
    box: NDArray[np.float64]
    given: NDArray[np.float32] | None = None
    aspect: float = 1.0
    angle: float = 0.0

    @property
    def size(self) -> float:
        """Longer side of the box in the picture's true aspect."""
        width, height = self.box[2:] - self.box[:2]
        return float(max(width * self.aspect, height))

    def shown(self, view: View) -> Look:
        turned = replace(view, angle=view.angle + self.angle, aspect=self.aspect)
        return Look(self.picture, self.box, turned)


class LabelledPart(NamedTuple):
    """Labels of a chunk, and what became of the people who have none."""

    labels: PeopleLabels
    dropped: Counter[str]


def label_pictures(
    pictures: Sequence[PackedPicture], teachers: Teachers, *, rule: LabellingRule | None = None
) -> LabelledPart:
    """Labels of the people in a few pictures.

    Args:
        pictures: All are decoded at once.
        teachers: Who labels.
        rule: None takes the usual one.
    """
    rule = rule or LabellingRule()
    dropped: Counter[str] = Counter()
    people = _people(pictures, teachers, rule, dropped)
    _choose_aspects(people, pictures, teachers.quick)
    first = _first_look(people, teachers, rule, dropped)
    people = [person for person, _ in first]
    answers = _answers(people, [answer for _, answer in first], teachers)
    labels: list[dict[str, Any]] = []
    for person, (points, scores) in zip(people, answers, strict=True):
        label = _label(person, points, scores, rule, dropped)
        if label is not None:
            packed = pictures[person.row]
            labels.append(
                {
                    "names": packed.name,
                    "packs": packed.pack,
                    "stretched": packed.stretched,
                    "aspects": person.aspect,
                    **label,
                }
            )
    return LabelledPart(_stacked(_without_twins(labels, dropped, rule)), dropped)


def _people(
    pictures: Sequence[PackedPicture],
    teachers: Teachers,
    rule: LabellingRule,
    dropped: Counter[str],
) -> list[_Person]:
    people: list[_Person] = []
    for row, packed in enumerate(pictures):
        picture = packed.decode()
        if packed.boxes is not None:
            boxes = packed.boxes.astype(np.float64)
            given = [None] * len(boxes) if packed.keypoints is None else list(packed.keypoints)
            here = [_Person(row, picture, *pair) for pair in zip(boxes, given, strict=True)]
        else:
            here = [_Person(row, picture, box) for box in _found(picture, teachers, rule)]
            dropped["nobody found"] += not here
        large = [p for p in here if max(p.box[2:] - p.box[:2]) >= rule.least_side]
        dropped["too small"] += len(here) - len(large)
        large.sort(key=lambda p: -p.size)
        dropped["beyond the largest"] += len(large[rule.most :])
        people += large[: rule.most]
    return people


def _found(picture: Picture, teachers: Teachers, rule: LabellingRule) -> list[NDArray[np.float64]]:
    """Boxes of the large people in a picture, each moved to the pose in it.

    Where the finder sees nobody the whole picture is looked at: that is right for a picture made
    of one person, and a look at nobody is let go later.
    """
    found = teachers.finder.detect([picture])[0]
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    sure = (found.scores >= rule.found) & (sides >= rule.large * max(picture.shape[:2]))
    boxes = [box.astype(np.float64) for box in found.boxes[sure]]
    if not boxes:
        boxes = [np.array([0, 0, picture.shape[1], picture.shape[0]]) - 0.5]
    points, scores = ask(teachers.quick, [Look(picture, box, View(0, 1.25)) for box in boxes])
    moved: list[NDArray[np.float64]] = []
    for pose, score, box in zip(points, scores, boxes, strict=True):
        better = _box_of_pose(pose, score, box, picture, rule)
        if not moved or box_iou(better, np.stack(moved)).max() < _ONE_PERSON:
            moved.append(better)
    return moved


def _box_of_pose(
    pose: NDArray[np.floating],
    scores: NDArray[np.floating],
    box: NDArray[np.float64],
    picture: Picture,
    rule: LabellingRule,
) -> NDArray[np.float64]:
    """The extent of a pose's clear keypoints with a margin, in the picture; else ``box``."""
    clear = scores >= rule.agreement.faint
    if clear.sum() < rule.keypoints:
        return box
    extent = box_of_points(pose[clear])
    margin = 0.1 * max(extent[2:] - extent[:2])
    limits = np.array([picture.shape[1], picture.shape[0]] * 2) - 0.5
    return np.clip(extent + margin * np.array([-1, -1, 1, 1]), -0.5, limits)


def _choose_aspects(
    people: Sequence[_Person], pictures: Sequence[PackedPicture], quick: Teacher
) -> None:
    """Un-stretch each stretched picture by the aspect in which its largest person is clearest."""
    largest: dict[int, _Person] = {}
    for person in people:
        if pictures[person.row].stretched:
            best = largest.setdefault(person.row, person)
            if person.size > best.size:
                largest[person.row] = person
    looks = [Look(p.picture, p.box, View(aspect=a)) for p in largest.values() for a in ASPECTS]
    if not looks:
        return
    _, scores = ask(quick, looks)
    means = _mean_score(scores).reshape(-1, len(ASPECTS))
    chosen = {row: ASPECTS[int(mean.argmax())] for row, mean in zip(largest, means, strict=True)}
    for person in people:
        person.aspect = chosen.get(person.row, 1.0)


_KNOWN = np.isin(HALPE26.keypoints, COCO17.keypoints)


def _mean_score(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N,) of (N, 26): over the keypoints that every teacher knows."""
    return scores[:, _KNOWN].mean(axis=1)


def _first_look(
    people: Sequence[_Person], teachers: Teachers, rule: LabellingRule, dropped: Counter[str]
) -> list[tuple[_Person, tuple[NDArray[np.float32], NDArray[np.float32]]]]:
    """Who is worth more looks, turned the way up that is clearest, with the first answer."""
    lead, view = teachers.full[0], VIEWS[0]
    points, scores = ask(lead, [person.shown(view) for person in people])
    unclear = np.flatnonzero(_mean_score(scores) < rule.clear).tolist()
    turned = [replace(view, angle=angle) for angle in UPENDED]
    looks = [people[row].shown(other) for row in unclear for other in turned]
    more, their = ask(lead, looks)
    for place, row in enumerate(unclear):
        part = slice(place * len(turned), (place + 1) * len(turned))
        means = _mean_score(their[part])
        best = int(means.argmax())
        if means[best] > rule.upright * _mean_score(scores[row : row + 1])[0]:
            people[row].angle = UPENDED[best]
            points[row], scores[row] = more[part][best], their[part][best]
    seen = _mean_score(scores) >= rule.hopeless
    dropped["not recognised"] += int((~seen).sum())
    return [(people[row], (points[row], scores[row])) for row in np.flatnonzero(seen).tolist()]


def _answers(
    people: Sequence[_Person],
    first: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    teachers: Teachers,
) -> list[Answers]:
    """Of each person, keypoints (V, 26, 2) and scores (V, 26) of all views by all teachers."""
    points = [[answer[0]] for answer in first]
    scores = [[answer[1]] for answer in first]
    for number, teacher in enumerate(teachers.full):
        views = VIEWS[1:] if number == 0 else VIEWS
        found, stated = ask(teacher, [p.shown(view) for p in people for view in views])
        for place in range(len(people)):
            part = slice(place * len(views), (place + 1) * len(views))
            points[place] += list(found[part])
            scores[place] += list(stated[part])
    return [(np.stack(p), np.stack(s)) for p, s in zip(points, scores, strict=True)]


def _label(
    person: _Person,
    points: NDArray[np.float32],
    scores: NDArray[np.float32],
    rule: LabellingRule,
    dropped: Counter[str],
) -> dict[str, NDArray[np.float32]] | None:
    stretch = np.array([person.aspect, 1.0])
    agreed = consensus(points * stretch, scores, HALPE26, size=person.size, rule=rule.agreement)
    keypoints, weights = (agreed.keypoints / stretch).astype(np.float32), agreed.weights
    if person.given is not None:
        placed = np.all(np.isfinite(person.given), axis=1)
        keypoints = np.where(placed[:, None], person.given, keypoints)
        weights = np.where(placed, np.float32(1), weights)
    # What lies outside the picture no teacher can see.
    height, width = person.picture.shape[:2]
    within = (keypoints >= -0.5) & (keypoints <= np.array([width, height]) - 0.5)
    keypoints = np.where(within.all(axis=1, keepdims=True), keypoints, np.nan)
    known = np.all(np.isfinite(keypoints), axis=1)
    weights = np.where(known, weights, 0)
    if known.sum() < rule.keypoints:
        dropped["views disagree"] += 1
        return None
    margin = 0.15 * (person.box[2:] - person.box[:2]).max()
    wider = person.box + margin * np.array([-1, -1, 1, 1])
    inside = np.all((keypoints[known] >= wider[:2]) & (keypoints[known] <= wider[2:]), axis=1)
    if inside.mean() < rule.inside:
        dropped["somebody else"] += 1
        return None
    arrays = {"boxes": person.box, "keypoints": keypoints, "weights": weights}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _without_twins(
    labels: list[dict[str, Any]], dropped: Counter[str], rule: LabellingRule
) -> list[dict[str, Any]]:
    """Of several boxes whose pose is one person's, the one with the surest pose."""
    kept: list[dict[str, Any]] = []
    order = sorted(range(len(labels)), key=lambda n: -float(labels[n]["weights"].sum()))
    for label in (labels[number] for number in order):
        box = label["boxes"]
        twin = any(
            (other["packs"], other["names"]) == (label["packs"], label["names"])
            and same_person(
                label["keypoints"], other["keypoints"], HALPE26,
                size=float((box[2:] - box[:2]).max()), rule=rule.agreement,
            )
            for other in kept
        )  # fmt: skip
        dropped["twice"] += twin
        if not twin:
            kept.append(label)
    return [label for label in labels if any(label is other for other in kept)]


def _stacked(labels: Sequence[Mapping[str, Any]]) -> PeopleLabels:
    return PeopleLabels(
        **{
            name: np.array([label[name] for label in labels], kind).reshape(-1, *shape)
            for name, (shape, kind) in LABEL_FIELDS.items()
        }
    )


def label_people(
    pictures: Sequence[PackedPicture],
    teachers: Teachers,
    job: Job,
    *,
    rule: LabellingRule | None = None,
    chunk: int = 16,
    progress: Callable[[float, str], None] = lambda done, words: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> LabelledPart:
    """Labels of everybody in the pictures; finished chunks are kept in ``job`` and used again.

    Args:
        pictures: In any order.
        teachers: Who labels.
        job: Keeps finished chunks.
        rule: None takes the usual one.
        chunk: Pictures of a part.
        progress: Called with the finished fraction and a description.
        cancelled: Asked between chunks.

    Raises:
        CancelledError: The user wants no more; finished chunks are kept.
    """
    rule = rule or LabellingRule()
    chunks = _chunks(pictures, chunk)
    keys = [_key(some, teachers, rule) for some in chunks]
    job.describe({"kind": "pseudo-labels", "teachers": teachers.name}, keys=keys)
    parts: list[LabelledPart] = []
    people = 0
    for number, (some, key) in enumerate(zip(chunks, keys, strict=True)):
        arrays = job.load(key)
        if arrays is None:
            if cancelled():
                raise CancelledError(
                    f"Stopped after {number} of {len(chunks)} parts; they are kept, run the same "
                    "command to continue."
                )
            part = label_pictures(some, teachers, rule=rule)
            job.save(key, _to_arrays(part))
        else:
            part = _from_arrays(arrays)
        parts.append(part)
        people += len(part.labels)
        done = sum(len(c) for c in chunks[: number + 1])
        progress(done / len(pictures), f"{people} people in {done} of {len(pictures)} pictures")
    found = _joined(parts)
    return found._replace(labels=with_likely_aspects(found.labels))


def with_likely_aspects(labels: PeopleLabels, *, least: int = 200) -> PeopleLabels:
    """The labels with each stretched picture's aspect such that its people look like people.

    Proportions are those of the people in pictures that nobody stretched. They tell the aspect far
    better than how clear a teacher finds the picture, but only once the people are labelled.

    Args:
        labels: Of all packs.
        least: People in pictures of true aspect without whom the aspects stay as they are.
    """
    if (~labels.stretched).sum() < least:
        return labels
    proportions = learn_proportions(labels.keypoints[~labels.stretched], HALPE26)
    rows: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(labels.stretched).tolist():
        rows.setdefault((str(labels.packs[row]), str(labels.names[row])), []).append(row)
    aspects = labels.aspects.copy()
    for here in rows.values():
        aspects[here] = likely_aspect(labels.keypoints[here], proportions, ASPECTS)
    return replace(labels, aspects=aspects)


def _chunks(pictures: Sequence[PackedPicture], size: int) -> list[list[PackedPicture]]:
    """Parts of one pack each, so that a run of some packs serves a run of all."""
    packs: dict[str, list[PackedPicture]] = {}
    for picture in pictures:
        packs.setdefault(picture.pack, []).append(picture)
    return [p[start : start + size] for p in packs.values() for start in range(0, len(p), size)]


def _key(pictures: Iterable[PackedPicture], teachers: Teachers, rule: LabellingRule) -> str:
    digest = hashlib.sha256(f"{_VERSION} {teachers.name} {rule} {VIEWS}".encode())
    for picture in pictures:
        digest.update(f"{picture.pack}/{picture.name} {picture.stretched}".encode())
        digest.update(picture.content)
        digest.update(b"" if picture.boxes is None else picture.boxes.tobytes())
    return digest.hexdigest()[:32]


def _to_arrays(part: LabelledPart) -> dict[str, NDArray[Any]]:
    reasons = {f"dropped {reason}": np.array(count) for reason, count in part.dropped.items()}
    return {**vars(part.labels), **reasons}


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> LabelledPart:
    labels = PeopleLabels(**{name: arrays[name] for name in LABEL_FIELDS})
    dropped = {
        name.removeprefix("dropped "): int(value)
        for name, value in arrays.items()
        if name.startswith("dropped ")
    }
    return LabelledPart(labels, Counter(dropped))


def _joined(parts: Sequence[LabelledPart]) -> LabelledPart:
    dropped = sum((part.dropped for part in parts), Counter())
    arrays = {
        name: np.concatenate(
            [np.zeros((0, *shape), kind), *(getattr(part.labels, name) for part in parts)]
        )
        for name, (shape, kind) in LABEL_FIELDS.items()
    }
    return LabelledPart(PeopleLabels(**arrays), dropped)


def labels_table(part: LabelledPart) -> str:
    """What a run found, as a Markdown table by pack, and why people were left out."""
    labels = part.labels
    labelled = np.all(np.isfinite(labels.keypoints), axis=-1)[:, _KNOWN]
    lines = [
        "| pack | pictures | people | keypoints kept of 17 | mean weight |",
        "|---|--:|--:|--:|--:|",
    ]
    packs = [*sorted(set(labels.packs.tolist())), ""]
    for pack in packs:
        rows = labels.packs == pack if pack else np.ones(len(labels), bool)
        kept = labelled[rows]
        weight = labels.weights[rows][:, _KNOWN][kept].mean() if kept.any() else 0.0
        share = kept.mean() if kept.size else 0.0
        lines.append(
            f"| {pack or '**all**'} | {len(set(labels.names[rows].tolist()))} | {rows.sum()} | "
            f"{share:.0%} | {weight:.2f} |"
        )
    reasons = ", ".join(
        f"{count} {reason}" for reason, count in part.dropped.most_common() if count
    )
    return "\n".join([*lines, "", f"Left out: {reasons or 'nobody'}."])
