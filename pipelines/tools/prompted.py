"""Calls of models that know no tools: they are told of them in words, and asked for strict JSON."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from core.models.events import Delta
from core.models.tools import Tool
from pipelines.tools.rounds import ToolRequest

LOOKED_AT = 200  # characters, by which it is known whether a text may be calls
TASK = (
    "You can call tools. To call some, reply with nothing but this JSON: "
    '{"tool_calls": [{"name": "<tool>", "arguments": {<its arguments>}}]} '
    "You are then told what they gave. Call one only where you need it; otherwise reply in plain text. "
    "The tools, each with the JSON Schema of its arguments:"
)
_OPENINGS = tuple(fence + '{"tool_calls":[' for fence in ("", "```json", "```"))
_SPACE = re.compile(r"\s+")
_FENCE = re.compile(r"\s*(```(json)?)?\s*", re.IGNORECASE)
_DECODER = json.JSONDecoder()  # which tells where a value ends


class PromptedCalls:
    """One round. What may yet become calls is held back until it is known; what turns out to be none is told as it is.

    ``told``: something of the round is told already, by an earlier worker: then it is no call.
    """

    theirs_called = False

    def __init__(self, *, told: bool = False) -> None:
        self._held: list[Delta] | None = None if told else []
        self._text: list[str] = []
        self._begun = ""
        self.calls: tuple[ToolRequest, ...] = ()

    @property
    def text(self) -> str:
        """All that was said, calls as they were written."""
        return "".join(self._text)

    def hear(self, delta: Delta) -> Iterator[Delta]:
        """What of a piece may be told now, with what was held back before it."""
        self._text.append(delta.text)
        if self._held is None:
            yield delta
            return
        self._held.append(delta)
        if len(self._begun) < LOOKED_AT:
            self._begun += delta.text
            if not may_call(self._begun):
                yield from self._release()

    def end(self) -> Iterator[Delta]:
        """What was held back, unless it was a call."""
        if self._held:
            self.calls = read_calls(self.text)
            if not self.calls:
                yield from self._release()

    def _release(self) -> Sequence[Delta]:
        held, self._held = self._held, None
        return held or ()


def describe_tools(tools: Sequence[Tool]) -> str:
    """A system prompt."""
    lines = [
        msgspec.json.encode({"name": tool.name, "description": tool.description, "parameters": tool.parameters}).decode() for tool in tools
    ]
    return "\n".join((TASK, *lines))


def may_call(text: str) -> bool:
    """Whether a text that goes on may be calls."""
    begun = _SPACE.sub("", text).lower()
    return any(opening.startswith(begun) or begun.startswith(opening) for opening in _OPENINGS)


def read_calls(text: str) -> tuple[ToolRequest, ...]:
    """The calls with which a text begins; none where it is not the JSON that was asked for. What comes behind it is not looked at."""
    fence = _FENCE.match(text)
    try:
        found, _ = _DECODER.raw_decode(text, fence.end() if fence else 0)
    except (ValueError, RecursionError):
        return ()
    calls = found.get("tool_calls") if isinstance(found, dict) else None
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        return ()
    return tuple(
        ToolRequest(id=f"call_{place}", name=call["name"], arguments=json.dumps(call.get("arguments", {})))
        for place, call in enumerate(calls)
    )


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("name"), str) and isinstance(call.get("arguments", {}), dict)
