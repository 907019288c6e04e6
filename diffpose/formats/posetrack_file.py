"""What is read of PoseTrack's JSON files: their shapes, of 2017 and of 2018 and later."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from diffpose.checked import Index, Known, Name, Number, Text, Whole

_Picture = Annotated[Text, StringConstraints(min_length=1, max_length=4096)]
_Id = Annotated[int, Field(ge=0, lt=2**53)]
_Scalar = Annotated[list[Number], Field(max_length=4)] | Number | None
_One = Annotated[list[Number], Field(min_length=1)]
_Box = Annotated[list[Number], Field(max_length=4)]
_Empty = Annotated[list[Any], Field(max_length=0)]


class Image2018(TypedDict):
    """A picture of a file of 2018 or 2021."""

    id: _Id
    file_name: _Picture
    is_labeled: NotRequired[bool | None]
    height: NotRequired[Annotated[Index, Field(le=2**20)]]
    width: NotRequired[Annotated[Index, Field(le=2**20)]]
    ignore_regions_x: NotRequired[list[list[Number]] | None]
    ignore_regions_y: NotRequired[list[list[Number]] | None]
    has_labeled_person: NotRequired[Any]


class Person2018(TypedDict):
    """A person of a file of 2018 or 2021."""

    image_id: _Id
    id: NotRequired[_Id]
    keypoints: NotRequired[list[Known] | None]
    scores: NotRequired[list[Known] | None]
    bbox: NotRequired[_Box | None]
    bbox_head: NotRequired[_Box | None]
    track_id: NotRequired[Whole]
    person_id: NotRequired[Any]


class Category2018(TypedDict):
    """Which keypoints, in which order."""

    keypoints: NotRequired[Annotated[list[Name], Field(max_length=1000)]]


class File2018(TypedDict):
    """A file of 2018 or 2021."""

    images: list[Image2018]
    annotations: list[Person2018]
    categories: NotRequired[list[Category2018] | None]


class Point2017(TypedDict):
    """A keypoint of a file of 2017, whose scalars are lists of one number."""

    id: Annotated[list[Index], Field(min_length=1)]
    x: _One
    y: _One
    score: NotRequired[_Scalar]
    is_visible: NotRequired[_Scalar]


class Points2017(TypedDict):
    """The keypoints of one person."""

    point: NotRequired[list[Point2017] | None]


class Person2017(TypedDict):
    """A person of a file of 2017."""

    annopoints: NotRequired[list[Points2017 | _Empty | None] | None]
    x1: NotRequired[_Scalar]
    y1: NotRequired[_Scalar]
    x2: NotRequired[_Scalar]
    y2: NotRequired[_Scalar]
    score: NotRequired[_Scalar]
    track_id: NotRequired[_Scalar]


class Name2017(TypedDict):
    """The picture's file."""

    name: _Picture


class Corner2017(TypedDict):
    """A corner of an area to ignore."""

    x: _One
    y: _One


class Region2017(TypedDict):
    """An area to ignore."""

    point: list[Corner2017]


class Frame2017(TypedDict):
    """A picture of a file of 2017."""

    image: Annotated[list[Name2017], Field(min_length=1)]
    annorect: NotRequired[list[Person2017] | None]
    is_labeled: NotRequired[_Scalar]
    ignore_regions: NotRequired[list[Region2017] | None]


class File2017(TypedDict):
    """A file of 2017."""

    annolist: list[Frame2017]
