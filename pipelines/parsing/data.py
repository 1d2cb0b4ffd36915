"""JSON and lines of JSON: records that are alike as one table, all else as lines that each say where their value stands."""

import json
from collections.abc import Iterator
from typing import Any

from core.errors import BadRequest
from core.json.depth import TOO_DEEP, read_bounded
from pipelines.parsing.draft import Draft
from pipelines.parsing.encodings import decode

_MAX_COLUMNS = 64
_FEW_BAD_LINES = 0.5
_MAX_NAMED = 10

_NOT_LINES = "Most of its lines are not JSON. Write one JSON value a line."


def read_json(content: bytes, draft: Draft) -> None:
    """A list of flat objects is a table; of anything else each entry is a paragraph with a line for each value: ``user.name: Ada``."""
    add_values(load_json(decode(content)), draft)


def read_ndjson(content: bytes, draft: Draft) -> None:
    """The same, of a list whose entries are lines. A line that is not JSON is named, unless most are not."""
    values, bad = [], []
    lines = [(number, line) for number, line in enumerate(decode(content).splitlines(), 1) if line.strip()]
    for number, line in lines:
        try:
            values.append(load_json(line))
        except BadRequest:
            bad.append(number)
    if len(bad) > _FEW_BAD_LINES * len(lines):
        raise BadRequest(_NOT_LINES)
    for number in bad[:_MAX_NAMED]:
        draft.miss(f"Line {number} is not JSON and was left out.")
    if len(bad) > _MAX_NAMED:
        draft.miss(f"{len(bad) - _MAX_NAMED} more lines are not JSON and were left out.")
    add_values(values, draft)


def load_json(text: str) -> Any:
    """Numbers stay as they are written, and a key that stands twice is kept twice. Raises BadRequest."""

    def read() -> Any:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_Pairs)

    try:
        return read_bounded(text, read)
    except RecursionError:
        message = f"It cannot be read as JSON: {TOO_DEEP}. Make it flatter."
        raise BadRequest(message) from None
    except json.JSONDecodeError as error:
        message = f"It is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. Mend it and upload it again."
        raise BadRequest(message) from error


def add_values(value: Any, draft: Draft) -> None:
    """What was read, into the draft."""
    entries = value if isinstance(value, list) else [value]
    if header := _find_columns(entries):
        draft.add_table(header, [[_show(dict(entry).get(name, "")) for name in header] for entry in entries])
        return
    if isinstance(value, _Pairs):
        entries = [_Pairs([pair]) for pair in value.pairs]
    for entry in entries:
        draft.add_text("\n".join(f"{path}: {shown}" if path else shown for path, shown in _iter_leaves(entry)))


class _Pairs:
    """An object of JSON, in order and with all of its keys."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.pairs)


def _find_columns(entries: list[Any]) -> list[str]:
    """The keys of objects that hold no lists or objects and no key twice; none, where these are not rows of one table."""
    names: dict[str, None] = {}
    for entry in entries:
        if not isinstance(entry, _Pairs) or len(dict(entry)) < len(entry.pairs):
            return []
        for name, value in entry:
            if isinstance(value, (_Pairs, list)):
                return []
            names[name] = None
    return list(names) if len(entries) > 1 and len(names) <= _MAX_COLUMNS else []


def _iter_leaves(value: Any) -> Iterator[tuple[str, str]]:
    """Each value with its path, in order; without recursion."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, _Pairs) and value.pairs:
            stack.extend((f"{path}.{name}" if path else name, inner) for name, inner in reversed(value.pairs))
        elif isinstance(value, list) and value:
            stack.extend((f"{path}[{place}]", inner) for place, inner in reversed(list(enumerate(value))))
        else:
            yield path, _show(value)


def _show(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return "{}" if isinstance(value, _Pairs) else "[]"
