import json
import math

import pytest

from app.payloads import (
    DrawnBox,
    Visitor,
    parse_box,
    parse_index,
    parse_resample,
    parse_sampling,
    parse_visitor,
    sequence_of,
)
from diffpose.errors import BoxError, InputError, SettingsError

WISH = {
    "session": "s", "sequence": 3, "clip": "c", "track": 0, "frame": 7, "keypoint": 2,
    "steps": 4, "hypotheses": 8,
}  # fmt: skip


def test_a_wish_keeps_every_field() -> None:
    request = parse_resample(WISH)

    assert (request.session, request.sequence, request.clip) == ("s", 3, "c")
    assert (request.track, request.frame, request.keypoint) == (0, 7, 2)
    assert (request.sampling.num_steps, request.sampling.num_hypotheses) == (4, 8)


@pytest.mark.parametrize("name", list(WISH))
@pytest.mark.parametrize("value", [None, -1, 1.5, True, [], {}, math.nan])
def test_a_wish_with_a_senseless_field_gets_a_sentence(name: str, value: object) -> None:
    with pytest.raises(InputError, match=r"[.]$"):
        parse_resample({**WISH, name: value})


@pytest.mark.parametrize("payload", [None, 3, "text", [1]])
def test_what_is_no_object_gets_a_sentence(payload: object) -> None:
    with pytest.raises(InputError, match="JSON object"):
        parse_resample(payload)


@pytest.mark.parametrize(
    ("steps", "hypotheses", "words"),
    [
        (0, 8, "Denoising steps must be 1 to 16, got 0"),
        (17, 8, "Denoising steps must be 1 to 16, got 17"),
        (4, 33, "Ensemble size must be 1 to 32, got 33"),
        (4, 2.5, "Ensemble size must be 1 to 32, got 2.5"),
        (math.inf, 8, "Denoising steps"),
        ("4", 8, "Denoising steps"),
    ],
)
def test_settings_out_of_range_name_the_range(
    steps: object, hypotheses: object, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_sampling(steps, hypotheses)


def test_a_slider_may_say_its_whole_number_as_a_float() -> None:
    assert parse_sampling(16.0, 32.0).num_hypotheses == 32


def test_a_box_is_four_numbers_and_perhaps_a_person() -> None:
    drawn = parse_box({"frame": 2, "track": None, "box": [1, 2.5, 30, 40]})

    assert drawn == DrawnBox(frame=2, track=None, box=(1.0, 2.5, 30.0, 40.0))


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, math.nan], [1, 2, 3, "4"], "1,2,3,4"])
def test_a_box_of_anything_else_is_refused(box: object) -> None:
    with pytest.raises(BoxError, match="four finite numbers"):
        parse_box({"frame": 0, "track": None, "box": box})


def test_an_index_is_a_whole_number() -> None:
    assert parse_index({"track": 4}, "track") == 4
    with pytest.raises(InputError, match="track"):
        parse_index({}, "track")


HUGE = 10**400
HOSTILE = [HUGE, -HUGE, 2**31, 1e308, math.inf, "\ud800", "\x00", "a\nb", "x" * 201, "x" * 10**6]


@pytest.mark.parametrize("name", list(WISH))
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_a_short_sentence_that_can_be_sent(name: str, value: object) -> None:
    with pytest.raises(InputError) as refused:
        parse_resample({**WISH, name: value})

    words = str(refused.value)
    assert len(words) < 300
    json.dumps(words).encode()
    words.encode("utf-8")


@pytest.mark.parametrize("value", [*HOSTILE, None, True, 1.5, [], {}, -1])
def test_only_a_number_is_answered_with_its_number(value: object) -> None:
    assert sequence_of({"sequence": value}) is None
    assert sequence_of({"sequence": 7}) == 7
    assert sequence_of(value) is None


@pytest.mark.parametrize("number", [HUGE, math.nan, math.inf, 1e300, True])
def test_a_box_beyond_reason_is_refused(number: object) -> None:
    with pytest.raises(BoxError, match="four finite numbers"):
        parse_box({"frame": 0, "track": None, "box": [0, 0, 1, number]})


@pytest.mark.parametrize(
    "text", [None, 3, "", "[" * 1900, "x" * 5000, '{"key": 1}', '{"key": "' + "\\ud800" * 20 + '"}']
)
def test_a_browser_that_remembers_nonsense_has_forgotten(text: object) -> None:
    assert parse_visitor(text) == Visitor("", None)
