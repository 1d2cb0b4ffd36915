from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from core.errors import BadRequest
from core.json.decoding import convert, decode


class Colour(StrEnum):
    """Two."""

    RED = "red"
    BLUE = "blue"


class Part(msgspec.Struct):
    """Inside."""

    size: Annotated[int, msgspec.Meta(ge=1, le=5)]
    colour: Colour = Colour.RED


class Whole(msgspec.Struct):
    """Outside."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=9)] = "x"
    limit: Annotated[int, msgspec.Meta(ge=1)] | UnsetType | None = UNSET
    heat: Annotated[float, msgspec.Meta(ge=0, le=2)] = 1
    side: Literal["left", "right"] = "left"
    deep: bool = False
    parts: Annotated[list[Part], msgspec.Meta(max_length=2)] = []
    marks: dict[str, Annotated[str, msgspec.Meta(pattern="^[0-9]+$")]] = {}
    either: str | list[Any] = ""


@pytest.mark.parametrize(
    ("body", "param", "detail"),
    [
        ({"limit": 0}, "limit", "limit must be a whole number of at least 1 or null."),
        ({"limit": "x"}, "limit", "limit must be a whole number of at least 1 or null, not a string."),
        ({"heat": 3}, "heat", "heat must be a number from 0 to 2."),
        ({"name": ""}, "name", "name must be a string of 1 to 9 characters."),
        ({"name": None}, "name", "name must be a string of 1 to 9 characters, not null."),
        ({"side": "up"}, "side", "side must be 'left' or 'right', not 'up'."),
        ({"side": "u" * 99}, "side", f"side must be 'left' or 'right', not '{'u' * 39}…."),
        ({"deep": 1}, "deep", "deep must be true or false, not a whole number."),
        ({"parts": {}}, "parts", "parts must be a list of at most 2 items, not an object."),
        ({"parts": [{"size": 1}, 2]}, "parts[1]", "parts[1] must be an object, not a whole number."),
        ({"parts": [{}]}, "parts[0].size", "parts[0].size is missing: it must be a whole number from 1 to 5."),
        ({"parts": [{"size": 1, "colour": "green"}]}, "parts[0].colour", "parts[0].colour must be 'red' or 'blue', not 'green'."),
        ({"marks": {"a": "b"}}, "marks[...]", "marks[...] must be a string that matches ^[0-9]+$."),
        ({"either": 1}, "either", "either must be a string or a list, not a whole number."),
        ([], None, "The body must be an object, not a list."),
    ],
)
def test_a_fault_is_told_with_its_field_and_what_is_allowed(body: Any, param: str | None, detail: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decode(msgspec.json.encode(body), Whole)
    assert (raised.value.param, raised.value.detail) == (param, detail)


@pytest.mark.parametrize("body", [b"{", b'{"name": }', b'"\xff"', b'{"name": "\\ud800"}', b"[" * 100_000, b"\x00", b"NaN"])
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(BadRequest, match="The body is not JSON that can be read"):
        decode(body, Any)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_named_as_the_trouble(encoding: str) -> None:
    with pytest.raises(BadRequest, match="byte order mark"):
        decode('{"name": "x"}'.encode(encoding), Any)


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uD83Dx", rb"\ude00", rb"\ud83d\u0041", rb"\ud83d\ud83d\ude00"])
def test_a_text_that_was_cut_in_an_emoji_is_named_as_the_trouble(half: bytes) -> None:
    with pytest.raises(BadRequest, match="cut in the middle of an emoji"):
        decode(b'{"name": "' + half + b'"}', Any)
    assert decode(rb'"\ud83d\ude00 \\ud83d"', str) == "\U0001f600 \\ud83d"


def test_a_body_must_be_there() -> None:
    with pytest.raises(BadRequest, match="The body is empty"):
        decode(b"", Whole)


def test_texts_stand_for_numbers_where_they_may() -> None:
    assert convert({"limit": "7", "unknown": "x"}, Whole, strict=False).limit == 7
    with pytest.raises(BadRequest, match=r"limit must be a whole number of at least 1\."):
        convert({"limit": "0"}, Whole, strict=False)
    with pytest.raises(BadRequest, match="What was sent must be an object, not a string"):
        convert("x", Whole)
