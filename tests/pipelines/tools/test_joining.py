from typing import Any

import pytest

from pipelines.tools.joining import JoinedCalls


def call(name: str, arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "pieces",
    [
        [call("f", id="a", index=0), {"index": 0, "function": {"arguments": '{"x":'}}, {"index": 0, "function": {"arguments": "1}"}}],
        [call("f", '{"x":', id="a", index=1), {"index": 1, "id": "", "function": {"name": None, "arguments": "1}"}}],
        [call("f", '{"x":1}', id="a")],
    ],
    ids=["from 0", "from 1", "whole"],
)
def test_pieces_become_a_call(pieces: list[dict[str, Any]]) -> None:
    joined = JoinedCalls()
    assert [joined.add(piece) for piece in pieces] == [0] * len(pieces)
    assert joined.calls == [call("f", '{"x":1}', id="a")]


def test_calls_of_one_index_and_two_ids_are_two() -> None:
    joined = JoinedCalls()
    assert [joined.add(call(name, "{}", id=name, index=0)) for name in ("f", "g")] == [0, 1]
    assert joined.calls == [call("f", "{}", id="f"), call("g", "{}", id="g")]


def test_whole_calls_follow_each_other() -> None:
    joined = JoinedCalls()
    assert [joined.add(call(name)) for name in ("f", "f")] == [0, 1]


def test_what_is_no_call_breaks_nothing() -> None:
    joined = JoinedCalls()
    for piece in ({"index": 0, "function": "x"}, {"index": 0, "function": {"arguments": {"x": 1}}}, {"index": None}, {}):
        joined.add(piece)
    assert len(joined.calls) == 3
