import msgspec
import pytest

from core.models.completions import Usage
from core.models.function_calls import FunctionFailure, FunctionOutcome
from core.models.tools import ToolOutcome
from pipelines.tools.rounds import MAX_RESULT_CHARACTERS, Round, ToolRequest, outcome_of, retell, text_of_outcome, total


def outcome(result: bytes) -> ToolOutcome:
    return outcome_of(FunctionOutcome(result=msgspec.Raw(result), duration=0.1, isolation="bubblewrap"))


@pytest.mark.parametrize(("result", "read"), [(b'"sun"', "sun"), (b'{"a": [1]}', '{"a":[1]}'), (b"null", "null"), (b"1.5", "1.5")])
def test_a_text_is_read_as_it_is_and_all_else_as_json(result: bytes, read: str) -> None:
    assert text_of_outcome(outcome(result)) == read


def test_a_long_result_is_cut_and_says_so() -> None:
    for result in (b'"' + b"x" * 100_000 + b'"', b"[" + b"1," * 50_000 + b"1]"):
        told = outcome(result)
        assert len(msgspec.json.encode(told)) < MAX_RESULT_CHARACTERS + 100
        assert str(told.result).endswith("characters)")


def test_a_short_context_gets_less() -> None:
    made = FunctionOutcome(result=msgspec.Raw(b'"' + b"x" * 5_000 + b'"'), duration=0.1, isolation="bubblewrap")
    assert len(str(outcome_of(made, 2_048).result)) < 2_148
    assert outcome_of(made, 128_000).result == "x" * 5_000


def test_a_failure_is_told_as_one() -> None:
    failed = FunctionOutcome(error=FunctionFailure(reason="exception", message="KeyError: 'x'"), duration=0.1, isolation="bubblewrap")
    assert text_of_outcome(outcome_of(failed)) == "Error: KeyError: 'x'"
    assert msgspec.json.decode(msgspec.json.encode(outcome_of(failed))) == {"error": "KeyError: 'x'"}


def test_rounds_are_retold_as_they_were_asked() -> None:
    calls = (ToolRequest(id="c", name="f", arguments="{}"),)
    given = [ToolOutcome(result="sun")]
    native = retell([(Round(text="Look.", calls=calls), given)])
    assert native == [
        {
            "role": "assistant",
            "content": "Look.",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "sun"},
    ]
    said, told = retell([(Round(text="{}", calls=calls, prompted=True), given)])
    assert said == {"role": "assistant", "content": "{}"}
    assert (told["role"], told["content"].split("\n")[1]) == ("user", '[{"name":"f","result":"sun"}]')


def test_tokens_are_added_up() -> None:
    one = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, prompt_tokens_details={"cached_tokens": 4, "kind": "x"})
    other = Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30, prompt_tokens_details={"cached_tokens": 5})
    assert total([None, one, other]) == Usage(
        prompt_tokens=11, completion_tokens=22, total_tokens=33, prompt_tokens_details={"cached_tokens": 9, "kind": "x"}
    )
    assert total([None]) is None
