"""Arguments of a call by hand, held against what the code says it takes."""

from typing import Any

import pytest

from core.errors import BadRequest
from core.services.functions.trials import check_arguments
from pipelines.functions import read

CODE = """
from typing import Annotated, Literal
from pydantic import Field
def f(city: str, unit: Literal["c", "f"] = "c", tags: list[str] = [], code: Annotated[str, Field(pattern="^[a-z]+$")] = "a", {more}): ...
"""
SECRET = "correct horse battery"


def said(arguments: dict[str, Any], more: str = "*, __user__: dict = {}") -> str:
    """What is at fault with them."""
    (entry,) = read(CODE.replace("{more}", more), "f").entries
    try:
        check_arguments(entry, arguments)
    except BadRequest as error:
        return error.detail
    return ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"city": "Oslo", "unit": "f", "tags": ["a"], "code": "abc"}, ""),
        ({"city": "Oslo", "__user__": {"id": "another"}}, "args: not known: __user__."),
        ({"city": "Oslo", "unit": SECRET}, "args: not what f takes: unit (enum)."),
        ({"city": "Oslo", "tags": ["a", 1]}, "args: not what f takes: tags.1 (type)."),
        ({"city": "Oslo", "code": SECRET}, "args: not what f takes: code (pattern)."),
        ({"unit": SECRET, SECRET: 1}, f"args: must be given: city; not known: {SECRET}; not what f takes: unit (enum)."),
    ],
)
def test_arguments_at_fault_are_named_with_what_they_break(arguments: dict[str, Any], expected: str) -> None:
    assert said(arguments) == expected


def test_a_function_that_takes_anything_is_given_anything() -> None:
    assert said({"city": "Oslo", "other": 1}, "**rest") == ""


def test_a_pattern_that_cannot_be_used_is_a_bad_request() -> None:
    entry = read('from typing import Annotated\nfrom pydantic import Field\ndef f(a: Annotated[str, Field(pattern="(?<=a)b")]): ...', "f")
    with pytest.raises(BadRequest, match="looks around or back"):
        check_arguments(entry.entries[0], {"a": "b"})
