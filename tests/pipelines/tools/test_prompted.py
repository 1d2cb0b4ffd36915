import json
from collections.abc import Iterable

import pytest

from core.models.events import Delta
from core.models.tools import Tool
from pipelines.tools.prompted import PromptedCalls, describe_tools, may_call, read_calls

CALL = json.dumps({"tool_calls": [{"name": "f", "arguments": {"x": "é"}}]}, indent=1)


def heard(pieces: Iterable[str], *, told: bool = False) -> tuple[list[str], PromptedCalls]:
    """What is told as it comes, the last of it at the end."""
    calls = PromptedCalls(told=told)
    shown = ["".join(delta.text for delta in calls.hear(Delta(text=piece))) for piece in pieces]
    return [*shown, "".join(delta.text for delta in calls.end())], calls


def test_a_call_is_held_back_letter_by_letter() -> None:
    shown, calls = heard(CALL)
    assert "".join(shown) == ""
    assert [(call.name, json.loads(call.arguments)) for call in calls.calls] == [("f", {"x": "é"})]
    assert calls.text == CALL


@pytest.mark.parametrize("text", ["Hello.", "{ }", "``` x", '{"tool_calls": [], "x": 1} ', "  \n"])
def test_what_is_none_is_told_whole(text: str) -> None:
    shown, calls = heard(text)
    assert ("".join(shown), calls.calls) == (text, ())


def test_a_plain_answer_is_told_as_it_comes() -> None:
    assert heard(["It ", "is ", "sunny."])[0] == ["It ", "is ", "sunny.", ""]


def test_behind_what_was_told_there_is_no_call() -> None:
    shown, calls = heard([CALL], told=True)
    assert (shown, calls.calls) == ([CALL, ""], ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"tool_calls": {}}',
        '{"tool_calls": ["f"]}',
        '{"tool_calls": [{"name": 1}]}',
        '{"tool_calls": [{"name": "f", "arguments": "x"}]}',
    ],
)
def test_what_is_not_the_json_that_was_asked_for_is_no_call(text: str) -> None:
    assert read_calls(text) == ()


def test_arguments_may_be_left_out() -> None:
    assert [call.arguments for call in read_calls('{"tool_calls": [{"name": "f"}]}')] == ["{}"]


def test_it_is_soon_known_whether_a_text_may_be_calls() -> None:
    assert [may_call(text) for text in ("", " {", "```JSON\n{", '{"tool', '{"tools', "The")] == [True, True, True, True, False, False]


def test_models_are_told_names_and_schemas() -> None:
    tool = Tool(name="f", function_id="1", version_id="2", entry="f", description="Does.", parameters={"type": "object"})
    assert describe_tools([tool]).splitlines()[1:] == ['{"name":"f","description":"Does.","parameters":{"type":"object"}}']
