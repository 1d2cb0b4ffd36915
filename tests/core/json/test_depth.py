import json

import pytest

from core.json.depth import FLAT, read_bounded


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("kind", [str, bytes])
def test_what_is_taken_can_be_read_where_more_calls_are_on_the_stack(kind: type) -> None:
    def later(calls: int, text: str | bytes) -> None:
        if calls:
            later(calls - 1, text)
        else:
            json.loads(text)

    taken = 0
    for levels in range(FLAT, 1_100, 10):
        text = nested(levels) if kind is str else nested(levels).encode()
        try:
            read_bounded(text, lambda text=text: json.loads(text))  # type: ignore[misc]
        except RecursionError:
            break
        later(200, text)
        taken = levels
    assert 400 < taken < 1_000


def test_brackets_side_by_side_are_not_deep() -> None:
    text = f"[{','.join(['{}'] * 10_000)}]"
    assert len(read_bounded(text, lambda: json.loads(text))) == 10_000
