"""What is read of a COCO annotation file: its shape, checked once for all readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from diffpose.checked import Identifier, Index, Known, Name, Number, Text, Whole, validate
from diffpose.errors import FormatError
from diffpose.formats.common import read_json

_FileName = Annotated[Text, StringConstraints(max_length=4096)]


class CocoImage(TypedDict):
    """A picture."""

    id: Identifier
    file_name: NotRequired[_FileName]
    height: NotRequired[Annotated[Index, Field(le=2**20)]]
    width: NotRequired[Annotated[Index, Field(le=2**20)]]
    time_s: NotRequired[Number]


class CocoAttributes(TypedDict):
    """What CVAT adds to COCO's keys."""

    track_id: NotRequired[Whole | None]


class CocoAnnotation(TypedDict):
    """A person, or a thing without keypoints."""

    image_id: Identifier
    category_id: Identifier
    id: NotRequired[Identifier]
    keypoints: NotRequired[list[Known]]
    bbox: NotRequired[list[Number]]
    area: NotRequired[Number]
    iscrowd: NotRequired[bool | None]
    track_id: NotRequired[Whole | None]
    attributes: NotRequired[CocoAttributes | None]
    source: NotRequired[list[Name | None]]
    confidence: NotRequired[list[Known] | None]
    sigma_px: NotRequired[list[Known] | None]


class CocoCategory(TypedDict):
    """A kind of thing; of people with the names of their keypoints."""

    id: Identifier
    keypoints: NotRequired[Annotated[list[Name], Field(max_length=1000)] | None]


class CocoFile(TypedDict):
    """The three lists of an annotation file."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


def read_coco_file(path: Path | str, *, instead: str) -> CocoFile:
    """Read an annotation file, keeping the keys of `CocoFile`.

    Args:
        path: The file.
        instead: What to say about a list of results, which is not one.

    Raises:
        FormatError: It is no annotation file.
    """
    content: Any = read_json(path)
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise FormatError(
            f"Expected a COCO annotation file with images, annotations and categories, got {path}; "
            f"a list of results {instead}."
        )
    return validate(CocoFile, content, str(path))


def keypoint_category(content: CocoFile, path: Path | str) -> tuple[Identifier, list[str]]:
    """Id and keypoints of the first category that has some.

    Raises:
        FormatError: None has.
    """
    for category in content["categories"]:
        if names := category.get("keypoints"):
            return category["id"], names
    raise FormatError(f"No category of {path} has keypoints; give a keypoint annotation file.")
